//! A cloud that costs nothing: real OpenTofu, real cloud-init, no servers.
//!
//! It exists so that the whole film can be played on one machine: by a newcomer, and by every test. Its nodes are data in
//! OpenTofu's state; whoever plays one takes its user data from the sensitive output `user_data` (`infra/rehearsal`).

mod answers;
mod descriptor;
mod plan;
mod render;

use catalyst_plugin_sdk::{
    Advice, Asked, DeploymentRequest, Diagnostic, Endpoints, Estimate, Findings, LeftoverQuery, Outputs, Probe,
    ProbeResponse, Provider, Provisioner, RenderContext, Rendered, Settings, Verdict,
};

pub use render::template_variables;

/// The rehearsal cloud.
#[derive(Debug)]
pub struct Rehearsal;

impl Provisioner for Rehearsal {
    fn describe() -> Provider {
        descriptor::provider()
    }

    fn validate(request: &DeploymentRequest) -> Findings {
        let mut findings = Findings::new();
        plan::read(request, &mut findings);
        findings
    }

    fn render(request: &DeploymentRequest, context: &RenderContext) -> Result<Rendered, Findings> {
        render::bundle(request, context)
    }

    fn read_outputs(outputs: &Outputs) -> Result<Endpoints, String> {
        answers::endpoints(outputs)
    }

    fn diagnose(diagnostic: &Diagnostic, _: &Asked) -> Advice {
        answers::advice(diagnostic)
    }

    fn estimate(request: &DeploymentRequest) -> Result<Estimate, String> {
        answers::estimate(request)
    }

    fn credential_probe(_: &Settings) -> Result<Vec<Probe>, String> {
        Err("the rehearsal cloud has no API; any token will do".to_owned())
    }

    fn judge_credentials(_: &[ProbeResponse]) -> Verdict {
        Verdict::Unreachable("the rehearsal cloud has no API to ask".to_owned())
    }

    /// Everything of this cloud stands in OpenTofu's state, so there is nothing to ask for.
    fn leftover_probe(_: &LeftoverQuery) -> Result<Vec<Probe>, String> {
        Ok(Vec::new())
    }
}

catalyst_plugin_sdk::export!(Rehearsal);
