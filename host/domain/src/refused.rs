//! Why a fact is not recorded. Apart from the table, so that every part of it can say so.

use crate::event::seconds;
use crate::{Status, Timestamp};

/// Why a fact does not fit the record. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A run is going; a person has to wait for its end.
    #[error("the deployment is {0}: wait until that has ended")]
    Busy(Status),
    /// A healthy cluster is not applied again.
    #[error("the deployment is ready: a healthy cluster is not applied again")]
    Healthy,
    /// There is nothing left to act on.
    #[error("the deployment is destroyed")]
    Gone,
    /// The watch cannot be taken up from here; the request stands, but a person must act.
    #[error("there is nothing here that a retry could take up")]
    ManualRetry,
    /// The one-time bearer was used.
    #[error("a kubeconfig was already accepted")]
    AlreadySet,
    /// No bearer was ever given out, or it went with a destroy.
    #[error("the deployment accepts no kubeconfig")]
    NoBearer,
    /// As many tokens for reading are kept as there may be.
    #[error(
        "{count} read tokens of this deployment are in use, the first of which ends at {}; a DELETE ends all of them",
        seconds(*.until)
    )]
    ReadTokensTaken {
        /// How many.
        count: usize,
        /// When the first one ends.
        until: Timestamp,
    },
    /// A report that no longer matters: a late end of something that was ended already.
    #[error("the report does not fit a deployment that is {0}")]
    Stale(Status),
}
