//! Typed remarks on a request, gathered so that a person sees all of them at once.

use std::fmt;

use crate::{Finding, Severity, text};

/// An RFC 6901 JSON pointer into the request body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pointer(String);

impl Pointer {
    /// The whole body.
    pub fn root() -> Self {
        Self::default()
    }

    /// A top-level key.
    pub fn to(key: &str) -> Self {
        Self::root().key(key)
    }

    /// A key below this one.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.0.push('/');
        for character in key.chars() {
            match character {
                '~' => self.0.push_str("~0"),
                '/' => self.0.push_str("~1"),
                other => self.0.push(other),
            }
        }
        self
    }

    /// An element of this array.
    #[must_use]
    pub fn index(mut self, index: usize) -> Self {
        self.0.push_str(&format!("/{index}"));
        self
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Findings of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// No findings yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a finding that refuses the request.
    pub fn error(&mut self, pointer: &Pointer, code: &str, message: impl Into<String>) {
        self.push(pointer, code, message.into(), Severity::Error);
    }

    /// Adds a remark that lets the request pass.
    pub fn warning(&mut self, pointer: &Pointer, code: &str, message: impl Into<String>) {
        self.push(pointer, code, message.into(), Severity::Warning);
    }

    fn push(&mut self, pointer: &Pointer, code: &str, message: String, severity: Severity) {
        let message = text::cut(message);
        self.0.push(Finding { pointer: pointer.to_string(), code: code.to_owned(), message, severity });
    }

    /// Whether the request is refused.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// The findings in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    /// Messages of the remarks that let the request pass.
    pub fn warnings(&self) -> Vec<String> {
        let warnings = self.0.iter().filter(|finding| finding.severity == Severity::Warning);
        warnings.map(|finding| finding.message.clone()).collect()
    }
}

impl From<Findings> for Vec<Finding> {
    fn from(findings: Findings) -> Self {
        findings.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_escaped_as_rfc_6901_says() {
        assert_eq!(Pointer::to("regions").index(0).key("a/b~c").to_string(), "/regions/0/a~1b~0c");
        assert_eq!(Pointer::root().to_string(), "");
    }
}
