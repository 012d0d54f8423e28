//! A request, read once: a finding for everything that does not fit, all at once, and what is to be built.

use catalyst_plugin_sdk::{Choice, DeploymentRequest, Findings, Placement, Pointer, Settings, checks, text};

use crate::descriptor::{MACHINES, REGIONS};

/// Most workers, as in the module.
const MAX_WORKERS: u32 = 50;
/// Longest DNS name in bytes (RFC 1035).
const MAX_FQDN: usize = 253;
const DEFAULT_API_PORT: i64 = 6443;

/// What is to be built. Worth something only without error findings.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) region: String,
    pub(crate) server_size: String,
    pub(crate) worker_size: String,
    pub(crate) workers: u32,
    pub(crate) api_port: i64,
}

pub(crate) fn read(request: &DeploymentRequest, findings: &mut Findings) -> Plan {
    text::check_request(request, findings);
    if !checks::is_dns_name(&request.sovereign_fqdn, MAX_FQDN) {
        let message = "sovereignFQDN must be a lower-case DNS name of at least two labels";
        findings.error(&Pointer::to("sovereignFQDN"), "dns-name", message);
    }
    if let Err(reason) = checks::check_public_key(&request.ssh_public_key) {
        findings.error(&Pointer::to("sshPublicKey"), "ssh-public-key", reason);
    }
    if request.ha_enabled {
        findings.error(&Pointer::to("haEnabled"), "no-ha", "haEnabled: one server is built here, not three");
    }
    if request.regions.len() > 1 {
        let message = "only the first region is built; the others are left out";
        findings.warning(&Pointer::to("regions").index(1), "one-region", message);
    }
    let placement = Placement::of(request);
    let machines = MACHINES.map(|(name, ..)| name);
    let workers = workers(&placement, findings);
    Plan {
        region: chosen(&placement.region, &REGIONS, "region", findings),
        server_size: chosen(&placement.control_plane_size, &machines, "machine type", findings),
        worker_size: chosen(&placement.worker_size, &machines, "machine type", findings),
        workers,
        api_port: api_port(&Settings::parse(&request.extra), findings),
    }
}

/// A blank choice is the first that there is.
fn chosen(choice: &Choice, known: &[&str], what: &str, findings: &mut Findings) -> String {
    if !choice.value.is_empty() && !known.contains(&choice.value.as_str()) {
        let message = format!("there is no {what} of that name; there are {}", known.join(", "));
        findings.error(&choice.pointer, &format!("unknown-{}", what.replace(' ', "-")), message);
    }
    if choice.value.is_empty() { known[0].to_owned() } else { choice.value.clone() }
}

fn workers(placement: &Placement, findings: &mut Findings) -> u32 {
    match u32::try_from(placement.worker_count) {
        Ok(count) if count <= MAX_WORKERS => count,
        _ => {
            let message = format!("workerCount must be from 0 to {MAX_WORKERS}");
            findings.error(&placement.worker_count_pointer, "worker-count", message);
            0
        }
    }
}

fn api_port(settings: &Settings, findings: &mut Findings) -> i64 {
    let port = settings.integer("apiPort", findings).unwrap_or(DEFAULT_API_PORT);
    if !(1..=65_535).contains(&port) {
        findings.error(&Pointer::to("apiPort"), "port", "apiPort must be from 1 to 65535");
    }
    port
}
