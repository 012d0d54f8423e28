//! One plugin and its calls. Every call gets a fresh instance within its limits, and its answer is checked.

use std::sync::Arc;
use std::time::Duration;

use catalyst_domain::provider::{
    Advice, Bundle, Descriptor, Diagnostic, Endpoints, Estimate, Probe, ProbeResponse, RenderContext, Verdict,
};
use catalyst_domain::{Finding, Request};
use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::{Store, Trap};

use crate::bind::{Bound, Called, Failed};
use crate::check::{self, Checked};
use crate::error::{CallError, CallFailure, Function, LoadError};
use crate::limits::{CALLS_PER_PLUGIN, WALL_FACTOR};
use crate::load::{Compiled, Shared};
use crate::state::{self, CallState};
use crate::wasi::GuestExit;

/// A compiled component, its imports proven and its exports bound.
pub(crate) struct Code {
    pub bound: Bound,
    pub imports: Vec<String>,
    pub contract: semver::Version,
    pub compiled: Compiled,
}

/// A plugin that serves. Cheap to share; each call is independent of all others.
pub struct Provider {
    shared: Arc<Shared>,
    file_name: String,
    digest: String,
    code: Code,
    contract: String,
    descriptor: Descriptor,
    slots: Semaphore,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider")
            .field("id", &self.descriptor.id)
            .field("file_name", &self.file_name)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// The right to run and the store to run in. The store goes first, so that a slot is free only when its memory is.
struct Call<'a> {
    store: Store<CallState>,
    _slots: [SemaphorePermit<'a>; 2],
}

impl Provider {
    /// Asks a component who it is, and checks the answer.
    pub(crate) async fn introduce(
        shared: Arc<Shared>,
        file_name: String,
        digest: String,
        code: Code,
    ) -> Result<Self, LoadError> {
        let contract = code.contract.to_string();
        let unknown = Descriptor {
            // Until it has said its id, a plugin is called by its file.
            id: file_name.clone(),
            ..blank_descriptor()
        };
        let slots = Semaphore::new(CALLS_PER_PLUGIN);
        let mut provider = Self { shared, file_name, digest, code, contract, descriptor: unknown, slots };
        let descriptor = provider.describe().await.map_err(LoadError::Describe)?;
        check::descriptor(&descriptor).map_err(LoadError::Descriptor)?;
        provider.descriptor = descriptor;
        Ok(provider)
    }

    /// What the plugin says of itself, as checked when it was loaded.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// SHA-256 of the component file in lower-case hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Full names of everything the component imports, sorted. Nothing else can be reached from it.
    pub fn imports(&self) -> &[String] {
        &self.code.imports
    }

    /// Version of `catalyst:provisioner` that it implements.
    pub fn interface_version(&self) -> &str {
        &self.contract
    }

    /// Name of the component's file, without a folder.
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// Where its machine code came from.
    pub fn compiled(&self) -> Compiled {
        self.code.compiled
    }

    async fn describe(&self) -> Result<Descriptor, CallError> {
        let mut call = self.open(Function::Describe).await?;
        let called = self.bounded(self.code.bound.describe(&mut call.store)).await;
        self.close(Function::Describe, call, called, |_| Ok(()))
    }

    /// All findings on a request.
    ///
    /// # Errors
    /// When the plugin gives no answer, or one that breaks the rules; so for all calls below.
    pub async fn validate(&self, request: &Request) -> Result<Vec<Finding>, CallError> {
        let mut call = self.open(Function::Validate).await?;
        let called = self.bounded(self.code.bound.validate(&mut call.store, request)).await;
        self.close(Function::Validate, call, called, |findings| check::findings(findings))
    }

    /// The bundle of a request, its paths and variables checked; or the findings that refuse the request.
    pub async fn render(
        &self,
        request: &Request,
        context: &RenderContext,
    ) -> Result<Result<Bundle, Vec<Finding>>, CallError> {
        let mut call = self.open(Function::Render).await?;
        let called = self.bounded(self.code.bound.render(&mut call.store, request, context)).await;
        self.close(Function::Render, call, called, |rendered| match rendered {
            Ok(bundle) => check::bundle(bundle, &self.descriptor),
            Err(findings) => check::refusal(findings),
        })
    }

    /// Endpoints from the text of `tofu output -json`, from which the caller has removed the sensitive outputs; or the
    /// plugin's reason why there are none.
    pub async fn read_outputs(&self, outputs: &str) -> Result<Result<Endpoints, String>, CallError> {
        let mut call = self.open(Function::ReadOutputs).await?;
        let called = self.bounded(self.code.bound.read_outputs(&mut call.store, outputs)).await;
        self.close(Function::ReadOutputs, call, called, |read| value_or_reason(read, check::endpoints))
    }

    /// Plain words for one diagnostic of OpenTofu.
    pub async fn diagnose(&self, diagnostic: &Diagnostic) -> Result<Advice, CallError> {
        let mut call = self.open(Function::Diagnose).await?;
        let called = self.bounded(self.code.bound.diagnose(&mut call.store, diagnostic)).await;
        self.close(Function::Diagnose, call, called, check::advice)
    }

    /// Monthly cost of a request, or the plugin's reason why it is not known.
    pub async fn estimate(&self, request: &Request) -> Result<Result<Estimate, String>, CallError> {
        let mut call = self.open(Function::Estimate).await?;
        let called = self.bounded(self.code.bound.estimate(&mut call.store, request)).await;
        self.close(Function::Estimate, call, called, |estimate| value_or_reason(estimate, check::estimate))
    }

    /// What to ask the cloud to prove a credential, only https to the declared hosts; or why that is not possible.
    pub async fn credential_probe(&self) -> Result<Result<Vec<Probe>, String>, CallError> {
        let mut call = self.open(Function::CredentialProbe).await?;
        let called = self.bounded(self.code.bound.credential_probe(&mut call.store)).await;
        self.close(Function::CredentialProbe, call, called, |probes| {
            value_or_reason(probes, |probes| check::probes(probes, &self.descriptor))
        })
    }

    /// What the cloud's answers, in the order of the probes, prove.
    pub async fn judge_credentials(&self, responses: &[ProbeResponse]) -> Result<Verdict, CallError> {
        let mut call = self.open(Function::JudgeCredentials).await?;
        let called = self.bounded(self.code.bound.judge_credentials(&mut call.store, responses)).await;
        self.close(Function::JudgeCredentials, call, called, check::verdict)
    }

    async fn open(&self, function: Function) -> Result<Call<'_>, CallError> {
        let closed = |_| self.failed(function, CallFailure::Host("the sandbox is closed".into()));
        // One's own slots first: who waits there holds nothing that another plugin needs.
        let own = self.slots.acquire().await.map_err(closed)?;
        let common = self.shared.slots.acquire().await.map_err(closed)?;
        let store = state::open(&self.shared.engine, &self.shared.limits, &self.descriptor.id, function);
        Ok(Call { store, _slots: [own, common] })
    }

    /// The engine counts CPU time; this bounds what a starved machine makes of it.
    async fn bounded<T>(&self, call: impl Future<Output = Called<T>>) -> Option<Called<T>> {
        let wall: Duration = self.shared.limits.call_timeout.saturating_mul(WALL_FACTOR);
        tokio::time::timeout(wall, call).await.ok()
    }

    fn close<T>(
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
        match trap {
            Some(trap) => CallFailure::Trap(trap.to_string()),
            None => CallFailure::BadOutput(text),
        }
    }

    fn timeout(&self) -> CallFailure {
        CallFailure::Timeout { budget_ms: self.shared.limits.call_timeout.as_millis() }
    }

    fn failed(&self, function: Function, reason: CallFailure) -> CallError {
        CallError { plugin: self.descriptor.id.clone(), function, reason }
    }
}

fn value_or_reason<T>(answer: &Result<T, String>, check: impl FnOnce(&T) -> Checked) -> Checked {
    match answer {
        Ok(value) => check(value),
        Err(reason) => check::reason(reason),
    }
}

fn blank_descriptor() -> Descriptor {
    Descriptor {
        id: String::new(),
        display_name: String::new(),
        version: String::new(),
        secrets: Vec::new(),
        tofu_providers: Vec::new(),
        bearer_resource: None,
        catalogue: catalyst_domain::provider::Catalogue {
            as_of: String::new(),
            currency: String::new(),
            regions: Vec::new(),
            machine_types: Vec::new(),
        },
        user_data_limit: 0,
        settings_schema: String::new(),
        api_hosts: Vec::new(),
    }
}
