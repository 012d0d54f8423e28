//! How objects come and go.

use super::rules::{self, Block};
use super::state::{Refusal, State, text};
use super::{USER_DATA_LIMIT, offers};
use serde_json::{Value, json};

type Answered = Result<(u16, Value), Refusal>;

pub(super) fn create(state: &mut State, kind: &'static str, one: &str, body: &Value) -> Answered {
    rules::name(state, kind, text(&body["name"]), None)?;
    rules::labels(&body["labels"])?;
    match kind {
        "networks" => network(state, body),
        "firewalls" => firewall(state, body),
        "ssh_keys" => ssh_key(state, body),
        "placement_groups" => {
            let group = with_head(body, json!({"type": body["type"]}));
            let id = state.add(kind, group);
            let object = state.get(kind, id)?;
            Ok((201, json!({one: state.shown(kind, object), "action": null})))
        }
        "load_balancers" => load_balancer(state, body),
        _ => server(state, body),
    }
}

/// Name and labels, as every kind has them.
fn with_head(body: &Value, mut object: Value) -> Value {
    object["name"] = body["name"].clone();
    object["labels"] = if body["labels"].is_object() { body["labels"].clone() } else { json!({}) };
    object
}

fn network(state: &mut State, body: &Value) -> Answered {
    if Block::parse(text(&body["ip_range"])).is_none() {
        return Err(Refusal::field("ip_range", "is not a network"));
    }
    let object = json!({"ip_range": body["ip_range"], "subnets": [], "routes": [], "load_balancers": [],
                        "protection": {"delete": false}, "expose_routes_to_vswitch": false});
    let id = state.add("networks", with_head(body, object));
    Ok((201, json!({"network": state.get("networks", id)?})))
}

fn firewall(state: &mut State, body: &Value) -> Answered {
    rules::firewall_rules(&body["rules"])?;
    let id = state.add("firewalls", with_head(body, json!({"rules": body["rules"], "applied_to": []})));
    Ok((201, json!({"firewall": state.get("firewalls", id)?, "actions": []})))
}

/// Two names for one key are refused as well.
fn ssh_key(state: &mut State, body: &Value) -> Answered {
    let key = text(&body["public_key"]);
    let Some(blob) = key.split_whitespace().nth(1).filter(|blob| blob.starts_with("AAAA") && blob.len() > 60) else {
        return Err(Refusal::field("public_key", "is not an SSH key"));
    };
    // The cloud takes MD5; what matters is that the same key has the same fingerprint.
    let digest = catalyst_domain::kubeconfig::sha256_hex(blob.as_bytes());
    let bytes: Vec<&str> = (0..16).map(|index| &digest[2 * index..2 * index + 2]).collect();
    let fingerprint = bytes.join(":");
    if state.each("ssh_keys").any(|other| other["fingerprint"] == fingerprint.as_str()) {
        let message = "SSH key with the same fingerprint already exists";
        return Err(Refusal::new(409, "uniqueness_error", message));
    }
    let id = state.add("ssh_keys", with_head(body, json!({"public_key": key, "fingerprint": fingerprint})));
    Ok((201, json!({"ssh_key": state.get("ssh_keys", id)?})))
}

fn load_balancer(state: &mut State, body: &Value) -> Answered {
    let Some(kind) = offers::load_balancer_type(text(&body["load_balancer_type"])) else {
        return Err(Refusal::field("load_balancer_type", "is not known"));
    };
    if offers::location(text(&body["location"])).is_none() {
        return Err(Refusal::field("location", "is not known"));
    }
    let number = state.each("load_balancers").count() + 1;
    let address = state.balancer_address.clone().unwrap_or_else(|| format!("203.0.113.{number}"));
    let algorithm =
        if body["algorithm"].is_object() { body["algorithm"].clone() } else { json!({"type": "round_robin"}) };
    let object = json!({
        "public_net": {"enabled": true, "ipv4": {"ip": address, "dns_ptr": ""},
                       "ipv6": {"ip": format!("2001:db8:1b::{number:x}"), "dns_ptr": ""}},
        "private_net": [], "location": body["location"], "load_balancer_type": kind, "services": [], "targets": [],
        "protection": {"delete": false}, "algorithm": algorithm,
    });
    let id = state.add("load_balancers", with_head(body, object));
    let action = state.action("create_load_balancer");
    let object = state.get("load_balancers", id)?;
    Ok((201, json!({"load_balancer": state.shown("load_balancers", object), "action": action})))
}

fn server(state: &mut State, body: &Value) -> Answered {
    let (size, place) = (text(&body["server_type"]), text(&body["location"]));
    check_server(state, body, size, place)?;
    let image = offers::image(body["image"].as_u64().unwrap_or_default());
    let number = state.next_id();
    let walls: Vec<Value> =
        ids(&body["firewalls"], |wall| &wall["firewall"]).map(|id| json!({"id": id, "status": "applied"})).collect();
    let address = format!("198.18.{}.{}", number / 250 % 250, number % 250 + 1);
    let object = json!({
        "status": "running", "server_type": size, "location": place, "image": image, "locked": false,
        "public_net": {
            "ipv4": {"id": number + 500_000, "ip": address, "blocked": false, "dns_ptr": ""},
            "ipv6": {"id": number + 600_000, "ip": format!("2001:db8:{number:x}::/64"), "blocked": false, "dns_ptr": []},
            "floating_ips": [], "firewalls": walls,
        },
        "private_net": [], "backup_window": null, "rescue_enabled": false, "iso": null, "volumes": [],
        "protection": {"delete": false, "rebuild": false}, "primary_disk_size": 40, "load_balancers": [],
        "placement_group": body["placement_group"],
    });
    let id = state.add("servers", with_head(body, object));
    let user_data = text(&body["user_data"]).to_owned();
    state.user_data.insert(text(&body["name"]).to_owned(), user_data);
    let (action, next) = (state.action("create_server"), state.action("start_server"));
    let shown = state.shown("servers", state.get("servers", id)?);
    Ok((201, json!({"server": shown, "action": action, "next_actions": [next], "root_password": null})))
}

fn ids<'a>(list: &'a Value, id: impl Fn(&'a Value) -> &'a Value) -> impl Iterator<Item = u64> {
    list.as_array().into_iter().flatten().filter_map(move |each| id(each).as_u64())
}

fn check_server(state: &State, body: &Value, size: &str, place: &str) -> Result<(), Refusal> {
    let Some(server_type) = offers::server_type(size) else {
        return Err(Refusal::field("server_type", "is not known"));
    };
    let offered = server_type["locations"].as_array().into_iter().flatten().any(|each| each["name"] == place);
    if !offered {
        return Err(Refusal::new(422, "invalid_input", "unsupported location for server type"));
    }
    let fits = offers::image(body["image"].as_u64().unwrap_or_default())
        .is_some_and(|image| image["architecture"] == server_type["architecture"]);
    if !fits {
        return Err(Refusal::field("image", "is not known for this architecture"));
    }
    let user_data = text(&body["user_data"]);
    if user_data.len() > USER_DATA_LIMIT {
        return Err(Refusal::field("user_data", "Length must be between 0 and 32768."));
    }
    for id in ids(&body["ssh_keys"], |key| key) {
        state.get("ssh_keys", id)?;
    }
    for id in ids(&body["firewalls"], |wall| &wall["firewall"]) {
        state.get("firewalls", id)?;
    }
    body["placement_group"].as_u64().map_or(Ok(()), |group| rules::placement(state, group))
}

/// What is used stays; a server leaves its load balancers.
pub(super) fn delete(state: &mut State, kind: &str, id: u64) -> Answered {
    let shown = state.shown(kind, state.get(kind, id)?);
    let used = match kind {
        "firewalls" => shown["applied_to"].as_array().is_some_and(|applied| !applied.is_empty()),
        "networks" => shown["servers"].as_array().is_some_and(|servers| !servers.is_empty()),
        _ => false,
    };
    if used {
        return Err(Refusal::new(409, "resource_in_use", format!("{} is in use", text(&shown["name"]))));
    }
    state.remove(kind, id)?;
    if kind != "servers" {
        return Ok((204, Value::Null));
    }
    for balancer in state.each_mut("load_balancers") {
        if let Some(targets) = balancer["targets"].as_array_mut() {
            targets.retain(|target| target["server"]["id"] != id);
        }
    }
    Ok((200, json!({"action": state.action("delete_server")})))
}
