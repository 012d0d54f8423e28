//! Grants as text. A line of `plugins.lock` is `grant <file>.wasm <right>`, where the right is `nothing` for a component that needs
//! none, or
//!
//! - `argument <namespace>/<name> <argument> <source>`, where the source is `secret:<name>`, `request:<key>`, `fixed`, `address` or
//!   `address:<key>`
//! - `secret <name>`
//! - `host <name>`, `host .<suffix>`, `host <name>=<ip>:<port>`, in forms that the proxy of a run can use
//!
//! `grant * nothing` says that a file without a line of its own has no rights, so that a list without any other grant grants nothing.

use std::fmt;
use std::str::FromStr;

use catalyst_domain::host_name::HostEntry;
use catalyst_domain::tofu_provider::short_address;

use super::{ArgumentSource, Grant, HostGrant};
use crate::policy::provider_address;

/// The kind of a right to set an argument.
const ARGUMENT: &str = "argument";
/// What a line with a grant begins with.
const BEGIN: &str = "grant ";
/// The right of a component that needs none.
const NOTHING: &str = "nothing";
/// The name that stands for every file without a line of its own.
const OTHERS: &str = "*";

/// A line of `plugins.lock` with one right of one file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GrantLine {
    /// Name of the component's file.
    pub file: String,
    /// The right; `None` says that the component needs none.
    pub grant: Option<Grant>,
}

impl GrantLine {
    /// Whether a line of a lock, without remark and blanks around it, is meant as a grant.
    pub fn is_meant(line: &str) -> bool {
        line.starts_with(BEGIN)
    }

    /// The line by which files that no other grant names have no rights.
    pub fn others_nothing() -> String {
        format!("{BEGIN}{OTHERS} {NOTHING}")
    }

    /// Whether a line of a lock is [`Self::others_nothing`].
    pub fn is_others_nothing(line: &str) -> bool {
        line.split_whitespace().eq([BEGIN.trim_end(), OTHERS, NOTHING])
    }

    /// The lines of a file that is granted these rights; one that says `nothing` where there are none.
    pub fn of_file(file: &str, grants: impl IntoIterator<Item = Grant>) -> Vec<Self> {
        let line = |grant| Self { file: file.to_owned(), grant };
        let lines: Vec<Self> = grants.into_iter().map(|grant| line(Some(grant))).collect();
        if lines.is_empty() { vec![line(None)] } else { lines }
    }
}

impl fmt::Display for GrantLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.grant {
            Some(grant) => write!(f, "{BEGIN}{} {grant}", self.file),
            None => write!(f, "{BEGIN}{} {NOTHING}", self.file),
        }
    }
}

impl FromStr for GrantLine {
    type Err = NotAGrant;

    fn from_str(line: &str) -> Result<Self, NotAGrant> {
        let line = line.strip_prefix(BEGIN).ok_or(KINDS)?.trim();
        let (file, right) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        if !is_file_name(file) {
            return Err(FILES);
        }
        let grant = match right.trim() {
            NOTHING => None,
            right => Some(right.parse()?),
        };
        Ok(Self { file: file.to_owned(), grant })
    }
}

/// Whether this can be the file name of a component in a line of `plugins.lock`.
pub(crate) fn is_file_name(name: &str) -> bool {
    name.ends_with(".wasm") && !name.contains(['/', '\\']) && !name.chars().any(char::is_whitespace)
}

/// Whether a bundle that was kept since this line of a lock held may need its right. One that a later release wrote and this one
/// cannot read counts by its kind.
pub fn kept_bundle_needs(line: &str) -> bool {
    match line.parse::<GrantLine>() {
        Ok(line) => line.grant.is_some_and(|grant| grant.is_in_bundle()),
        Err(_) => line.split_whitespace().nth(2) == Some(ARGUMENT),
    }
}

impl fmt::Display for ArgumentSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(name) => write!(f, "secret:{name}"),
            Self::Request(key) => write!(f, "request:{key}"),
            Self::Fixed => f.write_str("fixed"),
            Self::Address => f.write_str("address"),
            Self::AddressOf(key) => write!(f, "address:{key}"),
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument { provider, argument, from } => {
                write!(f, "{ARGUMENT} {} {argument} {from}", short_address(provider))
            }
            Self::Secret(name) => write!(f, "secret {name}"),
            Self::Host(HostGrant { pattern, at: None }) => write!(f, "host {pattern}"),
            Self::Host(HostGrant { pattern, at: Some(at) }) => write!(f, "host {pattern}={at}"),
        }
    }
}

/// A text that is no grant; says what it would have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAGrant(&'static str);

const KINDS: NotAGrant = NotAGrant(
    "not `grant <file>.wasm` and then `argument <namespace>/<name> <argument> <source>`, `secret <name>`, `host <name>` or `nothing`",
);
const FILES: NotAGrant = NotAGrant("a grant is not of a file such as `name.wasm`");
const SOURCES: NotAGrant = NotAGrant(
    "the source of an argument is none of `secret:<name>`, `request:<key>`, `fixed`, `address` and `address:<key>`",
);
const HOSTS: NotAGrant =
    NotAGrant("the host is not a host name in lower case, a suffix such as `.example.org`, or `<name>=<ip>:<port>`");

impl FromStr for Grant {
    type Err = NotAGrant;

    fn from_str(text: &str) -> Result<Self, NotAGrant> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            [ARGUMENT, provider, argument, from] => {
                let provider = provider_address(provider).ok_or(KINDS)?;
                Ok(Self::Argument { provider, argument: (*argument).to_owned(), from: source(from)? })
            }
            ["secret", name] => Ok(Self::Secret((*name).to_owned())),
            ["host", host] => Ok(Self::Host(host_grant(host)?)),
            _ => Err(KINDS),
        }
    }
}

fn source(text: &str) -> Result<ArgumentSource, NotAGrant> {
    let named = |name: &str| Some(name.to_owned()).filter(|name| !name.is_empty()).ok_or(SOURCES);
    match text.split_once(':') {
        None if text == "fixed" => Ok(ArgumentSource::Fixed),
        None if text == "address" => Ok(ArgumentSource::Address),
        Some(("secret", name)) => named(name).map(ArgumentSource::Secret),
        Some(("request", key)) => named(key).map(ArgumentSource::Request),
        Some(("address", key)) => named(key).map(ArgumentSource::AddressOf),
        _ => Err(SOURCES),
    }
}

fn host_grant(text: &str) -> Result<HostGrant, NotAGrant> {
    let (pattern, at) = match text.split_once('=') {
        None => (text, None),
        // Where a name leads is said of one name, not of all below one.
        Some((name, at)) if !name.starts_with('.') => (name, Some(at.parse().map_err(|_| HOSTS)?)),
        Some(_) => return Err(HOSTS),
    };
    // Each host has one way to be written, so that what is wanted and what is granted are compared as texts.
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let is_known = pattern.chars().all(plain)
        && match HostEntry::parse(pattern) {
            Some(HostEntry::Name(_) | HostEntry::Address(_)) => true,
            // A suffix of one label is a whole top-level domain.
            Some(HostEntry::Below(zone)) => zone.contains('.'),
            None => false,
        };
    if is_known { Ok(HostGrant { pattern: pattern.to_owned(), at }) } else { Err(HOSTS) }
}
