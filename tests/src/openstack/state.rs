//! What is in the project: objects in the APIs' own form.

use super::Answer;
use serde_json::Value;
use std::collections::BTreeMap;

/// Kinds of objects, by the name of their collection.
pub(super) const KINDS: [&str; 15] = [
    "networks",
    "subnets",
    "routers",
    "ports",
    "floatingips",
    "security_groups",
    "security_group_rules",
    "keypairs",
    "server_groups",
    "servers",
    "volumes",
    "loadbalancers",
    "listeners",
    "pools",
    "healthmonitors",
];

/// When an object was made. The double has no clock.
pub(super) const THEN: &str = "2026-09-15T12:00:00Z";
/// The project of the credential.
pub(super) const PROJECT: &str = "5bd1c0f8a4e54e0f9d4a0d6f3b1c2a7e";

/// How long what is made takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// It is there when the call is answered.
    AtOnce,
    /// It is on its way when it is first asked for, and there from then on.
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
    pub(super) kind: &'static str,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into() }
    }

    /// A value that does not fit.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }
}

pub(super) struct State {
    pub(super) url: String,
    pub(super) credential: (String, String),
    pub(super) pace: Pace,
    pub(super) faults: Vec<Fault>,
    /// What the call at hand makes is to end in `ERROR`.
    pub(super) breaks: bool,
    /// What the first question for the server that the call at hand makes is refused with.
    pub(super) hides: Option<Refusal>,
    /// What the next question for each of these servers is refused with.
    pub(super) hidden: BTreeMap<String, Refusal>,
    /// Address of floating IPs, if not one of their own.
    pub(super) floating_address: Option<String>,
    pub(super) user_data: BTreeMap<String, Vec<u8>>,
    pub(super) unknown: Vec<String>,
    pub(super) refused: Vec<String>,
    objects: BTreeMap<&'static str, BTreeMap<String, Value>>,
    last_id: u64,
}

impl State {
    pub(super) fn new(id: &str, secret: &str) -> Self {
        Self {
            url: String::new(),
            credential: (id.to_owned(), secret.to_owned()),
            pace: Pace::AtOnce,
            faults: Vec::new(),
            breaks: false,
            hides: None,
            hidden: BTreeMap::new(),
            floating_address: None,
            user_data: BTreeMap::new(),
            unknown: Vec::new(),
            refused: Vec::new(),
            objects: KINDS.iter().map(|kind| (*kind, BTreeMap::new())).collect(),
            last_id: 0,
        }
    }

    /// A number that was not there before.
    pub(super) fn next(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn add(&mut self, kind: &'static str, mut object: Value) -> Value {
        let id = format!("{:08x}-0000-4000-8000-{:012x}", 0x0da0_0000_u32, self.next());
        object["id"] = id.as_str().into();
        self.objects.entry(kind).or_default().insert(id, object.clone());
        object
    }

    /// Under a name of its own instead of an id.
    pub(super) fn add_named(&mut self, kind: &'static str, name: &str, object: Value) {
        self.objects.entry(kind).or_default().insert(name.to_owned(), object);
    }

    pub(super) fn each(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.objects.get(kind).into_iter().flat_map(BTreeMap::values)
    }

    pub(super) fn each_mut(&mut self, kind: &str) -> impl Iterator<Item = &mut Value> {
        self.objects.get_mut(kind).into_iter().flat_map(BTreeMap::values_mut)
    }

    pub(super) fn get(&self, kind: &str, id: &str) -> Result<&Value, Refusal> {
        self.objects.get(kind).and_then(|all| all.get(id)).ok_or_else(|| not_found(kind, id))
    }

    pub(super) fn get_mut(&mut self, kind: &str, id: &str) -> Result<&mut Value, Refusal> {
        self.objects.get_mut(kind).and_then(|all| all.get_mut(id)).ok_or_else(|| not_found(kind, id))
    }

    pub(super) fn remove(&mut self, kind: &str, id: &str) -> Result<Value, Refusal> {
        self.objects.get_mut(kind).and_then(|all| all.remove(id)).ok_or_else(|| not_found(kind, id))
    }
}

fn not_found(kind: &str, id: &str) -> Refusal {
    Refusal::new(404, "NotFound", format!("{} {id} could not be found.", kind.trim_end_matches('s')))
}

/// A text, blank where there is none.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Puts the keys of one object over those of another.
pub(super) fn put_over(object: &mut Value, over: &Value) {
    for (key, value) in over.as_object().into_iter().flatten() {
        object[key] = value.clone();
    }
}
