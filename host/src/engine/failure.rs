//! How the engine says that something went wrong: in words for a person, without secrets and without paths.

use super::command::RunStep;
use super::{recovery, unkept};
use crate::egress::Refusal;
use catalyst_domain::provider::Diagnostic;
use std::collections::BTreeMap;
use std::fmt;

/// Hosts that the reason of a failure names as refused.
const REFUSED_NAMED: usize = 3;

/// Why the engine cannot work at all.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The binary cannot be run.
    #[error("OpenTofu cannot be run as {binary}: {why}")]
    Binary {
        /// The binary as it was configured.
        binary: String,
        /// The reason.
        why: String,
    },
    /// The binary is too old.
    #[error("OpenTofu {found} is too old: 1.6 or later is needed")]
    TooOld {
        /// Its version.
        found: String,
    },
    /// A folder cannot be made or opened.
    #[error("cannot {doing} the folder of {what}")]
    Folder {
        /// `create` or `open`.
        doing: &'static str,
        /// What it is for.
        what: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The operator's proxy cannot be the way out of runs.
    #[error("OpenTofu's runs cannot go by the proxy of this host")]
    Proxy(#[source] crate::outbound::SetupError),
    /// A supervisor of runs cannot be started.
    #[error("the supervisor of runs cannot be started: {why}")]
    Supervisor {
        /// The reason.
        why: String,
    },
    /// The confinement is not what it must be.
    #[error("CATALYST_TOFU_CONFINE is require, and these layers do not hold here: {missing}")]
    Confinement {
        /// The layers, each with its reason.
        missing: String,
    },
    /// A part of the start broke.
    #[error("the look at OpenTofu's folders broke; the trace says where")]
    Broke,
}

/// The family of a failed run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunErrorKind {
    /// OpenTofu ended with an error, or could not be started.
    Failed,
    /// The budget was spent and OpenTofu was stopped.
    Timeout,
    /// The host was asked to stop, or the supervisor of the run received SIGTERM, SIGINT or SIGHUP.
    Stopped,
    /// The work folder could not be prepared.
    Staging,
    /// The store did not take or give the state.
    Storage,
}

impl RunErrorKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Failed, Self::Timeout, Self::Stopped, Self::Staging, Self::Storage];
}

/// Why a run did not reach its end. All texts are masked for the secrets of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunError {
    /// The step that did not end well.
    pub step: RunStep,
    /// Family.
    pub kind: RunErrorKind,
    /// OpenTofu's error diagnostics, oldest first; empty when it gave none.
    pub diagnostics: Vec<Diagnostic>,
    /// One line for a person: what stopped the run early, else what the store refused, else the first diagnostic, else the last
    /// `Error:` block, else how the process ended. Where something outside of OpenTofu ended it (a signal, or the end of the run's
    /// init or supervisor) that comes first.
    pub reason: String,
    /// Connections that the run asked its proxy for in this step and did not get, each host once. The reason names the first of them.
    pub refused: Vec<Refusal>,
    /// Signal that ended OpenTofu, or the supervisor of its run, and that the host did not send.
    pub signal: Option<i32>,
    /// What the run made and no state has: ids by address.
    pub unkept: BTreeMap<String, String>,
    /// Whether the newest state is in the host's memory and on no disk.
    pub in_memory_only: bool,
}

impl RunError {
    pub(crate) fn new(step: RunStep, kind: RunErrorKind, reason: impl Into<String>) -> Self {
        Self {
            step,
            kind,
            diagnostics: Vec::new(),
            reason: reason.into(),
            refused: Vec::new(),
            signal: None,
            unkept: BTreeMap::new(),
            in_memory_only: false,
        }
    }

    /// What the step asked for and was not let through to, in one line: often why it failed.
    pub fn refused_words(&self) -> Option<String> {
        let mut words: Vec<String> = self.refused.iter().take(REFUSED_NAMED).map(ToString::to_string).collect();
        if let more @ 1.. = self.refused.len().saturating_sub(REFUSED_NAMED) {
            words.push(format!("and {more} more"));
        }
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// Sentences on what nobody else knows of, whatever the reason is.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        unkept::sentence(&self.unkept).into_iter().chain(self.in_memory_only.then(recovery::in_memory_only))
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tofu {}: {}", self.step, self.reason)?;
        self.warnings().try_for_each(|warning| write!(f, "; {warning}"))
    }
}

impl std::error::Error for RunError {}
