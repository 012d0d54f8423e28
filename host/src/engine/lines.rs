//! Reads what OpenTofu writes: lines of bounded length out of a pipe, and the meaning of one line.

use super::state_words::in_our_words;
use catalyst_domain::Level;
use catalyst_domain::provider::Diagnostic;
use catalyst_domain::replace::{PlannedAction, PlannedChange};
use serde_json::Value;

/// Longest line that is understood. OpenTofu's longest are diagnostics and lists of outputs, far below this.
const LINE_READ: usize = 1024 * 1024;

/// The message before a state that OpenTofu writes out, and within how many bytes it stands.
const STATE_DUMP: &[u8] = b"\"@message\":\"Emergency state dump\"";
const STATE_DUMP_HEAD: usize = 256;

/// Which pipe a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Output,
    Errors,
}

/// One line, without its end. What was beyond [`LINE_READ`] is gone.
#[derive(Debug)]
pub(super) struct RawLine {
    pub(super) source: Source,
    pub(super) bytes: Vec<u8>,
}

/// Cuts what comes out of a pipe into lines. A line of any length passes: what is beyond [`LINE_READ`] is dropped, so that
/// OpenTofu never waits for us.
#[derive(Default)]
pub(super) struct LineSplitter(Vec<u8>);

impl LineSplitter {
    /// Takes further bytes, and gives each line that ends in them.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(Vec<u8>)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.keep(&bytes[..end]);
            line(std::mem::take(&mut self.0));
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes);
    }

    /// The last line, where it has no end.
    pub(super) fn finish(&mut self) -> Option<Vec<u8>> {
        (!self.0.is_empty()).then(|| std::mem::take(&mut self.0))
    }

    fn keep(&mut self, part: &[u8]) {
        self.0.extend_from_slice(&part[..part.len().min(LINE_READ - self.0.len())]);
    }
}

/// What one line says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Said {
    /// Weight; `None` for text that is not OpenTofu's JSON.
    pub(super) level: Option<Level>,
    /// Text for a person.
    pub(super) text: String,
    /// An error diagnostic.
    pub(super) diagnostic: Option<Diagnostic>,
    /// Address of a resource whose change began.
    pub(super) began: Option<String>,
    /// Address of a resource whose change ended, well or not.
    pub(super) ended: Option<String>,
    /// Address and id of a resource that was made.
    pub(super) made: Option<(String, String)>,
    /// A change of a plan.
    pub(super) planned: Option<PlannedChange>,
}

/// Reads one line. Whatever is not a message of OpenTofu is text; a message of an unknown type is its `@message`.
pub(super) fn understand(line: &[u8]) -> Said {
    if let Some(text) = state_dump(line) {
        return Said { level: Some(Level::Warn), text: text.to_owned(), ..Said::default() };
    }
    let parsed = serde_json::from_slice::<Value>(line).ok();
    let message = parsed.as_ref().and_then(|value| Some((value, text_of(value, "@message")?)));
    let Some((value, message)) = message else {
        return Said { text: String::from_utf8_lossy(line).into_owned(), ..Said::default() };
    };
    let level = match value.get("@level").and_then(Value::as_str) {
        Some("error") => Level::Error,
        Some("warn") => Level::Warn,
        _ => Level::Info,
    };
    let mut said = Said { level: Some(level), text: message, ..Said::default() };
    let address = value.pointer("/hook/resource/addr").and_then(Value::as_str).map(str::to_owned);
    match value.get("type").and_then(Value::as_str) {
        Some("planned_change") => said.planned = planned(value),
        Some("apply_start") => said.began = address,
        Some("apply_complete") => {
            let hook = |key| value.pointer(key).and_then(Value::as_str);
            if hook("/hook/action") == Some("create") {
                let id = hook("/hook/id_value").unwrap_or("without an id").to_owned();
                said.made = address.clone().map(|address| (address, id));
            }
            said.ended = address;
        }
        Some("apply_errored") => said.ended = address,
        Some("diagnostic") => {
            if let Some(given) = value.get("diagnostic") {
                let diagnostic = in_our_words(diagnostic(given));
                said.text = diagnostic_text(&said.text, &diagnostic);
                let is_error = given.get("severity").and_then(Value::as_str) == Some("error");
                said.diagnostic = is_error.then_some(diagnostic);
            }
        }
        _ => {}
    }
    said
}

/// The line in which OpenTofu writes a whole state that it could keep nowhere, often longer than [`LINE_READ`]. The host has that
/// state, and nobody else may: it holds what servers were given.
fn state_dump(line: &[u8]) -> Option<&'static str> {
    let head = &line[..line.len().min(STATE_DUMP_HEAD)];
    let is_dump = head.starts_with(b"{") && head.windows(STATE_DUMP.len()).any(|part| part == STATE_DUMP);
    is_dump.then_some("OpenTofu wrote its state out because it could keep it nowhere; it is left out of this log")
}

fn planned(value: &Value) -> Option<PlannedChange> {
    let address = value.pointer("/change/resource/addr")?.as_str()?.to_owned();
    let action = match value.pointer("/change/action")?.as_str()? {
        "create" => PlannedAction::Create,
        "replace" => PlannedAction::Replace,
        "delete" => PlannedAction::Delete,
        _ => PlannedAction::Other,
    };
    Some(PlannedChange { address, action })
}

fn diagnostic(given: &Value) -> Diagnostic {
    Diagnostic {
        summary: text_of(given, "summary").unwrap_or_default(),
        detail: text_of(given, "detail").unwrap_or_default(),
        address: text_of(given, "address").filter(|address| !address.is_empty()),
    }
}

fn diagnostic_text(message: &str, diagnostic: &Diagnostic) -> String {
    let detail = if diagnostic.detail.is_empty() { String::new() } else { format!(": {}", diagnostic.detail) };
    let address = diagnostic.address.as_ref().map(|address| format!(" ({address})")).unwrap_or_default();
    format!("{message}{detail}{address}")
}

fn text_of(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_an_unknown_type_is_its_text() {
        let said = understand(br#"{"@level":"warn","@message":"hello","type":"brand_new","hook":7}"#);
        assert_eq!(said, Said { level: Some(Level::Warn), text: "hello".to_owned(), ..Said::default() });
    }

    #[test]
    fn a_state_that_is_written_out_is_never_shown_however_long_it_is() {
        let whole = br#"{"@level":"info","@message":"Emergency state dump","@module":"tofu.ui","state":{"outputs":{"token":"s3cret"}},"type":"log"}"#;
        for line in [&whole[..], &whole[..whole.len() - 30]] {
            let said = understand(line);
            assert!(said.level == Some(Level::Warn) && !said.text.contains("s3cret"), "{said:?}");
        }
    }

    #[test]
    fn what_is_not_a_message_is_text() {
        for text in ["{\"@message\":", "[1]", "{\"a\":1}", "plain", "{\"@message\":5}"] {
            assert_eq!(understand(text.as_bytes()), Said { text: text.to_owned(), ..Said::default() });
        }
        assert_eq!(understand(b"\xff!").text, "\u{fffd}!");
    }

    #[test]
    fn a_change_of_a_plan_is_its_exact_address_and_what_is_done_to_it() {
        let line = |action: &str| {
            let text = format!(
                r#"{{"@level":"info","@message":"x: Plan to {action}","type":"planned_change","change":{{"resource":{{"addr":"a.b[\"c\"]","module":""}},"action":"{action}","reason":"tainted"}}}}"#
            );
            understand(text.as_bytes()).planned
        };
        for (word, action) in [
            ("create", PlannedAction::Create),
            ("replace", PlannedAction::Replace),
            ("delete", PlannedAction::Delete),
            ("update", PlannedAction::Other),
            ("move", PlannedAction::Other),
        ] {
            assert_eq!(line(word), Some(PlannedChange { address: "a.b[\"c\"]".into(), action }), "{word}");
        }
    }

    #[test]
    fn an_error_diagnostic_keeps_its_parts_and_a_warning_is_no_error() {
        let said = understand(
            br#"{"@level":"error","@message":"Error: no","type":"diagnostic","diagnostic":{"severity":"error","summary":"no","detail":"because","address":"a.b"}}"#,
        );
        assert_eq!(said.text, "Error: no: because (a.b)");
        let kept = Diagnostic { summary: "no".into(), detail: "because".into(), address: Some("a.b".into()) };
        assert_eq!(said.diagnostic, Some(kept));
        let said = understand(
            br#"{"@level":"warn","@message":"Warning: w","type":"diagnostic","diagnostic":{"severity":"warning","summary":"w"}}"#,
        );
        assert_eq!((said.text.as_str(), said.diagnostic), ("Warning: w", None));
    }

    #[test]
    fn long_lines_are_cut_and_the_stream_goes_on() {
        let input = [vec![b'x'; 3 * LINE_READ], b"\nshort\r\n\nlast".to_vec()].concat();
        for size in [7_777, input.len()] {
            let (mut splitter, mut lengths) = (LineSplitter::default(), Vec::new());
            for part in input.chunks(size) {
                splitter.push(part, |line| lengths.push(line.len()));
            }
            lengths.extend(splitter.finish().map(|line| line.len()));
            assert_eq!(lengths, [LINE_READ, 6, 0, 4]);
            assert_eq!(splitter.finish(), None);
        }
    }
}
