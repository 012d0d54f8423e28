//! What the rehearsal cloud says of itself.

use catalyst_plugin_sdk::{Catalogue, MachineType, Provider, Region, Secret, SecretRole, SecretSource};

/// Name of the bearer among the secrets.
pub(crate) const BEARER: &str = "kubeconfig-bearer";
/// Name of the joining token among the secrets.
pub(crate) const K3S_TOKEN: &str = "k3s-token";
/// Name of the registry token among the secrets.
pub(crate) const GHCR_TOKEN: &str = "ghcr-pull-token";
/// Name of the make-believe credential among the secrets.
pub(crate) const ACCOUNT_TOKEN: &str = "rehearsal-token";
/// The same limit as a real cloud's, so that a rehearsal meets it too.
pub(crate) const USER_DATA_LIMIT: u32 = 32_768;
/// Machine types, smallest first: name, cores, memory and disk in GiB.
pub(crate) const MACHINES: [(&str, u32, u32, u32); 3] =
    [("small", 1, 2, 10), ("medium", 2, 4, 20), ("large", 4, 8, 40)];
/// Region ids.
pub(crate) const REGIONS: [&str; 2] = ["local-1", "local-2"];
/// The date of the catalogue: when this cloud was thought up.
pub(crate) const AS_OF: &str = "2026-11-23";
/// Currency of a price that is always nothing.
pub(crate) const CURRENCY: &str = "EUR";

const SETTINGS: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "rehearsalApiPort": {
      "type": "integer", "minimum": 1, "maximum": 65535, "default": 6443,
      "description": "Port on this machine at which the cluster's API answers."
    },
    "rehearsalFail": {
      "enum": ["", "plan", "apply", "apply-once"], "default": "",
      "description": "Where the run fails: at plan, in the middle of the apply, or there in the first run only."
    }
  }
}"#;

pub(crate) fn provider() -> Provider {
    Provider {
        id: "rehearsal".to_owned(),
        display_name: "Rehearsal (costs nothing)".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        secrets: secrets(),
        tofu_providers: Vec::new(),
        bearer_resource: Some("terraform_data.control_plane[0]".to_owned()),
        catalogue: catalogue(),
        user_data_limit: USER_DATA_LIMIT,
        settings_schema: SETTINGS.to_owned(),
        api_hosts: Vec::new(),
    }
}

fn secrets() -> Vec<Secret> {
    let secret = |name: &str, source, role, max_length, label: &str| Secret {
        name: name.to_owned(),
        source,
        role,
        required: false,
        min_length: 1,
        max_length,
        label: label.to_owned(),
        refused_prefixes: Vec::new(),
    };
    let minted = |name: &str, role, label: &str| Secret {
        required: true,
        min_length: 64,
        ..secret(name, SecretSource::Minted, role, 64, label)
    };
    let request_key = SecretSource::Request("rehearsalToken".to_owned());
    let host_setting = SecretSource::Host("ghcr-pull-token".to_owned());
    vec![
        secret(ACCOUNT_TOKEN, request_key, SecretRole::Ordinary, 256, "rehearsal token"),
        secret(GHCR_TOKEN, host_setting, SecretRole::Ordinary, 256, "GHCR pull token"),
        minted(BEARER, SecretRole::KubeconfigBearer, "kubeconfig bearer"),
        minted(K3S_TOKEN, SecretRole::Ordinary, "k3s token"),
    ]
}

fn catalogue() -> Catalogue {
    let names: Vec<String> = MACHINES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let region = |id: &&str| Region {
        id: (*id).to_owned(),
        display_name: format!("This machine ({id})"),
        machine_types: names.clone(),
    };
    let machine = |(name, cores, memory, disk): &(&str, u32, u32, u32)| MachineType {
        name: (*name).to_owned(),
        cores: *cores,
        memory_gib: *memory,
        disk_gib: *disk,
        arch: "x86".to_owned(),
        monthly_cents: Some(0),
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
