//! Hetzner Cloud: one component that carries its OpenTofu module (`infra/hetzner`) and everything that is known of the
//! cloud beforehand.
//!
//! Whatever the module would refuse at plan, and whatever the cloud is known to refuse in the middle of an apply, is a
//! finding when the request is made.

mod alternatives;
mod catalogue;
mod descriptor;
mod diagnose;
mod endpoints;
mod leftovers;
mod plan;
mod render;
mod settings;

use catalyst_plugin_sdk::{
    Advice, Asked, DeploymentRequest, Diagnostic, Endpoints, Estimate, Findings, LeftOut, LeftoverQuery,
    LeftoverSearch, Outputs, Probe, ProbeResponse, Provider, Provisioner, RenderContext, Rendered, Settings, Verdict,
};

pub use render::template_variables;

/// Hetzner Cloud.
#[derive(Debug)]
pub struct Hetzner;

impl Provisioner for Hetzner {
    fn describe() -> Provider {
        descriptor::provider()
    }

    fn validate(request: &DeploymentRequest) -> Findings {
        Self::validate_partial(request, &LeftOut::nothing())
    }

    fn validate_partial(request: &DeploymentRequest, left_out: &LeftOut) -> Findings {
        let mut findings = Findings::new();
        let plan = plan::read_partial(request, left_out, &mut findings);
        if !findings.has_errors() {
            render::check_budgets(request, &plan, &mut findings);
        }
        findings
    }

    fn render(request: &DeploymentRequest, context: &RenderContext) -> Result<Rendered, Findings> {
        render::bundle(request, context)
    }

    fn read_outputs(outputs: &Outputs) -> Result<Endpoints, String> {
        endpoints::read(outputs)
    }

    fn diagnose(diagnostic: &Diagnostic, asked: &Asked) -> Advice {
        diagnose::advice(diagnostic, asked)
    }

    fn estimate(request: &DeploymentRequest) -> Result<Estimate, String> {
        catalogue::estimate(request)
    }

    fn credential_probe(_: &Settings) -> Result<Vec<Probe>, String> {
        Ok(vec![descriptor::probe()])
    }

    fn judge_credentials(responses: &[ProbeResponse]) -> Verdict {
        descriptor::judge(responses)
    }

    fn leftover_probe(query: &LeftoverQuery) -> Result<Vec<Probe>, String> {
        leftovers::probes(query)
    }

    fn judge_leftovers(query: &LeftoverQuery, responses: &[ProbeResponse]) -> LeftoverSearch {
        leftovers::judge(query, responses)
    }
}

catalyst_plugin_sdk::export!(Hetzner);
