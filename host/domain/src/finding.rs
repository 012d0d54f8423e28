//! Typed remarks on a request: what is wrong, where, and what the rule is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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

/// Sorts findings into the order in which the contract names them (API.md 1.6): regions, the cloud's own keys, then the
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
}
