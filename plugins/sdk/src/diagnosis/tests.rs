//! Faults of no cloud, as OpenTofu, Go and the system write them.

use super::*;

const INSTALLING: &str = "Failed to install provider";

fn diagnostic(summary: &str, detail: &str) -> Diagnostic {
    Diagnostic { summary: summary.to_owned(), detail: detail.to_owned(), address: None }
}

/// Texts and what they tell of, beside what else is said.
const CASES: &[(&str, LocalFault)] = &[
    (
        "Error while installing acme/cloud v1.2.3: write /tmp/terraform-provider: no space left on device",
        LocalFault::Disk,
    ),
    ("Error while installing acme/cloud v1.2.3: close .terraform/providers/x: disk quota exceeded", LocalFault::Disk),
    ("mkdir .terraform/providers: read-only file system", LocalFault::Disk),
    ("read .terraform/providers/x: input/output error", LocalFault::Disk),
    ("fork/exec .terraform/providers/x: cannot allocate memory", LocalFault::Memory),
    ("fatal error: runtime: out of memory", LocalFault::Memory),
    ("could not start the provider: signal: killed", LocalFault::Memory),
    (
        "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time \
         2019-01-01T00:00:07Z is before 2026-02-01T00:00:00Z",
        LocalFault::Clock,
    ),
    (
        "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time \
         2026-11-01T00:00:00Z is after 2026-10-01T00:00:00Z",
        LocalFault::ExpiredCertificate,
    ),
    ("tls: failed to verify certificate: x509: certificate signed by unknown authority", LocalFault::Certificate),
    ("x509: certificate is valid for gateway.corp.example, not api.cloud.example", LocalFault::Certificate),
    ("x509: cannot validate certificate for 10.0.0.5 because it doesn't contain any IP SANs", LocalFault::Certificate),
    (
        "Get \"https://api.cloud.example/v1\": proxyconnect tcp: dial tcp 192.0.2.9:3128: connect: connection refused",
        LocalFault::Proxy,
    ),
    ("Get \"https://api.cloud.example/v1\": Proxy Authentication Required", LocalFault::Proxy),
    (
        "Get \"https://api.cloud.example/v1\": proxyconnect tcp: dial tcp: lookup proxy.example: no such host",
        LocalFault::Proxy,
    ),
    ("dial tcp: lookup api.cloud.example on 192.0.2.53:53: server misbehaving", LocalFault::Resolver),
    (
        "dial tcp: lookup api.cloud.example on 192.0.2.53:53: read udp 192.0.2.7:40123->192.0.2.53:53: i/o timeout",
        LocalFault::Resolver,
    ),
    ("dial tcp: lookup api.cloud.example: Temporary failure in name resolution", LocalFault::Resolver),
    (
        "dial tcp: lookup a.example on [::1]:53: read udp [::1]:38000->[::1]:53: read: connection refused",
        LocalFault::Resolver,
    ),
    ("dial tcp: lookup api.cloud.example on 192.0.2.53:53: no such host", LocalFault::UnknownName),
    ("the local package for acme/cloud doesn't match any of the checksums previously recorded", LocalFault::Package),
    ("provider registry.opentofu.org/acme/cloud was not found in any of the search locations", LocalFault::Package),
    ("could not connect to registry.opentofu.org: 503 Service Unavailable", LocalFault::Registry),
    ("could not query provider registry for acme/cloud: 429 Too Many Requests", LocalFault::Registry),
];

#[test]
fn t16_the_cause_is_told_and_not_what_it_led_to_wherever_it_is_said() {
    for (text, fault) in CASES {
        let upper = text.to_uppercase();
        for (summary, detail) in
            [(INSTALLING, *text), (*text, INSTALLING), (*text, ""), ("", *text), (upper.as_str(), INSTALLING)]
        {
            let found = LocalFault::of(&words(&diagnostic(summary, detail)));
            assert_eq!(found, Some(*fault), "{summary} / {detail}");
        }
    }
}

#[test]
fn t16_a_full_disk_is_told_before_every_other_fault_that_it_may_lead_to() {
    for (text, fault) in CASES.iter().filter(|(_, fault)| *fault != LocalFault::Disk) {
        for (summary, detail) in [(*text, "no space left on device"), ("No space left on device", *text)] {
            assert_eq!(
                LocalFault::of(&words(&diagnostic(summary, detail))),
                Some(LocalFault::Disk),
                "{fault:?}: {text}"
            );
        }
    }
}

#[test]
fn t16_what_a_cloud_or_the_way_to_it_says_is_no_local_fault() {
    for text in [
        "dial tcp 203.0.113.1:443: i/o timeout",
        "read tcp 10.0.0.7:40000->203.0.113.1:443: read: connection reset by peer",
        "dial tcp 203.0.113.1:443: connect: connection refused",
        "net/http: TLS handshake timeout",
        "Quota exceeded for cores",
        "no valid host was found",
        "Post \"https://api.cloud.example/v1/servers\": EOF",
    ] {
        assert_eq!(LocalFault::of(&words(&diagnostic(text, ""))), None, "{text}");
    }
}

#[test]
fn t16_no_advice_for_a_local_fault_sends_anybody_to_a_cloud() {
    for (fault, _) in FAULTS {
        let advice = fault.advice();
        let text = format!("{} {}", advice.what_happened, advice.what_to_do);
        assert!(!text.contains("status page") && text.len() > 60, "{text}");
        assert!(!advice.retryable || advice.kind == DiagnosticKind::Transient, "{text}");
    }
}

#[test]
fn what_no_table_knows_is_told_in_opentofus_own_words() {
    assert_eq!(unexplained(&diagnostic(" something new ", "x")).what_happened, "something new");
    assert_eq!(unexplained(&diagnostic("  ", "x")).what_happened, "OpenTofu failed without a word.");
    assert!(has("a b c", "c + a") && !has("a b c", "c + d"));
}
