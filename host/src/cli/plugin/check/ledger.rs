//! The rules of `check`, and what was seen of each. A rule that nothing was held to did not pass, and neither did one of which
//! something was left out.

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
    TofuValidate,
}

impl Rule {
    /// All of them.
    pub(super) const ALL: [Self; 14] = [
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
        Self::TofuValidate,
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
            Self::TofuValidate => "tofu-validate",
        }
    }

    /// What it asks for.
    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::Load => "a host loads it: form, size, imports, version of the contract, exports, descriptor",
            Self::Schema => {
                "the settings schema is JSON Schema 2020-12, takes its own defaults and examples, and has a value for what is required"
            }
            Self::Accepts => "a plain request is accepted in every region of the catalogue",
            Self::Bundle => "every module passes the host's policy and the rules of an answer",
            Self::Secrets => "what the module gets of secrets is what was declared and is there",
            Self::UserData => "user data is told, within its limit, and is cloud-config",
            Self::Agreement => "what validate passes is rendered, and what it refuses is not",
            Self::Settings => {
                "defaults and examples of the schema are accepted, and a setting of a wrong type is an error finding at its key"
            }
            Self::Hostile => "hostile texts and numbers are answered, within all limits",
            Self::TextStaysText => "a template mark in a request stays text, and no private mark is left in a file",
            Self::Outputs => {
                "read-outputs finds its endpoints in what the module gives out, and missing and broken outputs are a reason in words"
            }
            Self::Answers => "diagnose, estimate and the credential functions answer",
            Self::Deterministic => "the same input gives the same answer in two sandboxes",
            Self::TofuValidate => "`tofu validate` passes the module of the first request",
        }
    }
}

#[derive(Debug, Default)]
struct Entry {
    held: usize,
    reasons: Vec<String>,
    failed: usize,
    not_tried: Vec<NotTried>,
    /// Of those, how many leave the verdict on the component open.
    open: usize,
}

/// Calls that were left out, for one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct NotTried {
    /// The cause.
    pub why: String,
    /// What was left out.
    pub calls: Vec<String>,
}

/// How a rule went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    Pass,
    Fail,
    /// What was held to it passed, and something was left out.
    Incomplete,
    /// Nothing was held to it.
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
    /// What was not held to it, and why.
    pub not_tried: Vec<NotTried>,
}

/// How the whole check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Overall {
    Pass,
    Fail,
    /// Nothing failed, and not all was tried.
    Incomplete,
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
    pub(super) fn require(&mut self, rule: Rule, condition: bool, reason: impl FnOnce() -> String) {
        self.hold(rule, if condition { Ok(()) } else { Err(reason()) });
    }

    /// Notes that a call was left out, so that the rule cannot pass.
    pub(super) fn leave_out(&mut self, rule: Rule, call: &str, why: &str) {
        self.0.entry(rule).or_default().open += 1;
        self.excuse(rule, call, why);
    }

    /// Notes that something was left out for a cause that is no fault of the component: the rule is not passed as a whole, and the
    /// check may be.
    pub(super) fn excuse(&mut self, rule: Rule, call: &str, why: &str) {
        let list = &mut self.0.entry(rule).or_default().not_tried;
        match list.iter_mut().find(|not_tried| not_tried.why == why) {
            Some(known) if known.calls.iter().any(|other| other == call) => {}
            Some(known) => known.calls.push(call.to_owned()),
            None => list.push(NotTried { why: why.to_owned(), calls: vec![call.to_owned()] }),
        }
    }

    /// The verdict on all rules together.
    pub(super) fn overall(&self) -> Overall {
        if self.0.values().any(|entry| entry.failed > 0) {
            Overall::Fail
        } else if self.0.values().any(|entry| entry.open > 0) {
            Overall::Incomplete
        } else {
            Overall::Pass
        }
    }

    /// The list, every rule once.
    pub(super) fn into_lines(mut self) -> Vec<Line> {
        let line = |rule: Rule| {
            let entry = self.0.remove(&rule).unwrap_or_default();
            let verdict = match (entry.held, entry.failed, entry.not_tried.is_empty()) {
                (0, ..) => Verdict::NotRun,
                (_, 1.., _) => Verdict::Fail,
                (_, 0, false) => Verdict::Incomplete,
                (_, 0, true) => Verdict::Pass,
            };
            let Entry { held, reasons, not_tried, .. } = entry;
            Line { rule: rule.name(), verdict, meaning: rule.meaning(), held, reasons, not_tried }
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
        ledger.require(Rule::Bundle, false, || "why".to_owned());
        ledger.require(Rule::Bundle, true, String::new);
        assert_eq!(ledger.overall(), Overall::Fail);
        let lines = ledger.into_lines();
        assert_eq!(lines.len(), Rule::ALL.len());
        let verdict = |name: &str| lines.iter().find(|line| line.rule == name).map(|line| line.verdict);
        assert_eq!(verdict("load"), Some(Verdict::Pass));
        assert_eq!(verdict("bundle"), Some(Verdict::Fail));
        assert_eq!(verdict("outputs"), Some(Verdict::NotRun));
    }

    #[test]
    fn what_was_left_out_never_passes_and_a_cause_of_the_machine_takes_nothing_away() {
        let mut ledger = Ledger::default();
        ledger.hold(Rule::Hostile, Ok(()));
        ledger.excuse(Rule::TofuValidate, "tofu validate", "there is no OpenTofu");
        assert_eq!(ledger.overall(), Overall::Pass);
        for call in ["a: validate", "b: validate", "a: validate"] {
            ledger.leave_out(Rule::Hostile, call, "validate did not end");
        }
        ledger.leave_out(Rule::Answers, "a: estimate", "the time was over");
        assert_eq!(ledger.overall(), Overall::Incomplete);
        let lines = ledger.into_lines();
        let line = |name: &str| lines.iter().find(|line| line.rule == name).unwrap();
        assert_eq!(line("hostile-input").verdict, Verdict::Incomplete);
        assert_eq!(line("hostile-input").not_tried[0].calls, ["a: validate", "b: validate"]);
        assert_eq!((line("answers").verdict, line("tofu-validate").verdict), (Verdict::NotRun, Verdict::NotRun));
        assert_eq!(line("tofu-validate").not_tried[0].why, "there is no OpenTofu");
    }
}
