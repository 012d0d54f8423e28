//! Frees the pool name of a deployment, and only of that one. The manager's release asks for no proof, and a reservation may
//! have lapsed and gone to somebody else; so the holder is looked up first.

#[cfg(test)]
#[path = "release_tests.rs"]
mod tests;

use super::pdm::{PdmClient, PdmError, PdmFault, PoolName, Released};
use super::retry::{RetryPolicy, Waited, wait};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How a release ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleaseEnd {
    /// The name is free, or was.
    Freed,
    /// The name is somebody else's by now; nothing was done.
    Foreign,
    /// It was called off.
    Cancelled,
    /// It did not succeed within the policy, or never will.
    Failed(PdmError),
}

/// What it takes to free a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The manager must list us as the holder. For a name of which it is not known whether we ever had it.
    Required,
    /// The manager must not list somebody else; where it does not list names at all, it is asked to release as the contract
    /// has it. For a name that was ours.
    WhereListed,
}

/// A failed try that is followed by another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRetry {
    /// What happened.
    pub reason: String,
    /// How long until the next try.
    pub wait: Duration,
}

/// Frees `name` if `created_by` holds it, trying again after failures that may pass.
pub async fn release(
    client: &PdmClient,
    name: &PoolName,
    created_by: &str,
    proof: Proof,
    policy: &RetryPolicy,
    cancel: &CancellationToken,
    mut report: impl FnMut(ReleaseRetry),
) -> ReleaseEnd {
    let mut waits = policy.waits();
    let mut leftover = Leftover::None;
    loop {
        let failure = match attempt(client, name, created_by, proof, leftover).await {
            Ok(Attempt::Ended(end)) => return end,
            // Asking again makes the manager remove the records again. If it goes on failing, the name is free all the same.
            Ok(Attempt::RecordsLeft(said)) => {
                leftover = Leftover::Records;
                Failure { reason: said, end: ReleaseEnd::Freed }
            }
            Err(error) if error.may_pass() => Failure { reason: error.to_string(), end: ReleaseEnd::Failed(error) },
            Err(error) => return ReleaseEnd::Failed(error),
        };
        let Some(pause) = waits.next() else { return failure.end };
        report(ReleaseRetry { reason: failure.reason, wait: pause });
        if wait(pause, cancel).await == Waited::Cancelled {
            return ReleaseEnd::Cancelled;
        }
    }
}

struct Failure {
    reason: String,
    end: ReleaseEnd,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Leftover {
    None,
    Records,
}

enum Attempt {
    Ended(ReleaseEnd),
    RecordsLeft(String),
}

async fn attempt(
    client: &PdmClient,
    name: &PoolName,
    created_by: &str,
    proof: Proof,
    leftover: Leftover,
) -> Result<Attempt, PdmError> {
    match client.holder(name).await {
        Ok(Some(holder)) if holder.created_by != created_by => return Ok(Attempt::Ended(ReleaseEnd::Foreign)),
        Ok(None) if leftover == Leftover::None => return Ok(Attempt::Ended(ReleaseEnd::Freed)),
        Err(error) if proof == Proof::Required || error.fault != PdmFault::NotFound => return Err(error),
        Ok(_) | Err(_) => {}
    }
    Ok(match client.release(name).await? {
        Released::Done | Released::Absent => Attempt::Ended(ReleaseEnd::Freed),
        Released::DnsLeft { said } => Attempt::RecordsLeft(said),
    })
}
