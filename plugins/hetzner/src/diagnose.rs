//! Plain words for what OpenTofu and Hetzner's API say. The provider writes API errors as `words (code, correlation id)`.

use catalyst_plugin_sdk::{Advice, Asked, Diagnostic, DiagnosticKind};

use crate::alternatives;

struct Known {
    /// Codes of the API, and words of OpenTofu, in lower case.
    signs: &'static [&'static str],
    kind: DiagnosticKind,
    retryable: bool,
    what_happened: &'static str,
    what_to_do: &'static str,
}

/// The first that matches counts, so the narrow ones stand first.
const KNOWN: &[Known] = &[
    Known {
        signs: &["(resource_unavailable", "(placement_error", "error during placement"],
        kind: DiagnosticKind::Capacity,
        retryable: false,
        what_happened: "Hetzner has no such server left at this location.",
        what_to_do: "Choose another server type or another location; the same choice may work again hours later.",
    },
    Known {
        signs: &[
            "can no longer be ordered",
            "is deprecated",
            "unsupported location for server type",
            "server type not found",
            "(deprecated_api",
        ],
        kind: DiagnosticKind::Configuration,
        retryable: false,
        what_happened: "Hetzner no longer offers this server type, or not at this location.",
        what_to_do: "Choose a current server type.",
    },
    Known {
        signs: &["(rate_limit_exceeded", "status code 429", "requests per hour"],
        kind: DiagnosticKind::RateLimit,
        retryable: true,
        what_happened: "The project's hourly number of API requests is used up.",
        what_to_do: "Wait for up to an hour, then retry.",
    },
    Known {
        signs: &["(resource_limit_exceeded", "limit reached", "limit exceeded for"],
        kind: DiagnosticKind::Quota,
        retryable: false,
        what_happened: "The project has reached one of its limits at Hetzner.",
        what_to_do: "Remove what is no longer needed in the project, or ask Hetzner for a higher limit, then retry.",
    },
    Known {
        signs: &["(token_readonly"],
        kind: DiagnosticKind::Credentials,
        retryable: false,
        what_happened: "The token may read the project but not change it.",
        what_to_do: "Create a token with read and write access in the Hetzner console and start again with it.",
    },
    Known {
        signs: &["(unauthorized", "(forbidden", "entered token is invalid", "hcloud_token must be"],
        kind: DiagnosticKind::Credentials,
        retryable: false,
        what_happened: "Hetzner refuses the token.",
        what_to_do: "Create a token with read and write access in the right project and start again with it.",
    },
    Known {
        signs: &["ssh key not unique", "ssh key with the same fingerprint"],
        kind: DiagnosticKind::Conflict,
        retryable: false,
        what_happened: "The project has this SSH key already; Hetzner takes no key twice.",
        what_to_do: "Start again with the name that the key has in the Hetzner console as sshKeyName. If it has the label \
                     catalyst.openova.io/sovereign of this domain, an earlier run left it: remove it and retry.",
    },
    Known {
        signs: &["(uniqueness_error", "already used"],
        kind: DiagnosticKind::Conflict,
        retryable: false,
        what_happened: "Something of that name is in the project already, perhaps from an earlier run.",
        what_to_do: "In the Hetzner console look for resources with the label catalyst.openova.io/sovereign of this domain; \
                     remove what belongs to no running cluster, then retry.",
    },
    Known {
        // Of a subnet the API says so by the code of a fault of its own.
        signs: &["attached to it", "are attached to the subnet", "attached resources", "(resource_in_use"],
        kind: DiagnosticKind::Conflict,
        retryable: false,
        what_happened: "Something that this deployment did not make itself is still attached to what is to be removed, such as a load \
                        balancer that the cluster made for a Service.",
        what_to_do: "In the Hetzner console look at the load balancers and servers in the network of this deployment, remove what the \
                     cluster made, then destroy again.",
    },
    Known {
        signs: &["(locked", "(conflict", "(resource_locked", "(protected"],
        kind: DiagnosticKind::Conflict,
        retryable: true,
        what_happened: "Hetzner is still busy with another change of the same resource.",
        what_to_do: "Retry in a minute.",
    },
    Known {
        signs: &[
            "(service_error",
            "(unavailable",
            "(maintenance",
            "(timeout",
            "(server_error",
            "(robot_unavailable",
            "i/o timeout",
            "connection reset",
            "connection refused",
            "no such host",
            "tls handshake",
            "unexpected eof",
            // How Go says that the connection ended before the answer.
            "\": eof",
            "deadline exceeded",
            "could not connect to",
            "failed to install provider",
            "failed to query available provider packages",
        ],
        kind: DiagnosticKind::Transient,
        retryable: true,
        what_happened: "Hetzner's API, or the network on the way to it, did not answer as it should.",
        what_to_do: "Retry; if it goes on, look at Hetzner's status page and at the host's way out.",
    },
    Known {
        signs: &[
            "(invalid_input",
            "ssh key not found",
            "invalid value for variable",
            "no value for required variable",
            "(json_error",
        ],
        kind: DiagnosticKind::Configuration,
        retryable: false,
        what_happened: "Hetzner or the module does not take one of the values.",
        what_to_do: "The message names the field: start again with another value.",
    },
];

pub(crate) fn advice(diagnostic: &Diagnostic, asked: &Asked) -> Advice {
    let text = format!("{}\n{}", diagnostic.summary, diagnostic.detail);
    let lower = text.to_lowercase();
    let Some(known) = KNOWN.iter().find(|known| known.signs.iter().any(|sign| lower.contains(sign))) else {
        return Advice {
            kind: DiagnosticKind::Other,
            retryable: false,
            what_happened: or(&diagnostic.summary, "OpenTofu failed without a word."),
            what_to_do: "Read OpenTofu's words in the log. A retry goes on from where this run stopped.".to_owned(),
            alternatives: Vec::new(),
        };
    };
    let not_there = ["deprecated", "can no longer be ordered", "unsupported location for server type"];
    let offers = known.kind == DiagnosticKind::Capacity || not_there.iter().any(|sign| lower.contains(sign));
    Advice {
        kind: known.kind,
        retryable: known.retryable,
        what_happened: format!("{}{}", known.what_happened, correlation(&text)),
        what_to_do: known.what_to_do.to_owned(),
        alternatives: if offers { alternatives::to(&lower, asked, diagnostic.address.as_deref()) } else { Vec::new() },
    }
}

fn or(text: &str, default: &str) -> String {
    if text.trim().is_empty() { default.to_owned() } else { text.trim().to_owned() }
}

/// The id by which Hetzner's support finds the call, where the message has one.
fn correlation(text: &str) -> String {
    let id = text.split('(').skip(1).find_map(|rest| {
        let (code, rest) = rest.split_once(", ")?;
        let id = rest.split(')').next()?;
        let is_code = !code.is_empty() && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let is_id = id.len() >= 8 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        (is_code && is_id).then(|| id.to_owned())
    });
    id.map_or(String::new(), |id| format!(" Hetzner's correlation id is {id}."))
}

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
