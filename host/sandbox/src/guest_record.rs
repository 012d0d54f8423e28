//! What guests write and where they stop, kept for who writes a plugin.
//!
//! A host that serves keeps none of it: there a guest's lines go to the trace and nowhere else, and no error quotes them. An author
//! who asks for a recorder ([`crate::Settings::recorder`]) gets the lines of each call as they came, those beyond the budget of the
//! log among them, and the functions in which a call was stopped.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::Level;
use wasmtime::WasmBacktrace;

use crate::error::Function;
use crate::words;

/// Lines that are kept from the beginning of what is recorded.
const FIRST_LINES: usize = 400;

/// Lines that are kept from its end: the text of a panic is the last that a guest writes.
const LAST_LINES: usize = 200;

/// Functions that are named where a call was stopped, innermost first.
const FRAMES: usize = 16;

/// Where a guest wrote a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GuestSource {
    /// The contract's `log`.
    Log,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl GuestSource {
    /// Stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// One line of a guest. A message of `log` may hold line breaks; other control characters are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestLine {
    /// The export that was called.
    pub function: Function,
    /// Where it was written.
    pub source: GuestSource,
    /// Its weight: the guest's own word for `log`, `DEBUG` for standard output, `WARN` for standard error.
    pub level: Level,
    /// At most as many bytes as the limits give a line.
    pub text: String,
}

/// A call that the engine stopped, by a trap, an exit or a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestStop {
    /// The export that was called.
    pub function: Function,
    /// Names of the functions that were running, innermost first. Empty where the component has no names.
    pub frames: Vec<String>,
}

/// What was recorded since the last look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuestRecord {
    /// Lines in their order, without those that were left out in their middle.
    pub lines: Vec<GuestLine>,
    /// How many were left out.
    pub left_out: u64,
    /// The last call that was stopped.
    pub stop: Option<GuestStop>,
}

/// Records what the guests of one sandbox write, in bounded memory.
#[derive(Debug, Default)]
pub struct GuestRecorder(Mutex<Recording>);

#[derive(Debug, Default)]
struct Recording {
    first: Vec<GuestLine>,
    last: VecDeque<GuestLine>,
    left_out: u64,
    stop: Option<GuestStop>,
}

impl GuestRecorder {
    /// Takes what was recorded since this was last called.
    pub fn take(&self) -> GuestRecord {
        let Recording { first: mut lines, last, left_out, stop } = std::mem::take(&mut *self.recording());
        lines.extend(last);
        GuestRecord { lines, left_out, stop }
    }

    pub(crate) fn line(&self, function: Function, source: GuestSource, level: Level, text: &str) {
        let mut text = text.to_owned();
        words::clean(&mut text);
        let line = GuestLine { function, source, level, text };
        let mut recording = self.recording();
        if recording.first.len() < FIRST_LINES {
            recording.first.push(line);
            return;
        }
        recording.last.push_back(line);
        if recording.last.len() > LAST_LINES {
            recording.last.pop_front();
            recording.left_out += 1;
        }
    }

    pub(crate) fn stopped(&self, function: Function, error: &wasmtime::Error) {
        let trace = error.downcast_ref::<WasmBacktrace>().map(WasmBacktrace::frames).unwrap_or_default();
        let names = trace.iter().filter_map(|frame| frame.func_name()).map(plain_name);
        self.recording().stop = Some(GuestStop { function, frames: names.take(FRAMES).collect() });
    }

    /// It holds plain values, so it is whole even after a panic elsewhere.
    fn recording(&self) -> MutexGuard<'_, Recording> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of a function as its author wrote it.
fn plain_name(name: &str) -> String {
    let mut name = format!("{:#}", rustc_demangle::demangle(name));
    words::clean(&mut name);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(recorder: &GuestRecorder, text: &str) {
        recorder.line(Function::Validate, GuestSource::Stderr, Level::WARN, text);
    }

    #[test]
    fn the_first_and_the_last_lines_are_kept_and_the_rest_is_counted() {
        let recorder = GuestRecorder::default();
        for number in 0..1000 {
            say(&recorder, &number.to_string());
        }
        let record = recorder.take();
        let texts: Vec<&str> = record.lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!((texts.len(), record.left_out), (FIRST_LINES + LAST_LINES, 400));
        assert_eq!((texts[0], texts[399], texts[400], texts[599]), ("0", "399", "800", "999"));
        assert_eq!(recorder.take(), GuestRecord::default(), "what was taken is gone");
    }

    #[test]
    fn a_line_cannot_draw_on_a_terminal_and_keeps_its_line_breaks() {
        let recorder = GuestRecorder::default();
        say(&recorder, "one\ntwo \u{1b}[2J\u{202e}");
        assert_eq!(recorder.take().lines[0].text, "one\ntwo \u{fffd}[2J\u{fffd}");
    }

    #[test]
    fn a_function_is_named_as_its_author_wrote_it() {
        assert_eq!(plain_name("_ZN6plugin4plan4read17h0123456789abcdefE"), "plugin::plan::read");
        assert_eq!(plain_name("validate\u{1b}"), "validate\u{fffd}");
    }
}
