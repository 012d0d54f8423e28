//! A stand-in for a Hetzner Cloud project, because no cloud can be reached from here. It is a double of the *HTTP API* and of
//! nothing else: the OpenTofu that talks to it is the real one, and so is the provider in between (Hetzner's own, built by
//! `tests/tools/get.sh hcloud`), so schemas, plans and error texts are theirs.
//!
//! It answers in the form of the API's reference (docs.hetzner.cloud), keeps what is created, and refuses what the cloud
//! refuses as far as `infra/hetzner` relies on it: `rules` says which rules. It is no source for prices, stock or quotas.
//!
//! It must not know OpenTofu, the module or this project. `HCLOUD_ENDPOINT` lets the suite run against a real project
//! instead (see [`module`]).

mod api;
mod create;
pub mod module;
mod network;
mod offers;
mod rules;
mod state;

use crate::double::{Double, Reply, Seen};
use serde_json::Value;
use state::{Fault, State};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use crate::{downloads, node};
pub use rules::USER_DATA_LIMIT;
pub use state::Pace;

/// A project with one token.
pub struct Project {
    double: Double,
    state: Arc<Mutex<State>>,
}

/// What a call is answered with instead of being carried out.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Status, error code and message of the API.
    Refused(u16, &'static str, &'static str),
    /// The call is carried out, and the connection breaks before the answer.
    Lost,
}

impl Project {
    /// An empty project that takes this token.
    pub fn start(token: &str) -> Self {
        let state = Arc::new(Mutex::new(State::new(token)));
        let shared = state.clone();
        let double = Double::http(move |seen: &Seen| -> Reply { api::answer(&mut lock(&shared), seen) });
        Self { double, state }
    }

    /// Base address, for `HCLOUD_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("{}/v1", self.double.url())
    }

    /// How long actions take from now on.
    pub fn pace(&self, pace: Pace) {
        lock(&self.state).pace = pace;
    }

    /// The `nth` (from 1) call from now on with this method and end of path gets this answer instead.
    pub fn fail(&self, method: &'static str, path_end: &'static str, nth: usize, answer: Answer) {
        lock(&self.state).faults.push(Fault { method, path_end, body: "", left: nth, answer });
    }

    /// The next call with this method, end of path and part of its body gets this answer instead.
    pub fn fail_with_body(&self, method: &'static str, path_end: &'static str, body: &'static str, answer: Answer) {
        lock(&self.state).faults.push(Fault { method, path_end, body, left: 1, answer });
    }

    /// Load balancers that are made from now on have this public address.
    pub fn balance_at(&self, address: &str) {
        lock(&self.state).balancer_address = Some(address.to_owned());
    }

    /// Removes a server as a person does in the console.
    ///
    /// # Panics
    /// When there is no server of this name.
    pub fn remove_server(&self, name: &str) {
        let mut state = lock(&self.state);
        let id = state.each("servers").find(|server| server["name"] == name).and_then(|server| server["id"].as_u64());
        let removed = create::delete(&mut state, "servers", id.unwrap_or_default());
        assert!(removed.is_ok(), "{name}: {removed:?}");
    }

    /// Adds a key as a person does in the console.
    ///
    /// # Panics
    /// When the cloud would refuse it.
    pub fn add_ssh_key(&self, name: &str, public_key: &str) {
        let body = serde_json::json!({"name": name, "public_key": public_key});
        let added = create::create(&mut lock(&self.state), "ssh_keys", "ssh_key", &body);
        assert!(added.is_ok(), "{added:?}");
    }

    /// Everything of a kind (`servers`, `networks`, …), as the API shows it.
    pub fn all(&self, kind: &str) -> Vec<Value> {
        lock(&self.state).list(kind)
    }

    /// Everything there is, of every kind.
    pub fn everything(&self) -> Vec<Value> {
        let state = lock(&self.state);
        state::KINDS.iter().flat_map(|(plural, _)| state.list(plural)).collect()
    }

    /// The user data with which the server of this name was created.
    pub fn user_data(&self, server: &str) -> Option<String> {
        lock(&self.state).user_data.get(server).cloned()
    }

    /// Calls that the double does not play. A test that finds one here has to teach it.
    pub fn unknown(&self) -> Vec<String> {
        lock(&self.state).unknown.clone()
    }

    /// Calls that broke a rule of the cloud, and which.
    pub fn refused(&self) -> Vec<String> {
        lock(&self.state).refused.clone()
    }

    /// Calls so far with this method and end of path.
    pub fn count(&self, method: &str, path_end: &str) -> usize {
        self.double.count(method, path_end)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
