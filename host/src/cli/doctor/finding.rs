//! What a check found, and how all of it is told.

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use std::io::Write as _;
use std::process::ExitCode;

/// Widest name of a check.
const NAME: usize = 14;

/// How a check ended; the worst one is the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// All is well.
    Ok = 0,
    /// It works, and should be looked at.
    Warn = 1,
    /// It does not work.
    Fail = 2,
}

/// One line.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    check: &'static str,
    verdict: Verdict,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    /// All is well.
    pub(super) fn ok(check: &'static str, found: impl ToString) -> Self {
        Self { check, verdict: Verdict::Ok, found: found.to_string(), advice: None }
    }

    /// All is well, and there is something to know.
    pub(super) fn note(check: &'static str, found: impl ToString, advice: impl ToString) -> Self {
        Self { check, verdict: Verdict::Ok, found: found.to_string(), advice: Some(advice.to_string()) }
    }

    /// It works, and should be looked at.
    pub(super) fn warn(check: &'static str, found: impl ToString, advice: impl ToString) -> Self {
        Self { check, verdict: Verdict::Warn, found: found.to_string(), advice: Some(advice.to_string()) }
    }

    /// It does not work.
    pub(super) fn fail(check: &'static str, found: impl ToString, advice: impl ToString) -> Self {
        Self { check, verdict: Verdict::Fail, found: found.to_string(), advice: Some(advice.to_string()) }
    }

    fn line(&self) -> String {
        let (word, style) = match self.verdict {
            Verdict::Ok => ("ok", AnsiColor::Green.on_default()),
            Verdict::Warn => ("warn", AnsiColor::Yellow.on_default()),
            Verdict::Fail => ("fail", AnsiColor::Red.on_default().bold()),
        };
        let dim = Style::new().dimmed();
        let advice = self.advice.as_ref().map(|advice| format!(" {dim}→{dim:#} {}", plain(advice)));
        let (name, found) = (self.check, plain(&self.found));
        format!("{style}{word:<5}{style:#} {name:<NAME$} {found}{}\n", advice.unwrap_or_default())
    }
}

/// Everything that was found, in the order of the checks: a line as soon as it is known, or one object at the end.
#[derive(Debug)]
pub(super) struct Findings {
    json: bool,
    all: Vec<Finding>,
}

impl Findings {
    pub(super) fn new(json: bool) -> Self {
        Self { json, all: Vec::new() }
    }

    /// Takes in what a check found.
    pub(super) fn take(&mut self, found: Vec<Finding>) {
        if !self.json {
            found.iter().for_each(|one| say(&one.line()));
        }
        self.all.extend(found);
    }

    /// Says what is left to say, and how bad it is.
    pub(super) fn end(&self) -> ExitCode {
        let worst = self.worst();
        if self.json {
            say(&format!("{:#}\n", serde_json::json!({"verdict": worst, "findings": self.all})));
        }
        ExitCode::from(worst as u8)
    }

    fn worst(&self) -> Verdict {
        self.all.iter().map(|one| one.verdict).max().unwrap_or(Verdict::Ok)
    }
}

/// Who reads may have had enough of it; the exit status tells the rest.
fn say(text: &str) {
    let _ = anstream::stdout().write_all(text.as_bytes());
}

/// The system's reason, without the name of the file that was only made to try.
pub(super) fn reason(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|wrapped| std::error::Error::source(wrapped));
    inner.map_or_else(|| error.to_string(), ToString::to_string)
}

/// Causes quote files and plugins, which must not draw on a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_is_the_exit_status_and_a_line_says_what_to_do() {
        let mut found = Findings::new(true);
        assert_eq!(found.end(), ExitCode::SUCCESS);
        found.take(vec![Finding::fail("clock", "it is 1970\u{1b}[2J", "set it"), Finding::ok("user", "65534")]);
        let line = found.all.first().map(Finding::line).unwrap();
        assert!(line.contains("it is 1970 [2J") && line.trim_end().ends_with("set it"), "{line}");
        assert_eq!(found.end(), ExitCode::from(2));
    }
}
