//! The rules of `check`, and what was seen of each. A rule that nothing was held to did not pass.

use serde::Serialize;
use std::collections::BTreeMap;

/// Reasons that are told of one rule; a person fixes these first.
const TOLD: usize = 5;

/// What a component is held to, in the order in which it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    Load,
    Schema,
    Accepts,
    Bundle,
    Secrets,
    UserData,
    Agreement,
    Settings,
    Hostile,
    TextStaysText,
    Outputs,
    Answers,
    Deterministic,
}

impl Rule {
    /// All of them.
    pub(super) const ALL: [Self; 13] = [
        Self::Load,
        Self::Schema,
        Self::Accepts,
        Self::Bundle,
        Self::Secrets,
        Self::UserData,
        Self::Agreement,
        Self::Settings,
        Self::Hostile,
        Self::TextStaysText,
        Self::Outputs,
        Self::Answers,
        Self::Deterministic,
    ];

    /// Stable name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Schema => "schema",
            Self::Accepts => "accepts",
            Self::Bundle => "bundle",
            Self::Secrets => "secrets",
            Self::UserData => "user-data",
            Self::Agreement => "agreement",
            Self::Settings => "settings",
            Self::Hostile => "hostile-input",
            Self::TextStaysText => "text-stays-text",
            Self::Outputs => "outputs",
            Self::Answers => "answers",
            Self::Deterministic => "deterministic",
        }
    }

    /// What it asks for.
    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::Load => "a host loads it: form, size, imports, version of the contract, exports, descriptor",
            Self::Schema => "the settings schema names its properties, and each required one has a value to show",
            Self::Accepts => "a plain request is accepted in every region of the catalogue",
            Self::Bundle => "every module passes the host's policy and the rules of an answer",
            Self::Secrets => "what the module gets of secrets is what was declared and is there",
            Self::UserData => "user data is told, within its limit, and is cloud-config",
            Self::Agreement => "what validate passes is rendered, and what it refuses is not",
            Self::Settings => "a setting of a wrong type is an error finding at its key",
            Self::Hostile => "hostile texts and numbers are answered, within all limits",
            Self::TextStaysText => "a template mark in a request stays text, and no private mark is left in a file",
            Self::Outputs => "missing and broken outputs are a reason in words",
            Self::Answers => "diagnose, estimate and the credential functions answer",
            Self::Deterministic => "the same input gives the same answer in two sandboxes",
        }
    }
}

#[derive(Debug, Default)]
struct Entry {
    held: usize,
    reasons: Vec<String>,
    failed: usize,
}

/// How a rule went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    Pass,
    Fail,
    /// There was nothing to hold to it.
    NotRun,
}

/// One line of the list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    pub rule: &'static str,
    pub verdict: Verdict,
    pub meaning: &'static str,
    /// How often it was held to.
    pub held: usize,
    /// Why it failed; the first few.
    pub reasons: Vec<String>,
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Ledger(BTreeMap<Rule, Entry>);

impl Ledger {
    /// Notes that a rule was held to.
    pub(super) fn hold(&mut self, rule: Rule, outcome: Result<(), String>) {
        let entry = self.0.entry(rule).or_default();
        entry.held += 1;
        if let Err(reason) = outcome {
            entry.failed += 1;
            if entry.reasons.len() < TOLD && !entry.reasons.contains(&reason) {
                entry.reasons.push(reason);
            }
        }
    }

    /// Notes a condition, and why it has to be.
    pub(super) fn expect(&mut self, rule: Rule, condition: bool, reason: impl FnOnce() -> String) {
        self.hold(rule, if condition { Ok(()) } else { Err(reason()) });
    }

    /// Whether nothing failed.
    pub(super) fn is_good(&self) -> bool {
        self.0.values().all(|entry| entry.failed == 0)
    }

    /// The list, every rule once.
    pub(super) fn into_lines(mut self) -> Vec<Line> {
        let line = |rule: Rule| {
            let entry = self.0.remove(&rule).unwrap_or_default();
            let verdict = match (entry.held, entry.failed) {
                (0, _) => Verdict::NotRun,
                (_, 0) => Verdict::Pass,
                _ => Verdict::Fail,
            };
            let (held, reasons) = (entry.held, entry.reasons);
            Line { rule: rule.name(), verdict, meaning: rule.meaning(), held, reasons }
        };
        Rule::ALL.into_iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_nothing_was_held_to_did_not_pass() {
        let mut ledger = Ledger::default();
        ledger.hold(Rule::Load, Ok(()));
        ledger.expect(Rule::Bundle, false, || "why".to_owned());
        ledger.expect(Rule::Bundle, true, String::new);
        assert!(!ledger.is_good());
        let lines = ledger.into_lines();
        assert_eq!(lines.len(), Rule::ALL.len());
        let verdict = |name: &str| lines.iter().find(|line| line.rule == name).map(|line| line.verdict);
        assert_eq!(verdict("load"), Some(Verdict::Pass));
        assert_eq!(verdict("bundle"), Some(Verdict::Fail));
        assert_eq!(verdict("outputs"), Some(Verdict::NotRun));
    }
}
