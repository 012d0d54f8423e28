//! mycloud as a provider plugin of Catalyst, with nothing but the contract: the same small provider as `../python` and `../js`,
//! and a test holds that the three answer alike, byte for byte.
//!
//! Every function is pure: a request in, an answer out. No network, no files, no clock, and never a secret: what only the
//! apply knows is a variable of the module, and OpenTofu fills the cloud-init templates. `catalyst plugin new` makes a
//! plugin that stands on the SDK instead, which fills them as far as it can.
#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "natively nothing is exported"))]

mod answers;
mod plan;

/// Generated from the contract.
#[allow(unsafe_code, missing_docs, clippy::all, reason = "generated code, and not the same on every target")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit/provisioner-1.0", world: "provisioner" });
}

pub(crate) use bindings::catalyst::provisioner as wit;
use bindings::exports::catalyst::provisioner::cloud::Guest;
use plan::Plan;
use wit::bundle::{File, RenderContext, Rendered, SecretVariable, UserDataSize};
use wit::credentials::{Probe, ProbeResponse, Verdict};
use wit::descriptor::Provider;
use wit::findings::Finding;
use wit::outcome::{Advice, Asked, CostLine, Diagnostic, Endpoints, Estimate};
use wit::request::DeploymentRequest;

/// When prices and types were looked up.
const AS_OF: &str = "2026-01-01";
const CURRENCY: &str = "EUR";
const REGIONS: [&str; 2] = ["place-1", "place-2"];
/// Name, cores, memory and disk in GiB, cents a month.
const MACHINES: [(&str, u32, u32, u32, u32); 2] = [("small", 2, 4, 40, 0), ("large", 8, 16, 160, 0)];
/// Largest user data of one server in bytes, as the cloud documents it.
const USER_DATA_LIMIT: u32 = 32_768;

/// The files of the module, sorted by name.
const MODULE: [(&str, &str); 6] = [
    ("cloudinit-server.tftpl", include_str!("../../../../infra/rehearsal/cloudinit-control-plane.tftpl")),
    ("cloudinit-worker.tftpl", include_str!("../../../../infra/rehearsal/cloudinit-worker.tftpl")),
    ("main.tf", include_str!("../../../template/rust/module/main.tf")),
    ("outputs.tf", include_str!("../../../template/rust/module/outputs.tf")),
    ("variables.tf", include_str!("../../../template/rust/module/variables.tf")),
    ("versions.tf", include_str!("../../../template/rust/module/versions.tf")),
];

/// Each secret and the variable of the module that it fills.
const SECRET_VARIABLES: [(&str, &str); 4] = [
    ("cloud-token", "cloud_token"),
    ("ghcr-pull-token", "ghcr_pull_token"),
    ("kubeconfig-bearer", "kubeconfig_bearer_token"),
    ("k3s-token", "k3s_token"),
];

struct Cloud;

impl Guest for Cloud {
    fn describe() -> Provider {
        answers::provider()
    }

    fn validate(request: DeploymentRequest) -> Vec<Finding> {
        Plan::of(&request).findings
    }

    fn render(request: DeploymentRequest, context: RenderContext) -> Result<Rendered, Vec<Finding>> {
        let plan = Plan::of(&request);
        if plan.refused() {
            return Err(plan.findings);
        }
        let mut user_data = vec![size("server", plan.user_data_bytes)];
        if plan.workers > 0 {
            user_data.push(size("worker", plan::bytes_of("cloudinit-worker.tftpl") + plan::HOLES));
        }
        // In the order of the names, as serde_json keeps them.
        let variables = serde_json::json!({
            "api_port": plan.api_port,
            "catalyst_api_url": context.public_url,
            "gitops_branch": context.gitops_branch,
            "gitops_repo_url": context.gitops_repo_url,
            "org_email": request.org_email,
            "org_name": request.org_name,
            "region": plan.region,
            "server_size": plan.server_size,
            "sovereign_fqdn": request.sovereign_fqdn,
            "ssh_public_key": request.ssh_public_key,
            "worker_count": plan.workers,
            "worker_size": plan.worker_size,
        });
        let filled = SECRET_VARIABLES.iter().filter(|(secret, _)| context.present_secrets.iter().any(|p| p == secret));
        Ok(Rendered {
            files: MODULE
                .iter()
                .map(|(path, text)| File { path: (*path).to_owned(), mode: 0o600, content: (*text).into() })
                .collect(),
            variables: variables.to_string(),
            secret_variables: filled
                .map(|(secret, variable)| SecretVariable {
                    secret: (*secret).to_owned(),
                    variable: (*variable).to_owned(),
                })
                .collect(),
            deployment_id_variable: Some("deployment_id".to_owned()),
            user_data,
            warnings: plan.findings.into_iter().map(|finding| finding.message).collect(),
        })
    }

    fn read_outputs(outputs: String) -> Result<Endpoints, String> {
        answers::endpoints(&outputs)
    }

    fn diagnose(diagnostic: Diagnostic, _: Asked) -> Advice {
        answers::advice(&diagnostic)
    }

    fn estimate(request: DeploymentRequest) -> Result<Estimate, String> {
        let plan = Plan::of(&request);
        if plan.refused() {
            return Err("the request has errors; its cost is not known".to_owned());
        }
        let line = |what: &str, name: &str, quantity| CostLine {
            label: format!("{what} ({name})"),
            quantity,
            monthly_cents: MACHINES.iter().find(|(machine, ..)| *machine == name).map_or(0, |(.., cents)| *cents),
        };
        let mut lines = vec![line("server", &plan.server_size, 1)];
        if plan.workers > 0 {
            lines.push(line("worker", &plan.worker_size, plan.workers));
        }
        Ok(Estimate { currency: CURRENCY.to_owned(), as_of: AS_OF.to_owned(), lines, unknown: Vec::new() })
    }

    // With an API to ask: name its host in `api_hosts`, and put `{{secret:cloud-token}}` where the token belongs.
    fn credential_probe(_: String) -> Result<Vec<Probe>, String> {
        Err("mycloud has no API that proves a token".to_owned())
    }

    fn judge_credentials(_: Vec<ProbeResponse>) -> Verdict {
        Verdict::Unreachable("mycloud has no API that proves a token".to_owned())
    }
}

fn size(node: &str, bytes: usize) -> UserDataSize {
    UserDataSize { node: node.to_owned(), bytes: u32::try_from(bytes).unwrap_or(u32::MAX), limit: USER_DATA_LIMIT }
}

#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code, reason = "the canonical ABI's entry points")]
mod component_exports {
    use super::{Cloud, bindings};

    bindings::export!(Cloud with_types_in bindings);
}
