//! Gets a deployment's pool name published, whatever state it is in: committed again, reserved anew, taken over after a
//! restart, or repaired. The decisions are pure functions from one answer to the next move; the loop makes the calls and
//! waits. It must not know records or logs: it reports, and whoever runs it writes down.
//!
//! The manager's 202 promises that the same commit may be sent again, but a name that is active is answered 409 and its
//! records are not written. So a 409 is looked into: a name that is ours is released, reserved and committed once more.

mod decide;

#[cfg(test)]
mod decide_tests;
#[cfg(test)]
mod tests;

use super::pdm::{CommitRequest, PdmClient, PdmError, PoolName, Reservation};
use super::retry::{RetryPolicy, Waited, wait};
use decide::{Act, Move};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Moves in a row without a wait. The longest useful chain is commit, look up, release, reserve, commit; a manager that
/// sends us in circles is asked at the pace of the policy.
const MAX_IMMEDIATE: u32 = 5;

/// What is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The name.
    pub name: PoolName,
    /// Address its records point at; from the outputs, so never blank.
    pub load_balancer_ip: String,
    /// The deployment's words in its reserve call: proof of whose a name is.
    pub created_by: String,
    /// Token of the reservation on record; empty when there is none.
    pub reservation_token: String,
}

/// What the caller writes down on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The name is reserved anew or taken over; this token replaces the one on record.
    Reserved(Reservation),
    /// Something did not work; it is tried again.
    Waiting {
        /// What happened, for a person.
        reason: String,
        /// Which wait this is, from 1.
        attempt: u32,
        /// How long.
        wait: Duration,
    },
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitEnd {
    /// The records are published.
    Published,
    /// It was called off between two calls.
    Cancelled,
    /// The name belongs to somebody else.
    Taken {
        /// Who, in the words of their reserve call; empty when the manager does not say.
        by: String,
    },
    /// It will never do.
    Refused(PdmError),
    /// The policy's time is over.
    GaveUp {
        /// What happened last.
        reason: String,
    },
}

/// Publishes, trying again until it is done, refused, called off, or the policy ends. Only one may run for a deployment.
/// A call in flight is not broken off by `cancel`: its outcome would be unknown. Each takes at most 15 s.
pub async fn commit_until_done(
    client: &PdmClient,
    publication: &Publication,
    policy: &RetryPolicy,
    cancel: &CancellationToken,
    mut report: impl FnMut(Progress),
) -> CommitEnd {
    let mut waits = policy.waits();
    let mut immediate = 0;
    let mut attempt = 0;
    let mut act = decide::first(&publication.reservation_token);
    let mut memory = decide::Memory::default();
    loop {
        if cancel.is_cancelled() {
            return CommitEnd::Cancelled;
        }
        let chosen = perform(client, publication, act, &mut memory, &mut report).await;
        let (next, reason) = match chosen {
            Move::End(end) => return end,
            Move::Now(next) if immediate < MAX_IMMEDIATE => {
                immediate += 1;
                act = next;
                continue;
            }
            Move::Now(next) => (next, "the pool-domain manager contradicts itself".to_owned()),
            Move::Later(next, reason) => (next, reason),
        };
        let Some(pause) = waits.next() else { return CommitEnd::GaveUp { reason } };
        attempt += 1;
        report(Progress::Waiting { reason, attempt, wait: pause });
        if wait(pause, cancel).await == Waited::Cancelled {
            return CommitEnd::Cancelled;
        }
        (act, immediate) = (next, 0);
    }
}

async fn perform(
    client: &PdmClient,
    publication: &Publication,
    act: Act,
    memory: &mut decide::Memory,
    report: &mut impl FnMut(Progress),
) -> Move {
    let name = &publication.name;
    match act {
        Act::Commit { token } => {
            let request = CommitRequest {
                reservation_token: token.clone(),
                sovereign_fqdn: name.fqdn(),
                load_balancer_ip: publication.load_balancer_ip.clone(),
            };
            decide::after_commit(client.commit(name, &request).await, token, memory)
        }
        Act::Reserve => {
            let outcome = client.reserve(name, &publication.created_by).await;
            if let Ok(reservation) = &outcome {
                report(Progress::Reserved(reservation.clone()));
            }
            decide::after_reserve(outcome)
        }
        Act::LookUp => {
            let holder = client.holder(name).await;
            let (chosen, taken_over) = decide::after_look_up(holder, &publication.created_by, memory);
            if let Some(reservation) = taken_over {
                report(Progress::Reserved(reservation));
            }
            chosen
        }
        Act::Release => decide::after_release(client.release(name).await, memory),
    }
}
