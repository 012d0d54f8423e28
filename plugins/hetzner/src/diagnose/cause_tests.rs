//! What counts is the cause: the API's code where there is one, then what is of no cloud, then words.

use super::*;

fn diagnostic(summary: &str, detail: &str) -> Diagnostic {
    Diagnostic { summary: summary.to_owned(), detail: detail.to_owned(), address: None }
}

fn advice_for(summary: &str, detail: &str) -> Advice {
    advice(&diagnostic(summary, detail), &Asked::default())
}

/// The advice for two phrases of one failure, however they are put together.
fn every_order(one: &str, other: &str) -> Vec<(String, Advice)> {
    let (upper_one, upper_other) = (one.to_uppercase(), other.to_uppercase());
    let mut all = Vec::new();
    for (first, second) in [(one, other), (other, one), (upper_one.as_str(), upper_other.as_str())] {
        let joined = format!("{first}: {second}");
        for (summary, detail) in [(first, second), (joined.as_str(), ""), ("Error", joined.as_str())] {
            all.push((format!("{summary} / {detail}"), advice_for(summary, detail)));
        }
    }
    all
}

#[test]
fn t16_a_local_fault_is_not_blamed_on_hetzner_however_it_is_told() {
    let installing = "Failed to install provider: Error while installing hetznercloud/hcloud v1.68.0";
    let calling = "Post \"https://api.hetzner.cloud/v1/servers\"";
    for (cause, led_to, retryable) in [
        ("write /tmp/terraform-provider: no space left on device", installing, false),
        ("close .terraform/providers/x: disk quota exceeded", installing, false),
        ("mkdir .terraform: read-only file system", installing, false),
        ("fork/exec .terraform/providers/x: cannot allocate memory", installing, false),
        ("dial tcp: lookup registry.opentofu.org on 192.0.2.53:53: server misbehaving", installing, true),
        ("could not connect to registry.opentofu.org: 429 Too Many Requests", installing, true),
        ("could not connect to registry.opentofu.org: context deadline exceeded", installing, true),
        ("github.com: unexpected EOF", installing, true),
        ("doesn't match any of the checksums previously recorded in the dependency lock file", installing, false),
        (
            "dial tcp: lookup api.hetzner.cloud on 192.0.2.53:53: read udp 192.0.2.7:4->192.0.2.53:53: i/o timeout",
            calling,
            true,
        ),
        ("dial tcp: lookup api.hetzner.cloud: no such host", calling, false),
        ("proxyconnect tcp: dial tcp 192.0.2.9:3128: connect: connection refused", calling, false),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", calling, false),
        (
            "x509: certificate has expired or is not yet valid: current time 2019-01-01T00:00:07Z is before \
             2026-02-01T00:00:00Z",
            calling,
            false,
        ),
    ] {
        for (text, advice) in every_order(cause, led_to) {
            assert!(!advice.what_happened.contains("Hetzner"), "{text}: {}", advice.what_happened);
            assert_eq!(advice.retryable, retryable, "{text}: {advice:?}");
            assert!(![DiagnosticKind::RateLimit, DiagnosticKind::Quota].contains(&advice.kind), "{text}: {advice:?}");
        }
    }
    let full = advice_for(installing, "write /tmp/terraform-provider: no space left on device");
    assert!(full.what_happened.contains("disk"), "{}", full.what_happened);
}

#[test]
fn t16_the_code_of_the_api_wins_over_every_word_beside_it() {
    let beside = [
        "the previous call was answered with status code 429",
        "limit of 3600 requests per hour reached",
        "server limit reached",
        "i/o timeout",
        "no space left on device",
        "server type cx22 is deprecated",
        "error during placement",
        "name is already used",
        "still has attached resources",
    ];
    for (answer, kind, retryable) in [
        ("failed (resource_unavailable, 1d1d17e504e28a4c)", DiagnosticKind::Capacity, false),
        ("failed (no_space_left_in_location, 1d1d17e504e28a4c)", DiagnosticKind::Capacity, false),
        ("failed (rate_limit_exceeded, 1d1d17e504e28a4c)", DiagnosticKind::RateLimit, true),
        ("failed (resource_limit_exceeded, 1d1d17e504e28a4c)", DiagnosticKind::Quota, false),
        ("failed (token_readonly, 1d1d17e504e28a4c)", DiagnosticKind::Credentials, false),
        ("failed (forbidden, 1d1d17e504e28a4c)", DiagnosticKind::Credentials, false),
        ("failed (uniqueness_error, 1d1d17e504e28a4c)", DiagnosticKind::Conflict, false),
        ("failed (resource_in_use, 1d1d17e504e28a4c)", DiagnosticKind::Conflict, false),
        ("failed (protected, 1d1d17e504e28a4c)", DiagnosticKind::Conflict, false),
        ("failed (locked, 1d1d17e504e28a4c)", DiagnosticKind::Conflict, true),
        ("an action failed (server_error, 123456789)", DiagnosticKind::Transient, true),
        (
            "failed (rate_limit_exceeded)\n\nError code: rate_limit_exceeded\nStatus code: 429",
            DiagnosticKind::RateLimit,
            true,
        ),
    ] {
        for words in beside {
            for (text, advice) in every_order(answer, words) {
                assert_eq!((advice.kind, advice.retryable), (kind, retryable), "{text}");
            }
        }
    }
}

#[test]
fn t16_of_several_codes_the_one_that_stays_as_it_is_counts() {
    for (text, advice) in every_order(
        "server limit reached (resource_limit_exceeded, 1d1d17e504e28a4c)",
        "an earlier call failed (service_error, 0011223344556677)",
    ) {
        assert_eq!((advice.kind, advice.retryable), (DiagnosticKind::Quota, false), "{text}");
    }
}

#[test]
fn t16_a_plain_word_in_parentheses_is_no_code_beside_a_local_fault() {
    for (text, advice) in every_order("the registry answered 403 (Forbidden)", "Failed to install provider") {
        assert_eq!(advice.kind, DiagnosticKind::Transient, "{text}");
        assert!(!advice.what_happened.contains("Hetzner"), "{text}");
    }
    let advice = advice_for("unable to authenticate (unauthorized)", "");
    assert_eq!(advice.kind, DiagnosticKind::Credentials);
}

#[test]
fn t16_what_others_made_and_left_attached_is_a_conflict_that_does_not_pass() {
    for text in [
        "cannot delete network catalyst-x: it still has attached resources",
        "cannot delete network (resource_in_use, 1d1d17e504e28a4c): resource is in use",
        "firewall catalyst-x is in use (resource_in_use, 1d1d17e504e28a4c)",
        "cannot remove network because servers are attached to it (service_error, 1d1d17e504e28a4c)",
        "network has attached resources (service_error)",
        "network has attached resources (conflict, 1d1d17e504e28a4c)",
    ] {
        for (text, advice) in every_order(text, "deadline exceeded") {
            assert_eq!((advice.kind, advice.retryable), (DiagnosticKind::Conflict, false), "{text}");
            assert!(advice.what_happened.contains("still attached"), "{text}: {advice:?}");
            assert!(advice.what_to_do.contains("load balancers"), "{text}: {advice:?}");
        }
    }
}

#[test]
fn t16_a_code_without_an_entry_is_an_answer_all_the_same() {
    let advice = advice_for("image not found (not_found, 1d1d17e504e28a4c)", "no space left on device");
    assert_eq!(advice.kind, DiagnosticKind::Other);
    assert!(advice.what_happened.contains("image not found"), "{}", advice.what_happened);
}
