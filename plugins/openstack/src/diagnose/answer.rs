//! Answers of a cloud's services within a text. gophercloud writes them as `Expected HTTP response code […] when accessing [METHOD URL],
//! but got STATUS instead: BODY`; the status and the body decide, and nothing that stands beside them.

use catalyst_plugin_sdk::diagnosis::{first, has_any};

use super::Cause;

/// One answer, in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    /// HTTP method; empty where the text does not say it.
    pub(super) method: &'a str,
    pub(super) body: &'a str,
}

/// Where the body of an answer begins.
const BEGINS: &str = " instead:";

/// A quota, whatever the service: Nova, Cinder, Neutron and Octavia.
const QUOTA: &[&str] = &[
    "quota exceeded",
    "quota has been met",
    "overquota",
    "exceeds + quota",
    "exceeded + quota",
    "exceedsavailablequota",
    "quotaexceeded",
    "quota_exceeded",
    "volumelimitexceeded",
    "snapshotlimitexceeded",
    "portlimitexceeded",
    "keypairlimitexceeded",
    "maximum number of volumes",
    "maximum number of snapshots",
    "maximum number of ports",
    "maximum number of networks",
    "maximum number of floating",
    "maximum number of security",
    "maximum number of key pairs",
    "maximum number of instances",
    "maximum number of server groups",
];

/// Not the disk of this machine, and no quota of a cloud where it is not a cloud that says it.
const LOCAL_QUOTA: &str = "disk quota exceeded";

/// What a service says of something that is to be removed and is still used.
pub(super) const ATTACHED: &[&str] = &[
    "networkinuse",
    "subnetinuse",
    "routerinuse",
    "routerinterfaceinuse",
    "securitygroupinuse",
    "ports still in use on the network",
    "one or more ports",
    "still has ports",
    "security group + in use",
    "volume status must be available",
    "it has children",
];

pub(super) const NO_ADDRESS: &[&str] = &[
    "externalipaddressexhausted",
    "no more ip addresses available",
    "ipaddressgenerationfailure",
    "subnets exhausted",
];
pub(super) const NO_HOST: &[&str] = &["no valid host", "not enough hosts available"];
/// Octavia: an option or action that the provider has not, a provider that is unknown or switched off.
pub(super) const BALANCER_PROVIDER: &[&str] =
    &["ovn provider does not support", "does not support a requested", "' is not enabled."];
pub(super) const NO_DISK: &[&str] =
    &["volume-backed servers", "flavors with zero disk", "flavor's disk is too small", "flavordisk"];
pub(super) const BUSY: &[&str] = &["is immutable", "retrypending", "concurrently"];

/// Bodies that say more than their status.
const TYPED: &[(Cause, &[&str])] = &[
    (Cause::NoAddress, NO_ADDRESS),
    (Cause::NoHost, NO_HOST),
    (Cause::BalancerProvider, BALANCER_PROVIDER),
    (Cause::NotThere, &["invalid imageref", "invalid flavorref"]),
    (Cause::NoDisk, NO_DISK),
    (Cause::Busy, BUSY),
    (Cause::StillAttached, ATTACHED),
];

/// The answers of a text, and what stands beside them and beside every other JSON object.
pub(super) fn parts(words: &str) -> (Vec<Answer<'_>>, String) {
    let (mut answers, mut beside, mut from) = (Vec::new(), String::new(), 0);
    for (at, _) in words.match_indices(BEGINS) {
        let after = at + BEGINS.len();
        let status = words[..at].rsplit(' ').next().and_then(|status| status.parse().ok());
        let Some(status) = status.filter(|status| at >= from && (100..600).contains(status)) else { continue };
        let accessing = words[from..at].rsplit_once("when accessing [").map_or("", |(_, call)| call);
        let method = accessing.split(' ').next().unwrap_or_default();
        let body = body(&words[after..]);
        beside.push_str(&words[from..after]);
        from = after + body.len();
        answers.push(Answer { status, method, body });
    }
    beside.push_str(&words[from..]);
    (answers, without_objects(&beside))
}

/// A JSON object to its end; anything else to the end of its line, or to the next answer.
fn body(after: &str) -> &str {
    let spaces = after.len() - after.trim_start_matches(' ').len();
    match object(&after[spaces..]) {
        Some(object) => &after[..spaces + object.len()],
        None => {
            let line = after.split('\n').next().unwrap_or_default();
            line.split("expected http response code").next().unwrap_or_default()
        }
    }
}

/// The JSON object that a text begins with; all of the text where the object has no end.
fn object(text: &str) -> Option<&str> {
    if !text.starts_with("{\"") && !text.starts_with("{ \"") && !text.starts_with("{}") {
        return None;
    }
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' if !in_text => depth += 1,
            b'}' if !in_text && depth == 1 => return Some(&text[..=at]),
            b'}' if !in_text => depth -= 1,
            _ => {}
        }
    }
    Some(text)
}

/// A text without its JSON objects: they are what a service said.
fn without_objects(text: &str) -> String {
    let (mut kept, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('{') {
        kept.push_str(&rest[..at]);
        let length = object(&rest[at..]).map_or(1, str::len);
        kept.push(' ');
        rest = &rest[at + length..];
    }
    kept + rest
}

impl Answer<'_> {
    /// What it means; `None` where neither status nor body say more than that it failed.
    pub(super) fn cause(self) -> Option<Cause> {
        let Self { status, method, body } = self;
        match status {
            429 => return Some(Cause::RateLimit),
            413 => return Some(too_large(body)),
            401 => return Some(Cause::RefusedCredential),
            _ => {}
        }
        if (400..500).contains(&status) && has_any(body, QUOTA) {
            return Some(Cause::Quota);
        }
        if let Some(cause) = first(body, TYPED) {
            return Some(cause);
        }
        match status {
            403 => Some(Cause::NoRights),
            409 if method == "delete" => Some(Cause::StillAttached),
            409 => Some(Cause::NameTaken),
            501 => Some(Cause::BalancerProvider),
            500..=599 => Some(Cause::Unavailable),
            400 => Some(Cause::InvalidValue),
            _ => None,
        }
    }
}

/// `413`, and the body `overLimit` that belongs to it: Cinder says by it that a quota is reached, with `retryAfter` 0; older services
/// that there were too many requests, with the seconds to wait; a web server that a body is too large.
fn too_large(body: &str) -> Cause {
    let waits = body.split("\"retryafter\":").skip(1).any(|rest| {
        let seconds = rest.trim_start_matches([' ', '"']);
        seconds.starts_with(|c: char| c.is_ascii_digit() && c != '0')
    });
    let is_rate = waits || has_any(body, &["rate-limited", "rate limit", "too many requests"]);
    match (body.contains("quota") || has_any(body, QUOTA), is_rate, body.contains("overlimit")) {
        (true, ..) => Cause::Quota,
        (false, true, _) => Cause::RateLimit,
        (false, false, true) => Cause::Quota,
        (false, false, false) => Cause::InvalidValue,
    }
}

/// A quota or a rate limit in a text without a status.
pub(super) fn limit(words: &str) -> Option<Cause> {
    let words = words.replace(LOCAL_QUOTA, " ");
    if words.contains("overlimit") {
        return Some(too_large(&words));
    }
    has_any(&words, QUOTA).then_some(Cause::Quota)
}
