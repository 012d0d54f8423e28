//! A grant as text: what stands behind the file's name in a line of `plugins.lock`.
//!
//! - `argument <namespace>/<name> <argument> <source>`, where the source is `secret:<name>`, `request:<key>`, `fixed`, `address` or
//!   `address:<key>`
//! - `secret <name>`
//! - `host <name>`, `host .<suffix>`, `host <name>=<ip>:<port>`

use std::fmt;
use std::str::FromStr;

use super::{ArgumentSource, Grant, HostGrant};
use crate::policy::provider_address;

/// Registry of an address that names none; it is left out of lines.
const REGISTRY: &str = "registry.opentofu.org/";

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
                write!(f, "argument {} {argument} {from}", provider.strip_prefix(REGISTRY).unwrap_or(provider))
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
const SOURCES: NotAGrant = NotAGrant(
    "the source of an argument is none of `secret:<name>`, `request:<key>`, `fixed`, `address` and `address:<key>`",
);
const HOSTS: NotAGrant =
    NotAGrant("the host is not a name in lower case, a suffix such as `.example.org`, or `<name>=<ip>:<port>`");

impl FromStr for Grant {
    type Err = NotAGrant;

    fn from_str(text: &str) -> Result<Self, NotAGrant> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            ["argument", provider, argument, from] => {
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
    let name = pattern.strip_prefix('.').unwrap_or(pattern);
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_name = name.split('.').all(|label| !label.is_empty() && label.chars().all(plain));
    // A suffix of one label is a whole top-level domain.
    let is_wide = pattern.starts_with('.') && !name.contains('.');
    if is_name && !is_wide { Ok(HostGrant { pattern: pattern.to_owned(), at }) } else { Err(HOSTS) }
}
