//! A request for Hetzner Cloud, the context of a host, and the module as the judge of variables.

use catalyst_plugin_sdk::testing::Module;
use catalyst_plugin_sdk::{DeploymentRequest, DomainMode, RegionSlot, RenderContext, Rendered};

/// A well-formed key of no one.
pub const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ someone@example.test";

/// One server, nothing special but its name.
pub fn solo() -> DeploymentRequest {
    DeploymentRequest {
        org_name: "Example <& Sons> \"${file(\"/etc/shadow\")}\"".to_owned(),
        org_email: "ops@example.test".to_owned(),
        sovereign_fqdn: "acme.example.test".to_owned(),
        domain_mode: DomainMode::Byo,
        pool_domain: String::new(),
        subdomain: String::new(),
        region: String::new(),
        control_plane_size: String::new(),
        worker_size: String::new(),
        worker_count: 0,
        ha_enabled: false,
        regions: vec![RegionSlot {
            provider: "hetzner".to_owned(),
            cloud_region: "fsn1".to_owned(),
            control_plane_size: "cx43".to_owned(),
            worker_size: String::new(),
            worker_count: 0,
        }],
        ssh_public_key: SSH_KEY.to_owned(),
        extra: r#"{"hetznerProjectID":"12345"}"#.to_owned(),
    }
}

/// Three servers, two workers, every setting of its own.
pub fn ha() -> DeploymentRequest {
    let mut request = DeploymentRequest {
        sovereign_fqdn: "acme.omani.works".to_owned(),
        domain_mode: DomainMode::Pool,
        pool_domain: "omani.works".to_owned(),
        subdomain: "acme".to_owned(),
        ha_enabled: true,
        extra: r#"{"hetznerProjectID":"12345","sshAllowedCidrs":["203.0.113.7/32","2001:db8::/48"],
            "enableUnattendedUpgrades":false,"enableFail2ban":false,"enableLocalStorage":false,
            "enableHcloudCredentials":false,"gitopsPath":"clusters/_template/","k3sVersion":"v1.32.1+k3s1",
            "helmVersion":"v3.17.0","ciliumVersion":"1.17.0","fluxVersion":"v2.5.0"}"#
            .to_owned(),
        ..solo()
    };
    request.regions[0].worker_size = "cpx32".to_owned();
    request.regions[0].worker_count = 2;
    request
}

/// A host with every secret.
pub fn context() -> RenderContext {
    let secrets = ["hetzner-token", "ghcr-pull-token", "kubeconfig-bearer", "k3s-token", "k3s-agent-token"];
    RenderContext {
        public_url: "https://console.example.test/sovereign".to_owned(),
        gitops_repo_url: "https://git.example.test/openova".to_owned(),
        gitops_branch: "main".to_owned(),
        present_secrets: secrets.map(str::to_owned).to_vec(),
    }
}

/// Where the module lies.
pub const MODULE: &str = "../../infra/hetzner";

pub fn module() -> Module {
    Module::at(MODULE)
}

/// Variables of the module that a host adds to those of a bundle.
pub fn with_token(variables: &str) -> serde_json::Value {
    let mut variables: serde_json::Value = serde_json::from_str(variables).unwrap();
    variables["hcloud_token"] = "a".repeat(64).into();
    variables
}

/// What the apply would put into a hole.
pub fn hole_value(name: &str) -> String {
    match name {
        "load_balancer_ipv4" => "203.0.113.9".to_owned(),
        "join_private_ip" | "node_private_ip" => "10.0.1.3".to_owned(),
        "deployment_id" => "00112233aabbccdd".to_owned(),
        "cloud_credentials_b64" | "ghcr_dockerconfigjson_b64" => "c2VjcmV0".repeat(11),
        _ => "0123456789abcdef".repeat(4),
    }
}

/// Text of a file of a bundle.
pub fn content<'a>(bundle: &'a Rendered, path: &str) -> &'a str {
    let file = bundle.files.iter().find(|file| file.path == path).unwrap();
    std::str::from_utf8(&file.content).unwrap()
}
