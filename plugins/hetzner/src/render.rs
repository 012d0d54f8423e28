//! The bundle: the module with its templates filled as far as is known. The names and values here are those of the
//! module's own `templatefile()` calls (`infra/hetzner/main.tf`); the tests hold the two together.

use catalyst_plugin_sdk::bundle::{self, BundleError, ModuleVariables};
use catalyst_plugin_sdk::template::{Filled, Variables};
use catalyst_plugin_sdk::{
    DeploymentRequest, DomainMode, File, Findings, Pointer, RenderContext, Rendered, SecretVariable, UserDataSize,
};
use serde_json::{Value, json};

use crate::context;
use crate::descriptor::{BEARER, GHCR_TOKEN, HCLOUD_TOKEN, K3S_AGENT_TOKEN, K3S_TOKEN, USER_DATA_LIMIT};
use crate::plan::{self, Plan};

macro_rules! compiled {
    ($name:literal) => {
        ($name, include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".bin")))
    };
}

type Compiled = (&'static str, &'static [u8]);
const BASE: Compiled = compiled!("cloudinit-base.tftpl");
const CONTROL_PLANE: Compiled = compiled!("cloudinit-control-plane.tftpl");
const CONTROL_PLANE_JOIN: Compiled = compiled!("cloudinit-control-plane-join.tftpl");
const WORKER: Compiled = compiled!("cloudinit-worker.tftpl");

/// `dns-standalone.tf` stays out: it is for those who run the module alone.
const MODULE: [(&str, &str); 4] = [
    ("main.tf", include_str!("../../../infra/hetzner/main.tf")),
    ("outputs.tf", include_str!("../../../infra/hetzner/outputs.tf")),
    ("variables.tf", include_str!("../../../infra/hetzner/variables.tf")),
    ("versions.tf", include_str!("../../../infra/hetzner/versions.tf")),
];

/// Each secret and the module variable it fills.
const SECRET_VARIABLES: [(&str, &str); 5] = [
    (HCLOUD_TOKEN, "hcloud_token"),
    (GHCR_TOKEN, "ghcr_pull_token"),
    (BEARER, "kubeconfig_bearer_token"),
    (K3S_TOKEN, "k3s_token"),
    (K3S_AGENT_TOKEN, "k3s_agent_token"),
];

/// Longest base64 of a token of 64 bytes.
const TOKEN_B64: u32 = 88;
/// Longest base64 of the registry's JSON: user name, a token of 256 bytes with every byte escaped, and both in base64.
const GHCR_B64: u32 = 2_700;
/// A minted secret.
const MINTED: u32 = 64;
/// Longest deployment id, as in the module.
const DEPLOYMENT_ID: u32 = 63;
/// Longest IPv4 address.
const IPV4: u32 = 15;

pub(crate) fn bundle(request: &DeploymentRequest, host: &RenderContext) -> Result<Rendered, Findings> {
    let mut findings = Findings::new();
    let plan = plan::read(request, &mut findings);
    context::check(host, &mut findings);
    if findings.has_errors() {
        return Err(findings);
    }
    let nodes = fill_nodes(request, host, &plan)?;
    let user_data = budgets(&nodes, &mut findings);
    if findings.has_errors() {
        return Err(findings);
    }
    let mut files: Vec<File> = MODULE.iter().map(|(path, text)| bundle::file(path, *text)).collect();
    files.push(bundle::staged(BASE.0, &nodes.base)?);
    for node in &nodes.roles {
        files.push(bundle::staged(node.path, &node.filled)?);
    }
    let present = SECRET_VARIABLES.iter().filter(|(secret, _)| has(host, secret));
    Ok(Rendered {
        files,
        variables: module_variables(request, host, &plan),
        secret_variables: present
            .map(|(secret, variable)| SecretVariable { secret: (*secret).to_owned(), variable: (*variable).to_owned() })
            .collect(),
        deployment_id_variable: Some("deployment_id".to_owned()),
        user_data,
        warnings: findings.warnings(),
    })
}

/// Adds a finding when user data would pass the limit even in the largest context that the module takes.
pub(crate) fn check_budgets(request: &DeploymentRequest, plan: &Plan, findings: &mut Findings) {
    let context = RenderContext {
        public_url: format!("https://{}", "a".repeat(248)),
        gitops_repo_url: format!("https://{}", "a".repeat(248)),
        gitops_branch: "a".repeat(200),
        present_secrets: SECRET_VARIABLES.iter().map(|(secret, _)| (*secret).to_owned()).collect(),
    };
    match fill_nodes(request, &context, plan) {
        Ok(nodes) => {
            budgets(&nodes, findings);
        }
        Err(error) => findings.error(&Pointer::root(), "render-failed", error.to_string()),
    }
}

struct Node {
    role: &'static str,
    path: &'static str,
    filled: Filled,
    /// Whether the request makes such a node at all.
    wanted: bool,
}

struct Nodes {
    base: Filled,
    roles: Vec<Node>,
}

fn fill_nodes(request: &DeploymentRequest, context: &RenderContext, plan: &Plan) -> Result<Nodes, BundleError> {
    let base = bundle::fill(BASE.0, BASE.1, &base_variables(plan))?;
    let base_text = base.with_values(|_| String::new());
    let wanted = [
        ("control-plane", CONTROL_PLANE, first_variables(request, context, plan, &base_text), true),
        ("control-plane-join", CONTROL_PLANE_JOIN, join_variables(request, plan, &base_text), request.ha_enabled),
        ("worker", WORKER, worker_variables(plan, &base_text), plan.worker_count > 0),
    ];
    let mut roles = Vec::with_capacity(wanted.len());
    for (role, (path, compiled), variables, wanted) in wanted {
        roles.push(Node { role, path, filled: bundle::fill(path, compiled, &variables)?, wanted });
    }
    Ok(Nodes { base, roles })
}

fn budgets(nodes: &Nodes, findings: &mut Findings) -> Vec<UserDataSize> {
    let wanted = nodes.roles.iter().filter(|node| node.wanted);
    wanted.map(|node| bundle::budget(node.role, &node.filled, USER_DATA_LIMIT, findings)).collect()
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
    let base = base_variables(&plan);
    let base_text = bundle::fill(BASE.0, BASE.1, &base)?.with_values(|_| String::new());
    Ok(vec![
        (BASE.0, base),
        (CONTROL_PLANE.0, first_variables(request, context, &plan, &base_text)),
        (CONTROL_PLANE_JOIN.0, join_variables(request, &plan, &base_text)),
        (WORKER.0, worker_variables(&plan, &base_text)),
    ])
}

fn module_variables(request: &DeploymentRequest, context: &RenderContext, plan: &Plan) -> String {
    let settings = &plan.settings;
    let (control_plane_size, worker_size) = plan.asked_sizes();
    ModuleVariables::new()
        .set("sovereign_fqdn", request.sovereign_fqdn.as_str())
        .set_text("sovereign_subdomain", &request.subdomain)
        .set("org_name", request.org_name.as_str())
        .set("org_email", request.org_email.as_str())
        .set_if("hcloud_project_id", settings.project_id.as_deref())
        .set_text("region", &plan.region)
        .set_text("control_plane_size", control_plane_size)
        .set_text("worker_size", worker_size)
        .set("worker_count", plan.worker_count)
        .set("ha_enabled", request.ha_enabled)
        .set("regions", regions(request))
        .set("ssh_public_key", ssh_public_key(request))
        .set_if("ssh_key_name", settings.ssh_key_name.as_deref())
        .set_if("ssh_allowed_cidrs", settings.ssh_allowed_cidrs.clone())
        .set_if("enable_unattended_upgrades", settings.unattended_upgrades)
        .set_if("enable_fail2ban", settings.fail2ban)
        .set_if("enable_local_storage", settings.local_storage)
        .set_if("enable_hcloud_credentials", settings.hcloud_credentials)
        .set("domain_mode", if request.domain_mode == DomainMode::Pool { "pool" } else { "byo" })
        .set_text("pool_domain", &request.pool_domain)
        .set_text("gitops_repo_url", &context.gitops_repo_url)
        .set_text("gitops_branch", &context.gitops_branch)
        .set_if("gitops_path", settings.gitops_path.as_deref())
        .set_text("catalyst_api_url", &context.public_url)
        .set_if("k3s_version", settings.k3s_version.as_deref())
        .set_if("helm_version", settings.helm_version.as_deref())
        .set_if("cilium_version", settings.cilium_version.as_deref())
        .set_if("flux_version", settings.flux_version.as_deref())
        .into_json()
}

/// Never null: the module goes through the list.
fn regions(request: &DeploymentRequest) -> Vec<Value> {
    let slots = request.regions.iter().map(|slot| {
        json!({
            "provider": slot.provider.trim(),
            "cloudRegion": slot.cloud_region.trim(),
            "controlPlaneSize": slot.control_plane_size.trim(),
            "workerSize": slot.worker_size.trim(),
            "workerCount": slot.worker_count,
        })
    });
    slots.collect()
}

/// One space between the parts, as the module's pattern wants it.
fn ssh_public_key(request: &DeploymentRequest) -> String {
    let parts: Vec<&str> = request.ssh_public_key.split_whitespace().collect();
    parts.join(" ")
}

fn has(context: &RenderContext, secret: &str) -> bool {
    context.present_secrets.iter().any(|present| present == secret)
}

fn or_default<'a>(text: &'a str, default: &'a str) -> &'a str {
    let text = text.trim();
    if text.is_empty() { default } else { text }
}

fn k3s_version(plan: &Plan) -> &str {
    plan.settings.k3s_version.as_deref().unwrap_or("v1.31.4+k3s1")
}

fn base_variables(plan: &Plan) -> Variables {
    Variables::new()
        // The operator's own digests are a matter of standalone use.
        .with("artifact_sha256sums", "")
        .with("enable_fail2ban", plan.settings.fail2ban.unwrap_or(true))
        .with("enable_unattended_upgrades", plan.settings.unattended_upgrades.unwrap_or(true))
        .with("k3s_version", k3s_version(plan))
}

/// What the three node templates have in common.
fn node_variables(plan: &Plan, base: &str) -> Variables {
    Variables::new()
        .with("base_files", base)
        .with("enable_fail2ban", plan.settings.fail2ban.unwrap_or(true))
        .with("enable_unattended_upgrades", plan.settings.unattended_upgrades.unwrap_or(true))
        .with("first_private_ip", "10.0.1.2")
        .with_hole("k3s_agent_token", MINTED)
}

fn server_variables(request: &DeploymentRequest, plan: &Plan, base: &str) -> Variables {
    node_variables(plan, base)
        .with("enable_local_storage", plan.settings.local_storage.unwrap_or(true))
        .with("load_balancer_private_ip", "10.0.1.254")
        .with("sovereign_fqdn", request.sovereign_fqdn.as_str())
        .with_hole("k3s_token", MINTED)
        .with_hole("load_balancer_ipv4", IPV4)
}

fn first_variables(request: &DeploymentRequest, context: &RenderContext, plan: &Plan, base: &str) -> Variables {
    let settings = &plan.settings;
    let own_path = format!("clusters/{}", request.sovereign_fqdn);
    let path = settings.gitops_path.as_deref().map_or(own_path.as_str(), |path| path.strip_suffix('/').unwrap_or(path));
    let url = or_default(&context.public_url, "https://console.openova.io/sovereign");
    server_variables(request, plan, base)
        .with("catalyst_api_url", url.strip_suffix('/').unwrap_or(url))
        .with("cilium_version", settings.cilium_version.as_deref().unwrap_or("1.16.5"))
        .with("cloud_credentials_enabled", settings.hcloud_credentials.unwrap_or(true))
        .with("cloud_credentials_key", "token")
        .with("cloud_credentials_name", "hcloud-credentials")
        .with("flux_version", settings.flux_version.as_deref().unwrap_or("v2.4.0"))
        .with("ghcr_enabled", has(context, GHCR_TOKEN))
        .with("gitops_branch", or_default(&context.gitops_branch, "main"))
        .with("gitops_path", path)
        .with("gitops_repo_url", or_default(&context.gitops_repo_url, "https://github.com/openova-io/openova"))
        .with("gitops_substitute", path != own_path)
        .with("ha_enabled", request.ha_enabled)
        .with("helm_version", settings.helm_version.as_deref().unwrap_or("v3.16.4"))
        .with("k3s_version", k3s_version(plan))
        .with("org_email", request.org_email.as_str())
        .with("org_name", request.org_name.as_str())
        .with("postback_enabled", has(context, BEARER))
        .with("region", plan.region.as_str())
        .with("sovereign_subdomain", request.subdomain.trim())
        .with("worker_count", plan.worker_count)
        .with_hole("cloud_credentials_b64", TOKEN_B64)
        .with_hole("deployment_id", DEPLOYMENT_ID)
        .with_hole("ghcr_dockerconfigjson_b64", GHCR_B64)
        .with_hole("kubeconfig_bearer_token", MINTED)
}

fn join_variables(request: &DeploymentRequest, plan: &Plan, base: &str) -> Variables {
    server_variables(request, plan, base).with_hole("node_private_ip", IPV4)
}

fn worker_variables(plan: &Plan, base: &str) -> Variables {
    node_variables(plan, base).with_hole("node_private_ip", IPV4)
}
