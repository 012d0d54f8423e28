//! A request, read once: findings for what the module or the cloud would refuse, and what is to be built.

use catalyst_plugin_sdk::checks;
use catalyst_plugin_sdk::sovereign::{
    FidoKeys, MAX_FQDN, check_names, check_ssh_key, check_versions, check_worker_count,
};
use catalyst_plugin_sdk::{Choice, DeploymentRequest, Findings, LeftOut, Placement, Pointer, text};

use crate::catalogue::{self, LOCATIONS, Server};
use crate::settings::{self, HetznerSettings};

/// The module's defaults, used for blank choices.
pub(crate) const DEFAULT_CONTROL_PLANE_SIZE: &str = "cx42";
const DEFAULT_WORKER_SIZE: &str = "cx32";
/// Longest label value in characters (Hetzner Cloud API, labels); the module shortens a longer domain.
const MAX_LABEL_VALUE: usize = 63;
/// Memory in GiB below which a Sovereign without workers runs out.
const SOLO_MEMORY_GIB: u32 = 16;
/// Providers that the module's list of regions may name.
const KNOWN_PROVIDERS: [&str; 5] = ["hetzner", "huawei", "oci", "aws", "azure"];

/// What is to be built. Blank texts mean "the module's default".
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) region: String,
    control_plane_choice: Choice,
    worker_choice: Choice,
    pub(crate) worker_count: i64,
    ha_enabled: bool,
    pub(crate) settings: HetznerSettings,
}

impl Plan {
    /// Server type of the control plane, the default filled in.
    pub(crate) fn control_plane_size(&self) -> &str {
        or_default(&self.control_plane_choice.value, DEFAULT_CONTROL_PLANE_SIZE)
    }

    /// Server type of the workers, the default filled in.
    pub(crate) fn worker_size(&self) -> &str {
        or_default(&self.worker_choice.value, DEFAULT_WORKER_SIZE)
    }

    /// The types as asked for, blank when not.
    pub(crate) fn asked_sizes(&self) -> (&str, &str) {
        (&self.control_plane_choice.value, &self.worker_choice.value)
    }

    /// Number of control-plane servers.
    pub(crate) fn control_plane_count(&self) -> u32 {
        if self.ha_enabled { 3 } else { 1 }
    }
}

fn or_default<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.is_empty() { default } else { text }
}

/// Reads a request that is whole. The plan is worth something only without error findings.
pub(crate) fn read(request: &DeploymentRequest, findings: &mut Findings) -> Plan {
    read_partial(request, &LeftOut::nothing(), findings)
}

/// Reads a request of which the host left something out.
pub(crate) fn read_partial(request: &DeploymentRequest, left_out: &LeftOut, findings: &mut Findings) -> Plan {
    text::check_request(request, findings);
    check_names(request, findings);
    check_labels(request, findings);
    check_slots(request, findings);
    let placement = Placement::of(request);
    let plan = Plan {
        region: placement.region.value.clone(),
        control_plane_choice: placement.control_plane_size.clone(),
        worker_choice: placement.worker_size.clone(),
        worker_count: placement.worker_count,
        ha_enabled: request.ha_enabled,
        settings: settings::read(&request.extra, findings),
    };
    check_region(&placement.region, findings);
    check_worker_count(&placement, findings);
    if !left_out.has(&plan.control_plane_choice.pointer) {
        check_size(&plan.control_plane_choice, plan.control_plane_size(), &plan.region, findings);
        // Whether it is enough depends on how many there are.
        if !left_out.has(&placement.worker_count_pointer) && !left_out.has_any(&["haEnabled"]) {
            check_memory(&plan, findings);
        }
    }
    if plan.worker_count > 0 || !plan.worker_choice.value.is_empty() {
        check_size(&plan.worker_choice, plan.worker_size(), &plan.region, findings);
    }
    check_versions(&plan.settings.node, left_out, findings);
    check_ssh_key(&request.ssh_public_key, FidoKeys::Taken, findings);
    plan
}

fn check_labels(request: &DeploymentRequest, findings: &mut Findings) {
    let fqdn = request.sovereign_fqdn.as_str();
    if checks::is_dns_name(fqdn, MAX_FQDN) && fqdn.len() > MAX_LABEL_VALUE {
        let message = format!(
            "sovereignFQDN is longer than the {MAX_LABEL_VALUE} characters of a Hetzner label; resources carry its beginning \
             and a digest"
        );
        findings.warning(&Pointer::to("sovereignFQDN"), "label-shortened", message);
    }
}

fn check_slots(request: &DeploymentRequest, findings: &mut Findings) {
    for (index, slot) in request.regions.iter().enumerate() {
        let provider = slot.provider.trim();
        if !provider.is_empty() && !KNOWN_PROVIDERS.contains(&provider) {
            let message = format!("region[{index}]: provider must be one of {}", KNOWN_PROVIDERS.join(", "));
            let at = Pointer::to("regions").index(index).key("provider");
            findings.error(&at, "unknown-provider", message);
        }
    }
}

fn check_region(region: &Choice, findings: &mut Findings) {
    let known = LOCATIONS.iter().any(|(id, ..)| *id == region.value);
    if !region.value.is_empty() && !known {
        let ids: Vec<&str> = LOCATIONS.iter().map(|(id, ..)| *id).collect();
        let message = format!("there is no Hetzner region `{}`; there are {}", region.value, ids.join(", "));
        findings.error(&region.pointer, "unknown-region", message);
    }
}

/// Whether a name has the form of a server type: a family and one to three digits.
fn is_server_type(name: &str) -> bool {
    let family = name.trim_end_matches(|c: char| c.is_ascii_digit());
    ["cx", "cpx", "ccx", "cax"].contains(&family) && (1..=3).contains(&(name.len() - family.len()))
}

fn check_size(choice: &Choice, name: &str, region: &str, findings: &mut Findings) {
    if !is_server_type(name) {
        let message = format!("`{name}` is no Hetzner server type{}", such_as(region));
        findings.error(&choice.pointer, "machine-type", message);
        return;
    }
    // What to take in place of it can be said only where it is known which types there are.
    let instead = catalogue::instead(name, region);
    let current = catalogue::server(name).is_some_and(|server| server.successor.is_none());
    if !current {
        let take = instead.map_or(String::new(), |next| format!(" Take {} instead.", next.name));
        let message = format!(
            "The server type {name} is retired or not known (catalogue of {}); Hetzner may refuse it.{take}",
            catalogue::AS_OF
        );
        findings.warning(&choice.pointer, "machine-type-retired", message);
    } else if catalogue::is_location(region) && !catalogue::is_offered(name, region) {
        let take = instead.map_or(String::new(), |other| format!(" Take {} there.", other.name));
        let message = format!(
            "{name} is not offered in {region} (catalogue of {}); Hetzner will refuse it.{take}",
            catalogue::AS_OF
        );
        findings.warning(&choice.pointer, "machine-type-not-there", message);
    }
    if name.starts_with("cax") {
        let message = format!("{name} is an ARM type: every image of the Sovereign must be built for arm64 too.");
        findings.warning(&choice.pointer, "arm", message);
    }
}

/// A type of each family that is offered in a region, of the size that a Sovereign needs.
fn such_as(region: &str) -> String {
    let families = ["cx", "cpx", "ccx", "cax"];
    let fits = |family: &str| {
        let mut of_family = catalogue::offered_in(region).filter(|server| server.family() == family);
        of_family.find(|server| server.memory_gib >= SOLO_MEMORY_GIB).map(|server| server.name)
    };
    let names: Vec<&str> = families.into_iter().filter_map(fits).collect();
    if names.is_empty() { String::new() } else { format!(" such as {}", names.join(", ")) }
}

fn check_memory(plan: &Plan, findings: &mut Findings) {
    let Some(server) = catalogue::server(plan.control_plane_size()) else { return };
    let total = server.memory_gib * plan.control_plane_count();
    if plan.worker_count > 0 || total >= SOLO_MEMORY_GIB {
        return;
    }
    let end = if server.memory_gib <= 4 { "Cilium" } else { "OpenBao and Keycloak" };
    let enough =
        catalogue::alike(server, &plan.region, SOLO_MEMORY_GIB).map(|Server { name, .. }| format!(", such as {name}"));
    let message = format!(
        "{} has {} GiB of memory and there are no workers: it runs out while {end} start. Take {SOLO_MEMORY_GIB} GiB or more{}.",
        server.name,
        server.memory_gib,
        enough.unwrap_or_default()
    );
    findings.warning(&plan.control_plane_choice.pointer, "memory", message);
}
