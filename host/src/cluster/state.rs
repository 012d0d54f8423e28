//! The state of a component, from what its HelmRelease says.
//!
//! Pure. The names and levels that are sent are those of the earlier service; the differences to its states are C-6: generations,
//! `Stalled`, `Reconciling`, suspended releases, sources that are not there yet, and remediation.

use super::conditions::Condition;
use super::fault::{Cause, cause, without_credentials};
use super::flux_object::FluxKind;
use super::release::Release;
use super::{MAX_TEXT, NAMESPACE, shorten};
use catalyst_domain::Level;
use std::collections::BTreeSet;

/// State of a component, by its name on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ComponentState {
    /// Nothing has begun, or it waits for another component.
    Pending,
    /// Flux works on it.
    Installing,
    /// It is there and healthy, at the current generation.
    Installed,
    /// Something is wrong that is no failed release; or it is suspended.
    Degraded,
    /// The release failed. Flux may still try again.
    Failed,
}

impl ComponentState {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Installing => "installing",
            Self::Installed => "installed",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
        }
    }

    /// Weight of the entry that tells it.
    pub const fn level(self) -> Level {
        match self {
            Self::Pending | Self::Installing | Self::Installed => Level::Info,
            Self::Degraded => Level::Warn,
            Self::Failed => Level::Error,
        }
    }
}

impl std::fmt::Display for ComponentState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether anyone still works on a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Motion {
    /// Flux installs it or tries again.
    Moving,
    /// Nothing will happen by itself, or nobody says so.
    Still,
}

/// What is shown of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) state: ComponentState,
    pub(super) motion: Motion,
    /// Flux's reason, for the list of what failed.
    pub(super) reason: String,
    pub(super) message: String,
}

/// Names that are read of one message.
const MAX_NAMED: usize = 10;

/// What a release waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wait {
    /// Other releases: those of its namespace that the message names.
    Dependency(BTreeSet<String>),
    /// Its chart.
    Source,
}

/// What helm-controller does with a release at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    /// Nothing, or it told the outcome.
    Idle,
    /// It has begun, and `Ready` is `Unknown`: it checks what the release needs.
    Prerequisites,
    /// It runs Helm.
    Helm,
}

/// What one look at a release comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) view: View,
    pub(super) wait: Option<Wait>,
    pub(super) activity: Activity,
}

/// Reasons of `Ready=False` that mean a failed release. From helm-controller's `api/v2/condition_types.go`; the pull
/// and load errors are names of earlier versions, `RetriesExceeded` and `MissingRollbackTarget` of `Stalled`.
const FAILED: [&str; 14] = [
    "InstallFailed",
    "UpgradeFailed",
    "TestFailed",
    "RollbackFailed",
    "RollbackSucceeded",
    "UninstallFailed",
    "UninstallSucceeded",
    "RetriesExceeded",
    "MissingRollbackTarget",
    "ReconciliationFailed",
    "InitFailed",
    "ArtifactFailed",
    "ChartPullError",
    "ChartLoadError",
];

const WORKING: [&str; 3] = ["Progressing", "ProgressingWithRetry", "ReconcileStarted"];

/// Reads the state of a release.
pub(super) fn derive(release: &Release) -> Reading {
    let conditions = &release.conditions;
    if release.suspended {
        let message = "Suspended: Flux does not reconcile this release until it is resumed.";
        return settled(view(ComponentState::Degraded, Motion::Still, "Suspended", message.to_owned()));
    }
    if let Some(stalled) = conditions.get_true("Stalled") {
        return settled(spoken(ComponentState::Failed, Motion::Still, stalled));
    }
    let Some(ready) = conditions.get("Ready") else {
        return settled(silent(ComponentState::Pending, Motion::Still, ""));
    };
    if !conditions.is_current(ready) || (ready.status == "True" && !conditions.is_observed()) {
        let message = "The release changed; Flux has not worked off its current generation.";
        return settled(view(ComponentState::Installing, Motion::Moving, &ready.reason, message.to_owned()));
    }
    let motion = if conditions.get_true("Reconciling").is_some() { Motion::Moving } else { Motion::Still };
    match ready.status.as_str() {
        "True" => settled(spoken(ComponentState::Installed, Motion::Still, ready)),
        "Unknown" => {
            let runs_helm = ready.message.to_lowercase().starts_with("running '");
            let activity = if runs_helm { Activity::Helm } else { Activity::Prerequisites };
            let view = spoken(ComponentState::Installing, Motion::Moving, ready);
            Reading { view, wait: None, activity }
        }
        "False" => not_ready(ready, motion),
        _ => settled(silent(ComponentState::Pending, Motion::Still, &ready.reason)),
    }
}

fn settled(view: View) -> Reading {
    Reading { view, wait: None, activity: Activity::Idle }
}

/// The message is looked at before the reason: Flux's versions name the same wait differently.
fn not_ready(ready: &Condition, motion: Motion) -> Reading {
    let message = ready.message.to_lowercase();
    let reason = ready.reason.as_str();
    let waiting = |view, wait| Reading { view, wait: Some(wait), activity: Activity::Idle };
    if waits_for_dependency(&message) {
        let view = spoken(ComponentState::Pending, Motion::Still, ready);
        return waiting(view, Wait::Dependency(named_releases(&ready.message)));
    }
    if waits_for_source(reason, &message) {
        let mut view = spoken(ComponentState::Installing, Motion::Moving, ready);
        view.message = format!("Waiting for its source: {}", view.message);
        return waiting(view, Wait::Source);
    }
    if reason == "DependencyNotReady" {
        let view = spoken(ComponentState::Installing, Motion::Moving, ready);
        return waiting(view, Wait::Dependency(BTreeSet::new()));
    }
    if WORKING.contains(&reason) {
        return settled(spoken(ComponentState::Installing, Motion::Moving, ready));
    }
    if FAILED.contains(&reason) {
        return settled(spoken(ComponentState::Failed, motion, ready));
    }
    settled(spoken(ComponentState::Degraded, motion, ready))
}

fn waits_for_dependency(message: &str) -> bool {
    (message.contains("dependency '") && message.contains("is not ready"))
        || (message.contains("unable to get '") && message.contains("dependency"))
}

/// The releases of our namespace in `'<namespace>/<name>'`. Flux names the first that is not ready.
fn named_releases(message: &str) -> BTreeSet<String> {
    let paths = message.split('\'').skip(1).step_by(2).take(MAX_NAMED).filter_map(|path| path.split_once('/'));
    paths.filter(|(namespace, _)| *namespace == NAMESPACE).map(|(_, name)| name.to_owned()).collect()
}

fn waits_for_source(reason: &str, message: &str) -> bool {
    let names_kind = ["helmchart '", "ocirepository '", "helmrepository '", "gitrepository '"];
    reason == "SourceNotReady"
        || message.contains("source not ready")
        // The release is looked at before its HelmChart is in helm-controller's cache.
        || message.contains("could not get source object")
        // source-controller, which has the chart, does not answer yet.
        || (message.contains("could not load chart") && cause(FluxKind::HelmChart, reason, message) == Cause::Unreachable)
        || (message.contains("is not ready") && names_kind.iter().any(|kind| message.contains(kind)))
}

fn spoken(state: ComponentState, motion: Motion, condition: &Condition) -> View {
    if condition.message.is_empty() {
        return silent(state, motion, &condition.reason);
    }
    view(state, motion, &condition.reason, shorten(&without_credentials(&condition.message), MAX_TEXT))
}

fn silent(state: ComponentState, motion: Motion, reason: &str) -> View {
    let message = match state {
        ComponentState::Pending => "Waiting for Flux to begin.",
        ComponentState::Installing => "Flux installs the release.",
        ComponentState::Installed => "Installed.",
        ComponentState::Degraded => "Not ready; Flux gave no message.",
        ComponentState::Failed => "The release failed; Flux gave no message.",
    };
    view(state, motion, reason, message.to_owned())
}

fn view(state: ComponentState, motion: Motion, reason: &str, message: String) -> View {
    View { state, motion, reason: shorten(reason, 128), message }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
