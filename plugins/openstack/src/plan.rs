//! A request, read once: findings for what the module or the cloud would refuse, and what is to be built.

use catalyst_plugin_sdk::sovereign::{FidoKeys, check_names, check_ssh_key, check_versions, check_worker_count};
use catalyst_plugin_sdk::{Choice, DeploymentRequest, Findings, LeftOut, Placement, Pointer, text};

use crate::flavours;
use crate::settings::{self, OpenstackSettings};

/// Longest flavour name in characters, as in the module. Nova would take 255; nobody was seen to use half of it.
const MAX_FLAVOUR: usize = 100;
/// Memory in GiB below which a Sovereign without workers runs out.
const SOLO_MEMORY_GIB: u32 = 16;

/// Nova reads a key to make its fingerprint, by the Python library cryptography, which knows FIDO keys from release 43 on
/// (pyca/cryptography, pull request 10608). Older ones answer 400, "failed to generate fingerprint", in mid-apply; OVHcloud did in
/// 2026 (ovh/public-cloud-roadmap, issue 973).
const FIDO_KEYS: FidoKeys = FidoKeys::NotTaken(
    "this is the key of a FIDO security key, which Nova takes only where it runs with the Python library cryptography 43 or later, and \
     most OpenStack clouds do not: give an ed25519, ECDSA or RSA key",
);

/// What is to be built.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) region: String,
    pub(crate) control_plane_size: String,
    /// That of the control plane where none was asked for.
    pub(crate) worker_size: String,
    pub(crate) asked_worker_size: String,
    pub(crate) worker_count: i64,
    pub(crate) octavia: bool,
    ha_enabled: bool,
    pub(crate) settings: OpenstackSettings,
}

impl Plan {
    /// Number of control-plane servers.
    pub(crate) fn control_plane_count(&self) -> u32 {
        if self.ha_enabled { 3 } else { 1 }
    }
}

/// Reads a request that is whole. The plan is worth something only without error findings.
pub(crate) fn read(request: &DeploymentRequest, findings: &mut Findings) -> Plan {
    read_partial(request, &LeftOut::nothing(), findings)
}

/// Reads a request of which the host left something out.
pub(crate) fn read_partial(request: &DeploymentRequest, left_out: &LeftOut, findings: &mut Findings) -> Plan {
    text::check_request(request, findings);
    check_names(request, findings);
    let placement = Placement::of(request);
    let settings = settings::read(&request.extra, findings);
    settings::check(&settings, findings);
    let (size, workers) = (&placement.control_plane_size, &placement.worker_size);
    let plan = Plan {
        region: placement.region.value.clone(),
        control_plane_size: size.value.clone(),
        worker_size: if workers.value.is_empty() { size.value.clone() } else { workers.value.clone() },
        asked_worker_size: workers.value.clone(),
        worker_count: placement.worker_count,
        octavia: settings.load_balancer.as_deref() != Some("none"),
        ha_enabled: request.ha_enabled,
        settings,
    };
    check_region(&placement.region, findings);
    check_worker_count(&placement, findings);
    // The request of a person who named no provider yet is blank in more than this.
    if size.value.is_empty() && !plan.region.is_empty() {
        let message = "controlPlaneSize: the name of a flavour is required; `openstack flavor list` shows them";
        findings.error(&size.pointer, "required", message);
    }
    check_flavour(size, &plan, left_out, findings);
    check_flavour(workers, &plan, left_out, findings);
    // Whether it is enough depends on how many there are, and on what is said of the flavour.
    if !left_out.has(&placement.worker_count_pointer) && !left_out.has_any(&["haEnabled", "openstackFlavors"]) {
        check_memory(size, &plan, findings);
    }
    check_way_in(&plan, left_out, findings);
    check_versions(&plan.settings.node, left_out, findings);
    check_ssh_key(&request.ssh_public_key, FIDO_KEYS, findings);
    plan
}

fn check_region(region: &Choice, findings: &mut Findings) {
    if !region.value.is_empty() && !settings::is_plain_name(&region.value) {
        let message = "the region must have at most 63 letters, digits, dots, hyphens and underscores, as the cloud's \
                       catalogue has it";
        findings.error(&region.pointer, "unknown-region", message);
    }
}

fn check_flavour(choice: &Choice, plan: &Plan, left_out: &LeftOut, findings: &mut Findings) {
    let name = choice.value.as_str();
    if name.is_empty() {
        return;
    }
    if name.len() > MAX_FLAVOUR || !name.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        let message = format!("a flavour's name has at most {MAX_FLAVOUR} printable ASCII characters");
        findings.error(&choice.pointer, "machine-type", message);
        return;
    }
    let described = plan.settings.flavour(name);
    if described.is_none() && !plan.settings.flavours.is_empty() {
        let message = format!("{name} is not among openstackFlavors; the cloud may not have it.");
        findings.warning(&choice.pointer, "machine-type-not-there", message);
    }
    if left_out.has_any(&["openstackBootVolumeGiB", "openstackFlavors"]) {
        return;
    }
    let diskless = described.and_then(|flavour| flavour.disk_gib).map(|disk| disk == 0);
    let diskless = diskless.or_else(|| flavours::has_disk(name).map(|disk| !disk)).unwrap_or(false);
    if diskless && plan.settings.boot_volume_gib.unwrap_or(0) == 0 {
        let message = format!("{name} has no disk; Nova refuses it without openstackBootVolumeGiB.");
        findings.error(&choice.pointer, "no-disk", message);
    }
}

fn check_memory(choice: &Choice, plan: &Plan, findings: &mut Findings) {
    let name = choice.value.as_str();
    let described = plan.settings.flavour(name).and_then(|flavour| flavour.memory_gib);
    let Some(memory) = described.or_else(|| flavours::memory_in(name)) else { return };
    if plan.worker_count > 0 || memory.saturating_mul(plan.control_plane_count()) >= SOLO_MEMORY_GIB {
        return;
    }
    let end = if memory <= 4 { "Cilium" } else { "OpenBao and Keycloak" };
    let message = format!(
        "{name} has {memory} GiB of memory and there are no workers: it runs out while {end} start. Take \
         {SOLO_MEMORY_GIB} GiB or more."
    );
    findings.warning(&choice.pointer, "memory", message);
}

fn check_way_in(plan: &Plan, left_out: &LeftOut, findings: &mut Findings) {
    const KEY: &str = "openstackLoadBalancer";
    if !plan.octavia && plan.ha_enabled {
        let message = "haEnabled needs openstackLoadBalancer octavia: without one the public address is the first \
                       server's alone, and ends with it";
        findings.error(&Pointer::to(KEY), "ha-needs-load-balancer", message);
    } else if !plan.octavia && !left_out.has_any(&["haEnabled"]) {
        let message = "Without a load balancer the first server has the public address and forwards ports 80 and 443 \
                       itself; when it is down, so is the cluster.";
        findings.warning(&Pointer::to(KEY), "no-load-balancer", message);
    }
    for (index, cidr) in plan.settings.node.ssh_allowed_cidrs.iter().flatten().enumerate() {
        if cidr.contains(':') {
            let message = format!("The public address is IPv4: {cidr} reaches port 22 from within the cloud only.");
            findings.warning(&Pointer::to("sshAllowedCidrs").index(index), "ssh-ipv6", message);
        }
    }
}
