//! Why OpenTofu failed, in words that help: its diagnostics as the provider explains them.

use super::Hand;
use crate::engine::{RunError, RunErrorKind};
use catalyst_domain::provider::{Advice, Asked, Diagnostic};
use catalyst_sandbox::Provider;

/// Diagnostics explained in one error text; more than these repeat each other.
const EXPLAINED: usize = 3;

impl Hand {
    /// `tofu <step>: <what happened and what to do>`.
    pub(super) async fn diagnose(&self, provider: Option<&Provider>, error: &RunError) -> String {
        let mut parts: Vec<String> = Vec::new();
        let asked = self.record().map(|record| Asked::of(&record.request)).unwrap_or_default();
        for diagnostic in error.diagnostics.iter().take(EXPLAINED) {
            let advice = match provider {
                Some(provider) => provider.diagnose(diagnostic, &asked).await.ok(),
                None => None,
            };
            let text = explain(diagnostic, advice);
            if !parts.contains(&text) {
                parts.push(text);
            }
        }
        sentence(error, parts)
    }
}

/// What cut the run short is the cause; what OpenTofu says after it is only what that led to.
fn sentence(error: &RunError, explained: Vec<String>) -> String {
    let mut parts = explained;
    if parts.is_empty() || error.kind != RunErrorKind::Failed {
        parts.retain(|part| *part != error.reason);
        parts.insert(0, error.reason.clone());
    }
    if let more @ 1.. = error.diagnostics.len().saturating_sub(EXPLAINED) {
        parts.push(format!("and {more} more"));
    }
    // Often why it failed; most clients say it themselves.
    parts.extend(error.refused.clone().filter(|refused| !parts.iter().any(|part| part.contains(refused.as_str()))));
    // Whatever the reason is: nobody else knows of it.
    parts.extend(error.warnings());
    format!("tofu {}: {}", error.step, parts.join("; "))
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
    use crate::engine::RunStep;
    use catalyst_domain::provider::DiagnosticKind;

    #[test]
    fn f11_what_cut_a_run_short_is_named_before_what_it_led_to() {
        let halted = |n: usize| Diagnostic { summary: format!("halted {n}"), detail: String::new(), address: None };
        let mut error = RunError::new(RunStep::Apply, RunErrorKind::Timeout, "not done within 2 s");
        assert_eq!(sentence(&error, Vec::new()), "tofu apply: not done within 2 s");
        error.diagnostics = (0..4).map(halted).collect();
        let explained: Vec<String> = (0..3).map(|n| format!("halted {n}")).collect();
        let text = sentence(&error, explained.clone());
        assert_eq!(text, "tofu apply: not done within 2 s; halted 0; halted 1; halted 2; and 1 more");
        error.kind = RunErrorKind::Failed;
        assert_eq!(sentence(&error, explained.clone()), "tofu apply: halted 0; halted 1; halted 2; and 1 more");
        error.refused = Some("a.test:443 was not let through".to_owned());
        let text = sentence(&error, explained.clone());
        assert!(text.ends_with("; and 1 more; a.test:443 was not let through"), "{text}");
        let said = vec!["no answer: a.test:443 was not let through".to_owned()];
        assert_eq!(sentence(&error, said).matches("was not let through").count(), 1);
        error.refused = None;
        error.unkept.insert("a.b".to_owned(), "1".to_owned());
        error.in_memory_only = true;
        let text = sentence(&error, explained);
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
