//! The scaffolds of other languages: the commands of `docs/plugins.md`, word by word, end with a pass.

use super::guide::{self, Shell};
use super::{command, ran};
use std::path::PathBuf;
use std::sync::OnceLock;

/// The component of a language, made by the guide's commands once in a run.
pub(crate) fn component(language: &'static str) -> PathBuf {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    static JS: OnceLock<PathBuf> = OnceLock::new();
    let (made, heading) = if language == "python" { (&PYTHON, "Python") } else { (&JS, "JavaScript") };
    made.get_or_init(|| {
        let shell = Shell::fresh(language);
        let commands = guide::blocks(heading).concat();
        let said = shell.plays("", &commands);
        assert!(said.contains("mycloud 0.1.0") && said.contains("\npass\n"), "{said}");
        assert!(!said.contains("not run") && !said.contains("not tried"), "{said}");
        shell.folder().join("mycloud/plugin.wasm")
    })
    .clone()
}

/// The lines that `new` prints as the next ones are the guide's.
fn the_guide_has_the_printed_lines(language: &str, heading: &str) {
    let home = tempfile::tempdir().unwrap();
    let made = ran(&command().args(["new", "mycloud", "--lang", language]).current_dir(home.path()).output().unwrap());
    let (_, next) = made.ended(0).stdout.split_once("Next\n").unwrap();
    let guide = guide::blocks(heading).concat();
    let mut rest = guide.lines();
    for line in next.lines().map(str::trim) {
        assert!(rest.any(|told| told == line), "the guide lacks, or has at another place: {line}");
    }
}

#[test]
fn rust() {
    the_guide_has_the_printed_lines("rust", "Rust");
}

#[test]
fn python() {
    the_guide_has_the_printed_lines("python", "Python");
    assert!(component("python").is_file());
}

#[test]
fn js() {
    the_guide_has_the_printed_lines("js", "JavaScript");
    assert!(component("js").is_file());
}
