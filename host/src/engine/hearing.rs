//! Listens to one command: turns its lines into progress and keeps what explains a failure.
//!
//! Everything is masked here, before it is sent or kept. Knows no process and no pipe.

use super::command::RunStep;
use super::lines::{RawLine, Said, Source, understand};
use super::mask::{Masker, floor_boundary};
use super::progress::Outlet;
use super::state_words::is_about_lock_file;
use crate::egress::Refusal;
use catalyst_domain::provider::Diagnostic;
use catalyst_domain::replace::PlannedChange;
use catalyst_domain::{Level, Secrets, phase};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Longest line that is shown.
pub(super) const LINE_SHOWN: usize = 64 * 1024;
/// Error diagnostics that are kept: a failing plan rarely has more than some, and each may be shown to a plugin.
const DIAGNOSTICS_KEPT: usize = 32;
/// Longest part of a diagnostic, and of the block of text that explains a failure.
const DETAIL_KEPT: usize = 16 * 1024;
/// Changes of a plan that are kept: far more than any module has.
const CHANGES_KEPT: usize = 20_000;
/// Resources that a heartbeat names.
const NAMES_IN_HEARTBEAT: usize = 3;

/// What one command said so far.
pub(super) struct Hearing<'a> {
    step: RunStep,
    masker: &'a Masker,
    outlet: &'a mut Outlet,
    began: Instant,
    last_heard: Instant,
    /// Resources whose change goes on, with the time it began.
    going_on: BTreeMap<String, Instant>,
    /// Ids of what was made, by address.
    made: BTreeMap<String, String>,
    diagnostics: Vec<Diagnostic>,
    /// The last `Error:` block of plain text, and whether it still goes on.
    block: Option<String>,
    in_block: bool,
    last_text: Option<String>,
    refused: Vec<Refusal>,
    planned: Vec<PlannedChange>,
    /// Whether no line was dropped and no change left out.
    is_whole: bool,
}

/// What a command said that is of use after its end. All but the changes of a plan is masked.
#[derive(Debug, Default)]
pub(super) struct Explanation {
    pub(super) diagnostics: Vec<Diagnostic>,
    /// The last `Error:` block, else the last line of text.
    pub(super) text: Option<String>,
    /// Ids of what was made, by address.
    pub(super) made: BTreeMap<String, String>,
    /// Connections that the run's proxy did not make.
    pub(super) refused: Vec<Refusal>,
    /// Changes of a plan. They are not masked: an address is compared, never shown.
    pub(super) planned: Vec<PlannedChange>,
    /// Whether nothing that the command wrote is missing in them.
    pub(super) is_whole: bool,
}

impl<'a> Hearing<'a> {
    pub(super) fn new(step: RunStep, masker: &'a Masker, outlet: &'a mut Outlet) -> Self {
        let now = Instant::now();
        Self {
            step,
            masker,
            outlet,
            began: now,
            last_heard: now,
            going_on: BTreeMap::new(),
            made: BTreeMap::new(),
            diagnostics: Vec::new(),
            block: None,
            in_block: false,
            last_text: None,
            refused: Vec::new(),
            planned: Vec::new(),
            is_whole: true,
        }
    }

    pub(super) fn outlet(&mut self) -> &mut Outlet {
        self.outlet
    }

    /// When somebody last said something.
    pub(super) fn last_heard(&self) -> Instant {
        self.last_heard
    }

    /// Takes one line.
    pub(super) fn line(&mut self, line: &RawLine) {
        self.last_heard = Instant::now();
        let mut said = understand(&line.bytes);
        if is_about_settings(&said) || is_about_lock_file(&said.text) {
            return;
        }
        match said.planned.take() {
            Some(change) if self.planned.len() < CHANGES_KEPT => self.planned.push(change),
            Some(_) => self.is_whole = false,
            None => {}
        }
        let shown = shown(&said.text, self.masker);
        if shown.is_empty() {
            return;
        }
        if let Some(address) = said.began.take() {
            self.going_on.insert(self.masker.mask(&address), self.last_heard);
        }
        if let Some(address) = said.ended.take() {
            self.going_on.remove(&self.masker.mask(&address));
        }
        if let Some((address, id)) = said.made.take() {
            self.made.insert(one_line(&self.masker.mask(&address)), one_line(&self.masker.mask(&id)));
        }
        let level = said.level.unwrap_or_else(|| self.plain_level(line.source, &shown));
        self.keep(said, &shown);
        self.outlet.line(phase::TOFU, level, shown);
    }

    /// Says that the command still goes on. Called when nothing was heard for a while: OpenTofu 1.12 reports the progress
    /// of a resource only once.
    pub(super) fn heartbeat(&mut self) {
        self.last_heard = Instant::now();
        let since = self.going_on.values().min().copied().unwrap_or(self.began);
        let seconds = since.elapsed().as_secs();
        let mut names: Vec<&str> = self.going_on.keys().take(NAMES_IN_HEARTBEAT).map(String::as_str).collect();
        let more = format!("{} more", self.going_on.len() - names.len());
        if self.going_on.len() > names.len() {
            names.push(&more);
        }
        let space = if names.is_empty() { "" } else { " " };
        let text = format!("still {}{space}{} ({seconds}s)", self.step.doing(), names.join(", "));
        self.outlet.line(phase::TOFU, Level::Info, text);
    }

    /// A remark of the host itself.
    pub(super) fn remark(&mut self, text: String) {
        self.outlet.line(phase::HOST, Level::Warn, text);
    }

    /// Takes a connection that the run's proxy did not make. A proxy tells a bounded number of them.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        let shown = |text: &str| one_line(&self.masker.mask(text));
        let (target, why) = (shown(&refusal.target), shown(&refusal.why));
        let refusal = Refusal { target, why, ..refusal.clone() };
        self.remark(format!("{}: {refusal}", refusal.step));
        self.refused.push(refusal);
    }

    /// Lines of the command are lost.
    pub(super) fn lost_lines(&mut self, lines: u64) {
        self.is_whole = false;
        self.outlet.dropped(lines);
    }

    /// Ends the listening.
    pub(super) fn explanation(self) -> Explanation {
        let text = self.block.or(self.last_text).map(|text| one_line(&text));
        let Self { diagnostics, made, refused, planned, is_whole, .. } = self;
        Explanation { diagnostics, text, made, refused, planned, is_whole }
    }

    fn keep(&mut self, said: Said, shown: &str) {
        if let Some(given) = said.diagnostic
            && self.diagnostics.len() < DIAGNOSTICS_KEPT
        {
            let cut = |text: &str| self.masker.mask_first(text, DETAIL_KEPT).trim().to_owned();
            self.diagnostics.push(Diagnostic {
                summary: cut(&given.summary),
                detail: cut(&given.detail),
                address: given.address.as_deref().map(cut),
            });
        }
        if said.level.is_none() {
            self.last_text = Some(shown[..floor_boundary(shown, DETAIL_KEPT)].to_owned());
        }
    }

    /// Plain text on the error pipe is a warning, but for an `Error:` block, which is kept and is one.
    fn plain_level(&mut self, source: Source, shown: &str) -> Level {
        let text = shown.trim_start_matches(['│', '╷', '╵', ' ']);
        if text.starts_with("Error: ") {
            self.in_block = true;
            self.block = Some(String::new());
        } else if text.starts_with("Warning: ") {
            self.in_block = false;
        }
        if self.in_block {
            if let Some(block) = self.block.as_mut().filter(|block| block.len() < DETAIL_KEPT) {
                block.push_str(&text[..floor_boundary(text, DETAIL_KEPT)]);
                block.push(' ');
            }
            return Level::Error;
        }
        if source == Source::Errors { Level::Warn } else { Level::Info }
    }
}

/// A line of OpenTofu as viewers see it: without the run's secrets, control characters, and what is beyond the limit.
///
/// # Errors
/// When the secrets cannot be prepared for masking.
pub fn shown_line(line: &[u8], secrets: &Secrets) -> Result<String, String> {
    Ok(shown(&understand(line).text, &Masker::new(secrets)?))
}

/// Takes the run's secrets, and control characters, out of texts that come from a state.
pub fn masking(secrets: &Secrets) -> impl Fn(&str) -> String + use<> {
    let masker = Masker::new(secrets);
    // Where secrets cannot be looked for, nothing is shown.
    move |text| masker.as_ref().map(|masker| shown(text, masker)).unwrap_or_default()
}

/// As [`masking`], of texts that programs read: whole and as they are.
pub fn masking_whole(secrets: &Secrets) -> impl Fn(&str) -> String + use<> {
    let masker = Masker::new(secrets);
    move |text| masker.as_ref().map(|masker| masker.mask(text)).unwrap_or_default()
}

fn shown(text: &str, masker: &Masker) -> String {
    one_line(&masker.mask_first(text, LINE_SHOWN))
}

/// Warnings of OpenTofu about how its host is set up: where providers are taken from, which settings there are. They are the
/// operator's to know, and who reads a run's log can do nothing about them.
const ABOUT_SETTINGS: [&str; 4] = [
    "Warning: Incomplete lock file information for providers",
    "Warning: Provider development overrides are in effect",
    "Warning: Skip provider installation",
    "Warning: Unable to open CLI configuration file",
];

fn is_about_settings(said: &Said) -> bool {
    said.level == Some(Level::Warn) && ABOUT_SETTINGS.iter().any(|begin| said.text.starts_with(begin))
}

/// One line without control characters: what they could do to a terminal or a log is not for a child to decide.
pub(super) fn one_line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !shown.is_empty() {
            shown.push(' ');
        }
        shown.push_str(word);
    }
    shown
}

/// How long a silence may last before the host says that the command still goes on.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    #[test]
    fn a_plan_is_whole_only_where_no_line_of_it_was_dropped() {
        let masker = Masker::new(&Secrets::default()).unwrap();
        for (lost, whole) in [(0, true), (1, false)] {
            let (sender, _receiver) = mpsc::channel(16);
            let mut outlet = Outlet::new(sender);
            let mut hearing = Hearing::new(RunStep::Plan, &masker, &mut outlet);
            if lost > 0 {
                hearing.lost_lines(lost);
            }
            assert_eq!(hearing.explanation().is_whole, whole, "{lost}");
        }
    }
}
