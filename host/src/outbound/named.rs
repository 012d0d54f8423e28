//! Addresses that a request names among its provider's own settings. The host knows no cloud's keys, so every text that is a
//! URL counts, and every one whose schema says that it is a URL or a host name.

use super::destination::Host;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Formats of JSON Schema (2020-12 validation, 7.3) for what is connected to. Not those of plain addresses: of such a setting
/// nothing says that it is dialled, and resolvers of nodes are often private.
const FORMATS: [&str; 6] = ["uri", "uri-reference", "iri", "iri-reference", "hostname", "idn-hostname"];
/// Parts of a schema that are looked at for one value, and references that are followed to get there.
const MAX_SCHEMAS: usize = 64;
/// Schemes whose slashes readers of URLs do not insist on (WHATWG URL, "special").
const LENIENT_SCHEMES: [&str; 5] = ["http", "https", "ws", "wss", "ftp"];

/// An address of a request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NamedAddress {
    /// RFC 6901 pointer to the text that holds it.
    pub(super) pointer: String,
    /// The host, or why no reader can be trusted to find the same one.
    pub(super) host: Result<Host, &'static str>,
}

/// Whether any setting of this schema is an address by its format.
pub(super) fn takes_address(schema: &str) -> bool {
    fn any(part: &Value) -> bool {
        match part {
            Value::Object(fields) => is_address(&[part]) || fields.values().any(any),
            Value::Array(items) => items.iter().any(any),
            _ => false,
        }
    }
    serde_json::from_str(schema).is_ok_and(|schema: Value| any(&schema))
}

/// All addresses in settings, as their JSON Schema and their form tell.
pub(super) fn addresses(settings: &Map<String, Value>, schema: &str) -> BTreeSet<NamedAddress> {
    let root: Value = serde_json::from_str(schema).unwrap_or_default();
    let mut search = Search { root: &root, found: BTreeSet::new() };
    let whole = search.expanded(vec![&root]);
    search.fields(settings, "", &whole);
    search.found
}

struct Search<'a> {
    root: &'a Value,
    found: BTreeSet<NamedAddress>,
}

impl<'a> Search<'a> {
    fn value(&mut self, value: &Value, pointer: &str, schemas: &[&'a Value]) {
        match value {
            Value::String(text) => {
                let hosts = hosts(text, is_address(schemas)).into_iter();
                self.found.extend(hosts.map(|host| NamedAddress { pointer: pointer.to_owned(), host }));
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let of = |schema: &&'a Value| {
                        [schema.get("prefixItems").and_then(|all| all.get(index)), schema.get("items")]
                    };
                    let inner = self.expanded(schemas.iter().flat_map(of).flatten().collect());
                    self.value(item, &format!("{pointer}/{index}"), &inner);
                }
            }
            Value::Object(fields) => self.fields(fields, pointer, schemas),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn fields(&mut self, fields: &Map<String, Value>, pointer: &str, schemas: &[&'a Value]) {
        for (key, value) in fields {
            let of = |schema: &&'a Value| {
                let patterns = schema.get("patternProperties").and_then(Value::as_object);
                let named = schema.get("properties").and_then(|all| all.get(key));
                let others =
                    patterns.into_iter().flat_map(|all| all.values()).chain(schema.get("additionalProperties"));
                named.into_iter().chain(others).collect::<Vec<_>>()
            };
            let inner = self.expanded(schemas.iter().flat_map(of).collect());
            let escaped = key.replace('~', "~0").replace('/', "~1");
            self.value(value, &format!("{pointer}/{escaped}"), &inner);
        }
    }

    /// The schemas with those that they are made of.
    fn expanded(&self, mut schemas: Vec<&'a Value>) -> Vec<&'a Value> {
        let mut next = 0;
        while let Some(schema) = schemas.get(next).copied().filter(|_| schemas.len() < MAX_SCHEMAS) {
            for parts in ["allOf", "anyOf", "oneOf"] {
                schemas.extend(schema.get(parts).and_then(Value::as_array).into_iter().flatten());
            }
            let reference = schema.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#'));
            schemas.extend(reference.and_then(|pointer| self.root.pointer(pointer)));
            schemas.extend(["then", "else"].iter().filter_map(|branch| schema.get(*branch)));
            next += 1;
        }
        schemas
    }
}

fn is_address(schemas: &[&Value]) -> bool {
    let format = |schema: &&Value| schema.get("format").and_then(Value::as_str).is_some_and(|f| FORMATS.contains(&f));
    schemas.iter().any(format)
}

/// Every host of a text. Readers differ in what they cut off and leave out, so a text counts in each of the ways in which it
/// could be read: whole, without its control characters, and in parts where it is a list.
fn hosts(text: &str, by_schema: bool) -> Vec<Result<Host, &'static str>> {
    let joined: String = text.chars().filter(|c| !c.is_control()).collect();
    let parts: Vec<&str> =
        text.split(is_separator).chain(joined.split(is_separator)).filter(|p| !p.is_empty()).collect();
    let mut found: Vec<_> = parts.iter().filter_map(|part| authority(part)).map(|rest| host(rest)).collect();
    if by_schema && found.is_empty() {
        found.extend(parts.iter().map(|part| host(part)));
    }
    found
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, ',' | ';' | '|' | '"' | '\'' | '<' | '>')
}

fn is_slash(c: char) -> bool {
    c == '/' || c == '\\'
}

/// What follows the slashes of a text in the form of a URL with an authority.
fn authority(text: &str) -> Option<&str> {
    let after_scheme = text.split_once(':').filter(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c))
    });
    if let Some((scheme, rest)) = after_scheme
        && LENIENT_SCHEMES.contains(&scheme.to_ascii_lowercase().as_str())
    {
        return Some(rest.trim_start_matches(is_slash)).filter(|rest| !rest.is_empty());
    }
    let rest = after_scheme.map_or(text, |(_, rest)| rest);
    let mut slashes = rest.chars();
    let has_two = slashes.next().is_some_and(is_slash) && slashes.next().is_some_and(is_slash);
    // A third slash is the beginning of a path, as in file:///a.
    has_two.then_some(slashes.as_str()).filter(|rest| !rest.is_empty() && !rest.starts_with(is_slash))
}

/// The host of what begins with an authority.
fn host(text: &str) -> Result<Host, &'static str> {
    if text.contains('\\') {
        return Err("has a backslash, which not every reader takes for the same");
    }
    // As every reader of http does, whatever the scheme is: addresses in all their spellings, names in ASCII.
    let url = url::Url::parse(&format!("http://{text}")).map_err(|_| "has no host that could be read")?;
    let written = text.split(['/', '?', '#']).next().unwrap_or_default();
    if written.contains('@') {
        return Err("has a user name before its host, which may hide it");
    }
    let host = Host::of(&url).ok_or("has no host")?;
    let name = if written.starts_with('[') { written } else { written.split(':').next().unwrap_or_default() };
    match &host {
        Host::Address(address @ std::net::IpAddr::V4(_)) if address.to_string() != name => {
            Err("has an IPv4 address that is not written as four decimal numbers")
        }
        Host::Name(name) if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)) => {
            Err("has a host with characters that no host has")
        }
        _ => Ok(host),
    }
}

#[cfg(test)]
#[path = "named_tests.rs"]
mod tests;
