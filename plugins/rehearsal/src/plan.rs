//! A request, read once: findings for what does not fit, and what is to be built.

use catalyst_plugin_sdk::{Choice, DeploymentRequest, Findings, Placement, Pointer, Settings, checks, text};

use crate::descriptor::{MACHINES, REGIONS};

/// Most workers, as in the module.
const MAX_WORKERS: i64 = 50;
/// Longest name (RFC 1035) in bytes.
const MAX_FQDN: usize = 253;
/// Port of a cluster's API when none is asked for.
const DEFAULT_API_PORT: i64 = 6443;

/// What is to be built. Blank texts mean "the module's default".
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) region: String,
    pub(crate) control_plane_size: String,
    pub(crate) worker_size: String,
    pub(crate) worker_count: i64,
    pub(crate) api_port: i64,
    pub(crate) fail: String,
}

/// Reads a request. The plan is worth something only without error findings.
pub(crate) fn read(request: &DeploymentRequest, findings: &mut Findings) -> Plan {
    text::check_request(request, findings);
    let fqdn = request.sovereign_fqdn.as_str();
    if !fqdn.is_empty() && !checks::is_dns_name(fqdn, MAX_FQDN) {
        let message = "sovereignFQDN must be a lower-case FQDN of at least two labels";
        findings.error(&Pointer::to("sovereignFQDN"), "dns-name", message);
    }
    let placement = Placement::of(request);
    check_choice(&placement.region, &REGIONS, "region", findings);
    let machines = MACHINES.map(|(name, ..)| name);
    check_choice(&placement.control_plane_size, &machines, "machine type", findings);
    check_choice(&placement.worker_size, &machines, "machine type", findings);
    if placement.worker_count > MAX_WORKERS {
        let message = format!("workerCount is {}; at most {MAX_WORKERS} are built", placement.worker_count);
        findings.error(&placement.worker_count_pointer, "too-many-workers", message);
    } else if placement.worker_count < 0 {
        findings.error(&placement.worker_count_pointer, "negative", "workerCount must be 0 or more");
    }
    if request.regions.len() > 1 {
        let message = "only the first region is built; the others are left out";
        findings.warning(&Pointer::to("regions").index(1), "one-region", message);
    }
    if !request.ssh_public_key.trim().is_empty()
        && let Err(reason) = checks::check_public_key(&request.ssh_public_key)
    {
        findings.error(&Pointer::to("sshPublicKey"), "ssh-public-key", reason);
    }
    let settings = Settings::parse(&request.extra);
    Plan {
        region: placement.region.value,
        control_plane_size: placement.control_plane_size.value,
        worker_size: placement.worker_size.value,
        worker_count: placement.worker_count,
        api_port: api_port(&settings, findings),
        fail: fail(&settings, findings),
    }
}

fn check_choice(choice: &Choice, known: &[&str], what: &str, findings: &mut Findings) {
    // Whether a blank may be is the host's rule; here it means the default.
    if !choice.value.is_empty() && !known.contains(&choice.value.as_str()) {
        let message = format!("there is no {what} `{}`; there are {}", choice.value, known.join(", "));
        findings.error(&choice.pointer, &format!("unknown-{}", what.replace(' ', "-")), message);
    }
}

fn api_port(settings: &Settings, findings: &mut Findings) -> i64 {
    let port = settings.integer("rehearsalApiPort", findings).unwrap_or(DEFAULT_API_PORT);
    if !(1..=65_535).contains(&port) {
        let message = format!("rehearsalApiPort is {port}; a port is from 1 to 65535");
        findings.error(&Pointer::to("rehearsalApiPort"), "port", message);
    }
    port
}

fn fail(settings: &Settings, findings: &mut Findings) -> String {
    let fail = settings.text("rehearsalFail", findings).unwrap_or_default();
    if !["", "plan", "apply", "apply-once"].contains(&fail.as_str()) {
        let message = format!("rehearsalFail is `{fail}`; it must be plan, apply or apply-once");
        findings.error(&Pointer::to("rehearsalFail"), "unknown-failure", message);
    }
    fail
}
