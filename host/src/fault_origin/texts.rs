//! Signs of faults in what OpenTofu, its providers, Go and the system write. All is compared in lower case, with one space between words.

use super::Fault;
use crate::egress::{Refusal, RefusalRule};

const DISK_FULL: &[&str] = &["no space left on device", "disk quota exceeded"];
const DISK_READ_ONLY: &[&str] = &["read-only file system"];
const DISK_BROKEN: &[&str] = &["input/output error"];
const MEMORY_EXHAUSTED: &[&str] =
    &["cannot allocate memory", "runtime: out of memory", "out of memory: killed process", "signal: killed"];

const UNTRUSTED: &[&str] = &[
    "signed by unknown authority",
    "certificate is not trusted",
    "unknownissuer",
    "unable to get local issuer certificate",
    "self-signed certificate",
    "self signed certificate",
    "x509: certificate is valid for",
    "certificate not valid for name",
    "x509: cannot validate certificate for",
    "certificate is not valid for any names",
];
const EXPIRED: &[&str] = &["certificate has expired", "certificate expired", "peer certificate: expired"];
const NOT_YET_VALID: &[&str] = &["certificate is not yet valid", "certificate not valid yet"];
/// Before the time by this host's clock, as Go says it.
const CURRENT_TIME: &str = "not yet valid: current time ";
/// Longest time in such a text.
const TIME_LENGTH: usize = 40;
/// A clock that is so many years behind a certificate's end is wrong; nobody serves one for so long that is over.
const YEARS_AHEAD: u32 = 5;

const PROXY: &[&str] = &["proxyconnect", "the proxy of this host:", "tunnel error:", "socks connect"];
const PROXY_CREDENTIALS: &[&str] =
    &["proxy authentication required", "proxy authorization required", "the proxy of this host: it answered 407"];

/// The resolver does not answer, or answers that it cannot. Where two parts are separated by ` + ` both must be there.
const RESOLVER_SILENT: &[&str] = &[
    "server misbehaving",
    "temporary failure in name resolution",
    "address information: try again",
    "the resolver gave no answer",
    "lookup + :53: i/o timeout",
    "dial tcp: lookup + i/o timeout",
    "lookup + :53: read: ",
    "lookup + :53: connect: ",
];
const UNKNOWN_NAME: &[&str] = &[
    "no such host",
    "name or service not known",
    "name does not resolve",
    "no address associated with hostname",
    "its name cannot be resolved",
];

const CHECKSUM: &[&str] = &[
    "any of the checksums",
    "of the expected checksums",
    "the expected checksum",
    "incorrect checksum",
    "verify provider package checksums",
    "checksum list has",
    "error checking signature",
];
const PACKAGE_MISSING: &[&str] = &[
    "was not found in any of the search locations",
    "does not have a provider named",
    "no available releases match",
    "inconsistent dependency lock file",
    "for your current platform",
];
const REGISTRY: &[&str] = &[
    "failed to query available provider packages",
    "failed to resolve provider packages",
    "failed to install provider",
    "could not query provider registry",
    "failed to query provider mirror",
    "could not connect to ",
];

/// A connection or an answer that did not come; why is not said.
const TRANSPORT: &[&str] = &[
    "i/o timeout",
    "deadline exceeded",
    "timeout exceeded",
    "timed out",
    "tls handshake",
    "unexpected eof",
    "\": eof",
    "retries exhausted",
    "bad gateway",
    "not done within",
    "no route to host",
    "network is unreachable",
];

/// Where HTML begins, and the words of a resource that the cloud gave up: what follows is the other side's.
const OTHERS_WORDS: [&str; 3] = ["<html", "<!doctype", "unexpected state '"];
/// How client libraries write the body of an answer behind its status.
const BODY: &str = " instead:";

fn has(words: &str, signs: &[&str]) -> bool {
    signs.iter().any(|sign| sign.split(" + ").all(|part| words.contains(part)))
}

/// A text as it is compared, without what a service answered; `None` where a service answered with a code of its own, so that the fault
/// is told by that.
pub(super) fn own_words(text: &str) -> Option<String> {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    if words.split('(').skip(1).any(begins_with_code) {
        return None;
    }
    let end = OTHERS_WORDS.iter().filter_map(|begin| words.find(begin)).min().unwrap_or(words.len());
    Some(without_objects(&without_bodies(&words[..end])))
}

/// Whether a text begins with `code, id)` or `two_words)`: how a service's own code is written behind its message.
fn begins_with_code(rest: &str) -> bool {
    let Some(inside) = rest.split(')').next() else { return false };
    let (code, id) = inside.split_once(", ").map_or((inside, None), |(code, id)| (code, Some(id)));
    let is_code = !code.is_empty() && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let is_id = |id: &str| id.len() >= 6 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    is_code && id.map_or_else(|| code.contains('_'), is_id)
}

/// A text without bodies of answers that are no JSON.
fn without_bodies(words: &str) -> String {
    let mut kept = String::new();
    for (index, part) in words.split(BODY).enumerate() {
        let follows_status = index > 0 && ends_with_status(&kept);
        // The next answer begins anew.
        let part = match part.split_once("expected http response code") {
            Some((_, next)) if follows_status => next,
            None if follows_status && !part.trim_start().starts_with('{') => "",
            _ => part,
        };
        kept.push(' ');
        kept.push_str(part);
    }
    kept
}

fn ends_with_status(words: &str) -> bool {
    let status = words.rsplit(' ').next().unwrap_or_default();
    status.len() == 3 && status.bytes().all(|b| b.is_ascii_digit())
}

/// A text without JSON objects.
fn without_objects(words: &str) -> String {
    let (mut kept, mut rest) = (String::new(), words);
    while let Some(at) = rest.find('{') {
        kept.push_str(&rest[..at]);
        kept.push(' ');
        rest = &rest[at + object_length(&rest[at..])..];
    }
    kept + rest
}

/// Length of the JSON object that a text begins with: to its end, else to that of the text; 1 where it is none.
fn object_length(text: &str) -> usize {
    if !text[1..].trim_start().starts_with(['"', '}']) {
        return 1;
    }
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' if !in_text => depth += 1,
            b'}' if !in_text && depth == 1 => return at + 1,
            b'}' if !in_text => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

pub(super) fn of_system(words: &str) -> Option<Fault> {
    let table = [
        (DISK_FULL, Fault::DiskFull),
        (DISK_READ_ONLY, Fault::DiskReadOnly),
        (DISK_BROKEN, Fault::DiskBroken),
        (MEMORY_EXHAUSTED, Fault::MemoryExhausted),
    ];
    table.into_iter().find(|(signs, _)| has(words, signs)).map(|(_, fault)| fault)
}

pub(super) fn of_certificate(words: &str) -> Option<Fault> {
    let said = words.split_once(CURRENT_TIME).map(|(_, rest)| rest);
    let times = |between: &str| {
        let (now, then) = said?.split_once(between)?;
        (now.len() <= TIME_LENGTH).then(|| (now.to_ascii_uppercase(), then))
    };
    if let Some((now, _)) = times(" is before ") {
        return Some(Fault::WrongClock(Some(now)));
    }
    if let Some((now, end)) = times(" is after ") {
        let is_far_ahead = year(&now).zip(year(end)).is_some_and(|(now, end)| now >= end + YEARS_AHEAD);
        return Some(if is_far_ahead { Fault::WrongClock(Some(now)) } else { Fault::Expired });
    }
    if has(words, NOT_YET_VALID) {
        return Some(Fault::WrongClock(None));
    }
    if has(words, UNTRUSTED) {
        return Some(Fault::Untrusted);
    }
    has(words, EXPIRED).then_some(Fault::Expired)
}

/// The year of a time by RFC 3339.
fn year(time: &str) -> Option<u32> {
    time.get(..4)?.parse().ok().filter(|_| time.as_bytes().get(4) == Some(&b'-'))
}

pub(super) fn of_proxy(words: &str) -> Option<Fault> {
    if has(words, PROXY_CREDENTIALS) {
        return Some(Fault::ProxyCredentials);
    }
    has(words, PROXY).then_some(Fault::ProxyUnreachable)
}

pub(super) fn of_names(words: &str) -> Option<Fault> {
    if has(words, RESOLVER_SILENT) {
        return Some(Fault::ResolverSilent);
    }
    has(words, UNKNOWN_NAME).then(|| Fault::UnknownName(looked_up(words)))
}

/// The name that was looked up: Go writes `lookup <name> on <server>:53: …` or `lookup <name>: …`.
fn looked_up(words: &str) -> Option<String> {
    let (_, rest) = words.split_once("lookup ")?;
    let name = rest.split([' ', ':']).next()?;
    let is_name = name.contains('.') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    is_name.then(|| name.to_owned())
}

pub(super) fn of_package(words: &str) -> Option<Fault> {
    if has(words, CHECKSUM) {
        return Some(Fault::Checksum);
    }
    has(words, PACKAGE_MISSING).then_some(Fault::PackageMissing)
}

pub(super) fn is_of_registry(words: &str) -> bool {
    has(words, REGISTRY)
}

pub(super) fn is_of_transport(words: &str) -> bool {
    has(words, TRANSPORT)
}

/// Whether a text has the answer of the run's proxy to a connection that it did not make.
pub(super) fn tells_of(words: &str, refusal: &Refusal) -> bool {
    let verb = match refusal.rule {
        RefusalRule::Unreachable => "could not be reached",
        _ => "was not let through",
    };
    words.contains(&format!("{} {verb}", refusal.target.to_lowercase()))
}
