//! Typed remarks on a request: what is wrong, where, and what the rule is.

use crate::secrets::Secrets;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Findings of one answer: nobody reads more, and each becomes an entry of a log.
pub const MAX_FINDINGS: usize = 100;
/// Longest message in bytes.
const MAX_MESSAGE: usize = 1_024;
/// What stands in the place of a secret.
const MASK: &str = "***";
/// Shorter secrets are words such as `eu`: to mask them would make every finding unreadable and hide nothing.
const SHORTEST_MASKED: usize = 4;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The request is refused.
    Error,
    /// The request goes on; the remark becomes a log entry.
    Warning,
}

/// One remark on a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// RFC 6901 JSON pointer into the request body; empty for the whole body.
    pub pointer: String,
    /// Stable kebab-case word for machines.
    pub code: String,
    /// One sentence for a person.
    pub message: String,
    /// Whether it refuses the request.
    pub severity: Severity,
}

impl Finding {
    /// A finding that refuses the request.
    pub fn error(pointer: impl Into<String>, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code: code.into(), message: message.into(), severity: Severity::Error }
    }

    /// A finding that only remarks.
    pub fn warning(pointer: impl Into<String>, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(pointer, code, message) }
    }

    /// Whether it refuses the request.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Sorts findings into the order in which the earlier service looked for them: regions, the cloud's own keys, then the
/// generic keys. Findings of one key keep their order.
pub fn sort_by_contract(findings: &mut [Finding]) {
    findings.sort_by_key(|finding| {
        let first = finding.pointer.split('/').nth(1).unwrap_or_default();
        match first {
            "regions" => {
                let index = finding.pointer.split('/').nth(2).and_then(|s| s.parse::<usize>().ok()).unwrap_or(0);
                (0, index)
            }
            "region" => (2, 0),
            "sovereignFQDN" => (3, 0),
            "orgName" => (4, 0),
            "orgEmail" => (5, 0),
            "sshPublicKey" => (6, 0),
            "controlPlaneSize" | "workerSize" | "workerCount" | "haEnabled" => (7, 0),
            "sovereignDomainMode" | "sovereignPoolDomain" | "sovereignSubdomain" | "" => (8, 0),
            _ => (1, 0),
        }
    });
}

/// Takes every value of `secrets` out of findings: who pastes a token into the wrong field gets it quoted back otherwise, and a
/// warning is kept in a log.
pub fn mask(findings: &mut [Finding], secrets: &Secrets) {
    let values: Vec<&str> = secrets.values().map(|value| value.expose().trim()).collect();
    for value in values.into_iter().filter(|value| value.len() >= SHORTEST_MASKED) {
        for finding in &mut *findings {
            for text in [&mut finding.pointer, &mut finding.message] {
                if text.contains(value) {
                    *text = text.replace(value, MASK);
                }
            }
        }
    }
}

/// Holds findings to the bounds of an answer: at most [`MAX_FINDINGS`], errors before warnings where some have to go, and each
/// message cut to 1 KiB. The last one then says how many were left out.
pub fn limit(findings: &mut Vec<Finding>) {
    if findings.len() > MAX_FINDINGS {
        let left_out = findings.len() - (MAX_FINDINGS - 1);
        let errors = findings.iter().filter(|finding| finding.is_error()).count();
        let (mut errors, mut warnings) =
            (errors.min(MAX_FINDINGS - 1), MAX_FINDINGS - 1 - errors.min(MAX_FINDINGS - 1));
        findings.retain(|finding| {
            let left = if finding.is_error() { &mut errors } else { &mut warnings };
            let stays = *left > 0;
            *left = left.saturating_sub(1);
            stays
        });
        let message = format!("{left_out} more findings are left out");
        findings.push(Finding::warning("", "more-findings", message));
    }
    for finding in findings {
        if finding.message.len() > MAX_MESSAGE {
            finding.message.truncate(finding.message.floor_char_boundary(MAX_MESSAGE - '…'.len_utf8()));
            finding.message.push('…');
        }
    }
}

/// All error findings as one text: a sentence each, in order.
pub fn joined_errors(findings: &[Finding]) -> String {
    let messages: Vec<&str> = findings.iter().filter(|f| f.is_error()).map(|f| f.message.as_str()).collect();
    messages.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_follow_the_order_of_the_contract() {
        let mut findings: Vec<Finding> =
            ["/sshPublicKey", "/orgName", "/region", "/cloudToken", "/regions/1/provider", "/regions/0/workerSize", ""]
                .iter()
                .map(|p| Finding::error(*p, "x", *p))
                .collect();
        sort_by_contract(&mut findings);
        assert_eq!(
            joined_errors(&findings),
            "/regions/0/workerSize; /regions/1/provider; /cloudToken; /region; /orgName; /sshPublicKey; "
        );
    }

    #[test]
    fn what_is_too_much_is_cut_errors_last_and_said() {
        let warning = |n: usize| Finding::warning(format!("/w{n}"), "w", "a warning");
        let error = |n: usize| Finding::error(format!("/e{n}"), "e", "é".repeat(900));
        let mut findings: Vec<Finding> = (0..90).map(warning).chain((0..90).map(error)).collect();
        limit(&mut findings);
        assert_eq!((findings.len(), findings.iter().filter(|f| f.is_error()).count()), (MAX_FINDINGS, 90));
        let last = findings.last().map(|f| (f.code.as_str(), f.message.as_str()));
        assert_eq!(last, Some(("more-findings", "81 more findings are left out")));
        assert!(findings.iter().all(|f| f.message.len() <= MAX_MESSAGE), "no message is longer");
        assert!(findings.iter().any(|f| f.message.ends_with("é…")));
        let mut few = vec![warning(1), error(2)];
        limit(&mut few);
        assert_eq!(few.len(), 2);
        let mut all_errors: Vec<Finding> = (0..300).map(error).collect();
        limit(&mut all_errors);
        assert_eq!(
            (all_errors.len(), all_errors[98].is_error(), all_errors[99].is_error()),
            (MAX_FINDINGS, true, false)
        );
    }

    #[test]
    fn no_finding_quotes_a_secret() {
        let mut secrets = Secrets::default();
        secrets.insert("token", crate::SecretValue::new("s3ntinel-of-the-cloud"));
        secrets.insert("short", crate::SecretValue::new("eu"));
        let mut findings =
            vec![Finding::error("/s3ntinel-of-the-cloud", "x", "there is no region `s3ntinel-of-the-cloud` in eu")];
        mask(&mut findings, &secrets);
        assert_eq!(
            (findings[0].pointer.as_str(), findings[0].message.as_str()),
            ("/***", "there is no region `***` in eu")
        );
    }
}
