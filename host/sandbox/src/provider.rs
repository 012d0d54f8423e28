//! One plugin and its exports. Every answer is checked, and its words made plain, before a caller sees it.

use std::sync::Arc;

use catalyst_domain::provider::{
    Advice, Asked as Wanted, Bundle, Descriptor, Diagnostic, Endpoints, Estimate, LeftoverQuery, LeftoverSearch, Probe,
    ProbeResponse, RenderContext, Verdict,
};
use catalyst_domain::{Finding, Request};

use arc_swap::ArcSwap;
use wasmtime::component::InstancePre;

use crate::bind::{Bound, Called, Failed, Leftovers, Settings};
use crate::call::{Asked, Caller, Slots};
use crate::check::{self, Checked};
use crate::error::{CallError, CallFailure, Function, LoadError};
use crate::grants::{Basis, Rights};
use crate::lane;
use crate::limits::Limits;
use crate::load::{Compiled, Shared};
use crate::meters::CallStats;
use crate::policy::{self, Known, Terms};
use crate::settings_schema::{JudgedSettings, SettingsSchema};
use crate::signature::Signer;
use crate::state::CallState;
use crate::words;

/// A compiled component, its imports proven and its exports bound.
pub(crate) struct Code {
    pub bound: Bound,
    /// Where it searches its cloud for what a destroy left.
    pub leftovers: Option<Leftovers>,
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
    code: Arc<Code>,
    contract: String,
    descriptor: Descriptor,
    settings_schema: Arc<SettingsSchema>,
    module: Arc<Known>,
    rights: ArcSwap<Rights>,
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
    /// A component that said who it is: its words are checked, its settings schema is compiled, and from now on it is called by
    /// its id.
    pub(crate) fn new(
        shared: Arc<Shared>,
        limits: Arc<Limits>,
        origin: Origin,
        code: Arc<Code>,
        descriptor: Descriptor,
    ) -> Result<Self, LoadError> {
        check::descriptor(&descriptor).map_err(LoadError::Descriptor)?;
        let settings_schema = SettingsSchema::compile(&descriptor.settings_schema).map_err(LoadError::Descriptor)?;
        let settings_schema = Arc::new(settings_schema);
        let Origin { file_name, digest, signer } = origin;
        let caller = Caller::new(shared, limits, descriptor.id.clone(), digest);
        let contract = code.contract.to_string();
        let rights = ArcSwap::from_pointee(Rights::as_declared(Basis::Declared, &descriptor));
        let module = Arc::default();
        Ok(Self { caller, file_name, signer, code, contract, descriptor, settings_schema, module, rights })
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

    /// What its settings schema says of the settings of a request. It is not asked itself.
    ///
    /// # Errors
    /// When the host could not judge them.
    pub async fn judge_settings(&self, settings: &Settings) -> Result<JudgedSettings, CallError> {
        let (schema, settings) = (Arc::clone(&self.settings_schema), settings.clone());
        // Apart from the calls: a large schema takes a while.
        let judged = lane::blocking(move || schema.judge(&settings)).await;
        let asked = self.caller.ask(Function::Validate, &());
        judged.map_err(|error| {
            self.caller.failed(asked, CallFailure::Host(format!("its settings could not be judged: {error}")))
        })
    }

    /// Whether it can be told what the host left out of a request (contract 1.1).
    pub(crate) fn knows_what_is_left_out(&self) -> bool {
        self.code.contract >= semver::Version::new(1, 1, 0)
    }

    /// What its bundles may do, as the operator's files say now.
    pub fn rights(&self) -> Arc<Rights> {
        self.rights.load_full()
    }

    pub(crate) fn hold_to(&self, rights: Rights) {
        self.rights.store(Arc::new(rights));
    }

    /// What a kept bundle of a request with these settings is held against. `rights` are [`Self::rights`].
    pub fn terms<'a>(&'a self, rights: &'a Rights, settings: &'a Settings) -> Terms<'a> {
        Terms { descriptor: &self.descriptor, rights, settings, present_secrets: None }
    }

    /// The hosts of probes that this plugin may send, in the form in which a sender compares them.
    pub fn probe_hosts(&self, probes: &[Probe]) -> Vec<String> {
        let rights = self.rights();
        let hosts = probes.iter().filter_map(|probe| policy::address_host(&probe.url));
        hosts.filter(|host| rights.covers(host)).collect()
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
        self.caller.ended(call, called, |_| Ok(()))
    }

    /// What finds, compares and counts its calls.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    pub(crate) async fn validate(
        &self,
        asked: Asked,
        request: &Request,
        left_out: &[String],
    ) -> Result<Vec<Finding>, CallError> {
        let mut call = self.caller.open(asked).await?;
        let called = self.caller.bounded(self.code.bound.validate(&mut call.store, request, left_out)).await;
        self.caller.close(call, called, |findings| {
            check::findings(findings)?;
            words::findings(findings);
            Ok(())
        })
    }

    pub(crate) async fn render(
        &self,
        asked: Asked,
        request: &Request,
        context: &RenderContext,
        rights: Arc<Rights>,
    ) -> Result<Result<Bundle, Vec<Finding>>, CallError> {
        let mut call = self.caller.open(asked).await?;
        let called = match self.caller.bounded(self.code.bound.render(&mut call.store, request, context)).await {
            // In the call's slot to its end, so that what a plugin makes the host read is bounded as its own work is.
            Some(Ok(Ok(bundle))) => {
                Some(self.admitted(bundle, request, context, rights, Arc::clone(&call.slots)).await.map(Ok))
            }
            other => other,
        };
        self.caller.close(call, called, |rendered| {
            match rendered {
                Ok(bundle) => check::bundle(bundle, &self.descriptor)?,
                Err(findings) => check::refusal(findings)?,
            }
            words::rendered(rendered);
            Ok(())
        })
    }

    pub(crate) async fn read_outputs(
        &self,
        asked: Asked,
        outputs: &str,
    ) -> Result<Result<Endpoints, String>, CallError> {
        let mut call = self.caller.open(asked).await?;
        let called = self.caller.bounded(self.code.bound.read_outputs(&mut call.store, outputs)).await;
        self.caller.close(call, called, |read| value_or_reason(read, |endpoints| check::endpoints(endpoints)))
    }

    pub(crate) async fn diagnose(
        &self,
        asked: Asked,
        diagnostic: &Diagnostic,
        wanted: &Wanted,
    ) -> Result<Advice, CallError> {
        let mut call = self.caller.open(asked).await?;
        let called = self.caller.bounded(self.code.bound.diagnose(&mut call.store, diagnostic, wanted)).await;
        self.caller.close(call, called, |advice| {
            check::advice(advice)?;
            words::advice(advice);
            Ok(())
        })
    }

    pub(crate) async fn estimate(
        &self,
        asked: Asked,
        request: &Request,
    ) -> Result<Result<Estimate, String>, CallError> {
        let mut call = self.caller.open(asked).await?;
        let called = self.caller.bounded(self.code.bound.estimate(&mut call.store, request)).await;
        self.caller.close(call, called, |answer| {
            value_or_reason(answer, |estimate| {
                check::estimate(estimate)?;
                words::estimate(estimate);
                Ok(())
            })
        })
    }

    pub(crate) async fn credential_probe(
        &self,
        asked: Asked,
        settings: &Settings,
    ) -> Result<Result<Vec<Probe>, String>, CallError> {
        let mut call = self.caller.open(asked).await?;
        let called = self.caller.bounded(self.code.bound.credential_probe(&mut call.store, settings)).await;
        self.caller
            .close(call, called, |probes| value_or_reason(probes, |probes| check::probes(probes, &self.descriptor)))
    }

    pub(crate) async fn judge_credentials(
        &self,
        asked: Asked,
        responses: &[ProbeResponse],
    ) -> Result<Verdict, CallError> {
        let mut call = self.caller.open(asked).await?;
        let called = self.caller.bounded(self.code.bound.judge_credentials(&mut call.store, responses)).await;
        self.caller.close(call, called, |verdict| {
            check::verdict(verdict)?;
            words::verdict(verdict);
            Ok(())
        })
    }

    /// Whether it searches its cloud for what a destroy left there (contract 1.1, where it exports that).
    pub fn searches_leftovers(&self) -> bool {
        self.code.leftovers.is_some()
    }

    pub(crate) async fn leftover_probe(
        &self,
        asked: Asked,
        query: &LeftoverQuery,
    ) -> Result<Result<Vec<Probe>, String>, CallError> {
        let leftovers = self.leftovers(asked)?;
        let mut call = self.caller.open(asked).await?;
        let called = self.caller.bounded(leftovers.leftover_probe(&mut call.store, query)).await;
        let judge = |probes: &mut Vec<Probe>| check::search_probes(probes, &self.descriptor, &query.services);
        self.caller.close(call, called, |probes| value_or_reason(probes, judge))
    }

    pub(crate) async fn judge_leftovers(
        &self,
        asked: Asked,
        query: &LeftoverQuery,
        responses: &[ProbeResponse],
    ) -> Result<LeftoverSearch, CallError> {
        let leftovers = self.leftovers(asked)?;
        let mut call = self.caller.open(asked).await?;
        let called = self.caller.bounded(leftovers.judge_leftovers(&mut call.store, query, responses)).await;
        self.caller.close(call, called, |search| {
            check::leftovers(search)?;
            words::leftovers(search);
            Ok(())
        })
    }

    fn leftovers(&self, asked: Asked) -> Result<&Leftovers, CallError> {
        let absent = || self.caller.failed(asked, CallFailure::Host("it does not export this".into()));
        self.code.leftovers.as_ref().ok_or_else(absent)
    }

    /// Reading a large bundle takes a noticeable part of a second, so it runs apart from the calls, and counts as the plugin's.
    async fn admitted(
        &self,
        bundle: Bundle,
        request: &Request,
        context: &RenderContext,
        rights: Arc<Rights>,
        slots: Slots,
    ) -> Called<Bundle> {
        let present = &context.present_secrets;
        let terms = Terms { present_secrets: Some(present), ..self.terms(&rights, &request.extra) };
        if self.module.admits(&bundle, terms) {
            return Ok(bundle);
        }
        let (descriptor, module, settings) = (self.descriptor.clone(), Arc::clone(&self.module), request.extra.clone());
        let present = present.to_vec();
        let read = move || {
            let present_secrets = Some(present.as_slice());
            let terms = Terms { descriptor: &descriptor, rights: &rights, settings: &settings, present_secrets };
            let allowed = module.check(&bundle, terms);
            drop(slots);
            allowed.map(|()| bundle).map_err(|refused| Failed::Output(refused.to_string()))
        };
        let broken = |_| Failed::Host("its bundle could not be read".into());
        lane::blocking(read).await.map_err(broken)?
    }
}

/// Asks a component who it is. Until it has said so, it is called by its file.
pub(crate) async fn describe(caller: &Caller, code: &Code) -> Result<Descriptor, CallError> {
    let mut call = caller.open(caller.ask(Function::Describe, &())).await?;
    let called = caller.bounded(code.bound.describe(&mut call.store)).await;
    caller.ended(call, called, |_| Ok(()))
}

/// Judges a value, or the reason in its place, which people read.
fn value_or_reason<T>(answer: &mut Result<T, String>, judge: impl FnOnce(&mut T) -> Checked) -> Checked {
    match answer {
        Ok(value) => judge(value),
        Err(reason) => {
            check::reason(reason)?;
            words::clean(reason);
            Ok(())
        }
    }
}
