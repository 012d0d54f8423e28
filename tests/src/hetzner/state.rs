//! What is in the project: objects in the API's own form, related to each other only where they are shown.

use super::{Answer, offers};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Kinds of objects: name of the collection and of one.
pub(super) const KINDS: [(&str, &str); 6] = [
    ("networks", "network"),
    ("firewalls", "firewall"),
    ("ssh_keys", "ssh_key"),
    ("placement_groups", "placement_group"),
    ("load_balancers", "load_balancer"),
    ("servers", "server"),
];

/// When an object was made. The double has no clock.
pub(super) const THEN: &str = "2026-09-15T12:00:00+00:00";

/// How long actions take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// They have succeeded when the call is answered.
    AtOnce,
    /// They run, and have succeeded when they are asked for.
    Polled,
}

pub(super) struct Fault {
    pub(super) method: &'static str,
    pub(super) path_end: &'static str,
    /// Part of the body.
    pub(super) body: &'static str,
    pub(super) left: usize,
    pub(super) answer: Answer,
}

/// Why a call is refused.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) details: Value,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: json!({}) }
    }

    /// A field that does not fit.
    pub(super) fn field(name: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let details = json!({"fields": [{"name": name, "messages": [message]}]});
        Self { status: 422, code: "invalid_input", message: format!("invalid input in field '{name}'"), details }
    }
}

pub(super) struct State {
    pub(super) token: String,
    pub(super) pace: Pace,
    /// Public address of the next load balancers, where a test chose one.
    pub(super) balancer_address: Option<String>,
    pub(super) faults: Vec<Fault>,
    pub(super) user_data: BTreeMap<String, String>,
    pub(super) unknown: Vec<String>,
    pub(super) refused: Vec<String>,
    objects: BTreeMap<&'static str, BTreeMap<u64, Value>>,
    running: Vec<u64>,
    last_id: u64,
}

impl State {
    pub(super) fn new(token: &str) -> Self {
        Self {
            token: token.to_owned(),
            pace: Pace::AtOnce,
            balancer_address: None,
            faults: Vec::new(),
            user_data: BTreeMap::new(),
            unknown: Vec::new(),
            refused: Vec::new(),
            objects: KINDS.iter().map(|(plural, _)| (*plural, BTreeMap::new())).collect(),
            running: Vec::new(),
            last_id: 1_000,
        }
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn add(&mut self, kind: &'static str, mut object: Value) -> u64 {
        let id = self.next_id();
        object["id"] = id.into();
        object["created"] = THEN.into();
        self.objects.entry(kind).or_default().insert(id, object);
        id
    }

    pub(super) fn each(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.objects.get(kind).into_iter().flat_map(BTreeMap::values)
    }

    pub(super) fn get(&self, kind: &str, id: u64) -> Result<&Value, Refusal> {
        self.objects.get(kind).and_then(|all| all.get(&id)).ok_or_else(|| not_found(kind, id))
    }

    pub(super) fn get_mut(&mut self, kind: &str, id: u64) -> Result<&mut Value, Refusal> {
        self.objects.get_mut(kind).and_then(|all| all.get_mut(&id)).ok_or_else(|| not_found(kind, id))
    }

    pub(super) fn each_mut(&mut self, kind: &str) -> impl Iterator<Item = &mut Value> {
        self.objects.get_mut(kind).into_iter().flat_map(BTreeMap::values_mut)
    }

    pub(super) fn remove(&mut self, kind: &str, id: u64) -> Result<Value, Refusal> {
        self.objects.get_mut(kind).and_then(|all| all.remove(&id)).ok_or_else(|| not_found(kind, id))
    }

    pub(super) fn list(&self, kind: &str) -> Vec<Value> {
        self.each(kind).map(|object| self.shown(kind, object)).collect()
    }

    /// An object with what others say of it.
    pub(super) fn shown(&self, kind: &str, object: &Value) -> Value {
        let mut shown = object.clone();
        let id = &object["id"];
        match kind {
            "servers" => {
                shown["server_type"] = offers::server_type(text(&object["server_type"])).unwrap_or_default();
                shown["location"] = offers::location(text(&object["location"])).unwrap_or_default();
                let group = object["placement_group"].as_u64().and_then(|id| self.get("placement_groups", id).ok());
                shown["placement_group"] = group.map_or(Value::Null, |group| self.shown("placement_groups", group));
            }
            "load_balancers" => {
                shown["location"] = offers::location(text(&object["location"])).unwrap_or_default();
            }
            "placement_groups" => shown["servers"] = self.servers_where(|server| server["placement_group"] == *id),
            "networks" => {
                shown["servers"] = self.servers_where(|server| {
                    server["private_net"].as_array().is_some_and(|nets| nets.iter().any(|net| net["network"] == *id))
                });
            }
            "firewalls" => {
                let on = |server: &Value| {
                    let walls = server["public_net"]["firewalls"].as_array();
                    walls.is_some_and(|walls| walls.iter().any(|wall| wall["id"] == *id))
                };
                let servers = self.each("servers").filter(|server| on(server));
                let applied: Vec<Value> =
                    servers.map(|server| json!({"type": "server", "server": {"id": server["id"]}})).collect();
                shown["applied_to"] = applied.into();
            }
            _ => {}
        }
        shown
    }

    fn servers_where(&self, is: impl Fn(&Value) -> bool) -> Value {
        self.each("servers").filter(|server| is(server)).map(|server| server["id"].clone()).collect()
    }

    /// An action that was started.
    pub(super) fn action(&mut self, command: &str) -> Value {
        let id = self.next_id();
        if self.pace == Pace::AtOnce {
            return action(id, command, "success");
        }
        self.running.push(id);
        action(id, command, "running")
    }

    /// Every action succeeds by the time somebody asks.
    pub(super) fn finished_action(&mut self, id: u64) -> Value {
        self.running.retain(|running| *running != id);
        action(id, "", "success")
    }
}

fn action(id: u64, command: &str, status: &str) -> Value {
    let progress = if status == "success" { 100 } else { 0 };
    json!({"id": id, "command": command, "status": status, "progress": progress, "started": THEN, "finished": null,
           "error": null, "resources": []})
}

fn not_found(kind: &str, id: u64) -> Refusal {
    let one = KINDS.iter().find(|(plural, _)| *plural == kind).map_or(kind, |(_, one)| one);
    Refusal::new(404, "not_found", format!("{one} with ID '{id}' not found"))
}

/// A text, blank where there is none.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
