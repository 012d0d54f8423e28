//! The bundle: the module with its templates filled as far as is known. The names and values here are those of the
//! module's own `templatefile()` calls (`infra/hetzner/main.tf`); the tests hold the two together.

use catalyst_plugin_sdk::bundle::{self, ModuleVariables};
use catalyst_plugin_sdk::sovereign::{self, CloudCredentials, Cluster, Nodes, SECRET_VARIABLES, Templates};
use catalyst_plugin_sdk::template::Variables;
use catalyst_plugin_sdk::{
    DeploymentRequest, DomainMode, File, Findings, Pointer, RenderContext, Rendered, SecretVariable, UserDataSize,
};
use serde_json::{Value, json};

use crate::descriptor::{HCLOUD_TOKEN, USER_DATA_LIMIT};
use crate::plan::{self, Plan};

macro_rules! compiled {
    ($name:literal) => {
        ($name, include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".bin")))
    };
}

const TEMPLATES: Templates = Templates {
    base: compiled!("cloudinit-base.tftpl"),
    control_plane: compiled!("cloudinit-control-plane.tftpl"),
    control_plane_join: compiled!("cloudinit-control-plane-join.tftpl"),
    worker: compiled!("cloudinit-worker.tftpl"),
};

/// `dns-standalone.tf` stays out: it is for those who run the module alone.
const MODULE: [(&str, &str); 4] = [
    ("main.tf", include_str!("../../../infra/hetzner/main.tf")),
    ("outputs.tf", include_str!("../../../infra/hetzner/outputs.tf")),
    ("variables.tf", include_str!("../../../infra/hetzner/variables.tf")),
    ("versions.tf", include_str!("../../../infra/hetzner/versions.tf")),
];

/// Longest base64 of a token of 64 bytes.
const TOKEN_B64: u32 = 88;

/// Each secret and the module variable it fills.
fn secret_variables() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    [(HCLOUD_TOKEN, "hcloud_token")].iter().chain(&SECRET_VARIABLES)
}

pub(crate) fn bundle(request: &DeploymentRequest, host: &RenderContext) -> Result<Rendered, Findings> {
    let mut findings = Findings::new();
    let plan = plan::read(request, &mut findings);
    sovereign::check_context(host, &mut findings);
    if findings.has_errors() {
        return Err(findings);
    }
    let nodes = cluster(request, host, &plan).fill(&TEMPLATES)?;
    let user_data = budgets(&nodes, &mut findings);
    if findings.has_errors() {
        return Err(findings);
    }
    let mut files: Vec<File> = MODULE.iter().map(|(path, text)| bundle::file(path, *text)).collect();
    files.extend(nodes.files()?);
    let present = secret_variables().filter(|(secret, _)| host.present_secrets.iter().any(|name| name == secret));
    Ok(Rendered {
        files,
        variables: module_variables(request, host, &plan),
        secret_variables: present
            .map(|(secret, variable)| SecretVariable { secret: (*secret).to_owned(), variable: (*variable).to_owned() })
            .collect(),
        deployment_id_variable: Some("deployment_id".to_owned()),
        cluster_exists_variable: Some("cluster_exists".to_owned()),
        nodes: sovereign::server_nodes(request, plan.worker_count, "hcloud_server"),
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
        present_secrets: secret_variables().map(|(secret, _)| (*secret).to_owned()).collect(),
    };
    match cluster(request, &context, plan).fill(&TEMPLATES) {
        Ok(nodes) => {
            budgets(&nodes, findings);
        }
        Err(error) => findings.error(&Pointer::root(), "render-failed", error.to_string()),
    }
}

fn budgets(nodes: &Nodes, findings: &mut Findings) -> Vec<UserDataSize> {
    nodes.sizes().map(|(role, bytes)| bundle::budget_of(role, bytes, USER_DATA_LIMIT, findings)).collect()
}

fn cluster<'a>(request: &'a DeploymentRequest, host: &'a RenderContext, plan: &'a Plan) -> Cluster<'a> {
    Cluster {
        request,
        host,
        settings: &plan.settings.node,
        region: &plan.region,
        worker_count: plan.worker_count,
        load_balancer_private_ip: "10.0.1.254",
        first_files: "",
        credentials: CloudCredentials {
            enabled: plan.settings.hcloud_credentials.unwrap_or(true),
            name: "hcloud-credentials",
            key: "token",
            max_base64: TOKEN_B64,
        },
    }
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
    Ok(cluster(request, context, &plan).variables(&TEMPLATES)?)
}

fn module_variables(request: &DeploymentRequest, context: &RenderContext, plan: &Plan) -> String {
    let settings = &plan.settings;
    let (control_plane_size, worker_size) = plan.asked_sizes();
    let (subdomain, pool_domain) = sovereign::pool_names(request);
    let variables = ModuleVariables::new()
        .set("sovereign_fqdn", request.sovereign_fqdn.as_str())
        .set_text("sovereign_subdomain", subdomain)
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
        .set_if("enable_hcloud_credentials", settings.hcloud_credentials)
        .set("domain_mode", if request.domain_mode == DomainMode::Pool { "pool" } else { "byo" })
        .set_text("pool_domain", pool_domain)
        .set_text("gitops_repo_url", &context.gitops_repo_url)
        .set_text("gitops_branch", &context.gitops_branch)
        .set_text("catalyst_api_url", &context.public_url);
    settings.node.set(variables).into_json()
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
