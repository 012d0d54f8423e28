//! Reads what OpenTofu writes: lines of bounded length out of a pipe, and the meaning of one line.

use catalyst_domain::Level;
use catalyst_domain::provider::Diagnostic;
use serde_json::Value;
use std::io;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::sync::mpsc::Sender;
use zeroize::Zeroizing;

/// Longest line that is understood. OpenTofu's longest are diagnostics and lists of outputs, far below this.
const LINE_READ: usize = 1024 * 1024;

/// Which pipe a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Output,
    Errors,
}

/// One line, without its end. What was beyond [`LINE_READ`] is gone.
pub(super) struct RawLine {
    pub(super) source: Source,
    pub(super) bytes: Vec<u8>,
}

/// Sends every line until the pipe ends. A line of any length passes: its rest is read and dropped, so that OpenTofu
/// never waits for us.
pub(super) async fn pump(pipe: impl AsyncRead + Unpin, source: Source, lines: Sender<RawLine>) -> io::Result<()> {
    let mut pipe = BufReader::with_capacity(64 * 1024, pipe);
    let mut line = Vec::new();
    loop {
        let read = pipe.fill_buf().await?;
        if read.is_empty() {
            break;
        }
        let end = read.iter().position(|byte| *byte == b'\n');
        let part = &read[..end.unwrap_or(read.len())];
        line.extend_from_slice(&part[..part.len().min(LINE_READ - line.len())]);
        let used = part.len() + usize::from(end.is_some());
        pipe.consume(used);
        if end.is_some() && lines.send(RawLine { source, bytes: std::mem::take(&mut line) }).await.is_err() {
            return Ok(());
        }
    }
    if !line.is_empty() {
        let _ = lines.send(RawLine { source, bytes: line }).await;
    }
    Ok(())
}

/// Reads a pipe to its end. `None` when it held more than `limit` bytes; the rest is read and dropped.
pub(super) async fn whole(pipe: impl AsyncRead + Unpin, limit: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut content = Zeroizing::new(Vec::new());
    let mut pipe = pipe.take(limit as u64 + 1);
    pipe.read_to_end(&mut content).await?;
    if content.len() <= limit {
        return Ok(Some(content));
    }
    tokio::io::copy(&mut pipe.into_inner(), &mut tokio::io::sink()).await?;
    Ok(None)
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
}

/// Reads one line. Whatever is not a message of OpenTofu is text; a message of an unknown type is its `@message`.
pub(super) fn understand(line: &[u8]) -> Said {
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
                let diagnostic = diagnostic(given);
                said.text = diagnostic_text(&said.text, &diagnostic);
                let is_error = given.get("severity").and_then(Value::as_str) == Some("error");
                said.diagnostic = is_error.then_some(diagnostic);
            }
        }
        _ => {}
    }
    said
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
    use tokio::sync::mpsc;

    #[test]
    fn a_message_of_an_unknown_type_is_its_text() {
        let said = understand(br#"{"@level":"warn","@message":"hello","type":"brand_new","hook":7}"#);
        assert_eq!(said, Said { level: Some(Level::Warn), text: "hello".to_owned(), ..Said::default() });
    }

    #[test]
    fn what_is_not_a_message_is_text() {
        for text in ["{\"@message\":", "[1]", "{\"a\":1}", "plain", "{\"@message\":5}"] {
            assert_eq!(understand(text.as_bytes()), Said { text: text.to_owned(), ..Said::default() });
        }
        assert_eq!(understand(b"\xff!").text, "\u{fffd}!");
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

    #[tokio::test]
    async fn long_lines_are_cut_and_the_stream_goes_on() {
        let input = [vec![b'x'; 3 * LINE_READ], b"\nshort\r\n\nlast".to_vec()].concat();
        let (sender, mut receiver) = mpsc::channel(8);
        pump(input.as_slice(), Source::Output, sender).await.unwrap();
        let mut lengths = Vec::new();
        while let Some(line) = receiver.recv().await {
            lengths.push(line.bytes.len());
        }
        assert_eq!(lengths, [LINE_READ, 6, 0, 4]);
    }

    #[tokio::test]
    async fn a_whole_output_beyond_its_limit_is_refused_and_read_to_its_end() {
        assert_eq!(whole(b"12345".as_slice(), 5).await.unwrap().unwrap().as_slice(), b"12345");
        assert!(whole(b"123456".as_slice(), 5).await.unwrap().is_none());
    }
}
