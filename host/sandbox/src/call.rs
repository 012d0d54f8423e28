//! One call of a plugin: what is known already, its slot, its store, its time, and what became of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use catalyst_domain::Timestamp;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::{PoolConcurrencyLimitError, Store, Trap};

use crate::bind::{Called, Failed};
use crate::breaker::{self, Breaker, Ended, Position, Refused};
use crate::check::Checked;
use crate::error::{CallError, CallFailure, Function};
use crate::lane;
use crate::limits::{CALLS_PER_PLUGIN, Limits, Suspension, WALL_FACTOR};
use crate::load::Shared;
use crate::memo::{Answer, Key};
use crate::meters::{BreakerState, BreakerStatus, CallStats, Meters, Outcome};
use crate::state::{self, CallState};
use crate::wasi::GuestExit;

/// Makes the calls of one plugin.
pub(crate) struct Caller {
    shared: Arc<Shared>,
    limits: Arc<Limits>,
    /// How errors and logs call the plugin.
    plugin: String,
    /// Digest of its bytes.
    digest: String,
    slots: Arc<Semaphore>,
    breaker: Mutex<Breaker>,
    meters: Meters,
}

/// What a plugin is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    function: Function,
    /// None where an input has no form that could be compared: it is neither remembered nor does it move the breaker.
    key: Option<Key>,
}

/// A plugin's slot and one of all. Who works for a call holds them, even when nobody waits for it any more.
pub(crate) type Slots = Arc<[OwnedSemaphorePermit; 2]>;

impl Asked {
    /// The export that it is for.
    pub fn function(&self) -> Function {
        self.function
    }
}

/// The right to run and the store to run in. The store goes first, so that a slot is free only when its memory is.
pub(crate) struct Call<'a> {
    pub store: Store<CallState>,
    pub slots: Slots,
    begun: Instant,
    admitted: Admitted<'a>,
}

/// A call that the breaker let through. One that nobody ends, because its caller went away, tells nothing.
struct Admitted<'a> {
    caller: &'a Caller,
    asked: Asked,
    ended: Ended,
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        let Some(key) = self.caller.suspending(self.asked) else { return };
        let (now, plugin) = (Instant::now(), &self.caller.plugin);
        let mut breaker = self.caller.breaker();
        let before = breaker.position(now);
        if breaker.ended(now, key, self.ended) {
            self.caller.meters.opened();
            tracing::warn!(
                plugin.id = plugin,
                plugin.failures = breaker::FAILURES,
                "a plugin is not called for a while: it failed again and again"
            );
        } else if before != Position::Closed && breaker.position(now) == Position::Closed {
            tracing::info!(plugin.id = plugin, "a plugin is called again: it answered");
        }
    }
}

impl Caller {
    pub fn new(shared: Arc<Shared>, limits: Arc<Limits>, plugin: String, digest: String) -> Self {
        let slots = Arc::new(Semaphore::new(CALLS_PER_PLUGIN));
        Self { shared, limits, plugin, digest, slots, breaker: Mutex::default(), meters: Meters::default() }
    }

    /// Digest of the plugin's bytes in lower-case hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What holds for its calls.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A question, ready to be compared with others.
    pub fn ask(&self, function: Function, input: &impl Serialize) -> Asked {
        Asked { function, key: Key::of(&self.digest, function, input) }
    }

    /// What the same question came to before: an answer, or a failure that the same bytes give again on any machine.
    pub fn recall<T: Answer>(&self, asked: &Asked) -> Option<Result<T, CallError>> {
        let (memo, key) = (self.shared.memo.as_ref()?, asked.key.as_ref()?);
        let known = match memo.recall::<T>(key) {
            Some(answer) => Ok(answer),
            None => Err(self.failed(*asked, memo.recall::<CallFailure>(key)?)),
        };
        self.meters.count(Outcome::Remembered);
        Some(known)
    }

    /// Refuses at once what the breaker would not let through now.
    pub fn check(&self, asked: Asked) -> Result<(), CallError> {
        self.passes(asked, |breaker, now, key| breaker.check(now, key))
    }

    /// Waits for a slot, passes the breaker, which may have opened meanwhile, and opens a store in it.
    pub async fn open(&self, asked: Asked) -> Result<Call<'_>, CallError> {
        let closed = |_| self.failed(asked, CallFailure::Host("the sandbox is closed".into()));
        // One's own slots first: who waits there holds nothing that another plugin needs.
        let own = Arc::clone(&self.slots).acquire_owned().await.map_err(closed)?;
        let common = Arc::clone(&self.shared.slots).acquire_owned().await.map_err(closed)?;
        self.passes(asked, Breaker::admit)?;
        let admitted = Admitted { caller: self, asked, ended: Ended::Unclear };
        let begun = Instant::now();
        let store = state::open(&self.shared.engine, &self.limits, &self.plugin, asked.function);
        if let Some(recorder) = &self.shared.recorder {
            state::lock(&store.data().log()).record(Arc::clone(recorder));
        }
        Ok(Call { store, slots: Arc::new([own, common]), begun, admitted })
    }

    /// The engine counts CPU time; this bounds what a starved machine makes of it.
    pub async fn bounded<T>(&self, call: impl Future<Output = Called<T>>) -> Option<Called<T>> {
        tokio::time::timeout(self.wall(), call).await.ok()
    }

    fn wall(&self) -> Duration {
        self.limits.call_timeout.saturating_mul(WALL_FACTOR)
    }

    /// Frees the slot, says what the call came to, and remembers an answer, or a failure that would come again.
    pub fn close<T: Answer>(
        &self,
        call: Call<'_>,
        called: Option<Called<T>>,
        judge: impl FnOnce(&mut T) -> Checked,
    ) -> Result<T, CallError> {
        let asked = call.admitted.asked;
        let comes_again = self.comes_again(&call, called.as_ref());
        let answer = self.ended(call, called, judge);
        if let (Some(memo), Some(key)) = (&self.shared.memo, asked.key) {
            match &answer {
                Ok(answer) => memo.keep(key, answer),
                Err(error) if comes_again => memo.keep(key, &error.reason),
                Err(_) => {}
            }
        }
        answer
    }

    /// Whether a failure of this call says something of the component and its input alone: the answer breaks a rule, or the guest
    /// trapped or ended itself. Time depends on the machine, limits on the name of the file, and an error of the engine that is no
    /// trap may be the machine's. The depth at which a stack ends is the compiler's.
    fn comes_again<T>(&self, call: &Call<'_>, called: Option<&Called<T>>) -> bool {
        match called {
            Some(Ok(_) | Err(Failed::Output(_))) => !call.store.data().meter.refused(),
            Some(Err(Failed::Engine(error))) => match self.classify(error, call.store.data()) {
                CallFailure::Trap(_) => error.downcast_ref::<Trap>() != Some(&Trap::StackOverflow),
                CallFailure::Exit => !call.store.data().meter.refused(),
                _ => false,
            },
            Some(Err(Failed::Host(_))) | None => false,
        }
    }

    /// As [`Self::close`], and remembers nothing.
    pub fn ended<T>(
        &self,
        mut call: Call<'_>,
        called: Option<Called<T>>,
        judge: impl FnOnce(&mut T) -> Checked,
    ) -> Result<T, CallError> {
        let outcome = match called {
            Some(Ok(mut value)) => judge(&mut value).map(|()| value).map_err(CallFailure::BadOutput),
            Some(Err(Failed::Output(text))) => Err(CallFailure::BadOutput(text)),
            Some(Err(Failed::Host(text))) => Err(CallFailure::Host(text)),
            Some(Err(Failed::Engine(error))) => {
                if let Some(recorder) = &self.shared.recorder {
                    recorder.stopped(call.admitted.asked.function, &error);
                }
                Err(self.classify(&error, call.store.data()))
            }
            None => Err(self.gave_up(lane::spent())),
        };
        call.admitted.ended = match &outcome {
            Ok(_) => Ended::Answered,
            Err(CallFailure::BadOutput(_) | CallFailure::Host(_) | CallFailure::Suspended { .. }) => Ended::Unclear,
            Err(_) => Ended::Failed,
        };
        self.meters.called(outcome.as_ref().err().map_or(Outcome::Answered, Outcome::from), call.begun.elapsed());
        outcome.map_err(|reason| self.failed(call.admitted.asked, reason))
    }

    /// The plugin's counts.
    pub fn stats(&self) -> CallStats {
        let breaker = self.breaker();
        let (state, since) = match breaker.position(Instant::now()) {
            Position::Closed => (BreakerState::Closed, None),
            Position::Open { since } => (BreakerState::Open, Some(wall(since))),
            Position::HalfOpen { since } => (BreakerState::HalfOpen, Some(wall(since))),
        };
        self.meters.snapshot(BreakerStatus { state, since, failures_in_a_row: breaker.failures() })
    }

    fn passes(
        &self,
        asked: Asked,
        ask: impl FnOnce(&mut Breaker, Instant, Key) -> Result<(), Refused>,
    ) -> Result<(), CallError> {
        let passed = self.suspending(asked).map_or(Ok(()), |key| ask(&mut self.breaker(), Instant::now(), key));
        passed.map_err(|Refused { since, pause }| {
            self.meters.count(Outcome::Refused);
            let reason =
                CallFailure::Suspended { failures: breaker::FAILURES, since: wall(since), retry_ms: pause.as_millis() };
            self.failed(asked, reason)
        })
    }

    /// By what the breaker knows an input; none where it is not asked.
    fn suspending(&self, asked: Asked) -> Option<Key> {
        asked.key.filter(|_| self.shared.suspension == Suspension::AfterFailures)
    }

    /// It holds plain values, so it is whole even after a panic elsewhere.
    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn classify(&self, error: &wasmtime::Error, state: &CallState) -> CallFailure {
        let limits = &self.limits;
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
        CallFailure::Timeout { budget_ms: self.limits.call_timeout.as_millis() }
    }

    /// Time on the clock is over. A guest cannot wait, so one that has not had its CPU time was kept from it by others.
    fn gave_up(&self, spent: Option<Duration>) -> CallFailure {
        match spent {
            Some(spent) if spent < self.limits.call_timeout => {
                let (spent, wall) = (spent.as_millis(), self.wall().as_millis());
                CallFailure::Host(format!("this machine gave it {spent} ms of CPU time within {wall} ms"))
            }
            _ => self.timeout(),
        }
    }

    pub fn failed(&self, asked: Asked, reason: CallFailure) -> CallError {
        CallError { plugin: self.plugin.clone(), function: asked.function, reason }
    }
}

/// When that was, for people: to the second.
fn wall(moment: Instant) -> Timestamp {
    let then = Timestamp::now().checked_sub(moment.elapsed());
    then.and_then(|then| Timestamp::from_second(then.as_second())).unwrap_or(Timestamp::UNIX_EPOCH)
}
