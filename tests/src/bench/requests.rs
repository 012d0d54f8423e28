//! Inputs: requests for the Hetzner plugin, all different, and a record as the store keeps it.

use catalyst_domain::record::{NewRecord, ProviderRef};
use catalyst_domain::{DeploymentId, Record, Request, Status, Timestamp, provider};
use catalyst_plugin_sdk::testing;
use catalyst_plugin_sdk::{DeploymentRequest, DomainMode, RegionSlot, RenderContext};
use serde_json::json;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ ops";
const SECRETS: [&str; 5] = ["hetzner-token", "ghcr-pull-token", "kubeconfig-bearer", "k3s-token", "k3s-agent-token"];

/// Requests with every setting of their own; no two are alike.
pub fn distinct(count: usize) -> Vec<DeploymentRequest> {
    let base = DeploymentRequest {
        org_name: "Example".to_owned(),
        org_email: "ops@example.test".to_owned(),
        sovereign_fqdn: "acme.example.test".to_owned(),
        domain_mode: DomainMode::Byo,
        pool_domain: String::new(),
        subdomain: String::new(),
        region: String::new(),
        control_plane_size: String::new(),
        worker_size: String::new(),
        worker_count: 2,
        ha_enabled: true,
        regions: vec![RegionSlot {
            provider: "hetzner".to_owned(),
            cloud_region: "fsn1".to_owned(),
            control_plane_size: "cx43".to_owned(),
            worker_size: "cx33".to_owned(),
            worker_count: 2,
        }],
        ssh_public_key: KEY.to_owned(),
        extra: r#"{"hetznerProjectID":"12345","sshAllowedCidrs":["203.0.113.7/32"]}"#.to_owned(),
    };
    let mut made = testing::requests(&base, count);
    for (index, request) in made.iter_mut().enumerate() {
        request.sovereign_fqdn = format!("n{index}.{}", request.sovereign_fqdn);
    }
    made
}

/// The same request as the host holds it.
pub fn to_host(request: &DeploymentRequest) -> anyhow::Result<Request> {
    let first = &request.regions[0];
    let mut host: Request = serde_json::from_value(json!({
        "orgName": request.org_name,
        "orgEmail": request.org_email,
        "sovereignFQDN": request.sovereign_fqdn,
        "sovereignDomainMode": "byo",
        "workerCount": request.worker_count,
        "haEnabled": request.ha_enabled,
        "regions": [{
            "provider": first.provider,
            "cloudRegion": first.cloud_region,
            "controlPlaneSize": first.control_plane_size,
            "workerSize": first.worker_size,
            "workerCount": first.worker_count,
        }],
        "sshPublicKey": request.ssh_public_key,
    }))?;
    host.extra = serde_json::from_str(&request.extra)?;
    Ok(host)
}

/// What the host tells a render.
pub fn context() -> provider::RenderContext {
    provider::RenderContext {
        public_url: "https://console.example.test/sovereign".to_owned(),
        gitops_repo_url: "https://git.example.test/openova".to_owned(),
        gitops_branch: "main".to_owned(),
        present_secrets: SECRETS.map(str::to_owned).to_vec(),
    }
}

/// The same for the plugin's own types.
pub fn plugin_context() -> RenderContext {
    let provider::RenderContext { public_url, gitops_repo_url, gitops_branch, present_secrets } = context();
    RenderContext { public_url, gitops_repo_url, gitops_branch, present_secrets }
}

/// A deployment that came to its end: the host reads it and has nothing to do for it.
pub fn ended(number: u64) -> anyhow::Result<Record> {
    let mut request = to_host(&distinct(1)[0])?;
    request.sovereign_fqdn = fqdn(number);
    let provider = ProviderRef { id: "hetzner".to_owned(), version: "0.1.0".to_owned(), digest: "0".repeat(64) };
    let id = DeploymentId::from_bytes(number.to_be_bytes());
    let at = Timestamp::from_second(1_767_225_600)?;
    let mut record = Record::new(NewRecord { id, request, kubeconfig_bearer_hash: "1".repeat(64), provider, at });
    record.status = Status::Failed;
    record.error = "The cloud had no machine of this type left; another region may have one.".to_owned();
    record.finished_at = Some(at);
    Ok(record)
}

/// The name of that deployment.
pub fn fqdn(number: u64) -> String {
    format!("deployment-{number:016x}.example.test")
}
