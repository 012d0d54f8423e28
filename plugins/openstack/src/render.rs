//! The bundle: the module with its templates filled as far as is known.

use catalyst_plugin_sdk::bundle::{self, BundleError, ModuleVariables};
use catalyst_plugin_sdk::sovereign::{
    self, CloudCredentials, Cluster, Compiled, Nodes, SECRET_VARIABLES, Templates, base64_len,
};
use catalyst_plugin_sdk::template::Variables;
use catalyst_plugin_sdk::{
    DeploymentRequest, File, Findings, Pointer, RenderContext, Rendered, SecretVariable, UserDataSize,
};

use crate::descriptor::{CREDENTIAL_ID, CREDENTIAL_SECRET, USER_DATA_LIMIT};
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
const FORWARD: Compiled = compiled!("cloudinit-forward.tftpl");

const MODULE: [(&str, &str); 6] = [
    ("load-balancer.tf", include_str!("../../../infra/openstack/load-balancer.tf")),
    ("main.tf", include_str!("../../../infra/openstack/main.tf")),
    ("network.tf", include_str!("../../../infra/openstack/network.tf")),
    ("outputs.tf", include_str!("../../../infra/openstack/outputs.tf")),
    ("variables.tf", include_str!("../../../infra/openstack/variables.tf")),
    ("versions.tf", include_str!("../../../infra/openstack/versions.tf")),
];

/// The cloud's secrets and the module variables that they fill.
const CREDENTIAL_VARIABLES: [(&str, &str); 2] =
    [(CREDENTIAL_ID, "application_credential_id"), (CREDENTIAL_SECRET, "application_credential_secret")];

/// Longest base64 of the credential's JSON: a secret of 255 bytes with every byte escaped, an id of 64, a URL of 256, a
/// region of 63, and the keys.
const CREDENTIALS_B64: u32 = 2_760;

fn secret_variables() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    CREDENTIAL_VARIABLES.iter().chain(&SECRET_VARIABLES)
}

pub(crate) fn bundle(request: &DeploymentRequest, host: &RenderContext) -> Result<Rendered, Findings> {
    let mut findings = Findings::new();
    let plan = plan::read(request, &mut findings);
    sovereign::check_context(host, &mut findings);
    if findings.has_errors() {
        return Err(findings);
    }
    let forward = forward(&plan)?;
    let nodes = cluster(request, host, &plan, &forward).fill(&TEMPLATES)?;
    let user_data = budgets(&nodes, &mut findings);
    if findings.has_errors() {
        return Err(findings);
    }
    let mut files: Vec<File> = MODULE.iter().map(|(path, text)| bundle::file(path, *text)).collect();
    files.extend(nodes.files()?);
    files.push(bundle::staged(FORWARD.0, &bundle::fill(FORWARD.0, FORWARD.1, &Variables::new())?)?);
    let present = secret_variables().filter(|(secret, _)| host.present_secrets.iter().any(|name| name == secret));
    Ok(Rendered {
        files,
        variables: module_variables(request, host, &plan),
        secret_variables: present
            .map(|(secret, variable)| SecretVariable { secret: (*secret).to_owned(), variable: (*variable).to_owned() })
            .collect(),
        deployment_id_variable: Some("deployment_id".to_owned()),
        cluster_exists_variable: Some("cluster_exists".to_owned()),
        nodes: sovereign::server_nodes(request, plan.worker_count, "openstack_compute_instance_v2"),
        user_data,
        warnings: findings.warnings(),
    })
}

/// Adds a finding when user data would pass the limit even in the largest context that the module takes.
pub(crate) fn check_budgets(request: &DeploymentRequest, plan: &Plan, findings: &mut Findings) {
    let host = RenderContext {
        public_url: format!("https://{}", "a".repeat(248)),
        gitops_repo_url: format!("https://{}", "a".repeat(248)),
        gitops_branch: "a".repeat(200),
        present_secrets: secret_variables().map(|(secret, _)| (*secret).to_owned()).collect(),
    };
    let filled = forward(plan).and_then(|forward| cluster(request, &host, plan, &forward).fill(&TEMPLATES));
    match filled {
        Ok(nodes) => {
            budgets(&nodes, findings);
        }
        Err(error) => findings.error(&Pointer::root(), "render-failed", error.to_string()),
    }
}

/// Nova counts the characters of base64.
fn budgets(nodes: &Nodes, findings: &mut Findings) -> Vec<UserDataSize> {
    let sizes = nodes.sizes();
    sizes.map(|(role, bytes)| bundle::budget_of(role, base64_len(bytes), USER_DATA_LIMIT, findings)).collect()
}

/// Each template of the module with its variables, for tests against OpenTofu.
///
/// # Errors
/// The findings of a request that `validate` does not pass.
pub fn template_variables(
    request: &DeploymentRequest,
    host: &RenderContext,
) -> Result<Vec<(&'static str, Variables)>, Findings> {
    let mut findings = Findings::new();
    let plan = plan::read(request, &mut findings);
    if findings.has_errors() {
        return Err(findings);
    }
    Ok(cluster(request, host, &plan, &forward(&plan)?).variables(&TEMPLATES)?)
}

/// What a first server without a load balancer has more.
fn forward(plan: &Plan) -> Result<String, BundleError> {
    if plan.octavia {
        return Ok(String::new());
    }
    Ok(bundle::fill(FORWARD.0, FORWARD.1, &Variables::new())?.with_values(|_| String::new()))
}

fn cluster<'a>(
    request: &'a DeploymentRequest,
    host: &'a RenderContext,
    plan: &'a Plan,
    forward: &'a str,
) -> Cluster<'a> {
    Cluster {
        request,
        host,
        settings: &plan.settings.node,
        region: &plan.region,
        worker_count: plan.worker_count,
        load_balancer_private_ip: if plan.octavia { "10.0.1.254" } else { "10.0.1.2" },
        first_files: forward,
        credentials: CloudCredentials {
            enabled: plan.settings.credentials.unwrap_or(false),
            name: "openstack-credentials",
            key: "credentials",
            max_base64: CREDENTIALS_B64,
        },
    }
}

fn module_variables(request: &DeploymentRequest, host: &RenderContext, plan: &Plan) -> String {
    let settings = &plan.settings;
    let variables = ModuleVariables::new()
        .set("sovereign_fqdn", request.sovereign_fqdn.as_str())
        .set_text("sovereign_subdomain", sovereign::pool_names(request).0)
        .set("org_name", request.org_name.as_str())
        .set("org_email", request.org_email.as_str())
        .set_if("auth_url", settings.auth_url.as_deref())
        .set_text("region", &plan.region)
        .set_if("availability_zone", settings.availability_zone.as_deref())
        .set_if("external_network", settings.external_network.as_deref())
        .set_if("dns_nameservers", settings.resolvers.clone())
        .set_text("control_plane_size", &plan.control_plane_size)
        .set_text("worker_size", &plan.asked_worker_size)
        .set_if("image_name", settings.image.as_deref())
        .set_if("boot_volume_gib", settings.boot_volume_gib)
        .set_if("server_group_policy", settings.server_group_policy.as_deref())
        .set("worker_count", plan.worker_count)
        .set("ha_enabled", request.ha_enabled)
        .set_if("load_balancer", settings.load_balancer.as_deref())
        .set_if("load_balancer_provider", settings.load_balancer_provider.as_deref())
        .set("ssh_public_key", ssh_public_key(request))
        .set_if("enable_openstack_credentials", settings.credentials)
        .set_text("gitops_repo_url", &host.gitops_repo_url)
        .set_text("gitops_branch", &host.gitops_branch)
        .set_text("catalyst_api_url", &host.public_url);
    settings.node.set(variables).into_json()
}

/// One space between the parts, as the module's pattern wants it.
fn ssh_public_key(request: &DeploymentRequest) -> String {
    let parts: Vec<&str> = request.ssh_public_key.split_whitespace().collect();
    parts.join(" ")
}
