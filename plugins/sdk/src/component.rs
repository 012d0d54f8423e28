//! The seam between a plugin's own code and the component's exports.

use crate::bindings::exports::catalyst::provisioner::cloud::Guest;
#[cfg(feature = "contract-1-1")]
use crate::bindings::exports::catalyst::provisioner::leftovers;
use crate::text;
use crate::{
    Advice, Asked, DeploymentRequest, Diagnostic, Endpoints, Estimate, Finding, Findings, LeftOut, Level, Outputs,
    Probe, ProbeResponse, Provider, RenderContext, Rendered, Settings, Verdict,
};

/// One cloud. Every function is pure: same input, same answer, on any machine, on any day.
pub trait Provisioner {
    /// Who this is.
    fn describe() -> Provider;

    /// Everything the module would refuse at plan, and whatever else is known to fail, all at once.
    fn validate(request: &DeploymentRequest) -> Findings;

    /// The same for a request of which the host left something out, because it refuses it already: nothing is said that rests on
    /// that. Of a component of contract 1.0 this is never asked.
    fn validate_partial(request: &DeploymentRequest, left_out: &LeftOut) -> Findings {
        let _ = left_out;
        Self::validate(request)
    }

    /// The bundle for a request.
    ///
    /// # Errors
    /// The findings of a request that `validate` does not pass.
    fn render(request: &DeploymentRequest, context: &RenderContext) -> Result<Rendered, Findings>;

    /// Where the new cluster is.
    ///
    /// # Errors
    /// Words for a missing or empty output.
    fn read_outputs(outputs: &Outputs) -> Result<Endpoints, String>;

    /// Plain words for one diagnostic of a run that was to build what is in `asked`.
    fn diagnose(diagnostic: &Diagnostic, asked: &Asked) -> Advice;

    /// Monthly cost.
    ///
    /// # Errors
    /// Why it is not known.
    fn estimate(request: &DeploymentRequest) -> Result<Estimate, String>;

    /// What to ask the cloud to prove a credential: of several API hosts, those that the settings choose.
    ///
    /// # Errors
    /// Why that is not possible.
    fn credential_probe(settings: &Settings) -> Result<Vec<Probe>, String>;

    /// What the answers, in the order of the probes, prove.
    fn judge_credentials(responses: &[ProbeResponse]) -> Verdict;

    /// What to ask the cloud about what a destroy left there. A component of contract 1.0 is never asked.
    ///
    /// # Errors
    /// Why that is not possible, and what is not searched therefore.
    #[cfg(feature = "contract-1-1")]
    fn leftover_probe(query: &leftovers::LeftoverQuery) -> Result<Vec<Probe>, String> {
        let _ = query;
        Err("its plugin does not search it".to_owned())
    }

    /// What the answers, in the order of the probes, show of the deployment.
    #[cfg(feature = "contract-1-1")]
    fn judge_leftovers(query: &leftovers::LeftoverQuery, responses: &[ProbeResponse]) -> leftovers::LeftoverSearch {
        let _ = (query, responses);
        leftovers::LeftoverSearch { found: Vec::new(), not_searched: Vec::new() }
    }
}

/// Writes one line to the host's trace. Natively it is dropped.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::catalyst::provisioner::log::write(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = (level, message);
}

/// The component of a [`Provisioner`]; made by [`export!`](crate::export).
#[doc(hidden)]
#[derive(Debug)]
pub struct Component<P>(std::marker::PhantomData<P>);

impl<P: Provisioner> Guest for Component<P> {
    fn describe() -> Provider {
        P::describe()
    }

    #[cfg(not(feature = "contract-1-1"))]
    fn validate(request: DeploymentRequest) -> Vec<Finding> {
        P::validate(&request).into()
    }

    #[cfg(feature = "contract-1-1")]
    fn validate(request: DeploymentRequest, left_out: Vec<String>) -> Vec<Finding> {
        P::validate_partial(&request, &LeftOut::new(left_out)).into()
    }

    fn render(request: DeploymentRequest, context: RenderContext) -> Result<Rendered, Vec<Finding>> {
        P::render(&request, &context).map_err(Into::into)
    }

    fn read_outputs(outputs: String) -> Result<Endpoints, String> {
        P::read_outputs(&outputs.parse()?)
    }

    fn diagnose(diagnostic: Diagnostic, asked: Asked) -> Advice {
        let advice = P::diagnose(&diagnostic, &asked);
        // What happened is often OpenTofu's own text, which has no end of its own.
        let (what_happened, what_to_do) = (text::cut(advice.what_happened), text::cut(advice.what_to_do));
        Advice { what_happened, what_to_do, ..advice }
    }

    fn estimate(request: DeploymentRequest) -> Result<Estimate, String> {
        P::estimate(&request)
    }

    fn credential_probe(settings: String) -> Result<Vec<Probe>, String> {
        P::credential_probe(&Settings::parse(&settings))
    }

    fn judge_credentials(responses: Vec<ProbeResponse>) -> Verdict {
        P::judge_credentials(&responses)
    }
}

#[cfg(feature = "contract-1-1")]
impl<P: Provisioner> leftovers::Guest for Component<P> {
    fn leftover_probe(query: leftovers::LeftoverQuery) -> Result<Vec<Probe>, String> {
        P::leftover_probe(&query)
    }

    fn judge_leftovers(query: leftovers::LeftoverQuery, responses: Vec<ProbeResponse>) -> leftovers::LeftoverSearch {
        P::judge_leftovers(&query, &responses)
    }
}

/// Makes a [`Provisioner`] the component's exports. Natively it does nothing.
#[macro_export]
macro_rules! export {
    ($provisioner:ident) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, reason = "the canonical ABI's entry points")]
        mod component_exports {
            type Exported = $crate::Component<super::$provisioner>;
            $crate::bindings::export_bindings!(Exported with_types_in $crate::bindings);
        }
    };
}
