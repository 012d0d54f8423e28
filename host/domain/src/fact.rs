//! Things that happened to a deployment. A fact is never a wish: whoever reports it has seen it.

use crate::LeftResource;
use crate::dns::{DnsFact, PoolReservation};
use crate::provider::Endpoints;
use crate::read_token::ReadToken;
use crate::record::Child;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A plugin rendered the bundle that this run uses.
    Rendered {
        /// SHA-256 of the bundle, as hex.
        digest: String,
        /// The plugin's rights at that time, as lines of `plugins.lock`.
        rights: Vec<String>,
        /// Secrets of the host that it wants: the host's name of each, by its own.
        host_secrets: BTreeMap<String, String>,
    },
    /// A command of OpenTofu was started, under this supervisor.
    ChildStarted(Child),
    /// The plan is made and OpenTofu begins to apply.
    ApplyBegan,
    /// Outputs were read and make sense.
    Applied(Endpoints),
    /// OpenTofu failed, outputs were missing, or the budget was spent.
    Phase0Failed {
        /// `tofu <step>: <diagnosis in words>`.
        error: String,
    },
    /// A kubeconfig was written to disk under the right bearer.
    KubeconfigReceived {
        /// Base name of its file.
        file: String,
        /// SHA-256 of the bytes that were handed in, as hex.
        sha256: String,
        /// URL of the API server that it names.
        server: String,
    },
    /// The kubeconfig that an earlier release stored was read anew, and is safe.
    KubeconfigReread {
        /// SHA-256 of the bytes that were found, as hex; counts where none was recorded.
        sha256: String,
        /// URL of the API server that it names.
        server: String,
    },
    /// The stored kubeconfig must not be used: it is forgotten, and its bearer counts again.
    KubeconfigRefused {
        /// Why.
        why: String,
    },
    /// The first node did not call back in time.
    NodeDeadline,
    /// The watch of the new cluster came to an end.
    Phase1Ended {
        /// How.
        outcome: Outcome,
        /// Component id → last state.
        components: BTreeMap<String, String>,
    },
    /// A person asked for Phase 0 once more.
    Phase0Retried {
        /// Hash of a new bearer, where the old one was lost and no server can hold it.
        new_bearer_hash: Option<String>,
        /// The pool name, where it was reserved anew.
        reservation: Option<PoolReservation>,
    },
    /// A person asked for Phase 1 once more.
    Phase1Retried,
    /// A person asked to remove everything.
    DestroyRequested,
    /// Nothing is left.
    DestroyFinished,
    /// Something could not be removed.
    DestroyFailed {
        /// `tofu destroy: <diagnosis in words>`.
        error: String,
    },
    /// The process began anew while a run was going that cannot be taken up.
    Interrupted {
        /// What that means, in words.
        error: String,
    },
    /// What a run that failed or was interrupted left in the cloud, as far as it is known; it takes the place of what was recorded.
    LeftBehind(Vec<LeftResource>),
    /// The process began anew and the cluster was never watched to the end.
    WatchResumed,
    /// Something about the pool name.
    Dns(DnsFact),
    /// Somebody was given a token that opens the deployment for reading.
    ReadTokenGiven(ReadToken),
    /// All such tokens were ended.
    ReadTokensEnded,
}

/// How a watch ended. `ready` needs evidence; everything else is a failure with a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All expected releases are installed.
    Ready,
    /// Failed for good, timed out, unreachable, or not observed.
    Failed(
        /// Which one, and what was seen.
        String,
    ),
}

/// A fact with its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dated {
    /// What happened.
    pub fact: Fact,
    /// When.
    pub at: Timestamp,
}
