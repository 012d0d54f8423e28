//! A small provider for version 1.1 of the contract. It grows with it, and is not frozen.
#![cfg(target_arch = "wasm32")]

/// Generated from `wit/provisioner-1.1`.
#[allow(unsafe_code, missing_docs, clippy::all, reason = "generated code")]
mod wit {
    wit_bindgen::generate!({ path: "../../../../wit/provisioner-1.1", world: "provisioner" });
}

use wit::catalyst::provisioner::bundle::{File, RenderContext, Rendered, SecretVariable, UserDataSize};
use wit::catalyst::provisioner::credentials::{Header, Probe, ProbeResponse, Verdict};
use wit::catalyst::provisioner::descriptor::{
    Catalogue, MachineType, Provider, ProviderSetting, Region, Secret, SecretRole, SecretSource, SettingSource,
    TofuProvider,
};
use wit::catalyst::provisioner::findings::{Finding, Severity};
use wit::catalyst::provisioner::log::{Level, write};
use wit::catalyst::provisioner::outcome::{
    Advice, Alternative, Asked, CostLine, Diagnostic, DiagnosticKind, Endpoints, Estimate, Node, NodeRole,
};
use wit::catalyst::provisioner::request::{DeploymentRequest, DomainMode};
use wit::exports::catalyst::provisioner::cloud::Guest;

struct Cloud;

impl Guest for Cloud {
    fn describe() -> Provider {
        Provider {
            id: "latest".into(),
            display_name: "The cloud of contract 1.1".into(),
            version: "3.2.1".into(),
            secrets: vec![
                secret("token", SecretSource::Request("latestToken".into()), SecretRole::Ordinary, 8),
                secret("images", SecretSource::Host("ghcr-pull-token".into()), SecretRole::Ordinary, 1),
                secret("bearer", SecretSource::Minted, SecretRole::KubeconfigBearer, 64),
            ],
            tofu_providers: vec![TofuProvider {
                source: "acme/latest".into(),
                version: "1.2.3".into(),
                settings: vec![
                    setting("token", SettingSource::Secret("token".into()), false),
                    setting("region", SettingSource::Fixed, false),
                    setting("endpoints.auth", SettingSource::Request("project".into()), true),
                ],
            }],
            bearer_resource: Some("latest_server.first[0]".into()),
            catalogue: Catalogue {
                as_of: "2026-01-02".into(),
                currency: "CHF".into(),
                regions: vec![Region {
                    id: "r1".into(),
                    display_name: "First".into(),
                    machine_types: vec!["small".into(), "gone".into()],
                }],
                machine_types: vec![machine("small", Some(499), None), machine("gone", None, Some("small"))],
            },
            user_data_limit: 16_384,
            settings_schema: r#"{"type":"object","properties":{"project":{"type":"string"}}}"#.into(),
            api_hosts: vec!["api.latest.example".into(), ".eu.latest.example".into()],
        }
    }

    fn validate(request: DeploymentRequest, left_out: Vec<String>) -> Vec<Finding> {
        write(Level::Info, "looks at a request");
        let mode = match request.domain_mode {
            DomainMode::Pool => "pool",
            DomainMode::Byo => "byo",
        };
        let slots: Vec<&str> = request.regions.iter().map(|slot| slot.cloud_region.as_str()).collect();
        let said = format!("{mode} {} {}", slots.join(","), request.extra);
        let mut findings = vec![finding("/orgName", "heard", said, Severity::Warning)];
        if request.region == "nowhere" {
            findings.push(finding("/region", "unknown-region", "there is only r1".into(), Severity::Error));
        }
        if !left_out.is_empty() {
            findings.push(finding("", "left-out", left_out.join(" "), Severity::Warning));
        }
        findings
    }

    fn render(request: DeploymentRequest, context: RenderContext) -> Result<Rendered, Vec<Finding>> {
        if request.region == "nowhere" {
            return Err(Self::validate(request, Vec::new()));
        }
        let main = "terraform {\n  required_providers {\n    latest = {\n      source  = \"acme/latest\"\n      version = \"1.2.3\"\n    }\n  }\n}\n\n\
                    variable \"region\" {\n  type = string\n}\n";
        Ok(Rendered {
            files: vec![File { path: "main.tf".into(), mode: 0o600, content: main.into() }],
            variables: format!(r#"{{"region":"{}","url":"{}"}}"#, request.region, context.public_url),
            secret_variables: vec![SecretVariable { secret: "token".into(), variable: "cloud_token".into() }],
            deployment_id_variable: Some("deployment_id".into()),
            cluster_exists_variable: Some("cluster_exists".into()),
            nodes: vec![
                node("first", NodeRole::ControlPlane, "latest_server.first[0]"),
                node("worker", NodeRole::Worker, "latest_server.worker[\"a\"]"),
            ],
            user_data: vec![UserDataSize { node: "server".into(), bytes: 900, limit: 16_384 }],
            warnings: context.present_secrets,
        })
    }

    fn read_outputs(outputs: String) -> Result<Endpoints, String> {
        if outputs.is_empty() {
            return Err("there are no outputs".into());
        }
        Ok(Endpoints {
            control_plane_ip: "192.0.2.1".into(),
            load_balancer_ip: outputs,
            kubeconfig_hosts: vec!["192.0.2.1".into(), "api.latest.example".into()],
            console_url: "https://console.latest.example".into(),
        })
    }

    fn diagnose(diagnostic: Diagnostic, asked: Asked) -> Advice {
        let Asked { region, control_plane_size, worker_size, worker_count, ha_enabled } = asked;
        let what_to_do = format!("{region} {control_plane_size} {worker_size} {worker_count} {ha_enabled}");
        advice(diagnostic.address, format!("{}: {}", diagnostic.summary, diagnostic.detail), what_to_do)
    }

    fn estimate(request: DeploymentRequest) -> Result<Estimate, String> {
        let workers = u32::try_from(request.worker_count).map_err(|_| "no such number of workers".to_owned())?;
        let lines = vec![CostLine { label: "worker".into(), quantity: workers, monthly_cents: 499 }];
        Ok(Estimate { currency: "CHF".into(), as_of: "2026-01-02".into(), lines, unknown: vec!["traffic".into()] })
    }

    fn credential_probe(settings: String) -> Result<Vec<Probe>, String> {
        let place = if settings.contains("eu-") { "c7.eu" } else { "api" };
        Ok(vec![probe(&format!("{place}.latest.example"), &settings)])
    }

    fn judge_credentials(responses: Vec<ProbeResponse>) -> Verdict {
        match responses.first() {
            Some(response) if response.status == 200 => {
                Verdict::Accepted(String::from_utf8_lossy(&response.body).into_owned())
            }
            Some(_) => Verdict::Rejected("it was refused".into()),
            None => Verdict::Unreachable("nobody answered".into()),
        }
    }
}

fn secret(name: &str, source: SecretSource, role: SecretRole, min_length: u32) -> Secret {
    Secret {
        name: name.into(),
        source,
        role,
        required: name != "images",
        min_length,
        max_length: 64,
        label: format!("the {name}"),
        refused_prefixes: vec!["demo".into()],
    }
}

fn node(name: &str, role: NodeRole, address: &str) -> Node {
    Node { name: name.into(), role, address: address.into() }
}

fn setting(argument: &str, source: SettingSource, address: bool) -> ProviderSetting {
    ProviderSetting { argument: argument.into(), source, address }
}

fn machine(name: &str, monthly_cents: Option<u32>, successor: Option<&str>) -> MachineType {
    MachineType {
        name: name.into(),
        cores: 2,
        memory_gib: 4,
        disk_gib: 40,
        arch: "x86".into(),
        monthly_cents,
        retired: successor.is_some(),
        successor: successor.map(Into::into),
    }
}

fn finding(pointer: &str, code: &str, message: String, severity: Severity) -> Finding {
    Finding { pointer: pointer.into(), code: code.into(), message, severity }
}

fn advice(address: Option<String>, what_happened: String, what_to_do: String) -> Advice {
    Advice {
        kind: DiagnosticKind::Capacity,
        retryable: true,
        what_happened,
        what_to_do,
        alternatives: vec![Alternative { region: None, machine_type: address, reason: "it is there".into() }],
    }
}

fn probe(host: &str, body: &str) -> Probe {
    let header = Header { name: "X-Token".into(), value: "{{secret:token}}".into() };
    Probe {
        method: "POST".into(),
        url: format!("https://{host}/v1/me"),
        headers: vec![header],
        body: Some(body.into()),
    }
}

#[allow(unsafe_code, reason = "the canonical ABI's entry points")]
mod component_exports {
    use super::{Cloud, wit};

    wit::export!(Cloud with_types_in wit);
}
