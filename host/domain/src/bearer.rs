//! Which server holds the one-time bearer, and what becomes of the bearer and its kubeconfig when that server is replaced.
//!
//! While a run replaces it, two bearers count: that of the old server as long as it may live, and that of the new one. What
//! OpenTofu's state shows, or a call with the new bearer, ends the old one. So a run that fails before it removes the old server
//! leaves it its bearer, and a process that is killed at any moment leaves a record from which the next one goes on.

use crate::Record;
use serde::{Deserialize, Serialize};

/// Who holds the bearer of the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BearerHolder {
    /// No run gave it to a server yet.
    Nobody,
    /// A run may have given it to a server, and no state has shown which one.
    Pending {
        /// Id of the server in whose place that one comes, where there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instead_of: Option<String>,
    },
    /// The server with this id.
    Server(
        /// Its id in the cloud.
        String,
    ),
}

/// What a run makes of the server that held the bearer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replacement {
    /// Exact address of the first server in OpenTofu's state.
    pub address: String,
    /// Id of the server that goes; `None` where the state had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<String>,
    /// SHA-256 of the bearer that the new server gets, as hex. `None` where it joins a cluster that stays: the kubeconfig stays too,
    /// and the new server gets no bearer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_hash: Option<String>,
}

/// A server of a cluster that was given up. Whoever finds it in the state replaces it: it trusts an authority that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaleServer {
    /// Exact address in OpenTofu's state.
    pub address: String,
    /// Its id in the cloud.
    pub id: String,
}

/// A server in OpenTofu's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenServer {
    /// Exact address.
    pub address: String,
    /// Its id in the cloud; blank where the state has none.
    pub id: String,
    /// Its name in the cloud; blank where the state has none.
    pub name: String,
    /// Whether OpenTofu counts it as damaged, and replaces it at the next run.
    pub tainted: bool,
    /// Whether another one has its place already, and it only waits to be removed.
    pub deposed: bool,
}

/// The server at an address that is not about to be removed.
pub fn current<'a>(seen: &'a [SeenServer], address: &str) -> Option<&'a SeenServer> {
    seen.iter().find(|server| server.address == address && !server.deposed)
}

/// The servers that the state has now. `first` is the address of the one that holds the bearer.
pub(crate) fn servers_seen(next: &mut Record, first: &str, seen: &[SeenServer]) {
    next.stale_servers.retain(|stale| current(seen, &stale.address).is_some_and(|server| server.id == stale.id));
    let Some(replacement) = next.replacement.clone() else {
        if let Some(server) = current(seen, first) {
            held_by(next, &server.id);
        }
        return;
    };
    let held = match &next.bearer_holder {
        Some(BearerHolder::Server(id)) => Some(id.clone()),
        _ => None,
    };
    let is_old = |id: &str| replacement.instead_of.as_deref() == Some(id) || held.as_deref() == Some(id);
    match current(seen, &replacement.address) {
        // It lives, or the state is older than its end.
        Some(server) if is_old(&server.id) => {}
        Some(server) => replaced(next, BearerHolder::Server(server.id.clone())),
        None if seen.iter().any(|server| server.address == replacement.address && is_old(&server.id)) => {}
        None => replaced(next, BearerHolder::Pending { instead_of: replacement.instead_of }),
    }
}

/// The run came to its end, so the old server is gone, whatever is known of the new one.
pub(crate) fn run_completed(next: &mut Record) {
    next.stale_servers.clear();
    if let Some(replacement) = next.replacement.clone() {
        replaced(next, BearerHolder::Pending { instead_of: replacement.instead_of });
    }
}

/// The new server called with its bearer: nobody else has it.
pub(crate) fn called_with_new_bearer(next: &mut Record) -> bool {
    let Some(Replacement { instead_of, bearer_hash: Some(_), .. }) = next.replacement.clone() else { return false };
    replaced(next, BearerHolder::Pending { instead_of });
    true
}

fn held_by(next: &mut Record, id: &str) {
    match &next.bearer_holder {
        // Somebody else replaced it, or the state is an older one: the next plan decides what that means.
        Some(BearerHolder::Server(_)) => {}
        Some(BearerHolder::Pending { instead_of: Some(old) }) if old == id => {}
        _ => next.bearer_holder = Some(BearerHolder::Server(id.to_owned())),
    }
}

/// The old server is gone, and its bearer with it. Where the cluster went as well, so does the kubeconfig that it handed in.
fn replaced(next: &mut Record, holder: BearerHolder) {
    let Some(replacement) = next.replacement.take() else { return };
    match replacement.bearer_hash {
        Some(hash) => {
            next.kubeconfig_bearer_hash = hash;
            next.forget_kubeconfig();
            // It was about the cluster that is gone.
            next.resume_flux = false;
        }
        // The server that joins gets none, so none is left that counts.
        None => next.kubeconfig_bearer_hash.clear(),
    }
    next.bearer_holder = Some(holder);
}
