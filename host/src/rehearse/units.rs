//! The little of systemd that a first boot needs: a oneshot service that the user data brought along is run.
//!
//! Of timers it plays that they start a failed service again; restarts are not played. A service that is no oneshot counts as
//! started.

use super::node::relocate;
use std::path::Path;

/// A unit file that is larger is none.
const MAX_BYTES: u64 = 64 * 1024;

/// What starting a unit means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    /// These programs, one after the other.
    Run(Vec<Vec<String>>),
    /// Nothing is run, for this reason.
    Nothing(&'static str),
}

/// Reads `etc/systemd/system/<unit>` below `root`.
pub(super) fn read(root: &Path, unit: &str) -> Start {
    let path = root.join("etc/systemd/system").join(unit);
    let small = std::fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_BYTES);
    match std::fs::read_to_string(&path) {
        Ok(text) if small => parse(root, &text),
        _ => Start::Nothing("its file cannot be read"),
    }
}

fn parse(root: &Path, text: &str) -> Start {
    let mut oneshot = false;
    let mut programs = Vec::new();
    for line in text.lines().map(str::trim) {
        let Some((key, value)) = line.split_once('=') else { continue };
        match (key.trim(), value.trim()) {
            ("Type", kind) => oneshot = kind == "oneshot",
            ("ExecStart", "") => programs.clear(),
            ("ExecStart", line) => programs.push(program(root, line)),
            ("ConditionPathExists", path) if !condition_holds(root, path) => {
                return Start::Nothing("its condition does not hold");
            }
            _ => {}
        }
    }
    if !oneshot {
        return Start::Nothing("it is no oneshot; it counts as started");
    }
    match programs.into_iter().collect::<Option<Vec<_>>>() {
        Some(programs) if !programs.is_empty() => Start::Run(programs),
        _ => Start::Nothing("its ExecStart cannot be read"),
    }
}

/// Quotes are honoured; systemd's specifiers and variables are not, so a line that uses them is not played.
fn program(root: &Path, line: &str) -> Option<Vec<String>> {
    let line = line.trim_start_matches(['-', '@', ':', '+', '!']);
    if line.contains(['%', '$', '\\', ';']) {
        return None;
    }
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, after) = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => rest.get(1..)?.split_once(quote)?,
            _ => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        words.push(relocate(root, word));
        rest = after.trim_start();
    }
    (!words.is_empty()).then_some(words)
}

fn condition_holds(root: &Path, path: &str) -> bool {
    let (path, wanted) = match path.strip_prefix('!') {
        Some(path) => (path, false),
        None => (path, true),
    };
    root.join(path.trim_start_matches(['|', '/'])).exists() == wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_oneshot_that_can_be_read_is_run() {
        let root = tempfile::tempdir().unwrap();
        let there = root.path().join("opt/run");
        std::fs::create_dir_all(there.parent().unwrap()).unwrap();
        std::fs::write(&there, "").unwrap();
        let words = |words: &[&str]| Start::Run(vec![words.iter().map(|w| (*w).to_owned()).collect()]);
        let cases = [
            ("Type=oneshot\nExecStart=/opt/run", words(&[there.to_str().unwrap()])),
            ("Type=oneshot\nExecStart=-/bin/sh -c 'exit 3'", words(&["/bin/sh", "-c", "exit 3"])),
            ("Type=simple\nExecStart=/opt/run", Start::Nothing("it is no oneshot; it counts as started")),
            ("Type=oneshot\nExecStart=/opt/run %i", Start::Nothing("its ExecStart cannot be read")),
            ("Type=oneshot", Start::Nothing("its ExecStart cannot be read")),
            ("Type=oneshot\nConditionPathExists=/gone\nExecStart=/a", Start::Nothing("its condition does not hold")),
            ("Type=oneshot\nConditionPathExists=!/gone\nExecStart=/a", words(&["/a"])),
        ];
        for (text, want) in cases {
            assert_eq!(parse(root.path(), text), want, "{text}");
        }
    }
}
