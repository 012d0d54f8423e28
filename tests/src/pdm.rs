//! A double of the pool-domain manager with its real rules: names are reserved, committed and released, and its own words are
//! said. A test can put faults before it.

use crate::double::{Double, Reply, Seen};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A name that somebody has.
#[derive(Debug, Clone)]
pub struct Name {
    /// `reserved` or `active`.
    pub state: &'static str,
    /// Token of the reservation.
    pub token: String,
    /// Who reserved it.
    pub created_by: String,
    /// Address of its records; blank until they are written.
    pub address: String,
}

/// How often a call that is held looks whether it may go on.
const LOOK: Duration = Duration::from_millis(10);

#[derive(Default)]
struct Inner {
    names: BTreeMap<String, Name>,
    faults: BTreeMap<&'static str, VecDeque<u16>>,
    delays: BTreeMap<&'static str, Duration>,
    held: BTreeSet<&'static str>,
    lost: BTreeSet<&'static str>,
    tokens: u32,
}

/// The manager.
pub struct Pdm {
    /// What it was sent.
    pub http: Double,
    inner: Arc<Mutex<Inner>>,
}

impl Pdm {
    /// A manager that knows no name yet.
    pub fn start() -> Self {
        let inner: Arc<Mutex<Inner>> = Arc::default();
        let rule = inner.clone();
        let http = Double::http(move |seen| {
            let delay = rule.lock().unwrap().delay(seen);
            std::thread::sleep(delay);
            while rule.lock().unwrap().holds(seen) {
                std::thread::sleep(LOOK);
            }
            let mut rule = rule.lock().unwrap();
            let answer = rule.answer(seen);
            answer.filter(|_| !rule.lost.iter().any(|call| seen.path.ends_with(call)))
        });
        Self { http, inner }
    }

    /// The next calls of this kind are answered with these statuses instead; 0 breaks the connection off. A 202 or a 410 on
    /// commit does to the name what it says.
    pub fn fail(&self, call: &'static str, statuses: &[u16]) {
        self.inner.lock().unwrap().faults.entry(call).or_default().extend(statuses);
    }

    /// Calls of this kind work again.
    pub fn heal(&self, call: &'static str) {
        self.inner.lock().unwrap().faults.remove(call);
    }

    /// How many of the planned faults are still to come.
    pub fn faults_left(&self, call: &'static str) -> usize {
        self.inner.lock().unwrap().faults.get(call).map_or(0, VecDeque::len)
    }

    /// Calls of this kind are taken, and neither done nor answered until [`Self::let_go`].
    pub fn hold(&self, call: &'static str) {
        self.inner.lock().unwrap().held.insert(call);
    }

    /// Does and answers the calls that are held, also where nobody waits for the answer any more.
    pub fn let_go(&self, call: &'static str) {
        self.inner.lock().unwrap().held.remove(call);
    }

    /// Calls of this kind are done, and their answers are lost on the way.
    pub fn lose_answers(&self, call: &'static str) {
        self.inner.lock().unwrap().lost.insert(call);
    }

    /// A name is nobody's any more.
    pub fn free(&self, label: &str) {
        self.inner.lock().unwrap().names.remove(label);
    }

    /// Calls of this kind take so long.
    pub fn delay(&self, call: &'static str, delay: Duration) {
        self.inner.lock().unwrap().delays.insert(call, delay);
    }

    /// Gives a name to somebody.
    pub fn give(&self, label: &str, state: &'static str, created_by: &str) {
        let name = Name { state, token: "foreign".into(), created_by: created_by.into(), address: String::new() };
        self.inner.lock().unwrap().names.insert(label.to_owned(), name);
    }

    /// Who has a label.
    pub fn name(&self, label: &str) -> Option<Name> {
        self.inner.lock().unwrap().names.get(label).cloned()
    }
}

fn said(status: u16, body: Value) -> Reply {
    Some((status, body.to_string()))
}

impl Inner {
    fn delay(&self, seen: &Seen) -> Duration {
        let is = |call: &&str| seen.path.ends_with(*call);
        self.delays.iter().find(|(call, _)| is(call)).map(|(_, delay)| *delay).unwrap_or_default()
    }

    fn holds(&self, seen: &Seen) -> bool {
        self.held.iter().any(|call| seen.path.ends_with(call))
    }

    fn answer(&mut self, seen: &Seen) -> Reply {
        let path = seen.path.split('?').next().unwrap_or_default();
        let call = path.rsplit('/').next().unwrap_or_default().to_owned();
        let fault = self.faults.iter_mut().find(|(name, _)| **name == call).and_then(|(_, queue)| queue.pop_front());
        let label = || seen.json()["subdomain"].as_str().unwrap_or_default().to_owned();
        match (call.as_str(), fault) {
            (_, Some(0)) => None,
            ("commit", Some(202)) => {
                self.commit(&label(), seen, false);
                said(202, json!({"warning": "the zone could not be written"}))
            }
            ("commit", Some(410)) => {
                self.names.remove(&label());
                said(410, json!({"error": "reservation-expired"}))
            }
            (_, Some(status)) => said(status, json!({"error": "planned", "detail": "a planned fault"})),
            ("reserve", None) => self.reserve(&label(), seen),
            ("commit", None) => self.commit(&label(), seen, true),
            ("release", None) => match self.names.remove(&label()) {
                Some(_) => said(200, json!({"state": "released"})),
                None => said(404, json!({"error": "not-found"})),
            },
            ("list", None) => {
                let each = |(label, name): (&String, &Name)| {
                    json!({"subdomain": label, "state": name.state, "createdBy": name.created_by,
                           "reservationToken": if name.state == "reserved" { name.token.as_str() } else { "" }})
                };
                said(200, json!({"allocations": self.names.iter().map(each).collect::<Vec<_>>()}))
            }
            ("check", None) => {
                let label = seen.path.rsplit("sub=").next().unwrap_or_default();
                let fqdn = format!("{label}.omani.works");
                match self.names.get(label) {
                    None => said(200, json!({"available": true, "fqdn": fqdn})),
                    Some(name) => {
                        let reason = format!("{}-state", name.state);
                        said(200, json!({"available": false, "reason": reason, "detail": "it is taken", "fqdn": fqdn}))
                    }
                }
            }
            ("validate", None) => said(200, json!({"valid": true, "registrar": "dynadot", "domain": "a.example"})),
            ("set-ns", None) => said(429, json!({"error": "rate-limited", "detail": "later"})),
            _ => said(404, json!({"error": "no such route"})),
        }
    }

    fn reserve(&mut self, label: &str, seen: &Seen) -> Reply {
        if self.names.contains_key(label) {
            return said(409, json!({"error": "conflict", "detail": "the name is taken"}));
        }
        self.tokens += 1;
        let token = format!("token-{}", self.tokens);
        let created_by = seen.json()["createdBy"].as_str().unwrap_or_default().to_owned();
        let name = Name { state: "reserved", token: token.clone(), created_by, address: String::new() };
        self.names.insert(label.to_owned(), name);
        said(201, json!({"subdomain": label, "state": "reserved", "reservationToken": token}))
    }

    fn commit(&mut self, label: &str, seen: &Seen, written: bool) -> Reply {
        let body = seen.json();
        let Some(name) = self.names.get_mut(label) else { return said(404, json!({"error": "not-found"})) };
        // The same commit may be sent again after a 202.
        let unwritten = name.state == "active" && name.address.is_empty();
        if name.state == "active" && !unwritten {
            return said(409, json!({"error": "already-active"}));
        }
        if body["reservationToken"] != name.token.as_str() {
            return said(403, json!({"error": "token-mismatch"}));
        }
        name.state = "active";
        if written {
            body["loadBalancerIP"].as_str().unwrap_or_default().clone_into(&mut name.address);
        }
        said(200, json!({"state": "active"}))
    }
}
