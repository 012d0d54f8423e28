//! What the cloud offers without being asked to make it: flavours, an image, an external network. Made up, but for the names,
//! which are those of the Sovereign Cloud Stack's standard.

use super::state::PROJECT;
use serde_json::{Value, json};

/// Region of the double.
pub const REGION: &str = "RegionOne";
/// The network that gives out floating IPs.
pub const EXTERNAL_NETWORK: &str = "public";
/// Its id.
pub(super) const EXTERNAL_NETWORK_ID: &str = "0da0e000-0000-4000-8000-000000000001";
/// The image.
pub const IMAGE: &str = "Ubuntu 24.04";
pub(super) const IMAGE_ID: &str = "0da0e000-0000-4000-8000-000000000002";
/// Machines below the servers: as many as one anti-affinity group can use.
pub(super) const HOSTS: usize = 4;

/// Name, cores, memory in GiB, disk in GiB.
const FLAVOURS: [(&str, u32, u32, u32); 5] = [
    ("SCS-2V-8-20", 2, 8, 20),
    ("SCS-4V-16-50", 4, 16, 50),
    ("SCS-8V-32-100", 8, 32, 100),
    ("SCS-4V-16", 4, 16, 0),
    ("SCS-8V-16-50", 8, 16, 50),
];

pub(super) fn flavours() -> Vec<Value> {
    let flavours = FLAVOURS.iter().enumerate().map(|(index, (name, cores, memory, disk))| {
        json!({
            "id": format!("{}", index + 1), "name": name, "vcpus": cores, "ram": memory * 1024, "disk": disk, "swap": "",
            "OS-FLV-EXT-DATA:ephemeral": 0, "os-flavor-access:is_public": true, "rxtx_factor": 1.0,
            "OS-FLV-DISABLED:disabled": false, "links": [],
        })
    });
    flavours.collect()
}

pub(super) fn flavour(id: &str) -> Option<Value> {
    flavours().into_iter().find(|flavour| flavour["id"] == id)
}

pub(super) fn image() -> Value {
    json!({
        "id": IMAGE_ID, "name": IMAGE, "status": "active", "visibility": "public", "size": 629_145_600, "min_disk": 8,
        "min_ram": 512, "container_format": "bare", "disk_format": "qcow2", "checksum": "0", "owner": PROJECT,
        "protected": false, "tags": [], "created_at": super::state::THEN, "updated_at": super::state::THEN,
        "file": format!("/v2/images/{IMAGE_ID}/file"), "schema": "/v2/schemas/image", "os_hidden": false,
    })
}

pub(super) fn external_network() -> Value {
    json!({
        "id": EXTERNAL_NETWORK_ID, "name": EXTERNAL_NETWORK, "status": "ACTIVE", "admin_state_up": true, "shared": false,
        "router:external": true, "subnets": [], "tenant_id": "admin", "project_id": "admin", "mtu": 1500, "tags": [],
        "description": "", "availability_zone_hints": [], "dns_domain": "", "port_security_enabled": true,
    })
}
