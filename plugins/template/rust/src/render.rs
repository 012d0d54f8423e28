//! The bundle: the module with its templates filled as far as is known.

use catalyst_plugin_sdk::bundle::{self, BundleError, ModuleVariables};
use catalyst_plugin_sdk::template::Variables;
use catalyst_plugin_sdk::{DeploymentRequest, Findings, RenderContext, Rendered, SecretVariable};

use crate::descriptor::{BEARER, CLOUD_TOKEN, GHCR_TOKEN, K3S_TOKEN, USER_DATA_LIMIT};
use crate::plan::{self, Plan};

macro_rules! compiled {
    ($name:literal) => {
        ($name, include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".bin")).as_slice())
    };
}

const MODULE: [(&str, &str); 4] = [
    ("main.tf", include_str!("../module/main.tf")),
    ("outputs.tf", include_str!("../module/outputs.tf")),
    ("variables.tf", include_str!("../module/variables.tf")),
    ("versions.tf", include_str!("../module/versions.tf")),
];

/// Each secret and the module variable that it fills.
const SECRET_VARIABLES: [(&str, &str); 4] = [
    (CLOUD_TOKEN, "cloud_token"),
    (GHCR_TOKEN, "ghcr_pull_token"),
    (BEARER, "kubeconfig_bearer_token"),
    (K3S_TOKEN, "k3s_token"),
];

pub(crate) fn bundle(request: &DeploymentRequest, context: &RenderContext) -> Result<Rendered, Findings> {
    let mut findings = Findings::new();
    let plan = plan::read(request, &mut findings);
    if findings.has_errors() {
        return Err(findings);
    }
    let rendered = assemble(request, context, &plan, &mut findings)?;
    if findings.has_errors() { Err(findings) } else { Ok(rendered) }
}

fn assemble(
    request: &DeploymentRequest,
    context: &RenderContext,
    plan: &Plan,
    findings: &mut Findings,
) -> Result<Rendered, BundleError> {
    let mut files: Vec<_> = MODULE.iter().map(|(path, text)| bundle::file(path, *text)).collect();
    let mut user_data = Vec::new();
    let nodes = [
        ("server", compiled!("cloudinit-server.tftpl"), server(request, context, plan), 1),
        ("worker", compiled!("cloudinit-worker.tftpl"), worker(request), plan.workers),
    ];
    for (node, (path, template), variables, count) in nodes {
        let filled = bundle::fill(path, template, &variables)?;
        files.push(bundle::staged(path, &filled)?);
        if count > 0 {
            user_data.push(bundle::budget(node, &filled, USER_DATA_LIMIT, findings));
        }
    }
    let filled = SECRET_VARIABLES.iter().filter(|(secret, _)| present(context, secret));
    Ok(Rendered {
        files,
        variables: module_variables(request, context, plan),
        secret_variables: filled
            .map(|(secret, variable)| SecretVariable { secret: (*secret).to_owned(), variable: (*variable).to_owned() })
            .collect(),
        deployment_id_variable: Some("deployment_id".to_owned()),
        user_data,
        warnings: findings.warnings(),
    })
}

fn present(context: &RenderContext, secret: &str) -> bool {
    context.present_secrets.iter().any(|present| present == secret)
}

fn module_variables(request: &DeploymentRequest, context: &RenderContext, plan: &Plan) -> String {
    ModuleVariables::new()
        .set("sovereign_fqdn", request.sovereign_fqdn.as_str())
        .set("org_name", request.org_name.as_str())
        .set("org_email", request.org_email.as_str())
        .set("region", plan.region.as_str())
        .set("server_size", plan.server_size.as_str())
        .set("worker_size", plan.worker_size.as_str())
        .set("worker_count", plan.workers)
        .set("api_port", plan.api_port)
        .set("ssh_public_key", request.ssh_public_key.as_str())
        .set_text("gitops_repo_url", &context.gitops_repo_url)
        .set_text("gitops_branch", &context.gitops_branch)
        .set_text("catalyst_api_url", &context.public_url)
        .into_json()
}

/// `with` is known now; `with_hole` only at the apply, with its longest length for the budget of user data.
fn server(request: &DeploymentRequest, context: &RenderContext, plan: &Plan) -> Variables {
    Variables::new()
        .with("sovereign_fqdn", request.sovereign_fqdn.as_str())
        .with("org_name", request.org_name.as_str())
        .with("org_email", request.org_email.as_str())
        .with("region", plan.region.as_str())
        .with("ha_enabled", false)
        .with("worker_count", i64::from(plan.workers))
        .with("gitops_repo_url", context.gitops_repo_url.trim())
        .with("gitops_branch", context.gitops_branch.trim())
        .with("catalyst_api_url", context.public_url.trim())
        .with("api_port", plan.api_port)
        .with("has_ghcr_token", present(context, GHCR_TOKEN))
        .with("has_postback", present(context, BEARER) && !context.public_url.trim().is_empty())
        // base64 of a user name, a colon and a token of at most 256 bytes.
        .with_hole("ghcr_auth_b64", 360)
        .with_hole("k3s_token", 64)
        .with_hole("deployment_id", 64)
        .with_hole("kubeconfig_bearer_token", 64)
        .with_hole("load_balancer_ipv4", 15)
}

fn worker(request: &DeploymentRequest) -> Variables {
    Variables::new()
        .with("sovereign_fqdn", request.sovereign_fqdn.as_str())
        .with("first_server_url", "https://10.0.1.2:6443")
        .with_hole("k3s_token", 64)
}
