//! What the component said in the calls of a command: its `log` lines, what it printed, and the words and the place of a panic or
//! an exception. Every command shows it, on standard error or as the key `guest` of its JSON object.
//!
//! The sandbox records it ([`GuestRecorder`]); here it is tied to the call that was made, counted where it repeats, and bounded.

use super::page::{Page, Tone};
use catalyst_sandbox::{GuestLine, GuestRecord, GuestRecorder, GuestSource};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Different lines that are kept for the JSON.
const LINES: usize = 500;
/// Those of them that are shown to a person.
const LINES_SHOWN: usize = 40;
/// Different faults that are kept.
const FAULTS: usize = 50;
/// Longest message of a fault within a sentence, in bytes; the JSON has all of it.
const MESSAGE_IN_SENTENCE: usize = 300;
/// Names of functions in one fault.
const WITHIN: usize = 5;
/// Beginnings of functions that are on the way to every panic of Rust, and say nothing of its place.
const ON_THE_WAY: [&str; 9] =
    ["std::", "core::", "alloc::", "__rust", "rust_", "abort", "dlmalloc", "wit_bindgen::", "__wasm_call_ctors"];

/// A call that ended without an answer, in the component's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct GuestFault {
    /// The export that was called.
    pub function: &'static str,
    /// Which call it was first.
    pub call: String,
    /// The text of the panic or the exception; none where the component said nothing.
    pub message: Option<String>,
    /// File, line and column in the author's source, where the component told them.
    pub place: Option<String>,
    /// Functions that were running, innermost first; empty where the component carries no names.
    pub within: Vec<String>,
    /// How often it happened.
    pub count: u64,
}

impl GuestFault {
    /// What the component said, to be put behind the engine's words; blank where it said nothing.
    pub(super) fn words(&self) -> String {
        let message = self.message.as_deref().map(in_sentence).unwrap_or_default();
        let at = self.place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default();
        match (&self.message, self.within.first()) {
            (Some(_), _) => format!("; it panicked{at}: {message}"),
            (None, Some(name)) => format!("; it was in {name}"),
            (None, None) => String::new(),
        }
    }
}

fn in_sentence(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = line.floor_char_boundary(MESSAGE_IN_SENTENCE);
    if end == line.len() { line } else { format!("{}…", &line[..end]) }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SaidLine {
    function: &'static str,
    source: &'static str,
    level: String,
    text: String,
    /// The first call in which it was said.
    call: String,
    count: u64,
}

/// Collects it over all calls of a command.
#[derive(Debug, Default)]
pub(super) struct GuestOutput {
    recorder: Arc<GuestRecorder>,
    said: Mutex<Said>,
}

#[derive(Debug, Default)]
struct Said {
    lines: Vec<SaidLine>,
    known: HashMap<(&'static str, GuestSource, String), usize>,
    left_out: u64,
    faults: Vec<GuestFault>,
}

impl GuestOutput {
    /// For the settings of a sandbox.
    pub(super) fn recorder(&self) -> Arc<GuestRecorder> {
        Arc::clone(&self.recorder)
    }

    /// Takes what was said since the last look, in the call of this name. Gives what the component said of its end, where the
    /// engine ended a call of it.
    pub(super) fn take(&self, call: &str) -> Option<GuestFault> {
        let record = self.recorder.take();
        let mut said = self.said();
        said.left_out += record.left_out;
        for line in &record.lines {
            said.line(line, call);
        }
        let fault = fault(record, call)?;
        said.fault(&fault);
        Some(fault)
    }

    /// All of it as JSON; none where the component said nothing.
    pub(super) fn json(&self) -> Option<Value> {
        let said = self.said();
        if said.is_empty() {
            return None;
        }
        Some(json!({"lines": said.lines, "linesLeftOut": said.left_out, "faults": said.faults}))
    }

    /// All of it for a person; empty where the component said nothing.
    pub(super) fn page(&self) -> Page {
        let (mut page, said) = (Page::default(), self.said());
        if said.is_empty() {
            return page;
        }
        page.line(Tone::Head, "The component said");
        for line in said.lines.iter().take(LINES_SHOWN) {
            let tone = if matches!(line.level.as_str(), "error" | "warn") { Tone::Warn } else { Tone::Plain };
            let times = if line.count > 1 { format!(" ({} times)", line.count) } else { String::new() };
            let mut texts = line.text.lines();
            let first = texts.next().unwrap_or_default();
            page.line(tone, &format!("  {} {} {}: {first}{times}", line.function, line.source, line.level));
            texts.for_each(|text| page.line(tone, &format!("      {text}")));
        }
        let more = said.lines.len().saturating_sub(LINES_SHOWN) as u64 + said.left_out;
        if more > 0 {
            page.line(Tone::Dim, &format!("  … {more} more lines; --json has the first {LINES}"));
        }
        for fault in &said.faults {
            page.line(Tone::Bad, &format!("  {} was stopped in {}{}", fault.function, fault.call, fault.words()));
        }
        page
    }

    /// It holds plain values, so it is whole even after a panic elsewhere.
    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Said {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.left_out == 0 && self.faults.is_empty()
    }

    fn line(&mut self, line: &GuestLine, call: &str) {
        let function = line.function.name();
        let key = (function, line.source, line.text.clone());
        if let Some(index) = self.known.get(&key) {
            self.lines[*index].count += 1;
        } else if self.lines.len() < LINES {
            self.known.insert(key, self.lines.len());
            self.lines.push(SaidLine {
                function,
                source: line.source.name(),
                level: line.level.as_str().to_ascii_lowercase(),
                text: line.text.clone(),
                call: call.to_owned(),
                count: 1,
            });
        } else {
            self.left_out += 1;
        }
    }

    fn fault(&mut self, fault: &GuestFault) {
        let same = |known: &&mut GuestFault| {
            (known.function, &known.message, &known.place) == (fault.function, &fault.message, &fault.place)
        };
        if let Some(known) = self.faults.iter_mut().find(same) {
            known.count += 1;
        } else if self.faults.len() < FAULTS {
            self.faults.push(fault.clone());
        }
    }
}

fn fault(record: GuestRecord, call: &str) -> Option<GuestFault> {
    let stop = record.stop?;
    let own = record.lines.iter().filter(|line| line.function == stop.function);
    let texts: Vec<&str> = own.flat_map(|line| line.text.lines()).collect();
    let (message, place) = rust(&texts).or_else(|| python(&texts)).or_else(|| javascript(&texts)).unzip();
    // An export's own name is told already.
    let names = stop.frames.into_iter().filter(|name| !name.contains('#'));
    let within = names.filter(|name| !ON_THE_WAY.iter().any(|begin| name.starts_with(begin)));
    Some(GuestFault {
        function: stop.function.name(),
        call: call.to_owned(),
        message,
        place: place.flatten(),
        within: within.take(WITHIN).collect(),
        count: 1,
    })
}

/// `thread '<unnamed>' panicked at src/lib.rs:3:5:` and the message behind it, to the note on backtraces or the end.
fn rust(texts: &[&str]) -> Option<(String, Option<String>)> {
    let at = texts.iter().rposition(|text| text.starts_with("thread '") && text.contains(" panicked at "))?;
    let place = texts[at].split_once(" panicked at ")?.1.trim_end_matches(':');
    let message = texts[at + 1..].iter().take_while(|text| !text.starts_with("note: run with `RUST_BACKTRACE"));
    Some((message.copied().collect::<Vec<_>>().join("\n"), Some(place.to_owned())))
}

/// `Traceback (most recent call last):`, places from the outermost to the innermost, and the exception.
fn python(texts: &[&str]) -> Option<(String, Option<String>)> {
    let at = texts.iter().rposition(|text| text.starts_with("Traceback (most recent call last)"))?;
    let rest = &texts[at + 1..];
    let end = rest.iter().position(|text| !text.starts_with(' '))?;
    let place = rest[..end].iter().rev().find_map(|text| {
        let (file, line) = text.trim().strip_prefix("File \"")?.split_once("\", line ")?;
        let number: String = line.chars().take_while(char::is_ascii_digit).collect();
        Some(format!("{file}:{number}"))
    });
    Some((rest[end..].join("\n"), place))
}

/// `TypeError: x is undefined` before lines of its stack: `    at f (app.js:3:5)` or `f@app.js:3:5`.
fn javascript(texts: &[&str]) -> Option<(String, Option<String>)> {
    let frame = |text: &str| {
        let text = text.trim();
        let behind = text.strip_prefix("at ").or_else(|| text.split_once('@').map(|(_, place)| place))?;
        let place = behind.rsplit_once('(').map_or(behind, |(_, place)| place).trim_end_matches(')');
        let numbers = place.rsplit(':').take_while(|part| part.bytes().all(|b| b.is_ascii_digit())).count();
        (numbers > 0 && place.contains(".js:")).then(|| place.to_owned())
    };
    let first = texts.iter().position(|text| frame(text).is_some())?;
    let message = texts[..first].last()?;
    Some(((*message).to_owned(), frame(texts[first])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_rust_has_its_text_and_its_place() {
        let texts = [
            "before",
            "",
            "thread '<unnamed>' (1) panicked at src/plan.rs:12:5:",
            "index out of bounds: the len is 0",
            "but the index is 1",
            "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
        ];
        let (message, place) = rust(&texts).unwrap();
        assert_eq!(message, "index out of bounds: the len is 0\nbut the index is 1");
        assert_eq!(place.as_deref(), Some("src/plan.rs:12:5"));
        assert_eq!(rust(&["it panicked at noon"]), None);
    }

    #[test]
    fn an_exception_of_another_language_has_its_text_and_its_place() {
        let python_texts = [
            "Traceback (most recent call last):",
            "  File \"/0/app.py\", line 151, in validate",
            "    return Plan(request).findings",
            "  File \"/0/app.py\", line 80, in __init__",
            "ValueError: no such thing",
        ];
        let found = ("ValueError: no such thing".to_owned(), Some("/0/app.py:80".to_owned()));
        assert_eq!(python(&python_texts), Some(found));
        for frame in ["    at plan (app.js:12:7)", "plan@app.js:12:7"] {
            let found = javascript(&["TypeError: x is undefined", frame, "validate@app.js:40:10"]);
            assert_eq!(found, Some(("TypeError: x is undefined".to_owned(), Some("app.js:12:7".to_owned()))));
        }
        assert_eq!((python(&["plain"]), javascript(&["a line with an @ in it", "x"])), (None, None));
    }

    #[test]
    fn a_fault_is_told_in_one_sentence() {
        let fault = GuestFault {
            function: "validate",
            call: "region r1".to_owned(),
            message: Some("one\n  two".to_owned()),
            place: Some("src/lib.rs:1:2".to_owned()),
            within: vec!["plugin::spin".to_owned()],
            count: 1,
        };
        assert_eq!(fault.words(), "; it panicked at src/lib.rs:1:2: one two");
        let silent = GuestFault { message: None, place: None, ..fault };
        assert_eq!(silent.words(), "; it was in plugin::spin");
        assert_eq!(GuestFault { within: Vec::new(), ..silent }.words(), "");
    }

    #[test]
    fn a_component_that_says_nothing_adds_nothing() {
        let guest = GuestOutput::default();
        assert_eq!(guest.take("a call"), None);
        assert!(guest.json().is_none() && guest.page().into_text().is_empty());
    }
}
