//! Refusals of whoever asks for more than its share: which limit, what it is, where it is set, and when to come again.

use super::places::COME_AGAIN;
use crate::limits::{LiveFault, Rate, Rates, Settings, Subject};
use std::time::Duration;

/// What is limited by subject and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateKind {
    /// Creates.
    Creates,
    /// Retries, destroys and changes of nameservers.
    Changes,
    /// Questions that cost a plugin call, a key or a call to the outside.
    Questions,
}

impl RateKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Creates, Self::Changes, Self::Questions];

    /// What whoever is over this rate is told, with the usual limits; for the document of the API.
    pub fn example(self) -> TooMany {
        let limits = Settings::default();
        let rate = if self == Self::Questions { limits.questions } else { limits.creates };
        TooMany::Rate { kind: self, rate, wait: Duration::ZERO }
    }
}

/// The rates of all subjects.
pub struct RequestRates {
    creates: Rates,
    changes: Rates,
    questions: Rates,
}

impl RequestRates {
    /// With these limits.
    pub fn new(limits: &Settings) -> Self {
        let (creates, changes) = (Rates::new(limits.creates), Rates::new(limits.creates));
        Self { creates, changes, questions: Rates::new(limits.questions) }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// [`TooMany::Rate`].
    pub fn take(&self, kind: RateKind, subject: &Subject) -> Result<(), TooMany> {
        let rates = match kind {
            RateKind::Creates => &self.creates,
            RateKind::Changes => &self.changes,
            RateKind::Questions => &self.questions,
        };
        rates.take(subject).map_err(|wait| TooMany::Rate { kind, rate: rates.rate(), wait })
    }
}

/// Which limit was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMany {
    /// Requests in a time.
    Rate {
        /// Of this kind.
        kind: RateKind,
        /// The limit.
        rate: Rate,
        /// After how long the next one is taken.
        wait: Duration,
    },
    /// Deployments, or runs that wait.
    Live(LiveFault),
    /// Requests in flight of one client of a trusted proxy.
    InFlight(usize),
}

/// When a deployment or a run may have ended: nobody can tell, and an apply takes minutes.
const AFTER_A_RUN: Duration = Duration::from_secs(60);

impl TooMany {
    /// Its word for machines.
    pub fn code(self) -> &'static str {
        match self {
            Self::Rate { kind: RateKind::Creates, .. } => "too-many-creates",
            Self::Rate { kind: RateKind::Changes, .. } => "too-many-changes",
            Self::Rate { kind: RateKind::Questions, .. } => "too-many-questions",
            Self::Live(LiveFault::Live(_)) => "too-many-live-deployments",
            Self::Live(LiveFault::Waiting(_)) => "too-many-waiting-runs",
            Self::InFlight(_) => "too-many-connections",
        }
    }

    /// Its sentence for people.
    pub fn detail(self) -> String {
        match self {
            Self::Rate { kind, rate, .. } => {
                let (what, setting) = match kind {
                    RateKind::Creates => ("creates", "CATALYST_CREATE_RATE"),
                    RateKind::Changes => ("retries, destroys and changes of nameservers", "CATALYST_CREATE_RATE"),
                    RateKind::Questions => ("previews and checks", "CATALYST_QUESTION_RATE"),
                };
                let seconds = self.retry_after().as_secs();
                format!("you may send {rate} {what} ({setting}); the next one is taken in {seconds} s")
            }
            Self::Live(LiveFault::Live(most)) => format!(
                "you have {most} deployments that are not at their end, which is the limit (CATALYST_MAX_LIVE); try again \
                 when one has ended"
            ),
            Self::Live(LiveFault::Waiting(most)) => format!(
                "{most} of your deployments wait for a free run, which is the limit (CATALYST_MAX_WAITING); try again when \
                 one has begun"
            ),
            Self::InFlight(most) => in_flight(most),
        }
    }

    /// When to come again, in whole seconds, at least one.
    pub fn retry_after(self) -> Duration {
        match self {
            Self::Rate { wait, .. } => Duration::from_secs(wait.as_secs().saturating_add(1)),
            Self::Live(_) => AFTER_A_RUN,
            Self::InFlight(_) => COME_AGAIN,
        }
    }
}

/// The sentence for an address that has its share.
pub fn in_flight(most: usize) -> String {
    format!(
        "your address has {most} connections, which is the limit (CATALYST_ADDRESS_CONNECTIONS); close some, or try again soon"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_names_limit_value_setting_and_time() {
        let rate: Rate = "3000/10m".parse().unwrap();
        let wait = Duration::from_millis(200);
        let rates = RateKind::ALL.map(|kind| TooMany::Rate { kind, rate, wait });
        let others =
            [TooMany::Live(LiveFault::Live(3000)), TooMany::Live(LiveFault::Waiting(3000)), TooMany::InFlight(3000)];
        for refusal in rates.into_iter().chain(others) {
            let detail = refusal.detail();
            assert!(detail.contains("3000") && detail.contains("CATALYST_"), "{detail}");
            assert!(refusal.code().starts_with("too-many-") && refusal.retry_after() >= Duration::from_secs(1));
        }
    }
}
