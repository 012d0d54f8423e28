//! The shapes of what is said of plugins.

use super::running::{Running, SandboxSummary};
use catalyst_domain::provider::{Catalogue, Descriptor, MachineType, Region, SecretRole, SecretSource, SecretSpec};
use catalyst_sandbox::grants::{Grant, Rights};
use catalyst_sandbox::{LoadFailure, Provider, Sandbox};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// All plugins that serve, and the files that do not.
#[derive(Serialize, ToSchema)]
pub struct ProviderList {
    /// Plugins that serve.
    providers: Vec<ProviderSummary>,
    /// Files that could not be loaded.
    failures: Vec<PluginFailure>,
    /// All of them together.
    sandbox: SandboxSummary,
}

/// One plugin with everything that it declares.
#[derive(Serialize, ToSchema)]
pub struct ProviderDetails {
    #[serde(flatten)]
    summary: ProviderSummary,
    /// What it says of itself.
    descriptor: ProviderDescriptor,
}

/// What the bundles of a plugin may do.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PluginGrants {
    /// `granted`: what the operator's `plugins.lock` grants. `declared`: there is no lock, so what the plugin declares holds.
    /// `before-grants`: the lock grants nothing to any plugin, with the same effect.
    basis: String,
    /// Rights, as they stand in `plugins.lock` behind the name of the file.
    granted: Vec<String>,
    /// What the plugin declares that it needs, in the same form.
    wanted: Vec<String>,
    /// Whether a bundle may set any argument of its OpenTofu providers: nothing was granted, and the plugin's contract cannot say
    /// which ones it needs.
    any_argument: bool,
    /// Hosts that its probes, its fixed addresses and the runs of its deployments may reach; `.example.org` is every name below
    /// example.org. Where the operator gave a name an address (`=ip:port`), that stands in `granted` and not here.
    hosts: Vec<String>,
}

/// One plugin in short.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProviderSummary {
    /// Value of `regions[].provider`.
    id: String,
    /// Name for people.
    display_name: String,
    /// Semantic version.
    version: String,
    /// File that it was loaded from.
    file: String,
    /// SHA-256 of that file.
    digest: String,
    /// Version of the interface that it was built for.
    interface_version: String,
    /// Everything that it imports.
    imports: Vec<String>,
    /// What its bundles may do.
    grants: PluginGrants,
    /// How it does.
    running: Running,
}

/// A file that could not be loaded.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PluginFailure {
    /// Its name.
    file: String,
    /// What is wrong with it.
    error: String,
    /// Whether an earlier version of it still serves.
    previous_serves: bool,
}

/// What a plugin says of itself.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProviderDescriptor {
    /// Secrets that it needs.
    secrets: Vec<SecretField>,
    /// OpenTofu providers that its module uses.
    tofu_providers: Vec<TofuRequirement>,
    /// Address of the resource that carries the one-time bearer.
    bearer_resource: Option<String>,
    /// Regions and machine types; advice, not a promise.
    catalogue: ProviderCatalogue,
    /// Largest user data of one node, in bytes.
    user_data_limit: u32,
    /// JSON Schema of the request keys that are its own; `null` where it has none.
    settings_schema: Option<Value>,
    /// Hosts that its credential probes, and the runs of its deployments, may reach where they are granted.
    api_hosts: Vec<String>,
}

/// A secret that a plugin needs.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SecretField {
    /// Name within the plugin.
    name: String,
    /// Where its value comes from.
    source: SecretOrigin,
    /// `ordinary` or `kubeconfig-bearer`.
    #[schema(value_type = String)]
    role: SecretRole,
    /// Whether a blank value is refused.
    required: bool,
    /// How a person calls it.
    label: String,
    /// Shortest length in bytes.
    min_length: u32,
    /// Longest length in bytes.
    max_length: u32,
    /// Beginnings of values that are known to be made up.
    refused_prefixes: Vec<String>,
}

/// Where the value of a secret comes from.
#[derive(Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum SecretOrigin {
    /// A key of the request body.
    Request {
        /// The key.
        key: String,
    },
    /// A setting of this host.
    Host {
        /// Name of the setting.
        name: String,
    },
    /// Made by this host.
    Minted,
}

/// An OpenTofu provider that a module uses.
#[derive(Serialize, ToSchema)]
struct TofuRequirement {
    /// Source address.
    source: String,
    /// Exact version.
    version: String,
}

/// Regions and machine types.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProviderCatalogue {
    /// Date of what it says.
    as_of: String,
    /// ISO 4217 code of its prices.
    currency: String,
    /// Regions.
    regions: Vec<CatalogueRegion>,
    /// Machine types.
    machine_types: Vec<CatalogueMachine>,
}

/// A region.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CatalogueRegion {
    /// Value of `regions[].cloudRegion`.
    id: String,
    /// Name for people.
    display_name: String,
    /// Names of the machine types that it offers.
    machine_types: Vec<String>,
}

/// A machine type.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CatalogueMachine {
    /// Value of `regions[].controlPlaneSize` and `workerSize`.
    name: String,
    /// Virtual cores.
    cores: u32,
    /// Memory in GiB.
    #[serde(rename = "memoryGiB")]
    memory_gib: u32,
    /// Disk in GiB.
    #[serde(rename = "diskGiB")]
    disk_gib: u32,
    /// `x86` or `arm`.
    arch: String,
    /// Price a month in hundredths of the currency; `null` when it is not known.
    monthly_cents: Option<u32>,
    /// Whether the cloud retires it.
    retired: bool,
    /// What to take instead.
    successor: Option<String>,
}

impl ProviderList {
    /// The answer for all plugins and files.
    pub fn new(sandbox: &Sandbox) -> Self {
        Self {
            providers: sandbox.providers().iter().map(|provider| ProviderSummary::new(provider)).collect(),
            failures: sandbox.failures().iter().map(PluginFailure::new).collect(),
            sandbox: SandboxSummary::new(sandbox),
        }
    }
}

impl ProviderDetails {
    /// The answer for one plugin.
    pub fn new(provider: &Provider) -> Self {
        Self { summary: ProviderSummary::new(provider), descriptor: ProviderDescriptor::new(provider.descriptor()) }
    }
}

impl ProviderSummary {
    fn new(provider: &Provider) -> Self {
        let of = provider.descriptor();
        Self {
            id: of.id.clone(),
            display_name: of.display_name.clone(),
            version: of.version.clone(),
            file: provider.file_name().to_owned(),
            digest: provider.digest().to_owned(),
            interface_version: provider.interface_version().to_owned(),
            imports: provider.imports().to_vec(),
            grants: PluginGrants::new(&provider.rights()),
            running: Running::new(provider),
        }
    }
}

impl PluginGrants {
    fn new(rights: &Rights) -> Self {
        let lines = |grants: &BTreeSet<Grant>| grants.iter().map(ToString::to_string).collect();
        Self {
            basis: rights.basis().name().to_owned(),
            granted: lines(rights.grants()),
            wanted: lines(rights.wanted()),
            any_argument: rights.any_argument(),
            hosts: rights.hosts().into_iter().map(|host| host.pattern).collect(),
        }
    }
}

impl PluginFailure {
    fn new(failure: &LoadFailure) -> Self {
        // Where our plugins lie is nobody's business.
        let file = failure.file.rsplit('/').next().unwrap_or_default().to_owned();
        Self { file, error: failure.error.to_string(), previous_serves: failure.previous_serves }
    }
}

impl ProviderDescriptor {
    fn new(of: &Descriptor) -> Self {
        let tofu = of.tofu_providers.iter();
        Self {
            secrets: of.secrets.iter().map(SecretField::new).collect(),
            tofu_providers: tofu
                .map(|p| TofuRequirement { source: p.source.clone(), version: p.version.clone() })
                .collect(),
            bearer_resource: of.bearer_resource.clone(),
            catalogue: ProviderCatalogue::new(&of.catalogue),
            user_data_limit: of.user_data_limit,
            settings_schema: serde_json::from_str(&of.settings_schema).ok(),
            api_hosts: of.api_hosts.clone(),
        }
    }
}

impl SecretField {
    fn new(spec: &SecretSpec) -> Self {
        let source = match &spec.source {
            SecretSource::Request(key) => SecretOrigin::Request { key: key.clone() },
            SecretSource::Host(name) => SecretOrigin::Host { name: name.clone() },
            SecretSource::Minted => SecretOrigin::Minted,
        };
        Self {
            name: spec.name.clone(),
            source,
            role: spec.role,
            required: spec.required,
            label: spec.label.clone(),
            min_length: spec.min_length,
            max_length: spec.max_length,
            refused_prefixes: spec.refused_prefixes.clone(),
        }
    }
}

impl ProviderCatalogue {
    fn new(of: &Catalogue) -> Self {
        Self {
            as_of: of.as_of.clone(),
            currency: of.currency.clone(),
            regions: of.regions.iter().map(CatalogueRegion::new).collect(),
            machine_types: of.machine_types.iter().map(CatalogueMachine::new).collect(),
        }
    }
}

impl CatalogueRegion {
    fn new(of: &Region) -> Self {
        Self { id: of.id.clone(), display_name: of.display_name.clone(), machine_types: of.machine_types.clone() }
    }
}

impl CatalogueMachine {
    fn new(of: &MachineType) -> Self {
        Self {
            name: of.name.clone(),
            cores: of.cores,
            memory_gib: of.memory_gib,
            disk_gib: of.disk_gib,
            arch: of.arch.clone(),
            monthly_cents: of.monthly_cents,
            retired: of.retired,
            successor: of.successor.clone(),
        }
    }
}
