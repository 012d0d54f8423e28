//! What to do after each answer of the pool-domain manager. Pure: no clock, no client.

use super::CommitEnd;
use crate::dns::pdm::{Allocation, AllocationState, Committed, PdmError, PdmFault, Released, Reservation};

/// One call to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    /// Commit with this token.
    Commit { token: String },
    /// Reserve the name.
    Reserve,
    /// See who holds it.
    LookUp,
    /// Free it. Only after an answer that proved it ours.
    Release,
}

/// What follows an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Move {
    /// Go on at once.
    Now(Act),
    /// Go on after a wait, for this reason.
    Later(Act, String),
    /// Stop.
    End(CommitEnd),
}

/// What is kept from earlier answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// A 202 came: the name is ours for good, only its records are missing.
    pub(super) ours_for_good: bool,
    /// The refusal that made us look up the holder.
    pub(super) refusal: Option<PdmError>,
}

/// Where to begin.
pub(super) fn first(token: &str) -> Act {
    if token.is_empty() { Act::Reserve } else { Act::Commit { token: token.to_owned() } }
}

pub(super) fn after_commit(outcome: Result<Committed, PdmError>, token: String, memory: &mut Memory) -> Move {
    let error = match outcome {
        Ok(Committed::Published) => return Move::End(CommitEnd::Published),
        Ok(Committed::DnsPending { said }) => {
            memory.ours_for_good = true;
            let reason = format!("the name is committed, but its DNS records are not written yet: {said}");
            return Move::Later(Act::Commit { token }, reason);
        }
        Err(error) => error,
    };
    match error.fault {
        // A lapsed reservation is 410 until the manager sweeps it away, and 404 afterwards.
        PdmFault::Expired | PdmFault::NotFound => Move::Now(Act::Reserve),
        PdmFault::AlreadyActive | PdmFault::TokenMismatch => {
            memory.refusal = Some(error);
            Move::Now(Act::LookUp)
        }
        PdmFault::Refused => Move::End(CommitEnd::Refused(error)),
        PdmFault::Unreachable | PdmFault::Unavailable | PdmFault::Conflict | PdmFault::Unintelligible => {
            Move::Later(Act::Commit { token }, error.to_string())
        }
    }
}

pub(super) fn after_reserve(outcome: Result<Reservation, PdmError>) -> Move {
    let error = match outcome {
        Ok(reservation) => return Move::Now(Act::Commit { token: reservation.reservation_token }),
        Err(error) => error,
    };
    match error.fault {
        // It may be our own: reserved by a try whose answer was lost.
        PdmFault::Conflict => Move::Now(Act::LookUp),
        PdmFault::Refused => Move::End(CommitEnd::Refused(error)),
        _ => Move::Later(Act::Reserve, error.to_string()),
    }
}

/// Also gives a reservation of ours that is taken over.
pub(super) fn after_look_up(
    holder: Result<Option<Allocation>, PdmError>,
    created_by: &str,
    memory: &mut Memory,
) -> (Move, Option<Reservation>) {
    let allocation = match holder {
        Ok(None) => return (Move::Now(Act::Reserve), None),
        Ok(Some(allocation)) => allocation,
        Err(error) => return (without_look_up(error, memory), None),
    };
    if allocation.created_by != created_by {
        return (Move::End(CommitEnd::Taken { by: allocation.created_by }), None);
    }
    match allocation.state {
        AllocationState::Reserved if !allocation.reservation_token.is_empty() => {
            let token = allocation.reservation_token;
            let reservation = Reservation { reservation_token: token.clone(), expires_at: String::new() };
            (Move::Now(Act::Commit { token }), Some(reservation))
        }
        AllocationState::Active => {
            let reason = "the name is active, but it is not certain that its DNS records are: publishing them anew";
            (Move::Later(Act::Release, reason.to_owned()), None)
        }
        AllocationState::Reserved | AllocationState::Unknown => (Move::Now(Act::Release), None),
    }
}

fn without_look_up(error: PdmError, memory: &mut Memory) -> Move {
    if error.may_pass() {
        return Move::Later(Act::LookUp, error.to_string());
    }
    // The manager does not list its names. What a 202 gave us stays ours until it is released.
    if memory.ours_for_good {
        return Move::Now(Act::Release);
    }
    Move::End(match memory.refusal.take() {
        Some(refusal) => CommitEnd::Refused(refusal),
        None => CommitEnd::Taken { by: String::new() },
    })
}

pub(super) fn after_release(outcome: Result<Released, PdmError>, memory: &mut Memory) -> Move {
    memory.ours_for_good = false;
    match outcome {
        Ok(_) => Move::Now(Act::Reserve),
        // It may have been released; by the next try somebody else may hold it.
        Err(error) if error.may_pass() => Move::Later(Act::LookUp, error.to_string()),
        Err(error) => Move::End(CommitEnd::Refused(error)),
    }
}
