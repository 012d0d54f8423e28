//! Plain words for what OpenTofu and Hetzner's API say. The provider writes the API's errors as `words (code, correlation id)`: the
//! code decides. Words decide only where there is none, and after what is of no cloud.

use catalyst_plugin_sdk::diagnosis::{self, LocalFault, first, has_any};
use catalyst_plugin_sdk::{Advice, Asked, Diagnostic, DiagnosticKind};

use crate::alternatives;

/// Why Hetzner did not do what was asked of it. Where a text has several codes the first in this order counts: what stays as it is
/// before what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    NoStock,
    NotOffered,
    Limit,
    ReadOnlyToken,
    RefusedToken,
    KnownSshKey,
    NameTaken,
    StillAttached,
    Protected,
    RemovedFunction,
    InvalidValue,
    RateLimit,
    Busy,
    Unavailable,
}

const NOT_OFFERED: &[&str] = &[
    "can no longer be ordered",
    "server type + is deprecated",
    "unsupported location for server type",
    "server type not found",
];
const KNOWN_SSH_KEY: &[&str] = &["ssh key not unique", "ssh key with the same fingerprint"];
/// Of what is to be removed and is still used.
const ATTACHED: &[&str] = &[
    "attached resources",
    "are attached",
    "attached to it",
    "still attached",
    "resource is in use",
    "must not be in use",
];

/// Words of the API, the provider and OpenTofu, for texts without a code. The first that matches counts.
const WORDS: &[(Cause, &[&str])] = &[
    (Cause::NoStock, &["error during placement"]),
    (Cause::NotOffered, NOT_OFFERED),
    (Cause::RateLimit, &["rate limit", "status code 429", "requests per hour"]),
    (Cause::Limit, &["limit reached", "limit exceeded for"]),
    (Cause::RefusedToken, &["entered token is invalid", "hcloud_token must be"]),
    (Cause::KnownSshKey, KNOWN_SSH_KEY),
    (Cause::NameTaken, &["already used"]),
    (Cause::StillAttached, ATTACHED),
    (Cause::InvalidValue, &["ssh key not found", "invalid value for variable", "no value for required variable"]),
    (
        Cause::Unavailable,
        &[
            "responded with status code 5",
            "i/o timeout",
            "connection reset",
            "connection refused",
            "no route to host",
            "network is unreachable",
            "tls handshake",
            "unexpected eof",
            // How Go says that the connection ended before the answer.
            "\": eof",
            "deadline exceeded",
            "could not connect to",
        ],
    ),
];

pub(crate) fn advice(diagnostic: &Diagnostic, asked: &Asked) -> Advice {
    let words = diagnosis::words(diagnostic);
    match cause(&words) {
        Ok(Some(cause)) => {
            let what_happened = format!("{}{}", cause.what_happened(), correlation(&words));
            let offers = matches!(cause, Cause::NoStock | Cause::NotOffered);
            let alternatives =
                if offers { alternatives::to(&words, asked, diagnostic.address.as_deref()) } else { Vec::new() };
            let advice = diagnosis::advice(cause.kind(), cause.passes(), &what_happened, cause.what_to_do());
            Advice { alternatives, ..advice }
        }
        Ok(None) => diagnosis::unexplained(diagnostic),
        Err(local) => local.advice(),
    }
}

/// What Hetzner says, else the fault that is of no cloud.
fn cause(words: &str) -> Result<Option<Cause>, LocalFault> {
    let codes = codes(words);
    let known = |certain: bool| {
        codes.iter().filter(|code| code.is_certain || !certain).filter_map(|code| of_code(code.code, words)).min()
    };
    if codes.iter().any(|code| code.is_certain) {
        // The API answered: whatever else is in the text is its message, also where it speaks of a disk.
        return Ok(known(true).or_else(|| first(words, WORDS)));
    }
    match LocalFault::of(words) {
        Some(local) => Err(local),
        None => Ok(known(false).or_else(|| first(words, WORDS))),
    }
}

fn of_code(code: &str, words: &str) -> Option<Cause> {
    Some(match code {
        "resource_unavailable" | "placement_error" | "no_space_left_in_location" => Cause::NoStock,
        "invalid_server_type" | "invalid_load_balancer_type" => Cause::NotOffered,
        "invalid_input" if has_any(words, NOT_OFFERED) => Cause::NotOffered,
        "invalid_input" | "json_error" => Cause::InvalidValue,
        "resource_limit_exceeded" => Cause::Limit,
        "token_readonly" => Cause::ReadOnlyToken,
        "unauthorized" | "forbidden" => Cause::RefusedToken,
        "uniqueness_error" if has_any(words, KNOWN_SSH_KEY) => Cause::KnownSshKey,
        "uniqueness_error" => Cause::NameTaken,
        "resource_in_use" => Cause::StillAttached,
        "service_error" | "conflict" if has_any(words, ATTACHED) => Cause::StillAttached,
        "protected" => Cause::Protected,
        "deprecated_api_endpoint" => Cause::RemovedFunction,
        "rate_limit_exceeded" => Cause::RateLimit,
        "locked" | "conflict" | "resource_locked" => Cause::Busy,
        "service_error" | "unavailable" | "maintenance" | "timeout" | "server_error" | "robot_unavailable"
        | "bad_gateway" | "unknown_error" => Cause::Unavailable,
        _ => return None,
    })
}

/// A code of the API in a text.
struct Code<'a> {
    code: &'a str,
    /// Whether nothing else is written like that. `(locked)` alone may be a plain word in parentheses.
    is_certain: bool,
}

/// `(code, id)`, `(code)` and `Error code: code`, in lower case.
fn codes(words: &str) -> Vec<Code<'_>> {
    let is_code = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let in_parentheses = words.split('(').skip(1).filter_map(|rest| {
        let inside = rest.split(')').next()?;
        let (code, id) = inside.split_once(", ").map_or((inside, None), |(code, id)| (code, Some(id)));
        let is_certain = id.is_some() || (code.contains('_') && of_code(code, words).is_some());
        (is_code(code) && id.is_none_or(is_id)).then_some(Code { code, is_certain })
    });
    let named = words.split("error code: ").skip(1).filter_map(|rest| {
        let code = rest.split_whitespace().next()?;
        is_code(code).then_some(Code { code, is_certain: true })
    });
    in_parentheses.chain(named).collect()
}

/// A correlation id, or the number of an action.
fn is_id(text: &str) -> bool {
    text.len() >= 6 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

/// The id by which Hetzner's support finds the call, where the message has one.
fn correlation(words: &str) -> String {
    let id = words.split('(').skip(1).find_map(|rest| {
        let (code, rest) = rest.split_once(", ")?;
        let id = rest.split(')').next()?;
        let is_code = !code.is_empty() && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        (is_code && id.len() >= 8 && is_id(id)).then_some(id)
    });
    id.map_or(String::new(), |id| format!(" Hetzner's correlation id is {id}."))
}

impl Cause {
    fn kind(self) -> DiagnosticKind {
        match self {
            Self::NoStock => DiagnosticKind::Capacity,
            Self::Limit => DiagnosticKind::Quota,
            Self::ReadOnlyToken | Self::RefusedToken => DiagnosticKind::Credentials,
            Self::KnownSshKey | Self::NameTaken | Self::StillAttached | Self::Protected | Self::Busy => {
                DiagnosticKind::Conflict
            }
            Self::NotOffered | Self::RemovedFunction | Self::InvalidValue => DiagnosticKind::Configuration,
            Self::RateLimit => DiagnosticKind::RateLimit,
            Self::Unavailable => DiagnosticKind::Transient,
        }
    }

    /// Whether the same run may succeed later.
    fn passes(self) -> bool {
        matches!(self, Self::RateLimit | Self::Busy | Self::Unavailable)
    }

    fn what_happened(self) -> &'static str {
        match self {
            Self::NoStock => "Hetzner has no such server left at this location.",
            Self::NotOffered => "Hetzner no longer offers this server type, or not at this location.",
            Self::Limit => "The project has reached one of its limits at Hetzner.",
            Self::ReadOnlyToken => "The token may read the project but not change it.",
            Self::RefusedToken => "Hetzner refuses the token.",
            Self::KnownSshKey => "The project has this SSH key already; Hetzner takes no key twice.",
            Self::NameTaken => "Something of that name is in the project already, perhaps from an earlier run.",
            Self::StillAttached => {
                "Something that this deployment did not make is still attached to what is to be removed: the cluster itself or a \
                 person made it."
            }
            Self::Protected => "The resource is protected at Hetzner, so it is neither changed nor removed.",
            Self::RemovedFunction => "Hetzner's API no longer has a function that the provider calls.",
            Self::InvalidValue => "Hetzner or the module does not take one of the values.",
            Self::RateLimit => "The project's hourly number of API requests is used up.",
            Self::Busy => "Hetzner is still busy with another change of the same resource.",
            Self::Unavailable => "Hetzner's API, or the network on the way to it, did not answer as it should.",
        }
    }

    fn what_to_do(self) -> &'static str {
        match self {
            Self::NoStock => {
                "Choose another server type or another location; the same choice may work again hours later."
            }
            Self::NotOffered => "Choose a current server type.",
            Self::Limit => {
                "Remove what is no longer needed in the project, or ask Hetzner for a higher limit, then retry."
            }
            Self::ReadOnlyToken => {
                "Create a token with read and write access in the Hetzner console and start again with it."
            }
            Self::RefusedToken => {
                "Create a token with read and write access in the right project and start again with it."
            }
            Self::KnownSshKey => {
                "Start again with the name that the key has in the Hetzner console as sshKeyName. If it has the label \
                 catalyst.openova.io/sovereign of this domain, an earlier run left it: remove it and retry."
            }
            Self::NameTaken => {
                "In the Hetzner console look for resources with the label catalyst.openova.io/sovereign of this domain; \
                 remove what belongs to no running cluster, then retry."
            }
            Self::StillAttached => {
                "In the Hetzner console look at what the network and the firewall are used by: load balancers of the cluster's \
                 Services, servers that were added by hand. Remove or detach them, then try again; before that it ends the same \
                 way."
            }
            Self::Protected => "Take the protection off in the Hetzner console, if the resource may go, then retry.",
            Self::RemovedFunction => "A later version of the plugin for Hetzner is needed.",
            Self::InvalidValue => "The message names the field: start again with another value.",
            Self::RateLimit => "Wait for up to an hour, then retry.",
            Self::Busy => "Retry in a minute.",
            Self::Unavailable => "Retry; if it goes on, look at Hetzner's status page and at the host's way out.",
        }
    }
}

#[cfg(test)]
mod cause_tests;

#[cfg(test)]
mod tests {
    use super::*;

    fn advice_for(summary: &str, detail: &str) -> Advice {
        let diagnostic = Diagnostic { summary: summary.to_owned(), detail: detail.to_owned(), address: None };
        advice(&diagnostic, &Asked::default())
    }

    #[test]
    fn each_code_of_the_api_has_its_family() {
        let cases = [
            ("error during placement (resource_unavailable, 1d1d17e504e28a4c)", DiagnosticKind::Capacity, false),
            ("server limit reached (resource_limit_exceeded, 1d1d17e504e28a4c)", DiagnosticKind::Quota, false),
            ("limit of 3600 requests per hour reached (rate_limit_exceeded)", DiagnosticKind::RateLimit, true),
            ("the token is only allowed to perform GET requests (token_readonly)", DiagnosticKind::Credentials, false),
            ("unable to authenticate (unauthorized, 0011223344556677)", DiagnosticKind::Credentials, false),
            ("SSH key not unique (uniqueness_error, 0011223344556677)", DiagnosticKind::Conflict, false),
            ("name is already used (uniqueness_error, 0011223344556677)", DiagnosticKind::Conflict, false),
            ("SSH key not found: mine", DiagnosticKind::Configuration, false),
            ("cannot perform operation: server is locked (locked)", DiagnosticKind::Conflict, true),
            (
                "cannot remove subnet because servers are attached to it (service_error)",
                DiagnosticKind::Conflict,
                false,
            ),
            ("network is in use (resource_in_use, 0011223344556677)", DiagnosticKind::Conflict, false),
            ("dial tcp 203.0.113.1:443: i/o timeout", DiagnosticKind::Transient, true),
            (r#"Post "https://api.hetzner.cloud/v1/servers": EOF"#, DiagnosticKind::Transient, true),
            ("invalid input in field 'user_data' (invalid_input)", DiagnosticKind::Configuration, false),
            ("Server type cx42 is deprecated", DiagnosticKind::Configuration, false),
            (
                r#"Server Type "cx42" is unavailable in "fsn1" and can no longer be ordered"#,
                DiagnosticKind::Configuration,
                false,
            ),
            ("Error: something new", DiagnosticKind::Other, false),
        ];
        for (summary, kind, retryable) in cases {
            let advice = advice_for(summary, "");
            assert_eq!((advice.kind, advice.retryable), (kind, retryable), "{summary}");
        }
    }

    #[test]
    fn no_stock_names_the_call_for_the_support() {
        let advice = advice_for("error during placement (resource_unavailable, 1d1d17e504e28a4c)", "");
        assert!(advice.what_happened.contains("1d1d17e504e28a4c"));
    }
}
