//! Texts as OpenTofu, Go and the system write them, in both orders and cases, with and without what a run's proxy says.

use super::*;
use HostPart::{Clock, Disk, Memory, NameResolution, Proxy, Registry, TrustStore};

const CLOUD: Context<'static> = Context { reach: Reach::Cloud, refused: &[], requested: &[] };
const INSTALL: Context<'static> = Context { reach: Reach::Install, ..CLOUD };

fn origin(text: &str, context: &Context<'_>) -> Option<Origin> {
    of_text(text, context).map(|fault| fault.origin)
}

/// A cause, and something that is said beside it, in both orders and in capitals.
fn every_order(cause: &str, beside: &str) -> [String; 4] {
    let (one, other) = (format!("{cause}: {beside}"), format!("{beside}: {cause}"));
    let capitals = other.to_uppercase();
    [one, other, capitals, format!("Error\n\n{cause}\n{beside}")]
}

fn refusal(target: &str, rule: RefusalRule, cause: Option<UnreachableCause>, why: &str) -> Refusal {
    Refusal { step: "apply".into(), target: target.to_owned(), rule, cause, why: why.to_owned() }
}

fn unreachable(target: &str, cause: UnreachableCause) -> Refusal {
    refusal(target, RefusalRule::Unreachable, Some(cause), "of some reason")
}

/// Each part of this host, by what is said of it.
const CAUSES: &[(&str, HostPart)] = &[
    ("write /tmp/terraform-provider: no space left on device", Disk),
    ("close .terraform/providers/x: disk quota exceeded", Disk),
    ("mkdir .terraform: read-only file system", Disk),
    ("read .terraform/providers/x: input/output error", Disk),
    ("fork/exec .terraform/providers/x: cannot allocate memory", Memory),
    ("fatal error: runtime: out of memory", Memory),
    ("could not start the provider: signal: killed", Memory),
    (
        "x509: certificate has expired or is not yet valid: current time 2019-01-01T00:00:07Z is before 2026-02-01T00:00:00Z",
        Clock,
    ),
    (
        "x509: certificate has expired or is not yet valid: current time 2071-01-01T00:00:07Z is after 2026-02-01T00:00:00Z",
        Clock,
    ),
    ("tls: failed to verify certificate: x509: certificate signed by unknown authority", TrustStore),
    ("x509: certificate is valid for gateway.corp.example, not api.cloud.example", TrustStore),
    ("x509: cannot validate certificate for 10.0.0.5 because it doesn't contain any IP SANs", TrustStore),
    ("proxyconnect tcp: dial tcp 192.0.2.9:3128: connect: connection refused", Proxy),
    ("proxyconnect tcp: dial tcp: lookup proxy.corp.example: no such host", Proxy),
    ("Proxy Authentication Required", Proxy),
    ("dial tcp: lookup api.cloud.example on 192.0.2.53:53: server misbehaving", NameResolution),
    ("dial tcp: lookup api.cloud.example: Temporary failure in name resolution", NameResolution),
    (
        "dial tcp: lookup api.cloud.example on 192.0.2.53:53: read udp 192.0.2.7:40123->192.0.2.53:53: i/o timeout",
        NameResolution,
    ),
    ("dial tcp: lookup api.cloud.example on 192.0.2.53:53: no such host", NameResolution),
    ("the local package for acme/cloud doesn't match any of the checksums previously recorded", Registry),
    ("provider registry.opentofu.org/acme/cloud was not found in any of the search locations", Registry),
];

#[test]
fn t16_each_part_of_this_host_is_told_by_its_cause_beside_whatever_it_led_to() {
    for (cause, part) in CAUSES {
        for text in every_order(cause, "Failed to install provider") {
            assert_eq!(origin(&text, &INSTALL), Some(Origin::Host(*part)), "{text}");
        }
        for text in every_order(cause, "Post \"https://api.cloud.example/v1/servers\"") {
            assert_eq!(origin(&text, &CLOUD), Some(Origin::Host(*part)), "{text}");
        }
    }
}

#[test]
fn t16_a_registry_is_told_where_providers_are_installed_and_nowhere_else() {
    for text in [
        "Failed to query available provider packages: could not connect to registry.opentofu.org: context deadline exceeded",
        "Failed to resolve provider packages: could not query provider registry for acme/cloud: 503 Service Unavailable",
        "Failed to install provider: Error while installing acme/cloud v1.2.3: github.com: unexpected EOF",
        "Failed to install provider: 429 Too Many Requests",
    ] {
        assert_eq!(origin(text, &INSTALL), Some(Origin::Host(Registry)), "{text}");
    }
    assert_eq!(origin("could not connect to api.cloud.example: 503", &CLOUD), None);
}

#[test]
fn t16_what_the_cloud_or_the_way_to_it_says_is_not_this_hosts() {
    for text in [
        "dial tcp 203.0.113.1:443: i/o timeout",
        "dial tcp 203.0.113.1:443: connect: connection refused",
        "read tcp 10.0.0.7:40000->203.0.113.1:443: read: connection reset by peer",
        "net/http: TLS handshake timeout",
        "context deadline exceeded",
        "server limit reached (resource_limit_exceeded, 1d1d17e504e28a4c)",
        "Quota exceeded for cores",
        // Its own words, which speak of its own disks.
        "no space left on device (service_error, 1d1d17e504e28a4c)",
        "the volume failed: no space left on device (service_error)",
        r#"but got 500 instead: {"fault": {"code": 500, "message": "[Errno 28] No space left on device"}}"#,
        "Expected HTTP response code [200] when accessing [POST https://a.test], but got 503 instead: no space left on device",
        "got 502 instead: <html><body>lookup db.internal: no such host</body></html>",
        "unexpected state 'ERROR', wanted target 'ACTIVE'. last error: No space left on device",
        r#"{"error": {"message": "read-only file system"}}"#,
    ] {
        assert_eq!(origin(text, &CLOUD), None, "{text}");
    }
    // What stands beside such an answer is judged.
    let beside = r#"got 500 instead: {"message": "failed"}: write /tmp/x: no space left on device"#;
    assert_eq!(origin(beside, &CLOUD), Some(Origin::Host(Disk)));
}

#[test]
fn t16_the_typed_cause_of_the_runs_proxy_counts_where_the_text_tells_of_it() {
    use UnreachableCause as Cause;
    for (cause, expect) in [
        (Cause::Resolver, Some(Origin::Host(NameResolution))),
        (Cause::UnknownName, Some(Origin::Host(NameResolution))),
        (Cause::Proxy, Some(Origin::Host(Proxy))),
        (Cause::ProxyRefused(Some(407)), Some(Origin::Host(Proxy))),
        (Cause::ProxyRefused(Some(403)), Some(Origin::Host(Proxy))),
        (Cause::ProxyRefused(Some(503)), Some(Origin::Host(Proxy))),
        (Cause::ProxyRefused(None), Some(Origin::Host(Proxy))),
        (Cause::Connection, None),
        (Cause::TimedOut, None),
    ] {
        let refused =
            [unreachable("other.example:443", Cause::Connection), unreachable("API.cloud.example:443", cause)];
        let context = Context { refused: &refused, ..CLOUD };
        for text in every_order(&refused[1].to_string(), "Post \"https://api.cloud.example/v1/servers\"") {
            assert_eq!(origin(&text, &context), expect, "{text}");
        }
        // A client that tried again until its time was over no longer says why.
        assert_eq!(origin("context deadline exceeded", &context), expect, "{cause:?}");
        // What the cloud itself answered later is the cause.
        assert_eq!(origin("limit reached (resource_limit_exceeded, 1d1d17e504e28a4c)", &context), None, "{cause:?}");
        assert_eq!(origin("Quota exceeded for cores", &context), None, "{cause:?}");
    }
    let registry = [unreachable("registry.opentofu.org:443", Cause::TimedOut)];
    let context = Context { refused: &registry, ..INSTALL };
    assert_eq!(origin(&registry[0].to_string(), &context), Some(Origin::Host(Registry)));
}

#[test]
fn t16_what_a_rule_kept_from_the_run_is_told_by_the_rule() {
    let refused = [refusal(
        "registry.example:443",
        RefusalRule::Host,
        None,
        "is none of the hosts that providers are installed from",
    )];
    let context = Context { refused: &refused, ..INSTALL };
    let text =
        format!("Failed to query available provider packages: could not connect to registry.example: {}", refused[0]);
    assert_eq!(origin(&text, &context), None);
    assert_eq!(origin("write /tmp/x: no space left on device", &context), Some(Origin::Host(Disk)));
}

#[test]
fn t16_a_name_that_the_request_gives_is_the_requests_and_is_named() {
    let requested = ["Auth.cloud.example".to_owned()];
    let refused = [unreachable("auth.cloud.example:5000", UnreachableCause::UnknownName)];
    let by_text = Context { requested: &requested, ..CLOUD };
    let by_proxy = Context { refused: &refused, ..by_text };
    let resolver = "dial tcp: lookup auth.cloud.example on 192.0.2.53:53: server misbehaving";
    for (text, context) in [
        (
            "Post \"https://auth.cloud.example:5000/v3\": dial tcp: lookup auth.cloud.example on 192.0.2.53:53: no such host",
            &by_text,
        ),
        ("lookup AUTH.cloud.example: no such host", &by_text),
        ("auth.cloud.example:5000 could not be reached: its name cannot be resolved", &by_proxy),
    ] {
        let fault = of_text(text, context).unwrap();
        assert_eq!(fault.origin, Origin::Request, "{text}");
        assert!(
            fault.what_happened.contains("auth.cloud.example") && fault.what_to_do.contains("request"),
            "{fault:?}"
        );
    }
    assert_eq!(origin(resolver, &by_text), Some(Origin::Host(NameResolution)), "the resolver is down");
    let other = of_text("lookup api.cloud.example: no such host", &by_text).unwrap();
    assert_eq!(other.origin, Origin::Host(NameResolution));
    assert!(other.what_happened.contains("api.cloud.example"), "{other:?}");
}

#[test]
fn t16_a_clock_is_told_from_a_certificate_that_has_expired() {
    let text = |now: &str, order: &str, then: &str| {
        format!(
            "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time {now} is {order} {then}"
        )
    };
    for (now, order, then, expect) in [
        ("2019-01-01T00:00:07Z", "before", "2026-02-01T00:00:00Z", Origin::Host(Clock)),
        ("2026-11-30T10:00:00Z", "after", "2026-11-29T10:00:00Z", Origin::Server),
        ("2027-11-30T10:00:00Z", "after", "2024-11-29T10:00:00Z", Origin::Server),
        ("2106-02-07T06:28:15Z", "after", "2026-11-29T10:00:00Z", Origin::Host(Clock)),
    ] {
        assert_eq!(origin(&text(now, order, then), &CLOUD), Some(expect), "{now} {order} {then}");
    }
    let fault = of_text(&text("2019-01-01T00:00:07Z", "before", "2026-02-01T00:00:00Z"), &CLOUD).unwrap();
    assert!(fault.what_happened.contains("2019-01-01T00:00:07Z"), "{fault:?}");
    assert_eq!(origin("x509: certificate has expired", &CLOUD), Some(Origin::Server));
}

#[test]
fn t16_a_kill_from_outside_is_for_want_of_memory_and_no_other_signal_is() {
    assert_eq!(of_signal(9).map(|fault| fault.origin), Some(Origin::Host(Memory)));
    for signal in [2, 6, 11, 15, 25] {
        assert_eq!(of_signal(signal), None, "{signal}");
    }
}

#[test]
fn each_fault_says_what_to_do_in_a_sentence() {
    for (text, _) in CAUSES {
        let LocatedFault { what_happened, what_to_do, .. } = of_text(text, &INSTALL).unwrap();
        assert!(!what_happened.ends_with('.') && what_happened.len() > 20, "{what_happened}");
        assert!(what_to_do.ends_with('.') && what_to_do.len() > 30, "{what_to_do}");
    }
}
