//! What a provider plugin says, in the host's own types. The shapes follow `wit/`; the sandbox converts.

mod node;
mod probe;
mod setting;
mod text_or_bytes;

pub use node::{Node, NodeRole};
pub use probe::{
    CloudService, LeftoverQuery, LeftoverSearch, MadeResource, Probe, ProbeResponse, SESSION_TOKEN, Verdict,
};
pub use setting::{ProviderSetting, SettingSource};

use serde::{Deserialize, Serialize};

/// Where the value of a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretSource {
    /// A top-level string key of the request body.
    Request(String),
    /// A setting of the host, by the host's name for it.
    Host(String),
    /// Made by the host: 32 random bytes as 64 lower-case hex characters.
    Minted,
}

/// What a secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretRole {
    /// Nothing the host has to know.
    Ordinary,
    /// The one-time bearer of the first node.
    KubeconfigBearer,
}

/// A secret that a provider needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretSpec {
    /// Name within the provider.
    pub name: String,
    /// Where its value comes from.
    pub source: SecretSource,
    /// What it is for.
    pub role: SecretRole,
    /// Whether a blank value is refused.
    pub required: bool,
    /// Shortest length in bytes, trimmed.
    pub min_length: u32,
    /// Longest length in bytes, trimmed.
    pub max_length: u32,
    /// How a person calls it.
    pub label: String,
    /// Values with such a prefix are known to be made up.
    pub refused_prefixes: Vec<String>,
}

/// An OpenTofu provider that a module uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TofuProvider {
    /// Source address.
    pub source: String,
    /// Exact version.
    pub version: String,
    /// The arguments that the module sets in its block. `None` where the plugin's contract cannot say so (1.0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Vec<ProviderSetting>>,
}

/// A machine type of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineType {
    /// Name in the cloud.
    pub name: String,
    /// Virtual cores.
    pub cores: u32,
    /// Memory in GiB.
    pub memory_gib: u32,
    /// Disk in GiB.
    pub disk_gib: u32,
    /// `x86` or `arm`.
    pub arch: String,
    /// Price a month in hundredths of the currency.
    pub monthly_cents: Option<u32>,
    /// Whether the cloud retires it.
    pub retired: bool,
    /// What to take instead.
    pub successor: Option<String>,
}

/// A region of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Id in the cloud.
    pub id: String,
    /// Name for people.
    pub display_name: String,
    /// Names of the machine types offered.
    pub machine_types: Vec<String>,
}

/// Regions and machine types with their date. Advice, not a promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalogue {
    /// ISO 8601 date.
    pub as_of: String,
    /// ISO 4217 code.
    pub currency: String,
    /// Regions.
    pub regions: Vec<Region>,
    /// Machine types.
    pub machine_types: Vec<MachineType>,
}

/// What a provider says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Value of `regions[].provider`.
    pub id: String,
    /// Name for people.
    pub display_name: String,
    /// Semantic version.
    pub version: String,
    /// Secrets it needs.
    pub secrets: Vec<SecretSpec>,
    /// OpenTofu providers its module uses.
    pub tofu_providers: Vec<TofuProvider>,
    /// Address of the resource that carries the bearer.
    pub bearer_resource: Option<String>,
    /// Regions and machine types.
    pub catalogue: Catalogue,
    /// Largest user data of one node in bytes.
    pub user_data_limit: u32,
    /// JSON Schema text of its own request keys.
    pub settings_schema: String,
    /// Hosts its credential probes may reach.
    pub api_hosts: Vec<String>,
}

impl Descriptor {
    /// The request key of each secret that the request carries.
    pub fn request_secrets(&self) -> impl Iterator<Item = (&SecretSpec, &str)> {
        self.secrets.iter().filter_map(|s| match &s.source {
            SecretSource::Request(key) => Some((s, key.as_str())),
            SecretSource::Host(_) | SecretSource::Minted => None,
        })
    }

    /// The secret with the role of the bearer.
    pub fn bearer(&self) -> Option<&SecretSpec> {
        self.secrets.iter().find(|s| s.role == SecretRole::KubeconfigBearer)
    }
}

/// A file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleFile {
    /// Relative path.
    pub path: String,
    /// Unix permission bits.
    pub mode: u32,
    /// Content.
    #[serde(with = "text_or_bytes")]
    pub content: Vec<u8>,
}

/// Which secret fills which variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretVariable {
    /// Name of the secret.
    pub secret: String,
    /// Name of the OpenTofu variable.
    pub variable: String,
}

/// Size of one node's user data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserDataSize {
    /// Role of the node.
    pub node: String,
    /// Upper bound in bytes.
    pub bytes: u32,
    /// The cloud's limit in bytes.
    pub limit: u32,
}

/// What a provider renders: the module with everything known filled in, and no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// Files of the module.
    pub files: Vec<BundleFile>,
    /// Non-secret variables: a JSON object.
    pub variables: serde_json::Map<String, serde_json::Value>,
    /// Secrets and the variables they fill.
    pub secret_variables: Vec<SecretVariable>,
    /// The variable that gets the deployment id.
    pub deployment_id_variable: Option<String>,
    /// The variable that says whether the cluster exists already. None of contract 1.0, and in bundles of releases before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_exists_variable: Option<String>,
    /// Every node that the module makes, the first server first. None of contract 1.0, and in bundles of releases before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<Node>,
    /// Sizes of user data.
    pub user_data: Vec<UserDataSize>,
    /// Remarks that become log entries.
    pub warnings: Vec<String>,
}

/// What the host knows and a render may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderContext {
    /// Public base URL of the host.
    pub public_url: String,
    /// Repository that Flux follows.
    pub gitops_repo_url: String,
    /// Its branch.
    pub gitops_branch: String,
    /// Names of the declared secrets that have a value.
    pub present_secrets: Vec<String>,
}

/// Where the new cluster is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// Public address of the first server.
    pub control_plane_ip: String,
    /// Public address of the load balancer.
    pub load_balancer_ip: String,
    /// Hosts that a kubeconfig may name.
    pub kubeconfig_hosts: Vec<String>,
    /// Where the console will be.
    pub console_url: String,
}

/// One diagnostic of OpenTofu.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// First line.
    pub summary: String,
    /// The rest.
    pub detail: String,
    /// Resource address.
    pub address: Option<String>,
}

/// What a person chose where a diagnostic comes from. Blank texts mean "not given".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Region of the cloud.
    pub region: String,
    /// Machine type of the servers.
    pub control_plane_size: String,
    /// Machine type of the workers.
    pub worker_size: String,
    /// Number of workers, as asked for.
    pub worker_count: i64,
    /// Three servers in place of one.
    pub ha_enabled: bool,
}

impl Asked {
    /// The choices of a request.
    pub fn of(request: &crate::Request) -> Self {
        let text = |text: &str| text.trim().to_owned();
        Self {
            region: text(&request.region),
            control_plane_size: text(&request.control_plane_size),
            worker_size: text(&request.worker_size),
            worker_count: request.worker_count,
            ha_enabled: request.ha_enabled,
        }
    }
}

/// The family of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiagnosticKind {
    /// No stock.
    Capacity,
    /// A limit of the project.
    Quota,
    /// Refused credentials.
    Credentials,
    /// Too many requests.
    RateLimit,
    /// Something of that name exists, or is locked.
    Conflict,
    /// May pass by itself.
    Transient,
    /// The request cannot be fulfilled as it is.
    Configuration,
    /// Anything else.
    Other,
}

/// Another choice that may work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alternative {
    /// Region to take.
    pub region: Option<String>,
    /// Machine type to take.
    pub machine_type: Option<String>,
    /// Why.
    pub reason: String,
}

/// Plain words for a diagnostic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// Family.
    pub kind: DiagnosticKind,
    /// Whether trying again may help.
    pub retryable: bool,
    /// What happened.
    pub what_happened: String,
    /// What to do.
    pub what_to_do: String,
    /// Other choices.
    pub alternatives: Vec<Alternative>,
}

/// One line of an estimate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostLine {
    /// What it is.
    pub label: String,
    /// How many.
    pub quantity: u32,
    /// Price of one a month in hundredths of the currency.
    pub monthly_cents: u32,
}

/// Monthly cost of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// ISO 4217 code.
    pub currency: String,
    /// Date of the prices.
    pub as_of: String,
    /// Lines.
    pub lines: Vec<CostLine>,
    /// What has no known price.
    pub unknown: Vec<String>,
}
