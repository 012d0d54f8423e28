//! One call of a plugin: its slot, its store, its time, and what became of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::{PoolConcurrencyLimitError, Store, Trap};

use crate::bind::{Called, Failed};
use crate::check::Checked;
use crate::error::{CallError, CallFailure, Function};
use crate::limits::{CALLS_PER_PLUGIN, WALL_FACTOR};
use crate::load::Shared;
use crate::state::{self, CallState};
use crate::wasi::GuestExit;

/// Makes the calls of one plugin.
pub(crate) struct Caller {
    shared: Arc<Shared>,
    /// How errors and logs call the plugin.
    plugin: String,
    slots: Semaphore,
}

/// The right to run and the store to run in. The store goes first, so that a slot is free only when its memory is.
pub(crate) struct Call<'a> {
    pub store: Store<CallState>,
    _slots: [SemaphorePermit<'a>; 2],
}

impl Caller {
    pub fn new(shared: Arc<Shared>, plugin: String) -> Self {
        Self { shared, plugin, slots: Semaphore::new(CALLS_PER_PLUGIN) }
    }

    /// From now on the plugin is called by its id.
    pub fn rename(&mut self, id: &str) {
        id.clone_into(&mut self.plugin);
    }

    /// Waits for a slot and opens a store in it.
    pub async fn open(&self, function: Function) -> Result<Call<'_>, CallError> {
        let closed = |_| self.failed(function, CallFailure::Host("the sandbox is closed".into()));
        // One's own slots first: who waits there holds nothing that another plugin needs.
        let own = self.slots.acquire().await.map_err(closed)?;
        let common = self.shared.slots.acquire().await.map_err(closed)?;
        let store = state::open(&self.shared.engine, &self.shared.limits, &self.plugin, function);
        Ok(Call { store, _slots: [own, common] })
    }

    /// The engine counts CPU time; this bounds what a starved machine makes of it.
    pub async fn bounded<T>(&self, call: impl Future<Output = Called<T>>) -> Option<Called<T>> {
        let wall: Duration = self.shared.limits.call_timeout.saturating_mul(WALL_FACTOR);
        tokio::time::timeout(wall, call).await.ok()
    }

    /// Frees the slot, and says what the call came to.
    pub fn close<T>(
        &self,
        function: Function,
        call: Call<'_>,
        called: Option<Called<T>>,
        check: impl FnOnce(&T) -> Checked,
    ) -> Result<T, CallError> {
        let outcome = match called {
            Some(Ok(value)) => check(&value).map(|()| value).map_err(CallFailure::BadOutput),
            Some(Err(Failed::Output(text))) => Err(CallFailure::BadOutput(text)),
            Some(Err(Failed::Engine(error))) => Err(self.classify(&error, call.store.data())),
            None => Err(self.timeout()),
        };
        outcome.map_err(|reason| self.failed(function, reason))
    }

    fn classify(&self, error: &wasmtime::Error, state: &CallState) -> CallFailure {
        let limits = &self.shared.limits;
        if error.is::<GuestExit>() {
            return CallFailure::Exit;
        }
        let trap = error.downcast_ref::<Trap>();
        if trap == Some(&Trap::Interrupt) {
            return self.timeout();
        }
        if state.meter.refused() {
            return CallFailure::Memory { limit_bytes: limits.memory_bytes };
        }
        // Texts of the engine are fixed words and numbers; they never quote what a guest holds.
        let text = error.root_cause().to_string();
        if text.contains("fuel allocated for hostcalls") {
            return CallFailure::HostcallLimit { limit_bytes: limits.hostcall_bytes };
        }
        if error.is::<PoolConcurrencyLimitError>() {
            return CallFailure::Host("no slot is free".into());
        }
        match trap {
            Some(trap) => CallFailure::Trap(trap.to_string()),
            None => CallFailure::BadOutput(text),
        }
    }

    fn timeout(&self) -> CallFailure {
        CallFailure::Timeout { budget_ms: self.shared.limits.call_timeout.as_millis() }
    }

    fn failed(&self, function: Function, reason: CallFailure) -> CallError {
        CallError { plugin: self.plugin.clone(), function, reason }
    }
}
