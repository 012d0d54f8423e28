//! Actions: what is attached to what, and what a server or load balancer is told to do.

use super::offers;
use super::rules::{self, Block};
use super::state::{Refusal, State, text};
use serde_json::{Value, json};

type Done = Result<(), Refusal>;

pub(super) fn act(
    state: &mut State,
    kind: &'static str,
    id: u64,
    verb: &str,
    body: &Value,
) -> Result<(u16, Value), Refusal> {
    match (kind, verb) {
        ("networks", "add_subnet") => add_subnet(state, id, body)?,
        ("networks", "delete_subnet") => delete_subnet(state, id, body)?,
        ("servers" | "load_balancers", "attach_to_network") => attach(state, kind, id, body)?,
        ("servers" | "load_balancers", "detach_from_network") => detach(state, kind, id, body)?,
        ("servers", "poweroff" | "shutdown") => state.get_mut(kind, id)?["status"] = "off".into(),
        ("servers", "poweron") => state.get_mut(kind, id)?["status"] = "running".into(),
        ("servers", "change_type") => change_type(state, id, body)?,
        ("load_balancers", "add_target") => add_target(state, id, body)?,
        ("load_balancers", "remove_target") => remove_target(state, id, body)?,
        ("load_balancers", "add_service") => add_service(state, id, body)?,
        ("load_balancers", "delete_service") => delete_service(state, id, body)?,
        ("firewalls", "set_rules") => {
            rules::firewall_rules(&body["rules"])?;
            state.get_mut(kind, id)?["rules"] = body["rules"].clone();
        }
        ("firewalls", "remove_from_resources") => remove_firewall(state, id, body)?,
        _ => {
            state.unknown.push(format!("POST {kind} {verb}"));
            return Err(Refusal::new(404, "not_found", "the double does not play this action"));
        }
    }
    let action = state.action(verb);
    let many = kind == "firewalls";
    Ok((201, if many { json!({"actions": [action]}) } else { json!({"action": action}) }))
}

fn list<'a>(object: &'a mut Value, name: &str) -> Result<&'a mut Vec<Value>, Refusal> {
    object[name].as_array_mut().ok_or_else(|| Refusal::new(500, "server_error", format!("no {name}")))
}

fn add_subnet(state: &mut State, id: u64, body: &Value) -> Done {
    let network = state.get_mut("networks", id)?;
    let whole = Block::parse(text(&network["ip_range"]));
    let block = Block::parse(text(&body["ip_range"]));
    let inside = whole.zip(block).is_some_and(|(whole, block)| whole.covers(block));
    if !inside || !offers::is_zone(text(&body["network_zone"])) {
        return Err(Refusal::field("ip_range", "must be a block of the network, in a known zone"));
    }
    let subnets = list(network, "subnets")?;
    let mut others = subnets.iter().filter_map(|subnet| Block::parse(text(&subnet["ip_range"])));
    if others.any(|other| block.is_some_and(|block| other.covers(block) || block.covers(other))) {
        return Err(Refusal::new(409, "uniqueness_error", "subnet overlaps with another"));
    }
    subnets.push(json!({"type": body["type"], "ip_range": body["ip_range"], "network_zone": body["network_zone"],
                        "gateway": "10.0.0.1"}));
    Ok(())
}

fn delete_subnet(state: &mut State, id: u64, body: &Value) -> Done {
    let block = Block::parse(text(&body["ip_range"]));
    let attached = state.each("servers").chain(state.each("load_balancers"));
    let mut nets = attached.flat_map(|object| object["private_net"].as_array().into_iter().flatten());
    let inside = |net: &Value| block.is_some_and(|block| block.contains(text(&net["ip"])));
    let used = nets.any(|net| net["network"] == id && inside(net));
    drop(nets);
    if used {
        return Err(Refusal::new(503, "service_error", "servers are attached to the subnet"));
    }
    list(state.get_mut("networks", id)?, "subnets")?.retain(|subnet| subnet["ip_range"] != body["ip_range"]);
    Ok(())
}

fn attach(state: &mut State, kind: &str, id: u64, body: &Value) -> Done {
    let object = state.get(kind, id)?;
    let network = body["network"].as_u64().unwrap_or_default();
    let there = object["private_net"].as_array().into_iter().flatten();
    let (code, zone) = match kind {
        "servers" => ("server_already_attached", offers::zone(text(&object["location"]))),
        _ => ("load_balancer_already_attached", offers::zone(text(&object["location"]))),
    };
    if there.into_iter().any(|net| net["network"] == network) {
        return Err(Refusal::new(409, code, "already attached to the network"));
    }
    let Some(address) = body["ip"].as_str() else {
        return Err(Refusal::field("ip", "the double does not choose addresses"));
    };
    rules::private_address(state, network, address, zone.unwrap_or_default())?;
    let net = json!({"network": network, "ip": address, "alias_ips": [], "mac_address": format!("86:00:00:00:{:02x}:{:02x}", id / 256 % 256, id % 256)});
    list(state.get_mut(kind, id)?, "private_net")?.push(net);
    Ok(())
}

fn detach(state: &mut State, kind: &str, id: u64, body: &Value) -> Done {
    list(state.get_mut(kind, id)?, "private_net")?.retain(|net| net["network"] != body["network"]);
    Ok(())
}

fn change_type(state: &mut State, id: u64, body: &Value) -> Done {
    let size = text(&body["server_type"]);
    let Some(wanted) = offers::server_type(size) else {
        return Err(Refusal::field("server_type", "is not known"));
    };
    let server = state.get_mut("servers", id)?;
    if server["status"] != "off" {
        return Err(Refusal::new(422, "server_not_stopped", "server must be stopped"));
    }
    let now = offers::server_type(text(&server["server_type"])).unwrap_or_default();
    if now["architecture"] != wanted["architecture"] {
        return Err(Refusal::new(422, "invalid_server_type", "server type has another architecture"));
    }
    server["server_type"] = size.into();
    // The cloud starts the server again after the change.
    server["status"] = "running".into();
    Ok(())
}

fn add_target(state: &mut State, id: u64, body: &Value) -> Done {
    let server = body["server"]["id"].as_u64().unwrap_or_default();
    let nets = |object: &Value| -> Vec<Value> {
        object["private_net"].as_array().into_iter().flatten().map(|net| net["network"].clone()).collect()
    };
    let of_server = nets(state.get("servers", server)?);
    let balancer = state.get_mut("load_balancers", id)?;
    let of_balancer = nets(balancer);
    if body["use_private_ip"] == true {
        if of_balancer.is_empty() {
            let message = "load balancer is not attached to a network";
            return Err(Refusal::new(422, "load_balancer_not_attached_to_network", message));
        }
        if !of_balancer.iter().any(|net| of_server.contains(net)) {
            let message = "server is not attached to the network of the load balancer";
            return Err(Refusal::new(422, "server_not_attached_to_network", message));
        }
    }
    let most = balancer["load_balancer_type"]["max_targets"].as_u64();
    let targets = list(balancer, "targets")?;
    if targets.iter().any(|target| target["server"]["id"] == server) {
        return Err(Refusal::new(409, "target_already_defined", "target is already defined"));
    }
    if most.is_some_and(|most| targets.len() as u64 >= most) {
        return Err(Refusal::new(403, "resource_limit_exceeded", "target limit reached"));
    }
    targets.push(json!({"type": "server", "server": {"id": server}, "use_private_ip": body["use_private_ip"],
                        "health_status": []}));
    Ok(())
}

fn remove_target(state: &mut State, id: u64, body: &Value) -> Done {
    let targets = list(state.get_mut("load_balancers", id)?, "targets")?;
    let before = targets.len();
    targets.retain(|target| target["server"]["id"] != body["server"]["id"]);
    if targets.len() == before {
        return Err(Refusal::new(404, "load_balancer_target_not_found", "target not found"));
    }
    Ok(())
}

fn add_service(state: &mut State, id: u64, body: &Value) -> Done {
    let balancer = state.get_mut("load_balancers", id)?;
    let most = balancer["load_balancer_type"]["max_services"].as_u64();
    let services = list(balancer, "services")?;
    if services.iter().any(|service| service["listen_port"] == body["listen_port"]) {
        return Err(Refusal::new(409, "source_port_already_used", "listen port is already used"));
    }
    if most.is_some_and(|most| services.len() as u64 >= most) {
        return Err(Refusal::new(403, "resource_limit_exceeded", "service limit reached"));
    }
    services.push(json!({
        "protocol": body["protocol"], "listen_port": body["listen_port"], "destination_port": body["destination_port"],
        "proxyprotocol": body["proxyprotocol"].as_bool().unwrap_or_default(),
        "health_check": {"protocol": "tcp", "port": body["destination_port"], "interval": 15, "timeout": 10, "retries": 3},
    }));
    Ok(())
}

fn delete_service(state: &mut State, id: u64, body: &Value) -> Done {
    list(state.get_mut("load_balancers", id)?, "services")?
        .retain(|service| service["listen_port"] != body["listen_port"]);
    Ok(())
}

fn remove_firewall(state: &mut State, id: u64, body: &Value) -> Done {
    let named: Vec<u64> = body["remove_from"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|resource| resource["server"]["id"].as_u64())
        .collect();
    for server in named {
        list(&mut state.get_mut("servers", server)?["public_net"], "firewalls")?.retain(|wall| wall["id"] != id);
    }
    Ok(())
}
