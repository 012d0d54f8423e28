//! Why OpenTofu failed, in words that help: its diagnostics as the provider explains them.

use super::Hand;
use crate::engine::{RunError, RunErrorKind};
use catalyst_domain::provider::{Advice, Diagnostic};
use catalyst_sandbox::Provider;

/// Diagnostics explained in one error text; more than these repeat each other.
const EXPLAINED: usize = 3;

impl Hand {
    /// `tofu <step>: <what happened and what to do>`.
    pub(super) async fn diagnose(&self, provider: Option<&Provider>, error: &RunError) -> String {
        // What cut the run short is the cause; what OpenTofu says after it is what that led to.
        let mut parts: Vec<String> = match error.kind {
            RunErrorKind::Failed => Vec::new(),
            _ => vec![error.reason.clone()],
        };
        for diagnostic in error.diagnostics.iter().take(EXPLAINED) {
            let advice = match provider {
                Some(provider) => provider.diagnose(diagnostic).await.ok(),
                None => None,
            };
            let text = explain(diagnostic, advice);
            if !parts.contains(&text) {
                parts.push(text);
            }
        }
        match error.diagnostics.len().saturating_sub(EXPLAINED) {
            0 if parts.is_empty() => parts.push(error.reason.clone()),
            0 => {}
            more => parts.push(format!("and {more} more")),
        }
        format!("tofu {}: {}", error.step, parts.join("; "))
    }
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
    use catalyst_domain::provider::DiagnosticKind;

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
