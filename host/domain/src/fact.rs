//! Things that happened to a deployment. A fact is never a wish: whoever reports it has seen it.

use crate::bearer::{Replacement, SeenServer, StaleServer};
use crate::dns::{DnsFact, PoolReservation};
use crate::provider::Endpoints;
use crate::read_token::ReadToken;
use crate::record::Child;
use crate::{LeftResource, RemainingResource};
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
    /// A plan was looked at, and what it makes of the servers is about to be applied.
    PlanJudged {
        /// Whether it makes a server with the bearer of the record.
        gives_bearer: bool,
        /// What it makes of the server that held the bearer, where that one does not stay.
        replacement: Option<Replacement>,
        /// Servers that cannot stay beside what it makes.
        stale: Vec<StaleServer>,
    },
    /// The plan is made and OpenTofu begins to apply.
    ApplyBegan,
    /// OpenTofu's state was looked at while no run was going.
    ServersSeen {
        /// Address of the server that holds the bearer.
        first: String,
        /// The servers in it.
        servers: Vec<SeenServer>,
    },
    /// The server that replaces the first one called with its bearer.
    CalledWithNewBearer,
    /// Outputs were read and make sense.
    Applied(Endpoints),
    /// OpenTofu failed, outputs were missing, or the budget was spent.
    Phase0Failed {
        /// `tofu <step>: <diagnosis in words>`.
        error: String,
    },
    /// The run was ended before it applied anything: the cluster's data would have been lost, and nobody had agreed to that.
    DataLossRefused {
        /// `tofu plan: <what would be lost, and how to agree to that>`.
        error: String,
        /// What would be lost.
        why: String,
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
        /// Why a deployment that is ready may be applied again, too.
        repair: Option<Repair>,
        /// Whether they accept that the cluster's data is lost.
        data_loss_accepted: bool,
        /// The pool name, where it was reserved anew.
        reservation: Option<PoolReservation>,
    },
    /// A person asked for Phase 1 once more.
    Phase1Retried,
    /// A person asked to remove everything but the volumes that the cluster made by itself.
    DestroyRequested,
    /// A person asked to remove everything, and agreed that the volumes that the cluster made are deleted.
    DestroyWithVolumesRequested,
    /// A destroy looked in the cluster or in the cloud for what it does not remove; it takes the place of what was recorded.
    RemainingSeen(Vec<RemainingResource>),
    /// What a destroy that did not come to its end had suspended on the cluster was resumed, as far as it has the mark of it.
    FluxResumed,
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

/// What makes it right to apply a deployment again that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// OpenTofu's state shows a server that is damaged or missing.
    ServerMissing,
    /// A person accepts that the cluster is made anew.
    DataLossAccepted,
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
