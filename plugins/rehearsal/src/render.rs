//! The bundle: the module with its templates filled as far as is known.

use catalyst_plugin_sdk::bundle::{self, BundleError, ModuleVariables};
use catalyst_plugin_sdk::template::Variables;
use catalyst_plugin_sdk::{DeploymentRequest, Findings, RenderContext, Rendered, SecretVariable, sovereign};

use crate::descriptor::{ACCOUNT_TOKEN, BEARER, GHCR_TOKEN, K3S_TOKEN, USER_DATA_LIMIT};
use crate::plan::{self, Plan};

macro_rules! compiled {
    ($name:literal) => {
        ($name, include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".bin")))
    };
}

type Compiled = (&'static str, &'static [u8]);
const CONTROL_PLANE: Compiled = compiled!("cloudinit-control-plane.tftpl");
const CONTROL_PLANE_JOIN: Compiled = compiled!("cloudinit-control-plane-join.tftpl");
const WORKER: Compiled = compiled!("cloudinit-worker.tftpl");

const MODULE: [(&str, &str); 4] = [
    ("main.tf", include_str!("../../../infra/rehearsal/main.tf")),
    ("outputs.tf", include_str!("../../../infra/rehearsal/outputs.tf")),
    ("variables.tf", include_str!("../../../infra/rehearsal/variables.tf")),
    ("versions.tf", include_str!("../../../infra/rehearsal/versions.tf")),
];

/// Each secret and the module variable it fills.
const SECRET_VARIABLES: [(&str, &str); 4] = [
    (ACCOUNT_TOKEN, "rehearsal_token"),
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
        ("control-plane", CONTROL_PLANE, first_server(request, context, plan), true),
        ("control-plane-join", CONTROL_PLANE_JOIN, join(request), request.ha_enabled),
        ("worker", WORKER, worker(request), plan.worker_count > 0),
    ];
    for (node, (path, compiled), variables, wanted) in nodes {
        let filled = bundle::fill(path, compiled, &variables)?;
        files.push(bundle::staged(path, &filled)?);
        if wanted {
            user_data.push(bundle::budget(node, &filled, USER_DATA_LIMIT, findings));
        }
    }
    let present = |name: &str| context.present_secrets.iter().any(|present| present == name);
    let filled = SECRET_VARIABLES.iter().filter(|(secret, _)| present(secret));
    Ok(Rendered {
        files,
        variables: module_variables(request, context, plan),
        secret_variables: filled
            .map(|(secret, variable)| SecretVariable { secret: (*secret).to_owned(), variable: (*variable).to_owned() })
            .collect(),
        deployment_id_variable: Some("deployment_id".to_owned()),
        cluster_exists_variable: Some("cluster_exists".to_owned()),
        nodes: sovereign::server_nodes(request, plan.worker_count, "terraform_data"),
        user_data,
        warnings: findings.warnings(),
    })
}

fn module_variables(request: &DeploymentRequest, context: &RenderContext, plan: &Plan) -> String {
    ModuleVariables::new()
        .set("sovereign_fqdn", request.sovereign_fqdn.as_str())
        .set("org_name", request.org_name.as_str())
        .set("org_email", request.org_email.as_str())
        .set_text("region", &plan.region)
        .set_text("control_plane_size", &plan.control_plane_size)
        .set_text("worker_size", &plan.worker_size)
        .set("worker_count", plan.worker_count)
        .set("ha_enabled", request.ha_enabled)
        .set("api_port", plan.api_port)
        .set_text("fail", &plan.fail)
        .set_text("ssh_public_key", &request.ssh_public_key)
        .set_text("gitops_repo_url", &context.gitops_repo_url)
        .set_text("gitops_branch", &context.gitops_branch)
        .set_text("catalyst_api_url", &context.public_url)
        .into_json()
}

/// Each template of the module with its variables, for tests against OpenTofu.
///
/// # Errors
/// The findings of a request that `validate` does not pass.
pub fn template_variables(
    request: &DeploymentRequest,
    context: &RenderContext,
) -> Result<Vec<(&'static str, Variables)>, Findings> {
    let mut findings = Findings::new();
    let plan = plan::read(request, &mut findings);
    if findings.has_errors() {
        return Err(findings);
    }
    Ok(vec![
        (CONTROL_PLANE.0, first_server(request, context, &plan)),
        (CONTROL_PLANE_JOIN.0, join(request)),
        (WORKER.0, worker(request)),
    ])
}

fn first_server(request: &DeploymentRequest, context: &RenderContext, plan: &Plan) -> Variables {
    let present = |name: &str| context.present_secrets.iter().any(|present| present == name);
    let or =
        |text: &str, default: &str| if text.trim().is_empty() { default.to_owned() } else { text.trim().to_owned() };
    Variables::new()
        .with("sovereign_fqdn", request.sovereign_fqdn.as_str())
        .with("org_name", request.org_name.as_str())
        .with("org_email", request.org_email.as_str())
        .with("region", or(&plan.region, "local-1"))
        .with("ha_enabled", request.ha_enabled)
        .with("worker_count", plan.worker_count)
        .with("gitops_repo_url", or(&context.gitops_repo_url, "https://github.com/openova-io/openova"))
        .with("gitops_branch", or(&context.gitops_branch, "main"))
        .with("catalyst_api_url", context.public_url.trim())
        .with("api_port", plan.api_port)
        .with("has_ghcr_token", present(GHCR_TOKEN))
        .with("has_postback", present(BEARER) && !context.public_url.trim().is_empty())
        // base64 of `openova-bot:` and a token of at most 256 bytes.
        .with_hole("ghcr_auth_b64", 360)
        .with_hole("k3s_token", 64)
        .with_hole("deployment_id", 64)
        .with_hole("kubeconfig_bearer_token", 64)
        .with_hole("load_balancer_ipv4", 15)
}

/// Which server is joined is known at the apply only: the first one joins another when the cluster exists.
fn join(request: &DeploymentRequest) -> Variables {
    Variables::new()
        .with("sovereign_fqdn", request.sovereign_fqdn.as_str())
        .with_hole("server_url", 21)
        .with_hole("k3s_token", 64)
}

fn worker(request: &DeploymentRequest) -> Variables {
    Variables::new()
        .with("sovereign_fqdn", request.sovereign_fqdn.as_str())
        .with("first_server_url", "https://10.0.1.2:6443")
        .with_hole("k3s_token", 64)
}
