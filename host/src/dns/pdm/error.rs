//! What can go wrong at the pool-domain manager: one kind per status, so that nobody reads statuses a second time.

use crate::outbound::{Answer, SendError, excerpt};
use std::fmt;

/// How much of a foreign body an error repeats (contract 6.1).
const MAX_SAID: usize = 256;

/// The family of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PdmFault {
    /// No answer; whether it acted is unknown.
    Unreachable,
    /// 5xx, 408 or 429: it may pass by itself. Whether it acted is unknown.
    Unavailable,
    /// 409 on reserve: the name is taken.
    Conflict,
    /// 409 on commit: the name is active already, ours or another's.
    AlreadyActive,
    /// 404: there is no such reservation or name.
    NotFound,
    /// 403 on commit: the reservation is not the one of this token.
    TokenMismatch,
    /// 410 on commit: the reservation lapsed.
    Expired,
    /// 400 or 422: the name, the pool or the address will never do.
    Refused,
    /// An answer that the contract does not know.
    Unintelligible,
}

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct PdmError {
    /// The family.
    pub fault: PdmFault,
    /// Which call.
    pub call: &'static str,
    /// Status, when there was an answer.
    pub status: Option<u16>,
    /// What was said: at most 256 bytes of the body, or why there was no answer.
    pub said: String,
}

impl fmt::Display for PdmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, said, .. } = self;
        match self.status {
            Some(status) => write!(f, "pool-domain manager: {call}: status {status}: {said}"),
            None => write!(f, "pool-domain manager: {call}: {said}"),
        }
    }
}

impl PdmError {
    pub(super) fn unreachable(call: &'static str, error: &SendError) -> Self {
        Self { fault: PdmFault::Unreachable, call, status: None, said: error.to_string() }
    }

    pub(super) fn unintelligible(call: &'static str, answer: &Answer) -> Self {
        let fault = PdmFault::Unintelligible;
        Self { fault, call, status: Some(answer.status), said: said(answer) }
    }

    pub(super) fn of_status(call: &'static str, answer: &Answer) -> Self {
        let fault = match (answer.status, call) {
            (408 | 429 | 500..=599, _) => PdmFault::Unavailable,
            (409, "reserve") => PdmFault::Conflict,
            (409, "commit") => PdmFault::AlreadyActive,
            (404, _) => PdmFault::NotFound,
            (403, "commit") => PdmFault::TokenMismatch,
            (410, "commit") => PdmFault::Expired,
            (400 | 422, _) => PdmFault::Refused,
            _ => PdmFault::Unintelligible,
        };
        Self { fault, call, status: Some(answer.status), said: said(answer) }
    }

    /// Whether the same call may succeed later.
    pub fn may_pass(&self) -> bool {
        matches!(self.fault, PdmFault::Unreachable | PdmFault::Unavailable)
    }

    /// Whether the manager may have acted all the same.
    pub fn outcome_unknown(&self) -> bool {
        self.may_pass() || (self.fault == PdmFault::Unintelligible && self.status.is_some_and(|s| s < 300))
    }
}

/// What a body says, fit for one log line.
pub(super) fn said(answer: &Answer) -> String {
    excerpt(&answer.body, MAX_SAID)
}
