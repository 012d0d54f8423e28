//! The same component twice, each in a sandbox of its own: every call is made in both, and the answers are compared. What one
//! sandbox remembers, the other cannot know.

use super::ledger::{Ledger, Rule};
use catalyst_sandbox::{CallError, CallFailure, Provider};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Both, and what was seen so far.
pub(super) struct Twins {
    first: Arc<Provider>,
    second: Arc<Provider>,
    /// Verdicts.
    pub ledger: Ledger,
    /// Calls of both.
    pub calls: u64,
    /// The slowest of them, on the clock.
    pub slowest: (Duration, String),
}

impl Twins {
    pub(super) fn new(first: Arc<Provider>, second: Arc<Provider>, ledger: Ledger) -> Self {
        Self { first, second, ledger, calls: 0, slowest: (Duration::ZERO, String::new()) }
    }

    /// One of them, for what it says of itself.
    pub(super) fn provider(&self) -> Arc<Provider> {
        Arc::clone(&self.first)
    }

    /// Makes a call in both. A call without an answer fails `rule`, and a bundle that is refused fails its own; then there is
    /// no value.
    pub(super) async fn ask<T: PartialEq>(
        &mut self,
        rule: Rule,
        what: &str,
        call: impl AsyncFn(&Provider) -> Result<T, CallError>,
    ) -> Option<T> {
        let begun = Instant::now();
        let first = call(&self.first).await;
        let took = begun.elapsed();
        let second = call(&self.second).await;
        self.calls += 2;
        if took > self.slowest.0 {
            self.slowest = (took, what.to_owned());
        }
        let same = first.as_ref().ok() == second.as_ref().ok();
        self.ledger.expect(Rule::Deterministic, same, || format!("{what}: two calls gave two answers"));
        match first {
            Ok(value) => {
                self.ledger.hold(rule, Ok(()));
                Some(value)
            }
            Err(error) => {
                self.ledger
                    .hold(failed_rule(rule, &error), Err(format!("{what}: {} {}", error.function, error.reason)));
                None
            }
        }
    }
}

/// A refused bundle is a matter of its own, whatever the request was.
fn failed_rule(rule: Rule, error: &CallError) -> Rule {
    match &error.reason {
        CallFailure::BadOutput(why) if why.contains("bundle") => Rule::Bundle,
        _ => rule,
    }
}
