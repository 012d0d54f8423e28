//! The same component twice, each in a sandbox of its own: every call is made in both, and the answers are compared. What one
//! sandbox remembers, the other cannot know.
//!
//! A function that did not end once is not called again: each further loop costs seconds and tells nothing new. So it is with one
//! that took all memory a few times. What is left out is noted under every rule that it was for.

use super::super::guest::GuestOutput;
use super::budget::Budget;
use super::ledger::{Ledger, Rule};
use catalyst_sandbox::{CallError, CallFailure, Function, Provider};
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Calls of one function that may run out of memory, each of which takes as long as filling it.
const OUT_OF_MEMORY: usize = 3;

/// A call that did not end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct LoopFound {
    /// The export.
    pub function: &'static str,
    /// What it was asked.
    pub call: String,
    /// Functions that were running, innermost first; empty where the component carries no names.
    pub within: Vec<String>,
    /// Calls of the same function that were left out.
    pub skipped: usize,
}

/// Both, and what was seen so far.
pub(super) struct Twins<'a> {
    first: Arc<Provider>,
    /// None where there was no time to load it.
    second: Option<Arc<Provider>>,
    guest: &'a GuestOutput,
    /// The time that is left.
    pub budget: Budget,
    /// Verdicts.
    pub ledger: Ledger,
    /// Calls of both.
    pub calls: u64,
    /// The slowest of them, on the clock.
    pub slowest: (Duration, String),
    /// Functions that did not end, in the order in which that was found.
    pub loops: Vec<LoopFound>,
    /// The function of each call that ran out of memory, and how the call is named.
    hungry: Vec<(Function, String)>,
}

/// What one call came to.
enum Once<T> {
    Answer(T),
    /// No answer: the kind of the failure, and all of it in words.
    Failed(CallFailure, String),
    /// It did not end; in words.
    Endless(String),
    /// It was not made, or not to its end, and why.
    LeftOut(String),
}

impl<'a> Twins<'a> {
    pub(super) fn new(
        first: Arc<Provider>,
        second: Option<Arc<Provider>>,
        guest: &'a GuestOutput,
        budget: Budget,
        ledger: Ledger,
    ) -> Self {
        let slowest = (Duration::ZERO, String::new());
        Self { first, second, guest, budget, ledger, calls: 0, slowest, loops: Vec::new(), hungry: Vec::new() }
    }

    /// One of them, for what it says of itself.
    pub(super) fn provider(&self) -> Arc<Provider> {
        Arc::clone(&self.first)
    }

    /// Makes a call in both. A call without an answer fails `rule`, and a bundle that is refused fails its own; then there is
    /// no value. Neither is there one of a call that is left out.
    pub(super) async fn ask<T: PartialEq>(
        &mut self,
        rule: Rule,
        function: Function,
        what: &str,
        call: impl AsyncFn(&Provider) -> Result<T, CallError>,
    ) -> Option<T> {
        let name = format!("{what}: {function}");
        match self.once(function, &name, &call).await {
            Once::Answer(value) => {
                self.compare(&name, Some(&value), &call).await;
                self.ledger.hold(rule, Ok(()));
                Some(value)
            }
            Once::Failed(failure, words) => {
                self.compare(&name, None, &call).await;
                self.ledger.hold(failed_rule(rule, &failure), Err(format!("{what}: {words}")));
                self.without(function, &name, &format!("{function} gave no answer"));
                None
            }
            Once::Endless(words) => {
                self.ledger.hold(rule, Err(format!("{what}: {words}")));
                self.without(function, &name, &format!("{function} gave no answer"));
                None
            }
            Once::LeftOut(why) => {
                self.ledger.leave_out(rule, &name, &why);
                self.ledger.leave_out(Rule::Deterministic, &name, &why);
                self.without(function, &name, &why);
                None
            }
        }
    }

    /// Makes a call in the first alone, to find out what it takes: a failure is what the caller makes of it. None where the call was
    /// left out, which is noted under `rule`, as is a call that does not end.
    pub(super) async fn probe<T>(
        &mut self,
        rule: Rule,
        function: Function,
        what: &str,
        call: impl AsyncFn(&Provider) -> Result<T, CallError>,
    ) -> Option<Result<T, String>> {
        let name = format!("{what}: {function}");
        match self.once(function, &name, &call).await {
            Once::Answer(value) => Some(Ok(value)),
            Once::Failed(_, words) => Some(Err(words)),
            Once::Endless(words) => {
                self.ledger.hold(rule, Err(format!("{what}: {words}")));
                None
            }
            Once::LeftOut(why) => {
                self.ledger.leave_out(rule, &name, &why);
                None
            }
        }
    }

    async fn once<T>(
        &mut self,
        function: Function,
        name: &str,
        call: &impl AsyncFn(&Provider) -> Result<T, CallError>,
    ) -> Once<T> {
        if let Some(why) = self.left_out(function) {
            return Once::LeftOut(why);
        }
        let begun = Instant::now();
        let answer = self.budget.within(call(&self.first)).await;
        let took = begun.elapsed();
        self.calls += 1;
        if took > self.slowest.0 {
            self.slowest = (took, name.to_owned());
        }
        let fault = self.guest.take(name);
        let words = fault.as_ref().map(|fault| fault.words()).unwrap_or_default();
        let failure = match answer {
            Some(Ok(value)) => return Once::Answer(value),
            Some(Err(error)) => error.reason,
            None if !self.budget.is_endless(took) => return Once::LeftOut(self.budget.over()),
            None => CallFailure::Timeout { budget_ms: took.as_millis() },
        };
        let words = format!("{function} {failure}{words}");
        if matches!(failure, CallFailure::Memory { .. }) {
            self.hungry.push((function, name.to_owned()));
        }
        if !matches!(failure, CallFailure::Timeout { .. }) {
            return Once::Failed(failure, words);
        }
        let within = fault.map(|fault| fault.within).unwrap_or_default();
        self.loops.push(LoopFound { function: function.name(), call: name.to_owned(), within, skipped: 0 });
        Once::Endless(format!("{words}; it is not called again"))
    }

    /// Why a call of a function is not made.
    fn left_out(&mut self, function: Function) -> Option<String> {
        if let Some(found) = self.loops.iter_mut().find(|found| found.function == function.name()) {
            found.skipped += 1;
            return Some(format!("{function} did not end in `{}`", found.call));
        }
        let mut hungry = self.hungry.iter().filter(|(known, _)| *known == function).map(|(_, call)| call);
        let first = hungry.next();
        if hungry.count() + 1 >= OUT_OF_MEMORY {
            return first.map(|call| format!("{function} ran out of memory again and again, first in `{call}`"));
        }
        self.budget.is_over().then(|| self.budget.over())
    }

    /// Makes the same call in the second.
    async fn compare<T: PartialEq>(
        &mut self,
        name: &str,
        first: Option<&T>,
        call: &impl AsyncFn(&Provider) -> Result<T, CallError>,
    ) {
        let second = match &self.second {
            Some(second) => self.budget.within(call(second)).await,
            None => None,
        };
        let Some(second) = second else {
            return self.ledger.leave_out(Rule::Deterministic, name, &self.budget.over());
        };
        self.calls += 1;
        let same = first == second.as_ref().ok();
        self.ledger.require(Rule::Deterministic, same, || format!("{name}: two calls gave two answers"));
    }

    /// What cannot be held to an answer that is not there.
    fn without(&mut self, function: Function, name: &str, why: &str) {
        let rules: &[Rule] = match function {
            Function::Render => &[Rule::Bundle, Rule::Secrets, Rule::UserData, Rule::Agreement, Rule::TextStaysText],
            Function::Validate => &[Rule::Agreement],
            _ => &[],
        };
        rules.iter().for_each(|rule| self.ledger.leave_out(*rule, name, why));
    }
}

/// A refused bundle is a matter of its own, whatever the request was.
fn failed_rule(rule: Rule, failure: &CallFailure) -> Rule {
    match failure {
        CallFailure::BadOutput(why) if why.contains("bundle") => Rule::Bundle,
        _ => rule,
    }
}
