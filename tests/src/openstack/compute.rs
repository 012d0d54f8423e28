//! Nova: servers, and what they are made with.

use super::api::{Answered, Call};
use super::offers::{self, HOSTS, IMAGE_ID};
use super::state::{PROJECT, Pace, Refusal, State, THEN, put_over, text};
use serde_json::{Value, json};

/// Longest user data in characters of base64 (Nova API, create server).
pub const USER_DATA_LIMIT: usize = 65_535;
/// Longest key and value of metadata in characters.
const METADATA: usize = 255;

pub(super) fn answer(state: &mut State, call: &Call<'_>) -> Option<Answered> {
    let ["v2.1", path, rest @ ..] = call.words.as_slice() else { return None };
    match (call.method, *path, rest) {
        ("GET", "flavors", ["detail"]) => {
            let found: Vec<Value> = offers::flavours().into_iter().filter(|flavour| call.selects(flavour)).collect();
            Some(Ok((200, json!({"flavors": found}))))
        }
        ("GET", "flavors", [_, "os-extra_specs"]) => Some(Ok((200, json!({"extra_specs": {}})))),
        ("GET", "flavors", [id]) => {
            let missing = || Refusal::new(404, "NotFound", format!("Flavor {id} could not be found."));
            Some(offers::flavour(id).ok_or_else(missing).map(|flavour| (200, json!({"flavor": flavour}))))
        }
        (method, "os-keypairs", rest) => key_pairs(state, method, rest, &call.body["keypair"]),
        (method, "os-server-groups", rest) => groups(state, method, rest, &call.body["server_group"]),
        ("POST", "servers", []) => Some(create(state, &call.body)),
        ("GET", "servers", ["detail"]) => {
            let pattern = call.query.iter().find(|(key, _)| key == "name").map_or("", |(_, pattern)| pattern.as_str());
            let found: Vec<&Value> =
                state.each("servers").filter(|server| text(&server["name"]).contains(pattern)).collect();
            Some(Ok((200, json!({"servers": found}))))
        }
        (method, "servers", [id]) => server(state, method, id, &call.body),
        ("GET", "servers", [_, "tags"]) => Some(Ok((200, json!({"tags": []})))),
        ("POST", "servers", [id, "action"]) => act(state, id, &call.body),
        _ => None,
    }
}

fn key_pairs(state: &mut State, method: &str, rest: &[&str], body: &Value) -> Option<Answered> {
    match (method, rest) {
        ("POST", []) => Some(key_pair(state, body)),
        ("GET", [name]) => Some(state.get("keypairs", name).map(|key| (200, json!({"keypair": key})))),
        ("DELETE", [name]) => Some(state.remove("keypairs", name).map(|_| (202, Value::Null))),
        _ => None,
    }
}

fn key_pair(state: &mut State, body: &Value) -> Answered {
    let (name, key) = (text(&body["name"]), text(&body["public_key"]));
    if state.get("keypairs", name).is_ok() {
        return Err(Refusal::new(409, "Conflict", format!("Key pair '{name}' already exists.")));
    }
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || " @._-".contains(c));
    if !plain || key.split_whitespace().nth(1).is_none_or(|blob| !blob.starts_with("AAAA") || blob.len() < 60) {
        return Err(Refusal::bad("Keypair data is invalid: failed to generate fingerprint"));
    }
    let pair = json!({"name": name, "public_key": key, "fingerprint": "00:11", "user_id": "u", "type": "ssh"});
    state.add_named("keypairs", name, pair.clone());
    Ok((200, json!({"keypair": pair})))
}

fn groups(state: &mut State, method: &str, rest: &[&str], body: &Value) -> Option<Answered> {
    match (method, rest) {
        ("POST", []) => Some(group(state, body)),
        ("GET", [id]) => Some(state.get("server_groups", id).map(|group| (200, json!({"server_group": group})))),
        ("DELETE", [id]) => Some(state.remove("server_groups", id).map(|_| (204, Value::Null))),
        _ => None,
    }
}

/// Up to microversion 2.63 a group has a list of policies, and one policy is none.
fn group(state: &mut State, body: &Value) -> Answered {
    let policy = body["policies"][0].as_str().or(body["policy"].as_str());
    let Some(policy) = policy.filter(|policy| ["anti-affinity", "soft-anti-affinity", "affinity"].contains(policy))
    else {
        return Err(Refusal::bad("Invalid input for field/attribute policies. [] is too short"));
    };
    let group = json!({"name": body["name"], "policies": [policy], "policy": policy, "members": [], "rules": {},
                       "project_id": PROJECT, "user_id": "u", "metadata": {}});
    Ok((200, json!({"server_group": state.add("server_groups", group)})))
}

fn server(state: &mut State, method: &str, id: &str, body: &Value) -> Option<Answered> {
    match method {
        "GET" => Some(show(state, id)),
        "PUT" => Some(state.get_mut("servers", id).map(|server| {
            put_over(server, &body["server"]);
            (200, json!({"server": server}))
        })),
        "DELETE" => Some(delete(state, id)),
        _ => None,
    }
}

/// Who asks finds it on its way once, and where it was going from then on.
fn show(state: &mut State, id: &str) -> Answered {
    if let Some(refused) = state.hidden.remove(id) {
        return Err(refused);
    }
    let server = state.get_mut("servers", id)?;
    let shown = server.clone();
    if let Some(next) = server["next"].as_str().map(str::to_owned) {
        (server["status"], server["next"]) = (next.into(), Value::Null);
    }
    Ok((200, json!({"server": shown})))
}

fn create(state: &mut State, body: &Value) -> Answered {
    let (wanted, hints) = (&body["server"], &body["os:scheduler_hints"]);
    check(state, wanted)?;
    let group = text(&hints["group"]).to_owned();
    let room = group.is_empty() || has_room(state, &group)?;
    let fails = state.breaks || !room;
    let end = if fails { "ERROR" } else { "ACTIVE" };
    let (status, next) = if state.pace == Pace::Polled { ("BUILD", json!(end)) } else { (end, Value::Null) };
    let port = text(&wanted["networks"][0]["port"]).to_owned();
    let addresses = addresses(state, &port)?;
    let image = if wanted["imageRef"] == IMAGE_ID { json!({"id": IMAGE_ID, "links": []}) } else { json!("") };
    let mut object = json!({
        "name": wanted["name"], "status": status, "next": next, "flavor": {"id": wanted["flavorRef"], "links": []},
        "image": image, "metadata": wanted["metadata"], "key_name": wanted["key_name"], "addresses": addresses,
        "security_groups": [{"name": "default"}], "created": THEN, "updated": THEN, "accessIPv4": "", "accessIPv6": "",
        "OS-EXT-AZ:availability_zone": "nova", "OS-EXT-STS:power_state": 1, "tenant_id": PROJECT, "user_id": "u",
        "hostId": "h", "links": [], "progress": 0, "config_drive": "", "group": group,
        "volumes": wanted["block_device_mapping_v2"],
    });
    if fails {
        let message = "No valid host was found. There are not enough hosts available.";
        object["fault"] = json!({"code": 500, "message": message, "created": THEN});
    }
    let object = state.add("servers", object);
    if let Some(refused) = state.hides.take() {
        state.hidden.insert(text(&object["id"]).to_owned(), refused);
    }
    if let Some(members) = state.get_mut("server_groups", &group).ok().and_then(|group| group["members"].as_array_mut())
    {
        members.push(object["id"].clone());
    }
    put_over(
        state.get_mut("ports", &port)?,
        &json!({"device_id": object["id"], "device_owner": "compute:nova", "status": "ACTIVE"}),
    );
    let user_data = decoded(text(&wanted["user_data"]))?;
    state.user_data.insert(text(&wanted["name"]).to_owned(), user_data);
    Ok((202, json!({"server": {"id": object["id"], "adminPass": "unused", "links": []}})))
}

fn decoded(user_data: &str) -> Result<Vec<u8>, Refusal> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(user_data);
    bytes.map_err(|_| Refusal::bad("User data needs to be valid base 64."))
}

fn check(state: &State, wanted: &Value) -> Result<(), Refusal> {
    let flavour =
        offers::flavour(text(&wanted["flavorRef"])).ok_or_else(|| Refusal::bad("Flavor could not be found."))?;
    let image = &wanted["imageRef"];
    let volume = &wanted["block_device_mapping_v2"][0];
    if image != IMAGE_ID && volume["uuid"] != IMAGE_ID {
        return Err(Refusal::bad("Invalid imageRef provided."));
    }
    if volume.is_null() && flavour["disk"] == 0 {
        let message = "Only volume-backed servers are allowed for flavors with zero disk.";
        return Err(Refusal::new(403, "Forbidden", message));
    }
    if text(&wanted["user_data"]).len() > USER_DATA_LIMIT {
        return Err(Refusal::bad("Invalid input for field/attribute user_data. Value is too long."));
    }
    if let Some(key) = wanted["key_name"].as_str() {
        state.get("keypairs", key).map_err(|_| Refusal::bad("Invalid key_name provided."))?;
    }
    for (key, value) in wanted["metadata"].as_object().into_iter().flatten() {
        let plain = key.chars().all(|c| c.is_ascii_alphanumeric() || "-_:. ".contains(c));
        if !plain || key.len() > METADATA || text(value).chars().count() > METADATA {
            return Err(Refusal::bad(format!("Invalid input for field/attribute metadata. Value: {key}")));
        }
    }
    let port = state.get("ports", text(&wanted["networks"][0]["port"]))?;
    if port["device_id"] != "" {
        return Err(Refusal::new(409, "Conflict", format!("Port {} is still in use.", text(&port["id"]))));
    }
    Ok(())
}

/// Strict groups put each server on a machine of its own.
fn has_room(state: &State, group: &str) -> Result<bool, Refusal> {
    let group = state.get("server_groups", group)?;
    let there =
        state.each("servers").filter(|server| server["group"] == group["id"] && server["status"] != "ERROR").count();
    Ok(group["policy"] != "anti-affinity" || there < HOSTS)
}

fn addresses(state: &State, port: &str) -> Result<Value, Refusal> {
    let port = state.get("ports", port)?;
    let network = state.get("networks", text(&port["network_id"]))?;
    let address = json!({"version": 4, "addr": port["fixed_ips"][0]["ip_address"], "OS-EXT-IPS:type": "fixed",
                         "OS-EXT-IPS-MAC:mac_addr": port["mac_address"]});
    Ok(json!({text(&network["name"]): [address]}))
}

/// A port that was there before the server stays.
pub(super) fn delete(state: &mut State, id: &str) -> Answered {
    state.remove("servers", id)?;
    for port in state.each_mut("ports").filter(|port| port["device_id"] == id) {
        put_over(port, &json!({"device_id": "", "device_owner": "", "status": "DOWN"}));
    }
    for group in state.each_mut("server_groups") {
        if let Some(members) = group["members"].as_array_mut() {
            members.retain(|member| member != id);
        }
    }
    Ok((204, Value::Null))
}

/// A resize waits for its confirmation.
fn act(state: &mut State, id: &str, body: &Value) -> Option<Answered> {
    let server = match state.get_mut("servers", id) {
        Ok(server) => server,
        Err(refused) => return Some(Err(refused)),
    };
    if let Some(flavour) = body["resize"]["flavorRef"].as_str() {
        if server["status"] != "ACTIVE" || offers::flavour(flavour).is_none() {
            return Some(Err(Refusal::new(409, "Conflict", "Cannot 'resize' instance while it is in this state")));
        }
        (server["status"], server["flavor"]["id"]) = ("VERIFY_RESIZE".into(), flavour.into());
        return Some(Ok((202, Value::Null)));
    }
    if body.get("confirmResize").is_some() {
        server["status"] = "ACTIVE".into();
        return Some(Ok((204, Value::Null)));
    }
    None
}
