//! What a `#cloud-config` asks of a first boot, as far as it can be played: files and commands.
//!
//! Pure. It refuses what it would play wrongly, and lists what is left out, so that nothing is skipped in silence.
//! Source: cloud-init's modules `write_files`, `bootcmd` and `runcmd`.

use crate::yaml::{self, MAX_BYTES, YamlError};
use base64::Engine as _;
use serde_json::{Map, Value};
use std::path::{Component, Path, PathBuf};

/// Files in one user data; real ones have some twenty.
const MAX_FILES: usize = 1000;
/// Commands in one user data.
const MAX_COMMANDS: usize = 1000;
/// cloud-init's default.
const DEFAULT_MODE: u32 = 0o644;

/// Keys that change nothing about what is played.
const SILENT: [&str; 2] = ["final_message", "output"];

/// Why a user data cannot be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloudConfigError {
    /// It is larger than any cloud allows.
    #[error("the user data has more than {MAX_BYTES} bytes")]
    TooLong,
    /// Scripts, MIME archives, templates and compressed user data are not played.
    #[error("the user data does not begin with `#cloud-config`")]
    NotCloudConfig,
    /// It is no YAML mapping. The parser's words are left out: they may quote a secret.
    #[error("the user data is not one YAML mapping")]
    NotYaml,
    /// A part of it is not as cloud-init wants it.
    #[error("{part}: {why}")]
    Invalid {
        /// Such as `write_files[2]`.
        part: String,
        /// The rule.
        why: &'static str,
    },
}

/// A user data, read.
#[derive(Clone, PartialEq, Eq)]
pub struct CloudConfig {
    /// In order; deferred ones last.
    pub files: Vec<File>,
    /// `bootcmd`: before the files are written.
    pub early: Vec<Command>,
    /// `runcmd`: at the end.
    pub commands: Vec<Command>,
    /// Keys that are not played.
    pub left_out: Vec<String>,
}

/// One entry of `write_files`. No `Debug`: contents hold tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Below the root, without a leading slash.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// Added to what is there.
    pub append: bool,
    /// Bytes.
    pub content: Vec<u8>,
}

/// One entry of `runcmd` or `bootcmd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A line for `/bin/sh -c`.
    Line(String),
    /// A program and its arguments.
    Program(Vec<String>),
}

/// Reads a user data.
///
/// # Errors
/// [`CloudConfigError`]; nothing is read leniently.
pub fn parse(text: &str) -> Result<CloudConfig, CloudConfigError> {
    if text.lines().next().map(str::trim_end) != Some("#cloud-config") {
        return Err(CloudConfigError::NotCloudConfig);
    }
    let root = match yaml::read(text) {
        Ok(Value::Object(root)) => root,
        Err(YamlError::TooLong) => return Err(CloudConfigError::TooLong),
        Ok(_) | Err(YamlError::Refused(_)) => return Err(CloudConfigError::NotYaml),
    };
    let mut config = CloudConfig {
        files: files(root.get("write_files"))?,
        early: commands(root.get("bootcmd"), "bootcmd")?,
        commands: commands(root.get("runcmd"), "runcmd")?,
        left_out: Vec::new(),
    };
    for key in root.keys().map(String::as_str) {
        if !["write_files", "bootcmd", "runcmd"].contains(&key) && !SILENT.contains(&key) {
            config.left_out.push(key.to_owned());
        }
    }
    Ok(config)
}

fn files(list: Option<&Value>) -> Result<Vec<File>, CloudConfigError> {
    let entries = sequence(list, "write_files", MAX_FILES)?;
    let mut now = Vec::new();
    let mut deferred = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let part = format!("write_files[{index}]");
        let invalid = |why| CloudConfigError::Invalid { part: part.clone(), why };
        let entry = entry.as_object().ok_or_else(|| invalid("it is no mapping"))?;
        let late = flag(entry, "defer").map_err(invalid)?;
        let file = file(entry).map_err(invalid)?;
        if late { deferred.push(file) } else { now.push(file) }
    }
    now.append(&mut deferred);
    Ok(now)
}

fn file(entry: &Map<String, Value>) -> Result<File, &'static str> {
    let text = |key: &str| match entry.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or("path, content and encoding must be text"),
    };
    if entry.contains_key("source") {
        return Err("files from a URL are not played");
    }
    let path = text("path")?.ok_or("it has no path")?;
    let content = text("content")?.unwrap_or_default();
    let content = match text("encoding")?.unwrap_or("text/plain") {
        "text/plain" => content.as_bytes().to_vec(),
        "b64" | "base64" => {
            let packed: String = content.split_whitespace().collect();
            base64::engine::general_purpose::STANDARD.decode(packed).map_err(|_| "its content is no base64")?
        }
        _ => return Err("its encoding is not played; text/plain and base64 are"),
    };
    Ok(File { path: below_root(path)?, mode: mode(entry.get("permissions"))?, append: flag(entry, "append")?, content })
}

/// An absolute path without anything that leads elsewhere.
fn below_root(path: &str) -> Result<PathBuf, &'static str> {
    let mut parts = Path::new(path).components();
    if parts.next() != Some(Component::RootDir) || path.contains('\0') {
        return Err("its path is not absolute");
    }
    let mut below = PathBuf::new();
    for part in parts {
        match part {
            Component::Normal(name) => below.push(name),
            _ => return Err("its path leads outside"),
        }
    }
    if below.as_os_str().is_empty() { Err("its path names no file") } else { Ok(below) }
}

fn mode(value: Option<&Value>) -> Result<u32, &'static str> {
    const RULE: &str = "its permissions are not octal digits such as \"0644\"";
    match value {
        None | Some(Value::Null) => Ok(DEFAULT_MODE),
        Some(Value::String(text)) => {
            let digits = text.strip_prefix("0o").unwrap_or(text);
            u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o7777).ok_or(RULE)
        }
        Some(_) => Err(RULE),
    }
}

fn flag(entry: &Map<String, Value>, key: &str) -> Result<bool, &'static str> {
    match entry.get(key) {
        None | Some(Value::Null) => Ok(false),
        Some(value) => value.as_bool().ok_or("append and defer must be true or false"),
    }
}

fn commands(list: Option<&Value>, name: &str) -> Result<Vec<Command>, CloudConfigError> {
    let entries = sequence(list, name, MAX_COMMANDS)?;
    let entries = entries.iter().enumerate().filter(|(_, entry)| !entry.is_null());
    entries
        .map(|(index, entry)| {
            let invalid = |why| CloudConfigError::Invalid { part: format!("{name}[{index}]"), why };
            match entry {
                Value::String(line) => Ok(Command::Line(line.clone())),
                Value::Array(words) if !words.is_empty() => {
                    let words: Option<Vec<String>> = words.iter().map(word).collect();
                    words.map(Command::Program).ok_or_else(|| invalid("an argument is neither text nor a number"))
                }
                _ => Err(invalid("it is neither a line nor a list of arguments")),
            }
        })
        .collect()
}

fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn sequence<'a>(value: Option<&'a Value>, name: &str, most: usize) -> Result<&'a [Value], CloudConfigError> {
    let invalid = |why| CloudConfigError::Invalid { part: name.to_owned(), why };
    match value {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(list)) if list.len() > most => Err(invalid("it has too many entries")),
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(invalid("it is no list")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        match parse(text) {
            Ok(_) => panic!("it was taken: {text}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn files_and_commands_are_read_in_order() {
        let config = parse(
            "#cloud-config\npackages: [jq]\nfinal_message: x\nwrite_files:\n\
             - {path: /b, content: late, defer: true}\n\
             - {path: /etc/a.txt, permissions: 0600, content: \"one\\n\"}\n\
             - {path: /etc/a.txt, append: true, encoding: b64, content: dHdv}\n\
             runcmd:\n- [echo, 1, two]\n- echo three | cat\n- null\nbootcmd: [\"true\"]\n",
        )
        .unwrap_or_else(|error| panic!("{error}"));
        let files: Vec<_> = config
            .files
            .iter()
            .map(|f| (f.path.to_str().unwrap(), f.mode, f.append, String::from_utf8_lossy(&f.content).into_owned()))
            .collect();
        assert_eq!(
            files,
            [
                ("etc/a.txt", 0o600, false, "one\n".to_owned()),
                ("etc/a.txt", 0o644, true, "two".to_owned()),
                ("b", 0o644, false, "late".to_owned()),
            ]
        );
        let program = Command::Program(["echo", "1", "two"].map(str::to_owned).to_vec());
        assert_eq!(config.commands, [program, Command::Line("echo three | cat".to_owned())]);
        assert_eq!(config.early, [Command::Line("true".to_owned())]);
        assert_eq!(config.left_out, ["packages"]);
    }

    #[test]
    fn what_would_be_played_wrongly_is_refused() {
        let cases = [
            ("#!/bin/sh\n", "does not begin with"),
            ("", "does not begin with"),
            ("#cloud-config\n- a\n", "not one YAML mapping"),
            ("#cloud-config\na: 1\na: 2\n", "not one YAML mapping"),
            ("#cloud-config\na: 1\n---\nb: 2\n", "not one YAML mapping"),
            ("#cloud-config\na: &a [x, x]\nb: [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n", "not one YAML"),
            ("#cloud-config\nwrite_files: 3\n", "write_files: it is no list"),
            ("#cloud-config\nwrite_files: [{content: x}]\n", "write_files[0]: it has no path"),
            ("#cloud-config\nwrite_files: [{path: etc/x}]\n", "not absolute"),
            ("#cloud-config\nwrite_files: [{path: /etc/../../x}]\n", "leads outside"),
            ("#cloud-config\nwrite_files: [{path: /}]\n", "names no file"),
            ("#cloud-config\nwrite_files: [{path: /x, encoding: gz+b64, content: x}]\n", "encoding is not played"),
            ("#cloud-config\nwrite_files: [{path: /x, encoding: b64, content: '*'}]\n", "no base64"),
            ("#cloud-config\nwrite_files: [{path: /x, permissions: 'rwx'}]\n", "octal"),
            ("#cloud-config\nwrite_files: [{path: /x, source: {uri: 'http://a'}}]\n", "from a URL"),
            ("#cloud-config\nruncmd: [{a: b}]\n", "runcmd[0]"),
            ("#cloud-config\nruncmd: [[echo, [x]]]\n", "an argument is"),
        ];
        for (text, words) in cases {
            assert!(fault(text).contains(words), "{text}: {}", fault(text));
        }
        assert!(fault(&format!("#cloud-config\n#{}", "x".repeat(MAX_BYTES))).contains("more than"));
    }

    #[test]
    fn a_broken_document_is_not_quoted() {
        assert!(!fault("#cloud-config\ntoken: sentinel-secret: x\n").contains("sentinel"));
    }
}
