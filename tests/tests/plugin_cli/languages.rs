//! The scaffolds of other languages: the lines that `new` prints, word by word, as a shell runs them.

use super::{command, ran, text};
use catalyst_tests::host::{built, target_dir};
use std::path::Path;
use std::process::{Command, Stdio};

/// A shell in which `catalyst`, and what a virtual environment holds, are on the path.
#[expect(clippy::disallowed_methods, reason = "a shell has the path of whoever runs the tests")]
fn shell(folder: &Path, programs: &Path, line: &str) -> String {
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["-ec", line]).current_dir(folder).env("PATH", path).stdin(Stdio::null());
    command.env("CATALYST_CACHE_DIR", target_dir().join("test-cache"));
    let output = ran(&command.output().unwrap());
    assert_eq!(output.code, 0, "{line}:\n{}{}", output.stdout, output.stderr);
    output.stdout
}

fn the_printed_lines_end_with_a_pass(language: &str) {
    let home = tempfile::tempdir().unwrap();
    let programs = home.path().join("venv/bin");
    // Python's tools belong into an environment of their own; it does no harm beside Node's.
    shell(home.path(), Path::new("/usr/bin"), "python3 -m venv venv");
    std::os::unix::fs::symlink(built("release/catalyst"), programs.join("catalyst")).unwrap();
    let made = ran(&command().args(["new", "acme-3", "--lang", language]).current_dir(home.path()).output().unwrap());
    let (_, next) = made.ended(0).stdout.split_once("Next\n").unwrap();
    let lines: Vec<&str> = next.lines().map(str::trim).collect();
    assert!(lines.len() >= 3 && lines.last().unwrap().starts_with("catalyst plugin check"), "{lines:?}");
    let said = shell(home.path(), &programs, &lines.join("\n"));
    assert!(said.contains("acme-3 0.1.0") && said.ends_with("\npass\n"), "{said}");
    assert!(!said.contains("not run"), "{said}");

    let folder = home.path().join("acme-3");
    let cases = text(&folder.join("cases"));
    for more in ["--update", ""] {
        shell(&folder, &programs, &format!("catalyst plugin test plugin.wasm '{cases}' {more}"));
    }
}

#[test]
fn python() {
    the_printed_lines_end_with_a_pass("python");
}

#[test]
fn js() {
    the_printed_lines_end_with_a_pass("js");
}
