//! The exports of the world: one table of what they are asked and answer, and one of how each is called. A version of the
//! contract is its generated types, `link`, and a line that makes [`bound`] of them.

use catalyst_domain::provider::{
    Advice, Asked, Bundle, Descriptor, Diagnostic, Endpoints, Estimate, Probe, ProbeResponse, RenderContext, Verdict,
};
use catalyst_domain::{Finding, Request};
use wasmtime::Store;

use super::{Bound, Called, Settings};
use crate::state::CallState;

/// Each export once, dispatched to the version. `async fn` keeps the store borrowed for the call alone.
macro_rules! dispatch {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $ty:ty),*) -> $out:ty;)*) => {
        impl Bound {
            $($(#[$doc])*
            pub async fn $name(&self, store: &mut Store<CallState>, $($arg: $ty),*) -> Called<$out> {
                match self {
                    Self::V1_0(bound) => bound.$name(store, $($arg),*).await,
                    Self::V1_1(bound) => bound.$name(store, $($arg),*).await,
                }
            })*
        }
    };
}

dispatch! {
    /// Who this is.
    fn describe() -> Descriptor;
    /// Findings on a request of which the host left something out.
    fn validate(request: &Request, left_out: &[String]) -> Vec<Finding>;
    /// A bundle, or findings.
    fn render(request: &Request, context: &RenderContext) -> Result<Bundle, Vec<Finding>>;
    /// Endpoints, or why there are none.
    fn read_outputs(outputs: &str) -> Result<Endpoints, String>;
    /// Advice on a diagnostic of a run that was to build what was asked for.
    fn diagnose(diagnostic: &Diagnostic, asked: &Asked) -> Advice;
    /// Monthly cost, or why it is not known.
    fn estimate(request: &Request) -> Result<Estimate, String>;
    /// What to ask the cloud, or why that is not possible.
    fn credential_probe(settings: &Settings) -> Result<Vec<Probe>, String>;
    /// What the answers prove.
    fn judge_credentials(responses: &[ProbeResponse]) -> Verdict;
}

/// Makes `link` and `Bound` of a version's generated `wit`, of its `convert` and of its `described::descriptor`. `validate` is told what
/// the host left out where the version has a word for it: the parameter's name stands in the brackets.
macro_rules! bound {
    ($left_out:ident => [$($told:ident)?]) => {
        use catalyst_domain::provider::{
            Advice, Asked, Bundle, Descriptor, Diagnostic, Endpoints, Estimate, Probe, ProbeResponse, RenderContext,
            Verdict,
        };
        use catalyst_domain::{Finding, Request};
        use wasmtime::Store;
        use wasmtime::component::{HasSelf, InstancePre, Linker};

        use super::{Called, Failed, Settings};
        use crate::state::CallState;

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
                Ok(described::descriptor(guest.catalyst_provisioner_cloud().call_describe(store).await?))
            }

            pub async fn validate(
                &self,
                store: &mut Store<CallState>,
                request: &Request,
                $left_out: &[String],
            ) -> Called<Vec<Finding>> {
                let request = convert::request(request);
                let guest = self.0.instantiate_async(&mut *store).await?;
                let cloud = guest.catalyst_provisioner_cloud();
                Ok(convert::findings(cloud.call_validate(store, &request $(, $told)?).await?))
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
                match guest.catalyst_provisioner_cloud().call_render(store, &request, &context).await? {
                    Ok(rendered) => Ok(Ok(convert::bundle(rendered)?)),
                    Err(findings) => Ok(Err(convert::findings(findings))),
                }
            }

            pub async fn read_outputs(
                &self,
                store: &mut Store<CallState>,
                outputs: &str,
            ) -> Called<Result<Endpoints, String>> {
                let guest = self.0.instantiate_async(&mut *store).await?;
                Ok(guest.catalyst_provisioner_cloud().call_read_outputs(store, outputs).await?.map(convert::endpoints))
            }

            pub async fn diagnose(
                &self,
                store: &mut Store<CallState>,
                diagnostic: &Diagnostic,
                asked: &Asked,
            ) -> Called<Advice> {
                let (diagnostic, asked) = (convert::diagnostic(diagnostic), convert::asked(asked));
                let guest = self.0.instantiate_async(&mut *store).await?;
                Ok(convert::advice(guest.catalyst_provisioner_cloud().call_diagnose(store, &diagnostic, &asked).await?))
            }

            pub async fn estimate(
                &self,
                store: &mut Store<CallState>,
                request: &Request,
            ) -> Called<Result<Estimate, String>> {
                let request = convert::request(request);
                let guest = self.0.instantiate_async(&mut *store).await?;
                Ok(guest.catalyst_provisioner_cloud().call_estimate(store, &request).await?.map(convert::estimate))
            }

            pub async fn credential_probe(
                &self,
                store: &mut Store<CallState>,
                settings: &Settings,
            ) -> Called<Result<Vec<Probe>, String>> {
                let settings = serde_json::to_string(settings).map_err(|error| Failed::Output(error.to_string()))?;
                let guest = self.0.instantiate_async(&mut *store).await?;
                Ok(guest
                    .catalyst_provisioner_cloud()
                    .call_credential_probe(store, &settings)
                    .await?
                    .map(convert::probes))
            }

            pub async fn judge_credentials(
                &self,
                store: &mut Store<CallState>,
                responses: &[ProbeResponse],
            ) -> Called<Verdict> {
                let responses = convert::responses(responses);
                let guest = self.0.instantiate_async(&mut *store).await?;
                Ok(convert::verdict(
                    guest.catalyst_provisioner_cloud().call_judge_credentials(store, &responses).await?,
                ))
            }
        }
    };
}

pub(super) use bound;
