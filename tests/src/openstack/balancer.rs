//! Octavia: load balancers with what is below them. While one changes, it takes no other change.

use super::api::{Answered, Call};
use super::state::{PROJECT, Pace, Refusal, State, THEN, put_over, text};
use super::{block, network};
use serde_json::{Value, json};

/// Collection in the path, and the name of one.
const KINDS: [(&str, &str); 4] = [
    ("loadbalancers", "loadbalancer"),
    ("listeners", "listener"),
    ("pools", "pool"),
    ("healthmonitors", "healthmonitor"),
];

pub(super) fn answer(state: &mut State, call: &Call<'_>) -> Option<Answered> {
    let [version, "lbaas", path, rest @ ..] = call.words.as_slice() else { return None };
    let (kind, one) = KINDS.iter().find(|(known, _)| known == path).filter(|_| version.starts_with("v2"))?;
    match (call.method, rest) {
        ("GET", []) => {
            let found: Vec<Value> = state.each(kind).filter(|object| call.selects(object)).cloned().collect();
            Some(Ok((200, json!({*kind: found}))))
        }
        ("POST", []) => Some(create(state, kind, &call.body[*one]).map(|object| (201, json!({*one: object})))),
        ("GET", [id]) => Some(show(state, kind, id).map(|object| (200, json!({*one: object})))),
        ("PUT", [id]) => Some(update(state, kind, id, &call.body[*one]).map(|object| (200, json!({*one: object})))),
        ("DELETE", [id]) => Some(delete(state, kind, id).map(|()| (204, Value::Null))),
        ("GET", [id, "members"]) => {
            Some(state.get("pools", id).map(|pool| (200, json!({"members": pool["member_list"]}))))
        }
        ("PUT", [id, "members"]) => Some(set_members(state, id, &call.body["members"])),
        _ => None,
    }
}

/// The load balancer above an object.
fn above(state: &State, kind: &str, body: &Value) -> Result<String, Refusal> {
    let given = match kind {
        "listeners" => text(&body["loadbalancer_id"]).to_owned(),
        "pools" if body["listener_id"].is_string() => {
            text(&state.get("listeners", text(&body["listener_id"]))?["loadbalancers"][0]["id"]).to_owned()
        }
        "pools" => text(&body["loadbalancer_id"]).to_owned(),
        _ => text(&state.get("pools", text(&body["pool_id"]))?["loadbalancers"][0]["id"]).to_owned(),
    };
    state.get("loadbalancers", &given)?;
    Ok(given)
}

/// Refuses while another change goes on, and begins this one.
fn begin(state: &mut State, balancer: &str, status: &str) -> Result<(), Refusal> {
    let polled = state.pace == Pace::Polled;
    let object = state.get_mut("loadbalancers", balancer)?;
    if object["provisioning_status"] != "ACTIVE" {
        let message = format!("Load Balancer {balancer} is immutable and cannot be updated.");
        return Err(Refusal::new(409, "Conflict", message));
    }
    if polled {
        object["provisioning_status"] = status.into();
    }
    Ok(())
}

fn show(state: &mut State, kind: &str, id: &str) -> Result<Value, Refusal> {
    let shown = state.get(kind, id)?.clone();
    let object = state.get_mut(kind, id)?;
    if text(&object["provisioning_status"]).starts_with("PENDING") {
        object["provisioning_status"] = object["next"].as_str().unwrap_or("ACTIVE").into();
    }
    Ok(shown)
}

fn create(state: &mut State, kind: &'static str, body: &Value) -> Result<Value, Refusal> {
    let mut object = json!({"name": "", "description": "", "admin_state_up": true, "provisioning_status": "ACTIVE",
                            "operating_status": "ONLINE", "project_id": PROJECT, "tenant_id": PROJECT, "tags": [],
                            "created_at": THEN, "updated_at": THEN});
    if kind == "loadbalancers" {
        put_over(&mut object, &balancer(state, body)?);
    } else {
        let balancer = above(state, kind, body)?;
        let own = below(state, kind, &balancer, body)?;
        begin(state, &balancer, "PENDING_UPDATE")?;
        put_over(&mut object, &own);
    }
    put_over(&mut object, body);
    if kind == "loadbalancers" && object["provider"].is_null() {
        object["provider"] = "amphora".into();
    }
    let object = state.add(kind, object);
    let id = object["id"].clone();
    match kind {
        "pools" if body["listener_id"].is_string() => {
            state.get_mut("listeners", text(&body["listener_id"]))?["default_pool_id"] = id;
        }
        "healthmonitors" => state.get_mut("pools", text(&body["pool_id"]))?["healthmonitor_id"] = id,
        _ => {}
    }
    Ok(object)
}

/// Its virtual address is a port of the subnet.
fn balancer(state: &mut State, body: &Value) -> Result<Value, Refusal> {
    let subnet = text(&body["vip_subnet_id"]).to_owned();
    let address = text(&body["vip_address"]).to_owned();
    network::address(state, &subnet, &address)?;
    let network = state.get("subnets", &subnet)?["network_id"].clone();
    let port = state.add(
        "ports",
        json!({
            "name": "octavia-lb", "network_id": network, "device_owner": "Octavia", "device_id": "lb", "status": "DOWN",
            "fixed_ips": [{"subnet_id": subnet, "ip_address": address}], "mac_address": "fa:16:3e:ee:00:01",
            "security_groups": [], "tags": [], "admin_state_up": true, "allowed_address_pairs": [], "tenant_id": PROJECT,
        }),
    );
    let status = if state.pace == Pace::Polled || state.breaks { "PENDING_CREATE" } else { "ACTIVE" };
    Ok(
        json!({"vip_port_id": port["id"], "vip_network_id": network, "vip_qos_policy_id": null, "availability_zone": null,
              "flavor_id": "", "provider": null, "provisioning_status": status, "listeners": [], "pools": [],
              "next": state.breaks.then_some("ERROR")}),
    )
}

fn below(state: &State, kind: &str, balancer: &str, body: &Value) -> Result<Value, Refusal> {
    let loadbalancers = json!([{"id": balancer}]);
    let provider = state.get("loadbalancers", balancer)?["provider"].clone();
    match kind {
        "listeners" => {
            let same = |other: &Value| {
                other["loadbalancers"][0]["id"] == balancer && other["protocol_port"] == body["protocol_port"]
            };
            if state.each("listeners").any(same) {
                return Err(Refusal::new(
                    409,
                    "Conflict",
                    "Another Listener on this Load Balancer is already using the protocol and port",
                ));
            }
            if provider == "ovn" && !body["allowed_cidrs"].is_null() {
                let message = "OVN provider does not support allowed_cidrs option";
                return Err(Refusal::new(501, "Unsupported", message));
            }
            let networks = body["allowed_cidrs"].as_array().into_iter().flatten();
            if networks.into_iter().any(|network| block::is_v6(text(network))) {
                return Err(Refusal::bad("Validation failure: CIDR is not of the same version as the VIP address"));
            }
            Ok(json!({"loadbalancers": loadbalancers, "default_pool_id": null, "connection_limit": -1,
                      "allowed_cidrs": null, "timeout_client_data": 50_000, "timeout_member_connect": 5000,
                      "timeout_member_data": 50_000, "timeout_tcp_inspect": 0, "insert_headers": {},
                      "default_tls_container_ref": null, "sni_container_refs": []}))
        }
        "pools" => {
            if (provider == "ovn") != (body["lb_algorithm"] == "SOURCE_IP_PORT") {
                return Err(Refusal::new(501, "Unsupported", "Provider does not support this algorithm"));
            }
            let listeners: Vec<Value> = body["listener_id"].as_str().map(|id| json!({"id": id})).into_iter().collect();
            Ok(json!({"loadbalancers": loadbalancers, "listeners": listeners, "members": [], "member_list": [],
                      "healthmonitor_id": "", "session_persistence": null}))
        }
        _ => Ok(json!({"pools": [{"id": body["pool_id"]}], "max_retries_down": 3})),
    }
}

fn update(state: &mut State, kind: &str, id: &str, body: &Value) -> Result<Value, Refusal> {
    let balancer = owner(state, kind, id)?;
    begin(state, &balancer, "PENDING_UPDATE")?;
    let object = state.get_mut(kind, id)?;
    put_over(object, body);
    Ok(object.clone())
}

/// The load balancer of an object that is there.
fn owner(state: &State, kind: &str, id: &str) -> Result<String, Refusal> {
    let object = state.get(kind, id)?;
    Ok(match kind {
        "loadbalancers" => id.to_owned(),
        "healthmonitors" => owner(state, "pools", text(&object["pools"][0]["id"]))?,
        _ => text(&object["loadbalancers"][0]["id"]).to_owned(),
    })
}

fn set_members(state: &mut State, id: &str, members: &Value) -> Answered {
    let balancer = owner(state, "pools", id)?;
    for member in members.as_array().into_iter().flatten() {
        state.get("subnets", text(&member["subnet_id"]))?;
    }
    begin(state, &balancer, "PENDING_UPDATE")?;
    let made: Vec<Value> = members
        .as_array()
        .into_iter()
        .flatten()
        .map(|member| {
            let mut object = json!({"id": format!("0da0f000-0000-4000-8000-{:012x}", state.next()), "weight": 1,
                                    "backup": false, "admin_state_up": true, "monitor_address": null,
                                    "monitor_port": null, "provisioning_status": "ACTIVE", "operating_status": "ONLINE",
                                    "project_id": PROJECT, "tags": []});
            put_over(&mut object, member);
            object
        })
        .collect();
    let pool = state.get_mut("pools", id)?;
    pool["members"] = made.iter().map(|member| json!({"id": member["id"]})).collect();
    pool["member_list"] = made.into();
    Ok((202, Value::Null))
}

fn delete(state: &mut State, kind: &'static str, id: &str) -> Result<(), Refusal> {
    let balancer = owner(state, kind, id)?;
    if kind != "loadbalancers" {
        begin(state, &balancer, "PENDING_UPDATE")?;
        state.remove(kind, id)?;
        return Ok(());
    }
    let below = |object: &Value| object["loadbalancers"][0]["id"] == id;
    if state.each("listeners").chain(state.each("pools")).any(below) {
        let message = "Load Balancer still has listeners or pools; delete them first or with cascade.";
        return Err(Refusal::new(409, "Conflict", message));
    }
    if state.get(kind, id)?["provisioning_status"] != "ERROR" {
        begin(state, id, "PENDING_DELETE")?;
    }
    let port = text(&state.remove(kind, id)?["vip_port_id"]).to_owned();
    state.remove("ports", &port)?;
    network::release(state, &port);
    Ok(())
}
