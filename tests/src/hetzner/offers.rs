//! What the cloud offers: locations, server types, images. Names and sizes as our catalogue has them; two types are retired
//! and one is not offered everywhere, so that the provider's own words for that can be seen.

use serde_json::{Value, json};

/// Location, network zone.
const LOCATIONS: [(&str, &str); 6] = [
    ("fsn1", "eu-central"),
    ("nbg1", "eu-central"),
    ("hel1", "eu-central"),
    ("ash", "us-east"),
    ("hil", "us-west"),
    ("sin", "ap-southeast"),
];

/// Name, cores, memory and disk in GB, offered in Europe only, last day of orders where it is retired.
type Offer = (&'static str, u32, u32, u32, bool, Option<&'static str>);

const SERVER_TYPES: [Offer; 10] = [
    ("cx33", 4, 8, 80, true, None),
    ("cx43", 8, 16, 160, true, None),
    ("cx53", 16, 32, 320, true, None),
    ("cax31", 8, 16, 160, true, None),
    ("cpx32", 4, 8, 160, false, None),
    ("cpx42", 8, 16, 320, false, None),
    ("cpx52", 12, 24, 480, false, None),
    ("ccx33", 8, 32, 240, false, None),
    ("cx32", 4, 8, 80, true, Some("2026-01-01T00:00:00Z")),
    ("cx42", 8, 16, 160, true, Some("2026-01-01T00:00:00Z")),
];

pub(super) fn location(name: &str) -> Option<Value> {
    let index = LOCATIONS.iter().position(|(location, _)| *location == name)?;
    Some(json!({"id": index + 1, "name": name, "description": name, "country": "", "city": "",
                "network_zone": LOCATIONS[index].1}))
}

pub(super) fn zone(location: &str) -> Option<&'static str> {
    LOCATIONS.iter().find(|(name, _)| *name == location).map(|(_, zone)| *zone)
}

pub(super) fn is_zone(zone: &str) -> bool {
    LOCATIONS.iter().any(|(_, known)| *known == zone)
}

pub(super) fn server_type(name: &str) -> Option<Value> {
    let index = SERVER_TYPES.iter().position(|(known, ..)| *known == name)?;
    let (_, cores, memory, disk, european, retired) = SERVER_TYPES[index];
    let deprecation = retired.map(|day| json!({"announced": "2025-10-01T00:00:00Z", "unavailable_after": day}));
    let offered = LOCATIONS.iter().filter(|(_, zone)| !european || *zone == "eu-central");
    let locations: Vec<Value> = offered
        .map(|(name, _)| {
            json!({"id": location(name).map(|l| l["id"].clone()), "name": name, "available": true,
                   "deprecation": deprecation})
        })
        .collect();
    let architecture = if name.starts_with("cax") { "arm" } else { "x86" };
    Some(json!({"id": 100 + index, "name": name, "description": name, "category": "", "cores": cores,
                "memory": memory, "disk": disk, "storage_type": "local", "cpu_type": "shared",
                "architecture": architecture, "deprecated": retired.is_some(), "deprecation": deprecation,
                "locations": locations}))
}

fn server_types() -> impl Iterator<Item = Value> {
    SERVER_TYPES.iter().filter_map(|(name, ..)| server_type(name))
}

pub(super) fn image(id: u64) -> Option<Value> {
    let architecture = match id {
        1 => "x86",
        2 => "arm",
        _ => return None,
    };
    Some(json!({"id": id, "type": "system", "status": "available", "name": "ubuntu-24.04", "description": "",
                "os_flavor": "ubuntu", "os_version": "24.04", "architecture": architecture, "disk_size": 5}))
}

pub(super) fn load_balancer_type(name: &str) -> Option<Value> {
    (name == "lb11").then(|| {
        json!({"id": 1, "name": "lb11", "description": "LB11", "max_services": 5, "max_targets": 25,
               "max_connections": 10_000, "max_assigned_certificates": 10, "deprecated": null})
    })
}

/// All of a kind of offer.
pub(super) fn all(kind: &str) -> Option<Vec<Value>> {
    Some(match kind {
        "locations" => LOCATIONS.iter().filter_map(|(name, _)| location(name)).collect(),
        "server_types" => server_types().collect(),
        "images" => [1, 2].into_iter().filter_map(image).collect(),
        "load_balancer_types" => load_balancer_type("lb11").into_iter().collect(),
        _ => return None,
    })
}
