//! A stand-in for a project on an OpenStack cloud, because no cloud can be reached from here. It is a double of the *HTTP APIs*
//! of Keystone, Nova, Neutron, Octavia, Glance and Cinder and of nothing else: the OpenTofu that talks to it is the real one, and so
//! is the provider in between (OpenStack's own, built by `tests/tools/get.sh openstack`), so schemas, plans and error texts are
//! theirs.
//!
//! It answers in the form of the APIs' references (docs.openstack.org/api-ref), keeps what is created, and refuses what the
//! services refuse as far as `infra/openstack` relies on it. It is no source for prices, flavours or quotas.
//!
//! It must not know OpenTofu, the module or this project. `OPENSTACK_AUTH_URL` and its like let the suite run against a real
//! project instead (see [`module`]).

mod api;
mod balancer;
mod block;
mod compute;
pub mod module;
mod network;
mod offers;
mod state;

use crate::double::{Double, Reply, Seen};
use serde_json::Value;
use state::{Fault, State};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use compute::USER_DATA_LIMIT;
pub use state::Pace;

/// The double has one token, and hands it out whenever it is asked rightly.
const TOKEN_HEADER: &str = "X-Subject-Token: gAAAAABdouble";

/// A project with one application credential.
pub struct Project {
    double: Double,
    state: Arc<Mutex<State>>,
}

/// What a call is answered with instead of being carried out.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Status, type of the error and message, in the form of the service.
    Refused(u16, &'static str, &'static str),
    /// The call is carried out, and the connection breaks before the answer.
    Lost,
    /// The call is carried out, and what it makes ends in the status `ERROR`.
    Broken,
    /// The call is carried out, and the first question for the server that it makes is refused: status, type and message.
    Hidden(u16, &'static str, &'static str),
}

impl Project {
    /// An empty project that takes this credential.
    pub fn start(id: &str, secret: &str) -> Self {
        let state = Arc::new(Mutex::new(State::new(id, secret)));
        let shared = state.clone();
        let double =
            Double::http_with(TOKEN_HEADER, move |seen: &Seen| -> Reply { api::answer(&mut lock(&shared), seen) });
        lock(&state).url = double.url();
        Self { double, state }
    }

    /// Address of the identity service.
    pub fn auth_url(&self) -> String {
        format!("{}/identity/v3", self.double.url())
    }

    /// The catalogue and the links of answers name this base address from now on.
    pub fn advertise(&self, url: &str) {
        url.clone_into(&mut lock(&self.state).url);
    }

    /// How long what is made takes from now on.
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

    /// Floating IPs that are made from now on have this address.
    pub fn float_at(&self, address: &str) {
        lock(&self.state).floating_address = Some(address.to_owned());
    }

    /// Removes a server as a person does in the dashboard.
    ///
    /// # Panics
    /// When there is no server of this name.
    pub fn remove_server(&self, name: &str) {
        let mut state = lock(&self.state);
        let id = state.each("servers").find(|server| server["name"] == name).map(|server| state::text(&server["id"]));
        let id = id.unwrap_or_default().to_owned();
        let removed = compute::delete(&mut state, &id);
        assert!(removed.is_ok(), "{name}: {removed:?}");
    }

    /// Adds what somebody else made in the project, such as a controller of a cluster; returns its id.
    pub fn plant(&self, kind: &'static str, object: Value) -> String {
        state::text(&lock(&self.state).add(kind, object)["id"]).to_owned()
    }

    /// The token that it hands out.
    pub fn token() -> &'static str {
        TOKEN_HEADER.split_once(": ").map_or("", |(_, token)| token)
    }

    /// Everything of a kind (`servers`, `networks`, …), as the API shows it.
    pub fn all(&self, kind: &str) -> Vec<Value> {
        lock(&self.state).each(kind).cloned().collect()
    }

    /// Everything there is, of every kind.
    pub fn everything(&self) -> Vec<Value> {
        let state = lock(&self.state);
        state::KINDS.iter().flat_map(|kind| state.each(kind).cloned().collect::<Vec<_>>()).collect()
    }

    /// The user data with which the server of this name was created, out of base64.
    pub fn user_data(&self, server: &str) -> Option<Vec<u8>> {
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
