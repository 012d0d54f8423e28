//! Locations, server types and prices as they were known on a day. It is advice: stock and prices are Hetzner's.

use catalyst_plugin_sdk::{Catalogue, CostLine, DeploymentRequest, Estimate, Findings, MachineType, Region};

use crate::plan;

/// When types and prices were looked up.
pub(crate) const AS_OF: &str = "2026-09-15";
/// Currency of the prices.
pub(crate) const CURRENCY: &str = "USD";
/// The location whose prices these are.
const PRICED_LOCATION: &str = "fsn1";

/// Location id, name, and whether it is in Europe, where alone the CX and CAX families are offered.
pub(crate) const LOCATIONS: [(&str, &str, bool); 6] = [
    ("fsn1", "Falkenstein, Germany", true),
    ("nbg1", "Nuremberg, Germany", true),
    ("hel1", "Helsinki, Finland", true),
    ("ash", "Ashburn, USA", false),
    ("hil", "Hillsboro, USA", false),
    ("sin", "Singapore", false),
];

/// A server type: cores, memory and disk in GiB, monthly price in cents.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) cores: u32,
    pub(crate) memory_gib: u32,
    pub(crate) disk_gib: u32,
    pub(crate) monthly_cents: Option<u32>,
    pub(crate) successor: Option<&'static str>,
}

impl Server {
    /// Whether images must be built for ARM.
    pub(crate) fn is_arm(&self) -> bool {
        self.family() == "cax"
    }

    /// The letters before its number.
    pub(crate) fn family(&self) -> &'static str {
        self.name.trim_end_matches(|c: char| c.is_ascii_digit())
    }
}

const fn offered(name: &'static str, cores: u32, memory_gib: u32, disk_gib: u32, cents: Option<u32>) -> Server {
    Server { name, cores, memory_gib, disk_gib, monthly_cents: cents, successor: None }
}

const fn retired(name: &'static str, cores: u32, memory_gib: u32, disk_gib: u32, successor: &'static str) -> Server {
    Server { name, cores, memory_gib, disk_gib, monthly_cents: None, successor: Some(successor) }
}

const SERVERS: &[Server] = &[
    offered("cx23", 2, 4, 40, Some(649)),
    offered("cx33", 4, 8, 80, Some(999)),
    offered("cx43", 8, 16, 160, Some(1849)),
    offered("cx53", 16, 32, 320, Some(3499)),
    offered("cax11", 2, 4, 40, Some(699)),
    offered("cax21", 4, 8, 80, Some(1249)),
    offered("cax31", 8, 16, 160, Some(2499)),
    offered("cax41", 16, 32, 320, Some(4849)),
    offered("cpx12", 1, 2, 40, None),
    offered("cpx22", 2, 4, 80, Some(2299)),
    offered("cpx32", 4, 8, 160, Some(4199)),
    offered("cpx42", 8, 16, 320, Some(8199)),
    offered("cpx52", 12, 24, 480, Some(11_899)),
    offered("cpx62", 16, 32, 640, Some(15_299)),
    offered("ccx13", 2, 8, 80, Some(5049)),
    offered("ccx23", 4, 16, 160, Some(10_149)),
    offered("ccx33", 8, 32, 240, Some(16_299)),
    offered("ccx43", 16, 64, 360, None),
    offered("ccx53", 32, 128, 600, None),
    offered("ccx63", 48, 192, 960, None),
    retired("cx22", 2, 4, 40, "cx23"),
    retired("cx32", 4, 8, 80, "cx33"),
    retired("cx42", 8, 16, 160, "cx43"),
    retired("cx52", 16, 32, 320, "cx53"),
    retired("cpx11", 2, 2, 40, "cpx12"),
    retired("cpx21", 3, 4, 80, "cpx22"),
    retired("cpx31", 4, 8, 160, "cpx32"),
    retired("cpx41", 8, 16, 240, "cpx42"),
    retired("cpx51", 16, 32, 360, "cpx62"),
];

/// The type of that name, current or retired.
pub(crate) fn server(name: &str) -> Option<&'static Server> {
    SERVERS.iter().find(|server| server.name == name)
}

/// The current types.
pub(crate) fn current() -> impl Iterator<Item = &'static Server> {
    SERVERS.iter().filter(|server| server.successor.is_none())
}

/// Whether a current type is offered at a location.
pub(crate) fn is_offered(name: &str, location: &str) -> bool {
    is_european(location) || !only_in_europe(name)
}

/// Whether a location is one that the catalogue has.
pub(crate) fn is_location(location: &str) -> bool {
    LOCATIONS.iter().any(|(id, ..)| *id == location)
}

/// The current types that are offered at a location; none where it is not known.
pub(crate) fn offered_in(location: &str) -> impl Iterator<Item = &'static Server> {
    current().filter(move |server| is_location(location) && is_offered(server.name, location))
}

/// Whether the family is offered in Europe alone.
pub(crate) fn only_in_europe(name: &str) -> bool {
    name.starts_with("cx") || name.starts_with("cax")
}

/// Whether a location is one of the European ones.
pub(crate) fn is_european(location: &str) -> bool {
    LOCATIONS.iter().any(|(id, _, europe)| *id == location && *europe)
}

/// The type to take at a location in place of one that is retired, not known, or not offered there: its successor where that is
/// offered; else the one that is most like it. None where the location, or the size, is not known.
pub(crate) fn instead(name: &str, location: &str) -> Option<&'static Server> {
    let wanted = server(name).or_else(|| relative(name))?;
    let next = wanted.successor.and_then(server).unwrap_or(wanted);
    let is_there = |server: &&Server| is_location(location) && is_offered(server.name, location);
    Some(next).filter(is_there).filter(|next| next.name != name).or_else(|| alike(next, location, next.memory_gib))
}

/// The type that is most like another one, of those that are offered at a location and have so much memory: of the same
/// architecture where there is one, of the same family, with the least memory, then the cheapest.
pub(crate) fn alike(server: &Server, location: &str, memory_gib: u32) -> Option<&'static Server> {
    let others = offered_in(location).filter(|other| other.name != server.name && other.memory_gib >= memory_gib);
    others.min_by_key(|other| {
        let (arm, family) = (other.is_arm() != server.is_arm(), other.family() != server.family());
        (arm, other.memory_gib, family, other.monthly_cents.unwrap_or(u32::MAX))
    })
}

/// The smallest type that is known of the family and size of one that is not.
fn relative(name: &str) -> Option<&'static Server> {
    let family = name.trim_end_matches(|c: char| c.is_ascii_digit());
    // The first digit is the size within the family.
    let size = &name[..(family.len() + 1).min(name.len())];
    current().find(|server| server.family() == family && server.name.starts_with(size))
}

pub(crate) fn catalogue() -> Catalogue {
    let region = |(id, name, _): &(&str, &str, bool)| Region {
        id: (*id).to_owned(),
        display_name: (*name).to_owned(),
        machine_types: current().filter(|s| is_offered(s.name, id)).map(|s| s.name.to_owned()).collect(),
    };
    let machine = |server: &Server| MachineType {
        name: server.name.to_owned(),
        cores: server.cores,
        memory_gib: server.memory_gib,
        disk_gib: server.disk_gib,
        arch: if server.is_arm() { "arm" } else { "x86" }.to_owned(),
        monthly_cents: server.monthly_cents,
        retired: server.successor.is_some(),
        successor: server.successor.map(str::to_owned),
    };
    Catalogue {
        as_of: AS_OF.to_owned(),
        currency: CURRENCY.to_owned(),
        regions: LOCATIONS.iter().map(region).collect(),
        machine_types: SERVERS.iter().map(machine).collect(),
    }
}

/// Monthly cost of a request, as far as prices are known.
pub(crate) fn estimate(request: &DeploymentRequest) -> Result<Estimate, String> {
    let mut findings = Findings::new();
    let plan = plan::read(request, &mut findings);
    if findings.has_errors() {
        return Err("the request has errors; its cost is not known".to_owned());
    }
    let mut lines = Vec::new();
    let mut unknown = Vec::new();
    let workers = u32::try_from(plan.worker_count).unwrap_or(0);
    let groups = [
        ("control plane", plan.control_plane_size(), plan.control_plane_count()),
        ("worker", plan.worker_size(), workers),
    ];
    for (role, name, quantity) in groups {
        if quantity == 0 {
            continue;
        }
        match server(name).and_then(|server| server.monthly_cents).filter(|_| plan.region == PRICED_LOCATION) {
            Some(monthly_cents) => lines.push(CostLine { label: format!("{role} {name}"), quantity, monthly_cents }),
            None => unknown.push(format!("{quantity} × {role} {name} in {}", plan.region)),
        }
    }
    unknown.push("load balancer lb11, public IPv4 addresses, traffic, tax".to_owned());
    Ok(Estimate { currency: CURRENCY.to_owned(), as_of: AS_OF.to_owned(), lines, unknown })
}
