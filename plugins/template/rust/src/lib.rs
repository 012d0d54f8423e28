//! mycloud as a provider plugin of Catalyst.
//!
//! Every function is pure: a request in, an answer out. No network, no files, no clock, and never a secret: what only the
//! apply knows is a hole in a template or a variable of the module.

mod descriptor;
mod plan;
mod render;

use catalyst_plugin_sdk::{
    Advice, Asked, CostLine, DeploymentRequest, Diagnostic, DiagnosticKind, Endpoints, Estimate, Findings, Outputs,
    Probe, ProbeResponse, Provider, Provisioner, RenderContext, Rendered, Settings, Verdict,
};

/// The cloud.
#[derive(Debug)]
pub struct Cloud;

impl Provisioner for Cloud {
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
        let control_plane_ip = outputs.address("control_plane_ip")?;
        let load_balancer_ip = outputs.address("load_balancer_ip")?;
        let mut kubeconfig_hosts = vec![load_balancer_ip.clone()];
        if control_plane_ip != load_balancer_ip {
            kubeconfig_hosts.push(control_plane_ip.clone());
        }
        Ok(Endpoints {
            control_plane_ip,
            load_balancer_ip,
            kubeconfig_hosts,
            console_url: outputs.text("console_url")?,
        })
    }

    // The words that your cloud's provider uses when it has no stock, no quota, or does not know the token.
    fn diagnose(diagnostic: &Diagnostic, _: &Asked) -> Advice {
        let capacity = diagnostic.summary.contains("out of stock");
        let what_to_do = if capacity { "Try again later, or in another region." } else { "Read OpenTofu's words." };
        Advice {
            kind: if capacity { DiagnosticKind::Capacity } else { DiagnosticKind::Other },
            retryable: capacity,
            what_happened: diagnostic.summary.clone(),
            what_to_do: what_to_do.to_owned(),
            alternatives: Vec::new(),
        }
    }

    fn estimate(request: &DeploymentRequest) -> Result<Estimate, String> {
        let mut findings = Findings::new();
        let plan = plan::read(request, &mut findings);
        if findings.has_errors() {
            return Err("the request has errors; its cost is not known".to_owned());
        }
        let line = |label: &str, machine: &str, quantity| CostLine {
            label: format!("{label} ({machine})"),
            quantity,
            monthly_cents: descriptor::monthly_cents(machine),
        };
        let mut lines = vec![line("server", &plan.server_size, 1)];
        if plan.workers > 0 {
            lines.push(line("worker", &plan.worker_size, plan.workers));
        }
        let (currency, as_of) = (descriptor::CURRENCY.to_owned(), descriptor::AS_OF.to_owned());
        Ok(Estimate { currency, as_of, lines, unknown: Vec::new() })
    }

    // With an API to ask: name its host in `api_hosts`, and put `{{secret:cloud-token}}` where the token belongs.
    fn credential_probe(_: &Settings) -> Result<Vec<Probe>, String> {
        Err("mycloud has no API that proves a token".to_owned())
    }

    fn judge_credentials(_: &[ProbeResponse]) -> Verdict {
        Verdict::Unreachable("mycloud has no API that proves a token".to_owned())
    }
}

catalyst_plugin_sdk::export!(Cloud);
