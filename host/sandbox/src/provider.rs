//! One plugin and its exports. Every answer is checked before a caller sees it.

use std::sync::Arc;

use catalyst_domain::provider::{
    Advice, Asked, Bundle, Descriptor, Diagnostic, Endpoints, Estimate, Probe, ProbeResponse, RenderContext, Verdict,
};
use catalyst_domain::{Finding, Request};

use crate::bind::{Bound, Called, Failed, Settings};
use crate::call::Caller;
use crate::check::{self, Checked};
use crate::error::{CallError, Function, LoadError};
use crate::lane;
use crate::load::{Compiled, Shared};
use crate::policy::Known;

/// A compiled component, its imports proven and its exports bound.
pub(crate) struct Code {
    pub bound: Bound,
    pub imports: Vec<String>,
    pub contract: semver::Version,
    pub compiled: Compiled,
}

/// A plugin that is loaded. Its calls run where they are polled.
pub struct Plugin {
    caller: Caller,
    file_name: String,
    digest: String,
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
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl Plugin {
    /// Asks a component who it is, and checks the answer. Until then it is called by its file.
    pub(crate) async fn introduce(
        shared: Arc<Shared>,
        file_name: String,
        digest: String,
        code: Code,
    ) -> Result<Self, LoadError> {
        let mut caller = Caller::new(shared, file_name.clone());
        let descriptor = describe(&caller, &code.bound).await.map_err(LoadError::Describe)?;
        check::descriptor(&descriptor).map_err(LoadError::Descriptor)?;
        caller.rename(&descriptor.id);
        let contract = code.contract.to_string();
        Ok(Self { caller, file_name, digest, code, contract, descriptor, module: Arc::default() })
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

    /// All findings on a request.
    ///
    /// # Errors
    /// When the plugin gives no answer, or one that breaks the rules; so for all calls below.
    pub async fn validate(&self, request: &Request) -> Result<Vec<Finding>, CallError> {
        let mut call = self.caller.open(Function::Validate).await?;
        let called = self.caller.bounded(self.code.bound.validate(&mut call.store, request)).await;
        self.caller.close(Function::Validate, call, called, |findings| check::findings(findings))
    }

    /// The bundle of a request, its paths, variables and configuration checked ([`crate::policy`]); or the findings that refuse the request.
    pub async fn render(
        &self,
        request: &Request,
        context: &RenderContext,
    ) -> Result<Result<Bundle, Vec<Finding>>, CallError> {
        let mut call = self.caller.open(Function::Render).await?;
        let called = match self.caller.bounded(self.code.bound.render(&mut call.store, request, context)).await {
            // Still in the call's slot, so that what a plugin makes the host read is bounded as its own work is.
            Some(Ok(Ok(bundle))) => Some(self.admitted(bundle).await.map(Ok)),
            other => other,
        };
        self.caller.close(Function::Render, call, called, |rendered| match rendered {
            Ok(bundle) => check::bundle(bundle, &self.descriptor),
            Err(findings) => check::refusal(findings),
        })
    }

    /// Endpoints from the text of `tofu output -json`, from which the caller has removed the sensitive outputs; or the
    /// plugin's reason why there are none.
    pub async fn read_outputs(&self, outputs: &str) -> Result<Result<Endpoints, String>, CallError> {
        let mut call = self.caller.open(Function::ReadOutputs).await?;
        let called = self.caller.bounded(self.code.bound.read_outputs(&mut call.store, outputs)).await;
        self.caller.close(Function::ReadOutputs, call, called, |read| value_or_reason(read, check::endpoints))
    }

    /// Plain words for one diagnostic of OpenTofu, from a run that was to build what was asked for.
    pub async fn diagnose(&self, diagnostic: &Diagnostic, asked: &Asked) -> Result<Advice, CallError> {
        let mut call = self.caller.open(Function::Diagnose).await?;
        let called = self.caller.bounded(self.code.bound.diagnose(&mut call.store, diagnostic, asked)).await;
        self.caller.close(Function::Diagnose, call, called, check::advice)
    }

    /// Monthly cost of a request, or the plugin's reason why it is not known.
    pub async fn estimate(&self, request: &Request) -> Result<Result<Estimate, String>, CallError> {
        let mut call = self.caller.open(Function::Estimate).await?;
        let called = self.caller.bounded(self.code.bound.estimate(&mut call.store, request)).await;
        self.caller.close(Function::Estimate, call, called, |estimate| value_or_reason(estimate, check::estimate))
    }

    /// What to ask the cloud to prove a credential, only https to the declared hosts; or why that is not possible.
    /// `settings` are the keys of the plugin's schema that came with the credential; they choose among those hosts.
    pub async fn credential_probe(&self, settings: &Settings) -> Result<Result<Vec<Probe>, String>, CallError> {
        let mut call = self.caller.open(Function::CredentialProbe).await?;
        let called = self.caller.bounded(self.code.bound.credential_probe(&mut call.store, settings)).await;
        self.caller.close(Function::CredentialProbe, call, called, |probes| {
            value_or_reason(probes, |probes| check::probes(probes, &self.descriptor))
        })
    }

    /// What the cloud's answers, in the order of the probes, prove.
    pub async fn judge_credentials(&self, responses: &[ProbeResponse]) -> Result<Verdict, CallError> {
        let mut call = self.caller.open(Function::JudgeCredentials).await?;
        let called = self.caller.bounded(self.code.bound.judge_credentials(&mut call.store, responses)).await;
        self.caller.close(Function::JudgeCredentials, call, called, check::verdict)
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
    let mut call = caller.open(Function::Describe).await?;
    let called = caller.bounded(bound.describe(&mut call.store)).await;
    caller.close(Function::Describe, call, called, |_| Ok(()))
}

fn value_or_reason<T>(answer: &Result<T, String>, check: impl FnOnce(&T) -> Checked) -> Checked {
    match answer {
        Ok(value) => check(value),
        Err(reason) => check::reason(reason),
    }
}
