//! What the plugin says of itself, and what it makes of OpenTofu's words.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::plan::BLANKS;
use crate::wit::descriptor::{Catalogue, MachineType, Provider, Region, Secret, SecretRole, SecretSource};
use crate::wit::outcome::{Advice, Diagnostic, DiagnosticKind, Endpoints};
use crate::{AS_OF, CURRENCY, MACHINES, REGIONS, USER_DATA_LIMIT};

/// Most characters of OpenTofu's words that are handed on.
const MOST_WORDS: usize = 1000;

/// Request keys that only this cloud knows. A wizard shows them; `plan` holds a request to them.
fn settings() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "apiPort": {
                "type": "integer", "minimum": 1, "maximum": 65535, "default": 6443,
                "description": "Port at which the load balancer answers for the cluster's API.",
            },
        },
    })
}

pub(crate) fn provider() -> Provider {
    let names: Vec<String> = MACHINES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let region = |id: &&str| Region {
        id: (*id).to_owned(),
        display_name: format!("mycloud {id}"),
        machine_types: names.clone(),
    };
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
    Provider {
        id: "mycloud".to_owned(),
        display_name: "mycloud".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        secrets: secrets(),
        // Such as `TofuProvider { source: "acme/acme".to_owned(), version: "1.2.3".to_owned() }`, pinned in versions.tf.
        tofu_providers: Vec::new(),
        bearer_resource: Some("terraform_data.server".to_owned()),
        catalogue: Catalogue {
            as_of: AS_OF.to_owned(),
            currency: CURRENCY.to_owned(),
            regions: REGIONS.iter().map(region).collect(),
            machine_types: MACHINES.iter().map(machine).collect(),
        },
        user_data_limit: USER_DATA_LIMIT,
        settings_schema: settings().to_string(),
        api_hosts: Vec::new(),
    }
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
        secret("cloud-token", SecretSource::Request("mycloud-token".to_owned()), "mycloud token"),
        secret("ghcr-pull-token", SecretSource::Host("ghcr-pull-token".to_owned()), "GHCR pull token"),
        minted("kubeconfig-bearer", SecretRole::KubeconfigBearer, "kubeconfig bearer"),
        minted("k3s-token", SecretRole::Ordinary, "k3s token"),
    ]
}

pub(crate) fn endpoints(outputs: &str) -> Result<Endpoints, String> {
    let read: Value = serde_json::from_str(outputs).map_err(|_| "the outputs of OpenTofu are no JSON".to_owned())?;
    if !read.is_object() {
        return Err("the outputs of OpenTofu are no JSON object".to_owned());
    }
    let output = |name: &str| {
        let text = read.get(name).and_then(|output| output.get("value")).and_then(Value::as_str);
        let text = text.map(|text| text.trim_matches(BLANKS)).filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or_else(|| format!("OpenTofu gave no output `{name}`"))
    };
    let address = |name: &str| {
        let text = output(name)?;
        let read = text.parse::<IpAddr>().map_err(|_| format!("the output `{name}` is no IP address"));
        read.map(|_| text)
    };
    let (control_plane_ip, load_balancer_ip) = (address("control_plane_ip")?, address("load_balancer_ip")?);
    let mut kubeconfig_hosts = vec![load_balancer_ip.clone()];
    if control_plane_ip != load_balancer_ip {
        kubeconfig_hosts.push(control_plane_ip.clone());
    }
    Ok(Endpoints { control_plane_ip, load_balancer_ip, kubeconfig_hosts, console_url: output("console_url")? })
}

/// The words that your cloud's provider uses when it has no stock, no quota, or does not know the token.
pub(crate) fn advice(diagnostic: &Diagnostic) -> Advice {
    let capacity = diagnostic.summary.contains("out of stock");
    let what_to_do = if capacity { "Try again later, or in another region." } else { "Read OpenTofu's words." };
    Advice {
        kind: if capacity { DiagnosticKind::Capacity } else { DiagnosticKind::Other },
        retryable: capacity,
        what_happened: diagnostic.summary.chars().take(MOST_WORDS).collect(),
        what_to_do: what_to_do.to_owned(),
        alternatives: Vec::new(),
    }
}
