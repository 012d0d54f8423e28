//! The states of a deployment, by their names on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a deployment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Only read from records of the earlier service; treated as an interrupted Phase 0.
    Pending,
    /// Created; OpenTofu has not begun to apply.
    Provisioning,
    /// OpenTofu applies.
    TofuApplying,
    /// The infrastructure is there; the first node has not called back.
    FluxBootstrapping,
    /// The new cluster is watched.
    Phase1Watching,
    /// The new cluster showed that it is ready.
    Ready,
    /// Ended without success; a retry may go on from here.
    Failed,
    /// The infrastructure is being removed.
    Destroying,
    /// The infrastructure is gone.
    Destroyed,
}

impl Status {
    /// Every status, for tables and tests.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Provisioning,
        Self::TofuApplying,
        Self::FluxBootstrapping,
        Self::Phase1Watching,
        Self::Ready,
        Self::Failed,
        Self::Destroying,
        Self::Destroyed,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Provisioning => "provisioning",
            Self::TofuApplying => "tofu-applying",
            Self::FluxBootstrapping => "flux-bootstrapping",
            Self::Phase1Watching => "phase1-watching",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Destroying => "destroying",
            Self::Destroyed => "destroyed",
        }
    }

    /// Whether the run has ended: streams close with `done` in these states only.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Ready | Self::Failed | Self::Destroyed)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
