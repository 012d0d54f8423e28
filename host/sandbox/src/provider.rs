//! One plugin and its exports. Every answer is checked before a caller sees it.

use std::sync::Arc;

use catalyst_domain::provider::{
    Advice, Asked, Bundle, Descriptor, Diagnostic, Endpoints, Estimate, Probe, ProbeResponse, RenderContext, Verdict,
};
use catalyst_domain::{Finding, Request};

use wasmtime::component::InstancePre;

use crate::bind::{Bound, Called, Failed, Settings};
use crate::call::Caller;
use crate::check::{self, Checked};
use crate::error::{CallError, Function, LoadError};
use crate::lane;
use crate::limits::Limits;
use crate::load::{Compiled, Shared};
use crate::meters::CallStats;
use crate::policy::Known;
use crate::signature::Signer;
use crate::state::CallState;

/// A compiled component, its imports proven and its exports bound.
pub(crate) struct Code {
    pub bound: Bound,
    pub pre: InstancePre<CallState>,
    pub imports: Vec<String>,
    pub contract: semver::Version,
    pub compiled: Compiled,
}

/// Where a component came from.
#[derive(Debug)]
pub(crate) struct Origin {
    /// Its file's name, without a folder.
    pub file_name: String,
    /// SHA-256 of its bytes in lower-case hex.
    pub digest: String,
    /// Who signed it, where signatures are asked for.
    pub signer: Option<Signer>,
}

/// A plugin that is loaded. Its calls run where they are polled.
pub struct Plugin {
    caller: Caller,
    file_name: String,
    signer: Option<Signer>,
    code: Code,
    contract: String,
    descriptor: Descriptor,
    module: Arc<Known>,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider")
            .field("id", &self.descriptor.id)
            .field("file_name", &self.file_name)
            .field("digest", &self.digest())
            .finish_non_exhaustive()
    }
}

impl Plugin {
    /// Asks a component who it is, and checks the answer. Until then it is called by its file.
    pub(crate) async fn introduce(
        shared: Arc<Shared>,
        limits: Arc<Limits>,
        origin: Origin,
        code: Code,
    ) -> Result<Self, LoadError> {
        let Origin { file_name, digest, signer } = origin;
        let mut caller = Caller::new(shared, limits, file_name.clone(), digest);
        let descriptor = describe(&caller, &code.bound).await.map_err(LoadError::Describe)?;
        check::descriptor(&descriptor).map_err(LoadError::Descriptor)?;
        caller.rename(&descriptor.id);
        let contract = code.contract.to_string();
        Ok(Self { caller, file_name, signer, code, contract, descriptor, module: Arc::default() })
    }

    /// What the plugin says of itself, as checked when it was loaded.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// SHA-256 of the component file in lower-case hex.
    pub fn digest(&self) -> &str {
        self.caller.digest()
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

    /// Who signed the component; none where signatures are not asked for.
    pub fn signer(&self) -> Option<&Signer> {
        self.signer.as_ref()
    }

    /// What holds for each of its calls.
    pub fn limits(&self) -> &Limits {
        self.caller.limits()
    }

    /// How its calls went since these bytes were loaded.
    pub fn stats(&self) -> CallStats {
        self.caller.stats()
    }

    /// Makes an instance and calls nothing: what each call pays before the plugin runs. For measuring.
    ///
    /// # Errors
    /// When there is no instance.
    pub async fn instantiate(&self) -> Result<(), CallError> {
        let mut call = self.caller.open(self.caller.ask(Function::Describe, &())).await?;
        let made = async { Ok(self.code.pre.instantiate_async(&mut call.store).await.map(|_| ())?) };
        let called = self.caller.bounded(made).await;
        self.caller.ended(call, called, |()| Ok(()))
    }

    /// All findings on a request.
    ///
    /// # Errors
    /// When the plugin gives no answer, or one that breaks the rules; so for all calls below.
    pub async fn validate(&self, request: &Request) -> Result<Vec<Finding>, CallError> {
        let asked = self.caller.ask(Function::Validate, request);
        if let Some(known) = self.caller.recall(&asked) {
            return Ok(known);
        }
        let mut call = self.caller.open(asked).await?;
        let called = self.caller.bounded(self.code.bound.validate(&mut call.store, request)).await;
        self.caller.close(call, called, |findings| check::findings(findings))
    }

    /// The bundle of a request, its paths, variables and configuration checked ([`crate::policy`]); or the findings that refuse the request.
    pub async fn render(
        &self,
        request: &Request,
        context: &RenderContext,
    ) -> Result<Result<Bundle, Vec<Finding>>, CallError> {
        let asked = self.caller.ask(Function::Render, &(request, context));
        if let Some(known) = self.caller.recall(&asked) {
            return Ok(known);
        }
        let mut call = self.caller.open(asked).await?;
        let called = match self.caller.bounded(self.code.bound.render(&mut call.store, request, context)).await {
            // Still in the call's slot, so that what a plugin makes the host read is bounded as its own work is.
            Some(Ok(Ok(bundle))) => Some(self.admitted(bundle).await.map(Ok)),
            other => other,
        };
        self.caller.close(call, called, |rendered| match rendered {
            Ok(bundle) => check::bundle(bundle, &self.descriptor),
            Err(findings) => check::refusal(findings),
        })
    }

    /// Endpoints from the text of `tofu output -json`, from which the caller has removed the sensitive outputs; or the
    /// plugin's reason why there are none.
    pub async fn read_outputs(&self, outputs: &str) -> Result<Result<Endpoints, String>, CallError> {
        let asked = self.caller.ask(Function::ReadOutputs, &outputs);
        if let Some(known) = self.caller.recall(&asked) {
            return Ok(known);
        }
        let mut call = self.caller.open(asked).await?;
        let called = self.caller.bounded(self.code.bound.read_outputs(&mut call.store, outputs)).await;
        self.caller.close(call, called, |read| value_or_reason(read, check::endpoints))
    }

    /// Plain words for one diagnostic of OpenTofu, from a run that was to build what was asked for.
    pub async fn diagnose(&self, diagnostic: &Diagnostic, wanted: &Asked) -> Result<Advice, CallError> {
        let asked = self.caller.ask(Function::Diagnose, &(diagnostic, wanted));
        if let Some(known) = self.caller.recall(&asked) {
            return Ok(known);
        }
        let mut call = self.caller.open(asked).await?;
        let called = self.caller.bounded(self.code.bound.diagnose(&mut call.store, diagnostic, wanted)).await;
        self.caller.close(call, called, check::advice)
    }

    /// Monthly cost of a request, or the plugin's reason why it is not known.
    pub async fn estimate(&self, request: &Request) -> Result<Result<Estimate, String>, CallError> {
        let asked = self.caller.ask(Function::Estimate, request);
        if let Some(known) = self.caller.recall(&asked) {
            return Ok(known);
        }
        let mut call = self.caller.open(asked).await?;
        let called = self.caller.bounded(self.code.bound.estimate(&mut call.store, request)).await;
        self.caller.close(call, called, |estimate| value_or_reason(estimate, check::estimate))
    }

    /// What to ask the cloud to prove a credential, only https to the declared hosts; or why that is not possible.
    /// `settings` are the keys of the plugin's schema that came with the credential; they choose among those hosts.
    pub async fn credential_probe(&self, settings: &Settings) -> Result<Result<Vec<Probe>, String>, CallError> {
        let asked = self.caller.ask(Function::CredentialProbe, settings);
        if let Some(known) = self.caller.recall(&asked) {
            return Ok(known);
        }
        let mut call = self.caller.open(asked).await?;
        let called = self.caller.bounded(self.code.bound.credential_probe(&mut call.store, settings)).await;
        self.caller
            .close(call, called, |probes| value_or_reason(probes, |probes| check::probes(probes, &self.descriptor)))
    }

    /// What the cloud's answers, in the order of the probes, prove.
    pub async fn judge_credentials(&self, responses: &[ProbeResponse]) -> Result<Verdict, CallError> {
        let asked = self.caller.ask(Function::JudgeCredentials, &responses);
        if let Some(known) = self.caller.recall(&asked) {
            return Ok(known);
        }
        let mut call = self.caller.open(asked).await?;
        let called = self.caller.bounded(self.code.bound.judge_credentials(&mut call.store, responses)).await;
        self.caller.close(call, called, check::verdict)
    }
}

impl Plugin {
    /// Reading a large bundle takes a noticeable part of a second, so it runs apart from the calls, and counts as the plugin's.
    async fn admitted(&self, bundle: Bundle) -> Called<Bundle> {
        if self.module.admits(&bundle) {
            return Ok(bundle);
        }
        let (descriptor, module) = (self.descriptor.clone(), Arc::clone(&self.module));
        let read = move || {
            let allowed = module.check(&bundle, &descriptor);
            allowed.map(|()| bundle).map_err(|refused| Failed::Output(refused.to_string()))
        };
        let broken = |_| Failed::Output("its bundle could not be read".into());
        lane::blocking(read).await.map_err(broken)?
    }
}

async fn describe(caller: &Caller, bound: &Bound) -> Result<Descriptor, CallError> {
    let mut call = caller.open(caller.ask(Function::Describe, &())).await?;
    let called = caller.bounded(bound.describe(&mut call.store)).await;
    caller.ended(call, called, |_| Ok(()))
}

fn value_or_reason<T>(answer: &Result<T, String>, check: impl FnOnce(&T) -> Checked) -> Checked {
    match answer {
        Ok(value) => check(value),
        Err(reason) => check::reason(reason),
    }
}
