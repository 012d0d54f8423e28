//! What a guest writes: `log`, standard output and standard error, as trace events with a cap on both line and call.

use std::sync::Arc;

use tracing::Level;

use crate::error::Function;
use crate::guest_record::{GuestRecorder, GuestSource};
use crate::words::is_plain;

/// Writes a guest's lines to the trace until its budget is spent.
#[derive(Debug)]
pub(crate) struct GuestLog {
    plugin: String,
    function: Function,
    line_bytes: usize,
    left: usize,
    dropped_lines: u64,
    /// Begun lines of standard output and standard error.
    begun: [Vec<u8>; 2],
    /// Where an author wants the lines as well.
    recorder: Option<Arc<GuestRecorder>>,
}

/// A guest's byte stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output.
    Out = 0,
    /// Standard error.
    Err = 1,
}

impl GuestLog {
    pub(crate) fn new(plugin: &str, function: Function, total_bytes: usize, line_bytes: usize) -> Self {
        Self {
            plugin: plugin.to_owned(),
            function,
            line_bytes,
            left: total_bytes,
            dropped_lines: 0,
            begun: [Vec::new(), Vec::new()],
            recorder: None,
        }
    }

    /// Records every line from now on, those beyond the budget among them.
    pub(crate) fn record(&mut self, recorder: Arc<GuestRecorder>) {
        self.recorder = Some(recorder);
    }

    /// One line of `log`.
    pub(crate) fn line(&mut self, level: Level, text: &str) {
        self.write(GuestSource::Log, level, text);
    }

    fn write(&mut self, source: GuestSource, level: Level, text: &str) {
        let kept = cut(text, self.line_bytes);
        if let Some(recorder) = &self.recorder {
            recorder.line(self.function, source, level, kept);
        }
        // An empty line costs too, else a guest could write them for ever.
        let Some(left) = self.left.checked_sub(kept.len().max(1)) else {
            self.left = 0;
            self.dropped_lines += 1;
            return;
        };
        self.left = left;
        emit(level, &self.plugin, self.function, &printable(kept));
    }

    /// Bytes of standard output or error: a line is written when it ends.
    pub(crate) fn bytes(&mut self, stream: Stream, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            self.extend(stream, &bytes[..end]);
            self.end_line(stream);
            bytes = &bytes[end + 1..];
        }
        self.extend(stream, bytes);
    }

    /// Writes begun lines and says how many were dropped.
    pub(crate) fn finish(&mut self) {
        for stream in [Stream::Out, Stream::Err] {
            if !self.begun[stream as usize].is_empty() {
                self.end_line(stream);
            }
        }
        if self.dropped_lines > 0 {
            tracing::warn!(
                target: "catalyst::plugin",
                { plugin.id = self.plugin, plugin.function = self.function.name(), plugin.dropped_lines = self.dropped_lines },
                "plugin wrote more log than one call may"
            );
            self.dropped_lines = 0;
        }
    }

    fn extend(&mut self, stream: Stream, bytes: &[u8]) {
        let begun = &mut self.begun[stream as usize];
        let room = self.line_bytes.saturating_sub(begun.len());
        begun.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end_line(&mut self, stream: Stream) {
        let line = std::mem::take(&mut self.begun[stream as usize]);
        let (source, level) = match stream {
            Stream::Out => (GuestSource::Stdout, Level::DEBUG),
            Stream::Err => (GuestSource::Stderr, Level::WARN),
        };
        self.write(source, level, &String::from_utf8_lossy(&line));
    }
}

/// The longest beginning of at most `limit` bytes that ends between characters.
fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// Control characters could forge lines in a terminal or a log file, and direction controls what stands in one.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || !is_plain(c) { ' ' } else { c }).collect()
}

fn emit(level: Level, plugin: &str, function: Function, text: &str) {
    macro_rules! event {
        ($level:expr) => {
            tracing::event!(
                target: "catalyst::plugin", $level, { plugin.id = plugin, plugin.function = function.name() }, "{text}"
            )
        };
    }
    match level {
        Level::ERROR => event!(Level::ERROR),
        Level::WARN => event!(Level::WARN),
        Level::INFO => event!(Level::INFO),
        Level::DEBUG => event!(Level::DEBUG),
        Level::TRACE => event!(Level::TRACE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> GuestLog {
        GuestLog::new("p", Function::Render, 10, 4)
    }

    #[test]
    fn a_call_has_a_budget_and_empty_lines_cost_too() {
        let mut log = log();
        log.line(Level::INFO, "12345678");
        assert_eq!(log.left, 6, "the line was cut at four");
        for _ in 0..6 {
            log.line(Level::INFO, "");
        }
        log.line(Level::INFO, "");
        log.line(Level::INFO, "x");
        assert_eq!((log.left, log.dropped_lines), (0, 2));
    }

    #[test]
    fn streams_keep_apart_and_never_grow_past_a_line() {
        let mut log = log();
        log.bytes(Stream::Out, b"ab");
        log.bytes(Stream::Err, b"123456789");
        log.bytes(Stream::Out, b"c\nd");
        assert_eq!(log.left, 7, "one line of three bytes was written");
        assert_eq!(log.begun, [b"d".to_vec(), b"1234".to_vec()]);
        log.finish();
        assert_eq!(log.left, 2);
    }

    #[test]
    fn a_cut_never_splits_a_character_and_no_line_is_forged() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(printable("a\nERROR\x1b[2J\u{202e}x"), "a ERROR [2J x");
    }
}
