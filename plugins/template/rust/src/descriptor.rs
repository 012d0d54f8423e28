//! What the plugin says of itself. The host reads it once, when it loads the component.

use catalyst_plugin_sdk::{Catalogue, MachineType, Provider, Region, Secret, SecretRole, SecretSource};

/// Secret of the request: what OpenTofu's provider logs in with.
pub(crate) const CLOUD_TOKEN: &str = "cloud-token";
/// Secret of the host: pulls images from ghcr.io.
pub(crate) const GHCR_TOKEN: &str = "ghcr-pull-token";
/// Made by the host: with it the first server hands in its kubeconfig.
pub(crate) const BEARER: &str = "kubeconfig-bearer";
/// Made by the host: with it servers and workers join.
pub(crate) const K3S_TOKEN: &str = "k3s-token";

/// Largest user data of one server in bytes, as the cloud documents it.
pub(crate) const USER_DATA_LIMIT: u32 = 32_768;
/// When prices and types were looked up.
pub(crate) const AS_OF: &str = "2026-01-01";
/// Name of the cloud for people.
const NAME: &str = "mycloud";
pub(crate) const CURRENCY: &str = "EUR";
pub(crate) const REGIONS: [&str; 2] = ["place-1", "place-2"];
/// Name, cores, memory and disk in GiB, cents a month.
pub(crate) const MACHINES: [(&str, u32, u32, u32, u32); 2] = [("small", 2, 4, 40, 0), ("large", 8, 16, 160, 0)];

/// Request keys that only this cloud knows. A wizard shows them; `plan.rs` holds a request to them.
const SETTINGS: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "apiPort": {
      "type": "integer", "minimum": 1, "maximum": 65535, "default": 6443,
      "description": "Port at which the load balancer answers for the cluster's API."
    }
  }
}"#;

pub(crate) fn provider() -> Provider {
    Provider {
        id: "mycloud".to_owned(),
        display_name: NAME.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        secrets: secrets(),
        // Such as `TofuProvider { source: "acme/acme".to_owned(), version: "1.2.3".to_owned() }`, pinned in versions.tf.
        tofu_providers: Vec::new(),
        bearer_resource: Some("terraform_data.server".to_owned()),
        catalogue: catalogue(),
        user_data_limit: USER_DATA_LIMIT,
        settings_schema: SETTINGS.to_owned(),
        api_hosts: Vec::new(),
    }
}

pub(crate) fn monthly_cents(machine: &str) -> u32 {
    MACHINES.iter().find(|(name, ..)| *name == machine).map_or(0, |(.., cents)| *cents)
}

fn secrets() -> Vec<Secret> {
    let secret = |name: &str, source, label: &str| Secret {
        name: name.to_owned(),
        source,
        role: SecretRole::Ordinary,
        required: false,
        min_length: 1,
        max_length: 256,
        label: label.to_owned(),
        refused_prefixes: Vec::new(),
    };
    let minted = |name: &str, role, label: &str| Secret {
        role,
        required: true,
        min_length: 64,
        max_length: 64,
        ..secret(name, SecretSource::Minted, label)
    };
    vec![
        // A real cloud requires it: `required: true`.
        secret(CLOUD_TOKEN, SecretSource::Request("mycloud-token".to_owned()), "mycloud token"),
        secret(GHCR_TOKEN, SecretSource::Host("ghcr-pull-token".to_owned()), "GHCR pull token"),
        minted(BEARER, SecretRole::KubeconfigBearer, "kubeconfig bearer"),
        minted(K3S_TOKEN, SecretRole::Ordinary, "k3s token"),
    ]
}

fn catalogue() -> Catalogue {
    let names: Vec<String> = MACHINES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let region =
        |id: &&str| Region { id: (*id).to_owned(), display_name: format!("{NAME} {id}"), machine_types: names.clone() };
    let machine = |(name, cores, memory, disk, cents): &(&str, u32, u32, u32, u32)| MachineType {
        name: (*name).to_owned(),
        cores: *cores,
        memory_gib: *memory,
        disk_gib: *disk,
        arch: "x86".to_owned(),
        monthly_cents: Some(*cents),
        retired: false,
        successor: None,
    };
    Catalogue {
        as_of: AS_OF.to_owned(),
        currency: CURRENCY.to_owned(),
        regions: REGIONS.iter().map(region).collect(),
        machine_types: MACHINES.iter().map(machine).collect(),
    }
}
