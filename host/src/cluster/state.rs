//! The state of a component, from what its HelmRelease says.
//!
//! Pure. The wire names and levels are those of API.md section 5; the differences to its table are C-6: generations,
//! `Stalled`, `Reconciling`, suspended releases, sources that are not there yet, and remediation.

use super::release::{Condition, Release};
use super::{MAX_TEXT, shorten};
use catalyst_domain::Level;

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

const WORKING: [&str; 5] =
    ["Progressing", "ProgressingWithRetry", "ReconcileStarted", "DependencyNotReady", "SourceNotReady"];

/// Reads the state of a release.
pub(super) fn derive(release: &Release) -> View {
    let is_true = |kind: &str| release.condition(kind).filter(|c| c.status == "True" && release.is_current(c));
    if release.suspended {
        let message = "Suspended: Flux does not reconcile this release until it is resumed.";
        return view(ComponentState::Degraded, Motion::Still, "Suspended", message.to_owned());
    }
    if let Some(stalled) = is_true("Stalled") {
        return spoken(ComponentState::Failed, Motion::Still, stalled);
    }
    let Some(ready) = release.condition("Ready") else {
        return silent(ComponentState::Pending, Motion::Still, "");
    };
    if !release.is_current(ready) || (ready.status == "True" && !release.is_observed()) {
        let message = "The release changed; Flux has not worked off its current generation.";
        return view(ComponentState::Installing, Motion::Moving, &ready.reason, message.to_owned());
    }
    let motion = if is_true("Reconciling").is_some() { Motion::Moving } else { Motion::Still };
    match ready.status.as_str() {
        "True" => spoken(ComponentState::Installed, Motion::Still, ready),
        "Unknown" => spoken(ComponentState::Installing, Motion::Moving, ready),
        "False" => not_ready(ready, motion),
        _ => silent(ComponentState::Pending, Motion::Still, &ready.reason),
    }
}

/// The message is looked at before the reason: Flux's versions name the same wait differently.
fn not_ready(ready: &Condition, motion: Motion) -> View {
    let message = ready.message.to_lowercase();
    if waits_for_dependency(&message) {
        return spoken(ComponentState::Pending, Motion::Still, ready);
    }
    if waits_for_source(&message) || WORKING.contains(&ready.reason.as_str()) {
        return spoken(ComponentState::Installing, Motion::Moving, ready);
    }
    if FAILED.contains(&ready.reason.as_str()) {
        return spoken(ComponentState::Failed, motion, ready);
    }
    spoken(ComponentState::Degraded, motion, ready)
}

fn waits_for_dependency(message: &str) -> bool {
    (message.contains("dependency '") && message.contains("is not ready"))
        || (message.contains("unable to get '") && message.contains("dependency"))
}

fn waits_for_source(message: &str) -> bool {
    message.contains("source not ready")
        || (message.contains("is not ready")
            && ["helmchart '", "ocirepository '", "helmrepository '", "gitrepository '"]
                .iter()
                .any(|kind| message.contains(kind)))
}

fn spoken(state: ComponentState, motion: Motion, condition: &Condition) -> View {
    if condition.message.is_empty() {
        return silent(state, motion, &condition.reason);
    }
    view(state, motion, &condition.reason, shorten(&condition.message, MAX_TEXT))
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
