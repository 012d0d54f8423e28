//! Version 0.1 of the contract: generated bindings, the `log` import, and one function for each export.

use catalyst_domain::provider::{
    Advice, Asked, Bundle, Descriptor, Diagnostic, Endpoints, Estimate, Probe, ProbeResponse, RenderContext, Verdict,
};
use catalyst_domain::{Finding, Request};
use wasmtime::Store;
use wasmtime::component::{HasSelf, InstancePre, Linker};

use super::convert_v0_1 as convert;
use super::{Called, Settings};
use crate::state::{CallState, lock};

/// Generated from `wit/provisioner-0.1`.
pub(super) mod wit {
    wasmtime::component::bindgen!({
        path: "../../wit/provisioner-0.1",
        world: "provisioner",
        exports: { default: async },
    });
}

use wit::catalyst::provisioner::log::{Host, Level};

impl Host for CallState {
    fn write(&mut self, level: Level, message: String) {
        let level = match level {
            Level::Trace => tracing::Level::TRACE,
            Level::Debug => tracing::Level::DEBUG,
            Level::Info => tracing::Level::INFO,
            Level::Warn => tracing::Level::WARN,
            Level::Error => tracing::Level::ERROR,
        };
        lock(&self.log()).line(level, &message);
    }
}

pub(super) fn link(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    wit::catalyst::provisioner::log::add_to_linker::<CallState, HasSelf<CallState>>(linker, |state| state)
}

/// A component whose imports are linked and whose exports are known to fit.
pub(crate) struct Bound(wit::ProvisionerPre<CallState>);

impl Bound {
    pub fn new(pre: InstancePre<CallState>) -> wasmtime::Result<Self> {
        wit::ProvisionerPre::new(pre).map(Self)
    }

    pub async fn describe(&self, store: &mut Store<CallState>) -> Called<Descriptor> {
        let guest = self.0.instantiate_async(&mut *store).await?;
        Ok(convert::descriptor(guest.call_describe(store).await?))
    }

    pub async fn validate(&self, store: &mut Store<CallState>, request: &Request) -> Called<Vec<Finding>> {
        let request = convert::request(request);
        let guest = self.0.instantiate_async(&mut *store).await?;
        Ok(convert::findings(guest.call_validate(store, &request).await?))
    }

    pub async fn render(
        &self,
        store: &mut Store<CallState>,
        request: &Request,
        context: &RenderContext,
    ) -> Called<Result<Bundle, Vec<Finding>>> {
        let request = convert::request(request);
        let context = convert::context(context);
        let guest = self.0.instantiate_async(&mut *store).await?;
        match guest.call_render(store, &request, &context).await? {
            Ok(rendered) => Ok(Ok(convert::bundle(rendered)?)),
            Err(findings) => Ok(Err(convert::findings(findings))),
        }
    }

    pub async fn read_outputs(&self, store: &mut Store<CallState>, outputs: &str) -> Called<Result<Endpoints, String>> {
        let guest = self.0.instantiate_async(&mut *store).await?;
        Ok(guest.call_read_outputs(store, outputs).await?.map(convert::endpoints))
    }

    pub async fn diagnose(
        &self,
        store: &mut Store<CallState>,
        diagnostic: &Diagnostic,
        asked: &Asked,
    ) -> Called<Advice> {
        let diagnostic = convert::diagnostic(diagnostic, asked);
        let guest = self.0.instantiate_async(&mut *store).await?;
        Ok(convert::advice(guest.call_diagnose(store, &diagnostic).await?))
    }

    pub async fn estimate(&self, store: &mut Store<CallState>, request: &Request) -> Called<Result<Estimate, String>> {
        let request = convert::request(request);
        let guest = self.0.instantiate_async(&mut *store).await?;
        Ok(guest.call_estimate(store, &request).await?.map(convert::estimate))
    }

    /// A component of this version cannot be told the settings; it asks where it always asks.
    pub async fn credential_probe(
        &self,
        store: &mut Store<CallState>,
        _settings: &Settings,
    ) -> Called<Result<Vec<Probe>, String>> {
        let guest = self.0.instantiate_async(&mut *store).await?;
        Ok(guest.call_credential_probe(store).await?.map(convert::probes))
    }

    pub async fn judge_credentials(
        &self,
        store: &mut Store<CallState>,
        responses: &[ProbeResponse],
    ) -> Called<Verdict> {
        let responses = convert::responses(responses);
        let guest = self.0.instantiate_async(&mut *store).await?;
        Ok(convert::verdict(guest.call_judge_credentials(store, &responses).await?))
    }
}
