//! Neutron: networks, what is attached to them, and what may come in.

use super::api::{Answered, Call};
use super::block;
use super::offers::{self, EXTERNAL_NETWORK_ID};
use super::state::{PROJECT, Refusal, State, put_over, text};
use serde_json::{Value, json};

/// Collection in the path, kind, and the name of one.
const KINDS: [(&str, &str, &str); 7] = [
    ("networks", "networks", "network"),
    ("subnets", "subnets", "subnet"),
    ("routers", "routers", "router"),
    ("ports", "ports", "port"),
    ("floatingips", "floatingips", "floatingip"),
    ("security-groups", "security_groups", "security_group"),
    ("security-group-rules", "security_group_rules", "security_group_rule"),
];
/// Longest tag in characters.
const TAG: usize = 60;

type Done = Result<(), Refusal>;

pub(super) fn answer(state: &mut State, call: &Call<'_>) -> Option<Answered> {
    let [version, path, rest @ ..] = call.words.as_slice() else { return None };
    let (_, kind, one) = KINDS.iter().find(|(known, ..)| known == path).filter(|_| *version == "v2.0")?;
    match (call.method, rest) {
        ("GET", []) => {
            let found = list(state, kind, call);
            Some(Ok((200, json!({*kind: found}))))
        }
        ("GET", [id]) if *id == EXTERNAL_NETWORK_ID => Some(Ok((200, json!({*one: offers::external_network()})))),
        ("GET", [id]) => Some(state.get(kind, id).map(|object| (200, json!({*one: object})))),
        ("POST", []) => Some(create(state, kind, &call.body[*one]).map(|object| (201, json!({*one: object})))),
        ("PUT", [id]) => Some(update(state, kind, id, &call.body[*one]).map(|object| (200, json!({*one: object})))),
        ("DELETE", [id]) => Some(delete(state, kind, id).map(|()| (204, Value::Null))),
        ("PUT", [id, "tags"]) => Some(tag(state, kind, id, &call.body["tags"])),
        ("PUT", [id, "add_router_interface"]) => Some(add_interface(state, id, &call.body)),
        ("PUT", [id, "remove_router_interface"]) => Some(remove_interface(state, id, &call.body)),
        _ => None,
    }
}

fn list(state: &State, kind: &str, call: &Call<'_>) -> Vec<Value> {
    let offered = (kind == "networks").then(offers::external_network);
    let all = offered.into_iter().chain(state.each(kind).cloned());
    all.filter(|object| call.selects(object)).collect()
}

/// What every object has.
fn with_head(body: &Value, own: Value) -> Value {
    let mut object = json!({"name": "", "description": "", "tenant_id": PROJECT, "project_id": PROJECT, "tags": [],
                            "status": "ACTIVE", "admin_state_up": true, "created_at": super::state::THEN,
                            "updated_at": super::state::THEN, "revision_number": 1});
    put_over(&mut object, &own);
    put_over(&mut object, body);
    object
}

fn create(state: &mut State, kind: &'static str, body: &Value) -> Result<Value, Refusal> {
    let mut own = match kind {
        "networks" => json!({"subnets": [], "mtu": 1450, "shared": false, "router:external": false, "dns_domain": "",
                             "port_security_enabled": true, "availability_zone_hints": []}),
        "subnets" => subnet(state, body)?,
        "routers" => router(body)?,
        "ports" => port(state, body)?,
        "floatingips" => floating(state, body)?,
        "security_groups" => json!({"security_group_rules": [], "stateful": true}),
        _ => {
            rule(state, body)?;
            json!({"port_range_min": null, "port_range_max": null, "protocol": null, "remote_group_id": null,
                   "remote_ip_prefix": null, "remote_address_group_id": null})
        }
    };
    own = with_head(body, own);
    if kind == "ports" {
        own["fixed_ips"] = fixed(&body["fixed_ips"]);
    }
    let object = state.add(kind, own);
    if kind == "subnets" {
        let network = state.get_mut("networks", text(&body["network_id"]))?;
        if let Some(subnets) = network["subnets"].as_array_mut() {
            subnets.push(object["id"].clone());
        }
    }
    if kind == "security_groups" {
        for ethertype in ["IPv4", "IPv6"] {
            let out = json!({"security_group_id": object["id"], "direction": "egress", "ethertype": ethertype});
            state.add("security_group_rules", with_head(&out, json!({})));
        }
    }
    Ok(object)
}

fn fixed(wanted: &Value) -> Value {
    let of = |each: &Value| json!({"subnet_id": each["subnet_id"], "ip_address": each["ip_address"]});
    wanted.as_array().into_iter().flatten().map(of).collect()
}

fn subnet(state: &State, body: &Value) -> Result<Value, Refusal> {
    state.get("networks", text(&body["network_id"]))?;
    let cidr = text(&body["cidr"]);
    if !block::is_plain(cidr) || !block::contains(cidr, text(&body["gateway_ip"])) {
        return Err(Refusal::bad(format!("Invalid input for operation: {cidr} or its gateway is not valid.")));
    }
    let pools = body["allocation_pools"].as_array().into_iter().flatten();
    if pools
        .into_iter()
        .any(|pool| !block::contains(cidr, text(&pool["start"])) || !block::contains(cidr, text(&pool["end"])))
    {
        return Err(Refusal::bad("The allocation pool spans beyond the subnet cidr."));
    }
    let servers = body["dns_nameservers"].as_array().map_or(0, Vec::len);
    if servers > 5 {
        return Err(Refusal::bad(
            "Invalid input for dns_nameservers. The number of DNS nameservers exceeds the limit 5.",
        ));
    }
    Ok(json!({"enable_dhcp": true, "dns_nameservers": [], "host_routes": [], "ipv6_address_mode": null,
              "ipv6_ra_mode": null, "subnetpool_id": null, "service_types": [], "segment_id": null,
              "dns_publish_fixed_ip": false}))
}

fn router(body: &Value) -> Result<Value, Refusal> {
    let gateway = &body["external_gateway_info"]["network_id"];
    if !gateway.is_null() && gateway != EXTERNAL_NETWORK_ID {
        return Err(Refusal::bad("Bad router request: Network is not an external network."));
    }
    Ok(json!({"routes": [], "distributed": false, "ha": false, "availability_zone_hints": [], "flavor_id": null}))
}

/// An address may be outside of the allocation pool, but not outside of the subnet, and nobody else's.
fn port(state: &mut State, body: &Value) -> Result<Value, Refusal> {
    let network = text(&body["network_id"]);
    state.get("networks", network)?;
    for group in body["security_groups"].as_array().into_iter().flatten() {
        state.get("security_groups", text(group))?;
    }
    for wanted in body["fixed_ips"].as_array().into_iter().flatten() {
        address(state, text(&wanted["subnet_id"]), text(&wanted["ip_address"]))?;
    }
    let number = state.next();
    Ok(json!({"mac_address": format!("fa:16:3e:00:{:02x}:{:02x}", number / 256 % 256, number % 256), "status": "DOWN",
              "device_id": "", "device_owner": "", "security_groups": [], "allowed_address_pairs": [],
              "extra_dhcp_opts": [], "port_security_enabled": true, "dns_name": "", "dns_assignment": [],
              "binding:vnic_type": "normal", "qos_policy_id": null}))
}

/// Whether the subnet has this address free.
pub(super) fn address(state: &State, subnet: &str, address: &str) -> Done {
    let subnet = state.get("subnets", subnet)?;
    if !block::contains(text(&subnet["cidr"]), address) {
        return Err(Refusal::new(
            400,
            "InvalidIpForSubnet",
            format!("IP address {address} is not a valid IP for the specified subnet."),
        ));
    }
    let mut ports = state.each("ports").flat_map(|port| port["fixed_ips"].as_array().into_iter().flatten());
    let is_it = |fixed: &Value| fixed["subnet_id"] == subnet["id"] && fixed["ip_address"] == address;
    if ports.any(is_it) || subnet["gateway_ip"] == address {
        let message = format!("IP address {address} already allocated in subnet {}", text(&subnet["id"]));
        return Err(Refusal::new(409, "IpAddressAlreadyAllocated", message));
    }
    Ok(())
}

fn floating(state: &mut State, body: &Value) -> Result<Value, Refusal> {
    if body["floating_network_id"] != EXTERNAL_NETWORK_ID {
        return Err(Refusal::bad("Bad floatingip request: Network is not an external network."));
    }
    let number = state.next() % 250 + 1;
    let address = state.floating_address.clone().unwrap_or_else(|| format!("203.0.113.{number}"));
    Ok(json!({"floating_ip_address": address, "port_id": null, "fixed_ip_address": null,
              "router_id": null, "status": "DOWN", "dns_domain": "", "dns_name": ""}))
}

fn rule(state: &State, body: &Value) -> Done {
    state.get("security_groups", text(&body["security_group_id"]))?;
    let prefix = text(&body["remote_ip_prefix"]);
    let fits = prefix.is_empty() || block::is_v6(prefix) == (body["ethertype"] == "IPv6");
    if !fits || !(prefix.is_empty() || block::is_plain(prefix)) {
        return Err(Refusal::new(
            400,
            "SecurityGroupRuleParameterConflict",
            format!("Conflicting value ethertype for CIDR {prefix}"),
        ));
    }
    let same = |key: &str, other: &Value| body.get(key).unwrap_or(&Value::Null) == &other[key];
    let keys = [
        "security_group_id",
        "direction",
        "ethertype",
        "protocol",
        "port_range_min",
        "remote_ip_prefix",
        "remote_group_id",
    ];
    if state.each("security_group_rules").any(|other| keys.iter().all(|key| same(key, other))) {
        return Err(Refusal::new(409, "SecurityGroupRuleExists", "Security group rule already exists."));
    }
    Ok(())
}

fn update(state: &mut State, kind: &str, id: &str, body: &Value) -> Result<Value, Refusal> {
    if kind == "floatingips" && body.get("port_id").is_some() {
        associate(state, id, text(&body["port_id"]))?;
    }
    let object = state.get_mut(kind, id)?;
    put_over(object, body);
    Ok(object.clone())
}

/// The port's subnet must have a way to the external network.
fn associate(state: &mut State, id: &str, port: &str) -> Done {
    let mut fixed = Value::Null;
    let mut router = Value::Null;
    if !port.is_empty() {
        let wanted = state.get("ports", port)?["fixed_ips"][0].clone();
        let interface = state.each("ports").find(|other| {
            other["device_owner"] == "network:router_interface"
                && other["fixed_ips"][0]["subnet_id"] == wanted["subnet_id"]
        });
        let Some(interface) = interface else {
            let message = format!(
                "External network {EXTERNAL_NETWORK_ID} is not reachable from subnet {}. Therefore, cannot associate Port {port} with a Floating IP.",
                wanted["subnet_id"]
            );
            return Err(Refusal::new(404, "ExternalGatewayForFloatingIPNotFound", message));
        };
        (fixed, router) = (wanted["ip_address"].clone(), interface["device_id"].clone());
    }
    let status = if port.is_empty() { "DOWN" } else { "ACTIVE" };
    put_over(
        state.get_mut("floatingips", id)?,
        &json!({"fixed_ip_address": fixed, "router_id": router, "status": status}),
    );
    Ok(())
}

/// What is used stays.
fn delete(state: &mut State, kind: &'static str, id: &str) -> Done {
    state.get(kind, id)?;
    let port_uses = |port: &Value| match kind {
        "networks" => port["network_id"] == id,
        "subnets" => port["fixed_ips"].as_array().into_iter().flatten().any(|fixed| fixed["subnet_id"] == id),
        "routers" => port["device_id"] == id,
        "security_groups" => port["security_groups"].as_array().into_iter().flatten().any(|group| group == id),
        _ => false,
    };
    if state.each("ports").any(port_uses) {
        let (type_, words) = match kind {
            "networks" => ("NetworkInUse", "There are one or more ports still in use on the network"),
            "subnets" => ("SubnetInUse", "One or more ports have an IP allocation from this subnet"),
            "routers" => ("RouterInUse", "Router still has ports"),
            _ => ("SecurityGroupInUse", "Security group in use"),
        };
        return Err(Refusal::new(409, type_, format!("Unable to complete operation on {id}: {words}.")));
    }
    if kind == "ports" && text(&state.get(kind, id)?["device_owner"]).starts_with("network:") {
        let message = format!(
            "Port {id} cannot be deleted directly via the port API: has device owner network:router_interface."
        );
        return Err(Refusal::new(409, "ServicePortInUse", message));
    }
    state.remove(kind, id)?;
    match kind {
        "ports" => release(state, id),
        "security_groups" => {
            let own = state.each("security_group_rules").filter(|rule| rule["security_group_id"] == id);
            let own: Vec<String> = own.map(|rule| text(&rule["id"]).to_owned()).collect();
            for rule in own {
                state.remove("security_group_rules", &rule)?;
            }
        }
        "subnets" => {
            for network in state.each_mut("networks") {
                if let Some(subnets) = network["subnets"].as_array_mut() {
                    subnets.retain(|subnet| subnet != id);
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// A floating IP outlives the port that it led to.
pub(super) fn release(state: &mut State, port: &str) {
    for address in state.each_mut("floatingips").filter(|address| address["port_id"] == port) {
        put_over(address, &json!({"port_id": null, "fixed_ip_address": null, "router_id": null, "status": "DOWN"}));
    }
}

fn tag(state: &mut State, kind: &str, id: &str, tags: &Value) -> Answered {
    let bad = |tag: &&Value| text(tag).is_empty() || text(tag).chars().count() > TAG || text(tag).contains(',');
    if let Some(bad) = tags.as_array().into_iter().flatten().find(bad) {
        return Err(Refusal::bad(format!("Invalid input for tags: {bad} exceeds maximum length of {TAG}")));
    }
    state.get_mut(kind, id)?["tags"] = tags.clone();
    Ok((200, json!({"tags": tags})))
}

fn add_interface(state: &mut State, id: &str, body: &Value) -> Answered {
    state.get("routers", id)?;
    let subnet = state.get("subnets", text(&body["subnet_id"]))?.clone();
    let own = json!({
        "network_id": subnet["network_id"], "device_owner": "network:router_interface", "device_id": id,
        "fixed_ips": [{"subnet_id": subnet["id"], "ip_address": subnet["gateway_ip"]}], "security_groups": [],
        "mac_address": "fa:16:3e:ff:00:01", "allowed_address_pairs": [], "extra_dhcp_opts": [],
    });
    let port = state.add("ports", with_head(&json!({}), own));
    Ok((200, json!({"id": id, "subnet_id": subnet["id"], "port_id": port["id"], "tenant_id": PROJECT})))
}

fn remove_interface(state: &mut State, id: &str, body: &Value) -> Answered {
    let subnet = text(&body["subnet_id"]).to_owned();
    let wanted = |port: &&Value| {
        port["device_id"] == id && (port["id"] == body["port_id"] || port["fixed_ips"][0]["subnet_id"] == *subnet)
    };
    let Some(port) = state.each("ports").find(wanted).cloned() else {
        return Err(Refusal::new(404, "RouterInterfaceNotFound", format!("Router {id} does not have an interface.")));
    };
    let led_by = |address: &Value| address["router_id"] == id && !address["port_id"].is_null();
    if state.each("floatingips").any(led_by) {
        let message = format!(
            "Router interface for subnet {subnet} on router {id} cannot be deleted, as it is required by one or more floating IPs."
        );
        return Err(Refusal::new(409, "RouterInterfaceInUseByFloatingIP", message));
    }
    state.remove("ports", text(&port["id"]))?;
    Ok((
        200,
        json!({"id": id, "subnet_id": port["fixed_ips"][0]["subnet_id"], "port_id": port["id"], "tenant_id": PROJECT}),
    ))
}
