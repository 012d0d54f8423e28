//! Why OpenTofu failed, in words that help: faults of this host's own side as this host tells them, and every other diagnostic as the
//! plugin of its cloud explains it.

use super::Hand;
use crate::engine::{RunError, RunErrorKind};
use crate::fault_origin::{self, Context, LocatedFault};
use catalyst_domain::provider::{Advice, Asked, Diagnostic, DiagnosticKind};
use catalyst_sandbox::Provider;

/// Diagnostics explained in one error text; more than these repeat each other.
const EXPLAINED: usize = 3;

impl Hand {
    /// `tofu <step>: <what happened and what to do>`.
    pub(super) async fn diagnose(&self, provider: Option<&Provider>, error: &RunError) -> String {
        let mut parts: Vec<String> = Vec::new();
        let record = self.record();
        let asked = record.as_ref().map(|record| Asked::of(&record.request)).unwrap_or_default();
        let requested = record.map(|record| self.driver.requested_names(provider, &record)).unwrap_or_default();
        let context = Context { reach: error.step.reach(), refused: &error.refused, requested: &requested };
        for diagnostic in error.diagnostics.iter().take(EXPLAINED) {
            let text = format!("{}: {}", diagnostic.summary, diagnostic.detail);
            let advice = match (fault_origin::of_text(&text, &context), provider) {
                // A plugin that does not know of it would blame its cloud.
                (Some(fault), _) => Some(as_advice(fault)),
                (None, Some(provider)) => provider.diagnose(diagnostic, &asked).await.ok(),
                (None, None) => None,
            };
            let text = explain(diagnostic, advice);
            if !parts.contains(&text) {
                parts.push(text);
            }
        }
        sentence(error, parts, fault_of_run(error, &context))
    }
}

/// A fault that no diagnostic tells: of a run that was killed, that ended without a word, or whose time was over while it could not reach
/// what it needs.
fn fault_of_run(error: &RunError, context: &Context<'_>) -> Option<LocatedFault> {
    let is_told_by_reason = match error.kind {
        RunErrorKind::Failed => error.diagnostics.is_empty(),
        RunErrorKind::Timeout | RunErrorKind::Storage => true,
        // Their reasons say what to do.
        RunErrorKind::Stopped | RunErrorKind::Staging => false,
    };
    let by_reason = || is_told_by_reason.then(|| fault_origin::of_text(&error.reason, context)).flatten();
    error.signal.and_then(fault_origin::of_signal).or_else(by_reason)
}

/// What cut the run short is the cause; what OpenTofu says after it is only what that led to.
fn sentence(error: &RunError, explained: Vec<String>, fault: Option<LocatedFault>) -> String {
    let mut parts = explained;
    if parts.is_empty() || error.kind != RunErrorKind::Failed || fault.is_some() {
        parts.retain(|part| *part != error.reason);
        let reason = match fault {
            Some(LocatedFault { what_happened, what_to_do, .. }) => {
                format!("{what_happened} ({}). {}", error.reason, what_to_do.trim_end_matches('.'))
            }
            None => error.reason.clone(),
        };
        parts.insert(0, reason);
    }
    if let more @ 1.. = error.diagnostics.len().saturating_sub(EXPLAINED) {
        parts.push(format!("and {more} more"));
    }
    // Often why it failed; most clients say it themselves.
    parts.extend(error.refused_words().filter(|refused| !parts.iter().any(|part| part.contains(refused.as_str()))));
    // Whatever the reason is: nobody else knows of it.
    parts.extend(error.warnings());
    format!("tofu {}: {}", error.step, parts.join("; "))
}

fn as_advice(LocatedFault { what_happened, what_to_do, .. }: LocatedFault) -> Advice {
    let (kind, alternatives) = (DiagnosticKind::Other, Vec::new());
    Advice { kind, retryable: false, what_happened, what_to_do, alternatives }
}

fn explain(diagnostic: &Diagnostic, advice: Option<Advice>) -> String {
    let own = match diagnostic.detail.trim() {
        "" => diagnostic.summary.clone(),
        detail => format!("{}: {}", diagnostic.summary, detail.split_whitespace().collect::<Vec<_>>().join(" ")),
    };
    let Some(advice) = advice else { return own };
    let mut text = advice.what_happened;
    if !text.contains(&diagnostic.summary) {
        text = format!("{text} ({own})");
    }
    if !advice.what_to_do.is_empty() {
        text = format!("{text}. {}", advice.what_to_do.trim_end_matches('.'));
    }
    let others: Vec<String> = advice.alternatives.iter().map(|a| a.reason.clone()).filter(|r| !r.is_empty()).collect();
    if others.is_empty() { text } else { format!("{text}. Alternatives: {}", others.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::{Refusal, RefusalRule};
    use crate::engine::RunStep;
    use crate::outbound::UnreachableCause;

    fn refusal(rule: RefusalRule, cause: Option<UnreachableCause>, why: &str) -> Refusal {
        Refusal { step: "apply".into(), target: "a.test:443".into(), rule, cause, why: why.into() }
    }

    #[test]
    fn t16_what_this_host_knows_of_a_run_is_told_with_its_reason() {
        let context = |error: &RunError| {
            fault_of_run(error, &Context { reach: error.step.reach(), refused: &error.refused, requested: &[] })
        };
        let mut error = RunError::new(RunStep::Apply, RunErrorKind::Failed, "killed by signal 9; before that: working");
        error.signal = Some(9);
        error.diagnostics = vec![Diagnostic { summary: "halted".into(), detail: String::new(), address: None }];
        let text = sentence(&error, vec!["halted".to_owned()], context(&error));
        assert!(
            text.contains("because memory ran out (killed by signal 9; before that: working). Look into"),
            "{text}"
        );
        assert!(text.contains("CATALYST_MAX_RUNS") && text.ends_with("; halted"), "{text}");
        let unreachable = refusal(
            RefusalRule::Unreachable,
            Some(UnreachableCause::Resolver),
            "its name cannot be resolved: failed to lookup address information: Temporary failure in name resolution",
        );
        let reason = format!("not done within 2 s, so it was stopped; {unreachable}");
        let error =
            RunError { refused: vec![unreachable], ..RunError::new(RunStep::Apply, RunErrorKind::Timeout, reason) };
        let text = sentence(&error, Vec::new(), context(&error));
        assert!(
            text.starts_with("tofu apply: The name resolution of this host does not answer (not done within 2 s"),
            "{text}"
        );
        assert_eq!(text.matches("could not be reached").count(), 1, "{text}");
        let stopped =
            RunError::new(RunStep::Init, RunErrorKind::Staging, "cannot write: no space left on device: make room");
        assert_eq!(sentence(&stopped, Vec::new(), context(&stopped)), stopped.to_string());
    }

    #[test]
    fn f11_what_cut_a_run_short_is_named_before_what_it_led_to() {
        let halted = |n: usize| Diagnostic { summary: format!("halted {n}"), detail: String::new(), address: None };
        let mut error = RunError::new(RunStep::Apply, RunErrorKind::Timeout, "not done within 2 s");
        assert_eq!(sentence(&error, Vec::new(), None), "tofu apply: not done within 2 s");
        error.diagnostics = (0..4).map(halted).collect();
        let explained: Vec<String> = (0..3).map(|n| format!("halted {n}")).collect();
        let text = sentence(&error, explained.clone(), None);
        assert_eq!(text, "tofu apply: not done within 2 s; halted 0; halted 1; halted 2; and 1 more");
        error.kind = RunErrorKind::Failed;
        assert_eq!(sentence(&error, explained.clone(), None), "tofu apply: halted 0; halted 1; halted 2; and 1 more");
        error.refused = vec![refusal(RefusalRule::Host, None, "is none of them")];
        let text = sentence(&error, explained.clone(), None);
        assert!(text.ends_with("; and 1 more; a.test:443 was not let through: it is none of them"), "{text}");
        let said = vec!["no answer: a.test:443 was not let through: it is none of them".to_owned()];
        assert_eq!(sentence(&error, said, None).matches("was not let through").count(), 1);
        error.refused = Vec::new();
        error.unkept.insert("a.b".to_owned(), "1".to_owned());
        error.in_memory_only = true;
        let text = sentence(&error, explained, None);
        assert!(text.contains("; and 1 more; made, but not in the kept state: a.b (1); remove it"), "{text}");
        assert!(text.contains("; the newest state of this deployment is in the host's memory only"), "{text}");
    }

    #[test]
    fn f11_the_reason_and_the_way_out_are_both_named() {
        let diagnostic = Diagnostic { summary: "no stock".into(), detail: "type x\n  in r1".into(), address: None };
        assert_eq!(explain(&diagnostic, None), "no stock: type x in r1");
        let advice = Advice {
            kind: DiagnosticKind::Capacity,
            retryable: false,
            what_happened: "The cloud has no machine of this type left".into(),
            what_to_do: "Choose another".into(),
            alternatives: Vec::new(),
        };
        let text = explain(&diagnostic, Some(advice));
        assert_eq!(text, "The cloud has no machine of this type left (no stock: type x in r1). Choose another");
    }
}
