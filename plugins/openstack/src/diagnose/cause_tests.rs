//! What counts is the cause: a service's status and body where there are any, then what is of no cloud, then words.

use super::*;

fn advice_at(summary: &str, detail: &str, address: Option<&str>) -> Advice {
    let address = address.map(str::to_owned);
    advice(&Diagnostic { summary: summary.to_owned(), detail: detail.to_owned(), address }, &Asked::default())
}

/// The advice for two phrases of one failure, however they are put together.
fn every_order(one: &str, other: &str) -> Vec<(String, Advice)> {
    let (upper_one, upper_other) = (one.to_uppercase(), other.to_uppercase());
    let mut all = Vec::new();
    for (first, second) in [(one, other), (other, one), (upper_one.as_str(), upper_other.as_str())] {
        let joined = format!("{first}\n{second}");
        for (summary, detail) in [(first, second), (joined.as_str(), ""), ("Error", joined.as_str())] {
            all.push((format!("{summary} / {detail}"), advice_at(summary, detail, None)));
        }
    }
    all
}

fn answered(method: &str, status: u16, body: &str) -> String {
    format!(
        "Error creating resource: Expected HTTP response code [200 202] when accessing [{method} \
         https://cinder.test/v3/os-quota-sets], but got {status} instead: {body}"
    )
}

/// Quotas as each service writes them, with the status that goes with them.
const QUOTAS: &[(u16, &str)] = &[
    (
        413,
        r#"{"overLimit": {"code": 413, "message": "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. Requested 100G, quota is 1000G and 950G has been consumed.", "retryAfter": "0"}}"#,
    ),
    (
        413,
        r#"{"overLimit": {"code": 413, "message": "VolumeLimitExceeded: Maximum number of volumes allowed (10) exceeded for quota 'volumes'.", "retryAfter": "0"}}"#,
    ),
    (
        413,
        r#"{"overLimit": {"message": "Quota exceeded for cores, ram: Requested 4, but already used 18 of 20 cores", "code": 413}}"#,
    ),
    (413, r#"{"overLimit": {"message": "Maximum number of volumes allowed (10) exceeded", "code": 413}}"#),
    (
        403,
        r#"{"forbidden": {"code": 403, "message": "Quota exceeded for instances: Requested 1, but already used 10 of 10 instances"}}"#,
    ),
    (403, r#"{"forbidden": {"code": 403, "message": "Maximum number of ports exceeded"}}"#),
    (
        403,
        r#"{"faultcode": "Client", "faultstring": "Quota has been met for resources: Load Balancer", "debuginfo": null}"#,
    ),
    (
        409,
        r#"{"NeutronError": {"type": "OverQuota", "message": "Quota exceeded for resources: ['floatingip'].", "detail": ""}}"#,
    ),
];

#[test]
fn t16_a_quota_is_a_quota_by_whatever_status_and_beside_whatever_words() {
    let beside =
        ["Too many requests", "no space left on device", "i/o timeout", "already exists", "Error creating volume"];
    for (status, body) in QUOTAS {
        let written = [answered("POST", *status, body), (*body).to_owned(), body.trim_matches(['{', '}']).to_owned()];
        // Where there is no status, nothing but the text itself can be looked at, and a full disk would be one here.
        for (index, text) in written.iter().enumerate() {
            for words in beside.iter().filter(|words| index == 0 || !words.contains("device")) {
                for (text, advice) in every_order(text, words) {
                    assert_eq!((advice.kind, advice.retryable), (DiagnosticKind::Quota, false), "{text}");
                }
            }
        }
    }
}

#[test]
fn t16_a_rate_limit_is_told_only_where_the_cloud_asks_to_wait() {
    let rated = r#"{"overLimit": {"code": 413, "message": "This request was rate-limited.", "retryAfter": "12"}}"#;
    let counted = r#"{"overLimit": {"code": 413, "message": "Over limit", "retryAfter": 5}}"#;
    let plain = r#"{"overLimit": {"code": 413, "message": "Over limit", "retryAfter": "0"}}"#;
    for (text, kind) in [
        (answered("POST", 429, "{}"), DiagnosticKind::RateLimit),
        (answered("POST", 429, "Too Many Requests: request quota exceeded, retry later"), DiagnosticKind::RateLimit),
        (answered("GET", 413, rated), DiagnosticKind::RateLimit),
        (answered("GET", 413, counted), DiagnosticKind::RateLimit),
        (rated.to_owned(), DiagnosticKind::RateLimit),
        (answered("GET", 413, plain), DiagnosticKind::Quota),
        (answered("POST", 413, "<html><h1>413 Request Entity Too Large</h1></html>"), DiagnosticKind::Configuration),
    ] {
        let advice = advice_at(&text, "", None);
        assert_eq!((advice.kind, advice.retryable), (kind, kind == DiagnosticKind::RateLimit), "{text}");
    }
}

#[test]
fn t16_a_local_fault_is_not_blamed_on_the_cloud_however_it_is_told() {
    let installing = "Failed to install provider: Error while installing terraform-provider-openstack/openstack v3.4.0";
    let calling =
        "connection error, retries exhausted. Aborting. Last error was: Post \"https://auth.test/v3/auth/tokens\"";
    for (cause, led_to, retryable) in [
        ("write /tmp/terraform-provider: no space left on device", installing, false),
        ("close .terraform/providers/x: disk quota exceeded", installing, false),
        ("fork/exec .terraform/providers/x: cannot allocate memory", installing, false),
        ("could not connect to registry.opentofu.org: 429 Too Many Requests", installing, true),
        ("dial tcp: lookup registry.opentofu.org on 192.0.2.53:53: no such host", installing, false),
        ("dial tcp: lookup auth.test on 192.0.2.53:53: server misbehaving", calling, true),
        ("dial tcp: lookup auth.test: no such host", calling, false),
        ("proxyconnect tcp: dial tcp 192.0.2.9:3128: i/o timeout", calling, false),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", calling, false),
    ] {
        for (text, advice) in every_order(cause, led_to) {
            assert!(!advice.what_happened.contains("service of the cloud"), "{text}: {}", advice.what_happened);
            assert_eq!(advice.retryable, retryable, "{text}: {advice:?}");
            assert!(![DiagnosticKind::RateLimit, DiagnosticKind::Quota].contains(&advice.kind), "{text}: {advice:?}");
        }
    }
}

#[test]
fn t16_a_disk_that_the_cloud_speaks_of_is_the_clouds() {
    let fault = r#"{"computeFault": {"code": 500, "message": "[Errno 28] No space left on device"}}"#;
    let broken = "Error waiting for instance (x) to become ready: unexpected state 'ERROR', wanted target 'ACTIVE'. last \
                  error: No space left on device";
    for (text, kind) in [
        (answered("POST", 500, fault), DiagnosticKind::Transient),
        (answered("POST", 503, "no space left on device"), DiagnosticKind::Transient),
        (format!("the service said {fault}"), DiagnosticKind::Other),
        (broken.to_owned(), DiagnosticKind::Capacity),
    ] {
        let advice = advice_at(&text, "", None);
        assert_eq!(advice.kind, kind, "{text}");
        assert!(!advice.what_happened.contains("machine that runs OpenTofu"), "{text}: {}", advice.what_happened);
    }
    // Beside an answer that says nothing more than that it failed, it is the cause.
    let here = advice_at(&answered("POST", 503, "{}"), "write /tmp/x: no space left on device", None);
    assert!(here.what_happened.contains("A disk of the machine"), "{}", here.what_happened);
}

#[test]
fn t16_what_others_made_and_still_use_is_a_conflict_that_does_not_pass() {
    let neutron = |kind: &str, message: &str| {
        format!(r#"{{"NeutronError": {{"type": "{kind}", "message": "{message}", "detail": ""}}}}"#)
    };
    let ports = "Unable to complete operation on subnet x: One or more ports have an IP allocation from this subnet.";
    let waited = "timeout while waiting for state to become 'DELETED' (last state: 'ACTIVE', timeout: 10m0s)";
    for text in [
        answered("DELETE", 409, &neutron("SubnetInUse", ports)),
        answered("DELETE", 409, &neutron("NetworkInUse", "There are one or more ports still in use on the network.")),
        answered("DELETE", 409, &neutron("RouterInUse", "Router x still has ports")),
        answered("DELETE", 409, &neutron("SecurityGroupInUse", "Security Group x in use.")),
        answered("PUT", 409, &neutron("RouterInterfaceInUseByFloatingIP", "Router interface for subnet x is required")),
        answered("DELETE", 409, "{}"),
        answered("DELETE", 409, "something is still in use"),
        ports.to_owned(),
        format!("Error waiting for openstack_networking_network_v2 x to Delete:  {waited}"),
        format!("Error waiting for openstack_networking_subnet_v2 x to become deleted: {waited}"),
        format!("Error waiting for openstack_networking_router_interface_v2 x to Delete:  {waited}"),
        format!("{ports}: {waited}"),
    ] {
        for (text, advice) in every_order(&text, "context deadline exceeded") {
            assert_eq!((advice.kind, advice.retryable), (DiagnosticKind::Conflict, false), "{text}");
            assert!(advice.what_happened.contains("still uses"), "{text}: {advice:?}");
            assert!(advice.what_to_do.contains("load balancers"), "{text}: {advice:?}");
        }
    }
    let of = |address: &str| advice_at(waited, "", Some(address));
    assert_eq!(of("openstack_networking_secgroup_v2.nodes").kind, DiagnosticKind::Conflict);
    assert!(of("openstack_compute_instance_v2.worker[0]").retryable, "a server is removed slowly");
    let immutable = r#"{"faultcode": "Client", "faultstring": "Load Balancer x is immutable and cannot be updated."}"#;
    assert!(advice_at(&answered("DELETE", 409, immutable), "", None).retryable, "it is busy");
    let used = advice_at(
        &answered("POST", 409, r#"{"conflictingRequest": {"message": "Port x is still in use."}}"#),
        "",
        None,
    );
    assert!(used.what_to_do.contains("catalyst-deployment") && !used.what_happened.contains("still uses what is"));
}

#[test]
fn t16_the_status_wins_over_words_of_another_family() {
    let policy =
        r#"{"forbidden": {"message": "Policy doesn't allow os_compute_api:os-quota-sets:update to be performed."}}"#;
    for (text, kind, retryable) in [
        (answered("POST", 403, policy), DiagnosticKind::Credentials, false),
        (
            answered("POST", 401, r#"{"error": {"message": "Too many requests", "code": 401}}"#),
            DiagnosticKind::Credentials,
            false,
        ),
        (answered("POST", 503, "<html>429 too many requests</html>"), DiagnosticKind::Transient, true),
        (
            answered("POST", 400, r#"{"badRequest": {"message": "i/o timeout is no value"}}"#),
            DiagnosticKind::Configuration,
            false,
        ),
        (
            answered("GET", 404, r#"{"itemNotFound": {"message": "no space left on device"}}"#),
            DiagnosticKind::Other,
            false,
        ),
    ] {
        let advice = advice_at(&text, "", None);
        assert_eq!((advice.kind, advice.retryable), (kind, retryable), "{text}");
    }
}

#[test]
fn answers_are_read_with_their_status_method_and_body() {
    let text = diagnosis::words(&Diagnostic {
        summary: answered("DELETE", 409, r#"{"a": {"b": "} \" {"}} after"#),
        detail: answered("POST", 503, "a  page\nmore"),
        address: None,
    });
    let (answers, beside) = answer::parts(&text);
    let read: Vec<_> = answers.iter().map(|one| (one.status, one.method, one.body.trim())).collect();
    assert_eq!(read, [(409, "delete", r#"{"a": {"b": "} \" {"}}"#), (503, "post", "a page more")]);
    assert!(beside.contains(" after") && !beside.contains("page"), "{beside}");
    assert!(answer::parts("but got many instead: {}").0.is_empty());
}
