//! Watches a new cluster until it is ready, failed or out of time, and tells what it sees.
//!
//! `ready` is the one word a user acts on, so it needs evidence: a complete list from the cluster itself, at the
//! current generation, of the releases that are expected. Silence, a lost connection or a guess never is that evidence.
//!
//! The watch reads a cluster and writes nothing to it. Two functions take something out: [`remove_nodes`] the nodes of servers that are
//! about to go, [`clean_up`] what a cluster that is to go made in its cloud. [`resume_flux`] takes back what the latter suspended and changed
//! of volumes. The room knows no deployment, no store, no HTTP surface and no environment: its caller gives a kubeconfig and settings,
//! and gets observations and one end. What is decided is in the pure files (`bounds`, `release`, `state`, `component`, `flux_object`, `fault`,
//! `flux_state`, `inventory`, `judge`,
//! `summary`, `log_line`, `cleanup/objects`); what talks to the cluster only feeds them.

mod answers;
mod bounds;
mod cleanup;
mod client;
mod component;
mod conditions;
mod fault;
mod feed;
mod flux_object;
mod flux_state;
mod inventory;
mod judge;
mod log_line;
mod log_tail;
mod nodes;
mod object;
mod release;
mod run;
mod state;
mod summary;
mod trouble;

pub use cleanup::{ANSWER_WITHIN, CleanupOptions, VolumePolicy, clean_up, resume_flux};
pub use client::{KubeconfigFault, ProxyChoice, client_config};
pub use nodes::{RemovalFault, RemovedNodes, remove_nodes};
pub use run::watch;
pub use state::ComponentState;

use catalyst_domain::{Level, Outcome, Timestamp};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// Where Flux and its releases live.
const NAMESPACE: &str = "flux-system";

/// What marks a release as a component; the rest of its name is the component's id.
const PREFIX: &str = "bp-";

/// Longest text of a message or log line that leaves this room, in bytes. Helm errors can hold whole manifests; a
/// person reads the first lines, and the cluster must not be able to fill the deployment's log with one message.
const MAX_TEXT: usize = 4096;

/// How one watch is run.
#[derive(Clone)]
pub struct WatchSettings {
    /// Time that is left of the deployment's budget; when it is spent the watch has failed, however much more a cluster needs.
    pub timeout: Duration,
    /// Quiet time after which a cluster is taken at its word where nothing tells the expected releases.
    pub settle: Duration,
    /// Number of releases that must be installed, used where the cluster has no inventory.
    pub expected: Option<usize>,
    /// How long a release may wait for its chart before it is shown as degraded.
    pub source_patience: Duration,
    /// How long credentials may be refused before that ends the watch: time for a person to replace a Secret.
    pub refusal_patience: Duration,
    /// Longest wait for a connection, TLS included. A port that swallows packets must not eat the budget.
    pub connect_timeout: Duration,
    /// Longest wait for the answer to a list.
    pub request_timeout: Duration,
    /// Address to connect to in place of the name that the kubeconfig has, which is then only what the certificate must have.
    pub address: Option<IpAddr>,
    /// Chooses the proxy for an address. Nothing is read from the environment.
    pub proxy: Option<ProxyChoice>,
    /// Names of the servers that are to be nodes of the cluster; those that are not are told. None where they are not known.
    pub servers: Vec<String>,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60 * 60),
            settle: Duration::from_secs(30),
            expected: None,
            source_patience: Duration::from_secs(3 * 60),
            refusal_patience: Duration::from_secs(20 * 60),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(20),
            address: None,
            proxy: None,
            servers: Vec::new(),
        }
    }
}

/// One thing that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// A component was seen for the first time or changed its state.
    Component {
        /// Name of the release without its prefix.
        id: String,
        /// Name of the HelmRelease.
        release: String,
        /// Its namespace.
        namespace: String,
        /// Version of the chart, where the release tells it.
        chart_version: Option<String>,
        /// New state.
        state: ComponentState,
        /// Weight of the entry.
        level: Level,
        /// What Flux says, or a sentence for the state.
        message: String,
    },
    /// A line of helm-controller about a component.
    Log {
        /// Component id.
        component: String,
        /// At most [`Level::Warn`]: the wizard draws a card as failed on an error line (C-9).
        level: Level,
        /// The line as it was printed, shortened to a limit.
        line: String,
    },
    /// Something about the watch itself.
    Remark {
        /// Weight.
        level: Level,
        /// One sentence.
        message: String,
    },
    /// The cluster does not answer. Sent when that begins and again while it lasts; a remark tells the end.
    Unreachable {
        /// Since when.
        since: Timestamp,
        /// Last error in words.
        why: String,
    },
}

/// A sentence about something else than a component.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Remark {
    level: Level,
    message: String,
}

/// How a watch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Ready, or why not.
    pub outcome: Outcome,
    /// Component id → last state, for every component that is in the cluster.
    pub components: BTreeMap<String, String>,
}

/// The watch was stopped before it came to an end: nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the watch was stopped before it came to an end")]
pub struct Stopped;

/// Shortens a text to [`MAX_TEXT`] bytes, on a character's border.
fn shorten(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let cut = (0..=limit).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", text.get(..cut).unwrap_or_default())
}
