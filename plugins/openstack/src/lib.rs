//! OpenStack: one component for the clouds that run it (OVHcloud, Infomaniak, Cleura, T-Systems and others), since they differ
//! in names and not in kind. It carries its OpenTofu module (`infra/openstack`).
//!
//! Flavours, images and networks have other names on every cloud, so a request says them. Whatever the module would refuse
//! at plan, and whatever the services are known to refuse in the middle of an apply, is a finding when the request is made.

mod descriptor;
mod diagnose;
mod estimate;
mod flavours;
mod leftovers;
mod plan;
mod render;
mod settings;

use catalyst_plugin_sdk::{
    Advice, Asked, DeploymentRequest, Diagnostic, Endpoints, Estimate, Findings, LeftOut, LeftoverQuery,
    LeftoverSearch, Outputs, Probe, ProbeResponse, Provider, Provisioner, RenderContext, Rendered, Settings, Verdict,
};

pub use render::template_variables;

/// Clouds that run OpenStack.
#[derive(Debug)]
pub struct Openstack;

impl Provisioner for Openstack {
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
        let load_balancer_ip = outputs.address("load_balancer_ip")?;
        let fqdn = outputs.text("sovereign_fqdn")?;
        Ok(Endpoints {
            control_plane_ip: outputs.address("control_plane_ip")?,
            kubeconfig_hosts: vec![load_balancer_ip.clone(), fqdn],
            console_url: outputs.text("console_url")?,
            load_balancer_ip,
        })
    }

    fn diagnose(diagnostic: &Diagnostic, asked: &Asked) -> Advice {
        diagnose::advice(diagnostic, asked)
    }

    fn estimate(request: &DeploymentRequest) -> Result<Estimate, String> {
        estimate::monthly(request)
    }

    /// Probes may only reach hosts that the descriptor names beforehand, and each cloud has a Keystone of its own.
    fn credential_probe(_: &Settings) -> Result<Vec<Probe>, String> {
        Err("an OpenStack credential is an id and a secret, and is proven by the identity service of its own cloud, whose \
             address a request gives (openstackAuthUrl); the plan, which creates nothing, is the first to ask there"
            .to_owned())
    }

    fn judge_credentials(_responses: &[ProbeResponse]) -> Verdict {
        Verdict::Unreachable("there is no call that could have proven an OpenStack credential".to_owned())
    }

    fn leftover_probe(query: &LeftoverQuery) -> Result<Vec<Probe>, String> {
        leftovers::probes(query)
    }

    fn judge_leftovers(query: &LeftoverQuery, responses: &[ProbeResponse]) -> LeftoverSearch {
        leftovers::judge(query, responses)
    }
}

catalyst_plugin_sdk::export!(Openstack);
