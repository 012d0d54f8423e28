//! `--help` of every command of the real binary: complete sentences that only the terminal's width breaks, and no gap within a line.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use catalyst_tests::host::built;
use std::process::{Command, Stdio};

/// Wide enough that nothing is wrapped: a line is what the program wrote as one.
const UNWRAPPED: usize = 10_000;
/// Widths of terminals.
const WIDTHS: [usize; 4] = [60, 80, 100, 132];
/// What an example may have at most, so that it can be copied from a terminal of the usual width.
const USUAL: usize = 80;

/// What a command's `--help` prints into a terminal of this width.
fn help(command: &[String], width: usize) -> String {
    let mut program = Command::new(built("release/catalyst"));
    program.args(command).arg("--help").env_clear().env("COLUMNS", width.to_string()).stdin(Stdio::null());
    let output = program.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Names of the commands below a command, by its help.
fn below(help: &str) -> Vec<String> {
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let names =
        list.lines().take_while(|line| line.starts_with("  ")).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// Every command with those below it.
fn commands() -> Vec<Vec<String>> {
    let (mut all, mut next) = (Vec::new(), vec![Vec::new()]);
    while let Some(command) = next.pop() {
        for name in below(&help(&command, UNWRAPPED)) {
            next.push([command.clone(), vec![name]].concat());
        }
        all.push(command);
    }
    all
}

/// Who lays a line out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// The parser of arguments, in two columns.
    List,
    /// Whoever wrote it.
    Text,
}

/// A line without its indentation and, in a list of two columns, without the gap between them.
fn within(line: &str, layout: Layout) -> String {
    let text = line.trim_start();
    match text.split_once("  ").filter(|_| layout == Layout::List) {
        Some((name, words)) => format!("{name} {}", words.trim_start()),
        None => text.to_owned(),
    }
}

/// Every line with its layout.
fn lines(help: &str) -> impl Iterator<Item = (&str, Layout)> {
    let mut layout = Layout::Text;
    help.lines().map(move |line| {
        if !line.is_empty() && !line.starts_with(' ') {
            let is_list = ["Commands:", "Arguments:", "Options:"].contains(&line);
            layout = if is_list { Layout::List } else { Layout::Text };
        }
        (line, layout)
    })
}

/// Holds what one line each of the program is to what its narrow lines are: as full as the width allows, and no fuller.
fn is_wrapped_at(wide: &str, narrow: &str, width: usize, command: &[String]) {
    let mut rest = narrow.lines();
    for line in wide.lines() {
        let words = line.split_whitespace().count();
        let (mut seen, mut before) = (0, None::<&str>);
        while seen < words || before.is_none() {
            let part = rest.next().unwrap_or_else(|| panic!("{command:?} at {width} ends before: {line}"));
            let count = part.split_whitespace().count();
            let length = part.chars().count();
            assert!(length <= width || count == 1 || line.starts_with("Usage:"), "{command:?} at {width}: {part}");
            if let (Some(before), Some(word)) = (before, part.split_whitespace().next()) {
                let fits = before.chars().count() + 1 + word.chars().count() <= width;
                assert!(!fits, "{command:?} at {width} breaks before `{word}`, which fits: {before}");
            }
            seen += count;
            before = Some(part);
        }
        assert_eq!(seen, words, "{command:?} at {width}: {line}");
    }
    assert_eq!(rest.next(), None, "{command:?} at {width}");
}

#[test]
fn only_the_width_of_the_terminal_breaks_a_line_of_help_and_nothing_stands_apart_within_one() {
    let commands = commands();
    for known in ["", "serve", "doctor", "dns", "render", "rehearse", "openapi", "token new", "plugin", "plugin grant"]
    {
        assert!(commands.iter().any(|command| command.join(" ") == known), "no `{known}` in {commands:?}");
    }
    for command in &commands {
        let wide = help(command, UNWRAPPED);
        for (number, (line, layout)) in lines(&wide).enumerate().filter(|(_, (line, _))| !line.trim().is_empty()) {
            assert_eq!(line, line.trim_end(), "{command:?}");
            assert!(!within(line, layout).contains("  "), "{command:?} has a gap: {line}");
            // The first line is a title. A line of prose that is no whole sentence was broken in the source.
            let is_prose = number > 0 && !line.starts_with(' ') && !line.starts_with("Usage:");
            assert!(!is_prose || line.ends_with(['.', ':']), "{command:?} breaks off: {line}");
            let is_example = line.starts_with("  ") && layout == Layout::Text && *command != ["serve"];
            assert!(!is_example || line.chars().count() <= USUAL, "{command:?}: {line}");
        }
        for width in WIDTHS {
            is_wrapped_at(&wide, &help(command, width), width, command);
        }
    }
}

#[test]
fn every_variable_is_told_by_serve_on_a_line_of_its_own_with_its_meaning_and_default_below() {
    let told = help(&["serve".to_owned()], UNWRAPPED);
    for variable in catalyst::config::VARIABLES {
        let default = match variable.default {
            "" => String::new(),
            default => format!(" [default: {default}]"),
        };
        let entry = format!("\n\n  {}\n          {}{default}\n", variable.name, variable.meaning);
        assert!(told.contains(&entry), "{entry}in\n{told}");
    }
}
