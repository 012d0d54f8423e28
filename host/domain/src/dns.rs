//! The pool name of a deployment: how far it is, what may happen to it, and what is due. A name that cannot be
//! published does not undo a cluster, so none of this moves the status.

use crate::{Record, Refused, Status, Step};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How far a pool name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DnsState {
    /// Held for this deployment; nothing points anywhere yet.
    Reserved,
    /// The outputs are read and its records are being written.
    Publishing,
    /// Its records point at the load balancer.
    Published,
    /// It will not get further by itself.
    Failed,
}

/// State and words of a pool name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PoolDns {
    /// How far.
    pub state: DnsState,
    /// What was last said, for a person; blank when there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// A name that the pool-domain manager holds for a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolReservation {
    /// Opaque; needed for the commit. Blank when the name is ours but its token is not known.
    pub token: String,
    /// Domain below which it lies.
    pub domain: String,
    /// Its label.
    pub label: String,
}

/// Things that happened to a pool name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsFact {
    /// It was reserved anew on the way: this token replaces the one on record.
    Reserved {
        /// The new token.
        token: String,
    },
    /// Writing its records did not work yet; it is tried again.
    Waiting {
        /// What was said.
        detail: String,
    },
    /// Its records are written.
    Published,
    /// Its records will not be written.
    Failed {
        /// Why, in words.
        detail: String,
    },
    /// It is no longer ours.
    LetGo {
        /// Why it may still be held, where the manager could not be made to release it.
        left: Option<String>,
    },
}

/// The step that a pool name asks for, if any.
pub fn due(record: &Record) -> Option<Step> {
    use Status::{Destroyed, Failed, FluxBootstrapping, Phase1Watching, Ready};
    if record.pdm_pool_domain.is_empty() {
        return None;
    }
    let state = record.dns.as_ref().map(|dns| dns.state);
    let open = matches!(state, Some(DnsState::Reserved | DnsState::Publishing));
    match record.status {
        FluxBootstrapping | Phase1Watching | Ready | Failed if record.phase0_done() && open => Some(Step::PublishDns),
        // The earlier service committed only at the end of a run that went well.
        FluxBootstrapping | Phase1Watching if record.phase0_done() && state.is_none() => Some(Step::PublishDns),
        // A name that was never published must not stay locked for a cluster that never came to be.
        Failed if !record.phase0_done() && matches!(state, Some(DnsState::Reserved) | None) => Some(Step::ReleaseDns),
        Destroyed => Some(Step::ReleaseDns),
        _ => None,
    }
}

/// Applies one fact; only what is due can have happened.
pub(crate) fn apply(next: &mut Record, fact: &DnsFact) -> Result<(), Refused> {
    let expected = if matches!(fact, DnsFact::LetGo { .. }) { Step::ReleaseDns } else { Step::PublishDns };
    if due(next) != Some(expected) {
        return Err(Refused::Stale(next.status));
    }
    match fact {
        DnsFact::Reserved { token } => {
            token.clone_into(&mut next.pdm_reservation_token);
            say(next, DnsState::Publishing, "");
        }
        DnsFact::Waiting { detail } => say(next, DnsState::Publishing, detail),
        DnsFact::Published => say(next, DnsState::Published, ""),
        DnsFact::Failed { detail } => say(next, DnsState::Failed, detail),
        DnsFact::LetGo { left } => {
            next.pdm_reservation_token.clear();
            next.pdm_pool_domain.clear();
            next.pdm_subdomain.clear();
            next.dns = left.as_ref().map(|why| PoolDns { state: DnsState::Failed, detail: why.clone() });
        }
    }
    Ok(())
}

/// A name is held for this deployment.
pub(crate) fn reserved(next: &mut Record, reservation: &PoolReservation) {
    next.pdm_reservation_token.clone_from(&reservation.token);
    next.pdm_pool_domain.clone_from(&reservation.domain);
    next.pdm_subdomain.clone_from(&reservation.label);
    say(next, DnsState::Reserved, "");
}

/// The outputs are read. A name that points at this very load balancer already is left alone.
pub(crate) fn applied(next: &mut Record, old_load_balancer_ip: &str) {
    if next.pdm_pool_domain.is_empty() {
        return;
    }
    let published = next.dns.as_ref().is_some_and(|dns| dns.state == DnsState::Published);
    let same = next.result.as_ref().is_some_and(|result| result.load_balancer_ip == old_load_balancer_ip);
    if !(published && same) {
        say(next, DnsState::Publishing, "");
    }
}

/// A run of the earlier service that had ended had also ended with its commit; doing that once more would take a live
/// name away for a while.
pub(crate) fn watch_resumed(next: &mut Record) {
    if next.dns.is_none() && !next.pdm_pool_domain.is_empty() {
        say(next, DnsState::Published, "");
    }
}

fn say(next: &mut Record, state: DnsState, detail: &str) {
    next.dns = Some(PoolDns { state, detail: detail.to_owned() });
}
