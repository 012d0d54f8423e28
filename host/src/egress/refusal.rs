//! Connections that a run's proxy did not make: words for people, rules for monitoring.

use crate::outbound::UnreachableCause;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// Why a connection was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RefusalRule {
    /// The request is none that a proxy for CONNECT answers.
    Form,
    /// The host is not granted to the run.
    Host,
    /// The host is granted to other steps.
    Step,
    /// The host is granted on another port.
    Port,
    /// The host leads to an address that is not allowed.
    Address,
    /// The host may be reached, and could not be.
    Unreachable,
}

impl RefusalRule {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Form, Self::Host, Self::Step, Self::Port, Self::Address, Self::Unreachable];

    /// Its name in counts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Host => "host",
            Self::Step => "step",
            Self::Port => "port",
            Self::Address => "address",
            Self::Unreachable => "unreachable",
        }
    }
}

/// One connection that was not made. Holds no credential: host and port are those of a CONNECT, which carries no path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Step of the run in which it was asked for.
    pub step: Cow<'static, str>,
    /// Host and port, or what was asked for instead.
    pub target: String,
    /// Rule.
    pub rule: RefusalRule,
    /// What failed; only where the rule is [`RefusalRule::Unreachable`].
    pub cause: Option<UnreachableCause>,
    /// The rule as the rest of a sentence that begins with the target.
    pub why: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, why, .. } = self;
        match self.rule {
            RefusalRule::Unreachable => write!(f, "{target} could not be reached: {why}"),
            _ => write!(f, "{target} was not let through: it {why}"),
        }
    }
}
