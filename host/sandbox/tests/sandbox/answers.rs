//! Values go in and come out whole, and an answer that breaks a rule is refused.

use catalyst_domain::provider::{Asked, Diagnostic, DiagnosticKind, ProbeResponse, SecretSource, Verdict};
use catalyst_sandbox::{CallFailure, Function, Provider};

use crate::fixtures::{asks, by_request, context, expect_clear};

async fn render_failure(provider: &Provider, behaviour: &str, path: &str) -> String {
    let mut request = asks(behaviour);
    request.org_email = path.into();
    match expect_clear(provider.render(&request, &context()).await, Function::Render) {
        CallFailure::BadOutput(text) => text,
        other => panic!("{behaviour}: {other:?}"),
    }
}

#[tokio::test]
async fn every_export_carries_its_values() {
    let provider = by_request().await;
    assert_eq!(provider.descriptor().id, "hostile");
    assert_eq!(provider.descriptor().secrets[0].source, SecretSource::Request("hostileToken".into()));
    assert_eq!(provider.interface_version(), "1.0.0");
    assert_eq!(provider.digest().len(), 64);
    assert!(provider.imports().iter().any(|name| name == "catalyst:provisioner/log@1.0.0"), "{:?}", provider.imports());

    let mut request = asks("behave");
    request.extra.insert("k".into(), serde_json::json!([1, "ü"]));
    assert_eq!(provider.validate(&request).await.expect("findings")[0].message, r#"{"k":[1,"ü"]}"#);

    let bundle = provider.render(&request, &context()).await.expect("a call").expect("a bundle");
    assert_eq!((bundle.files[0].path.as_str(), bundle.files[0].mode), ("main.tf", 0o755), "only permission bits stay");
    assert_eq!(bundle.variables["region"], "r1");
    assert_eq!(bundle.warnings, ["token"]);

    let endpoints = provider.read_outputs("198.51.100.7").await.expect("a call").expect("endpoints");
    assert_eq!(endpoints.load_balancer_ip, "198.51.100.7");
    assert_eq!(provider.read_outputs("").await.expect("a call"), Err("the outputs are empty".into()));
    let failure = expect_clear(provider.read_outputs("xyzzy").await, Function::ReadOutputs);
    assert!(matches!(failure, CallFailure::BadOutput(text) if text.contains("not an IP address")));

    let diagnostic = Diagnostic { summary: "s".into(), detail: "d".into(), address: Some("a".into()) };
    let advice = provider.diagnose(&diagnostic, &Asked::default()).await.expect("advice");
    assert_eq!(
        (advice.kind, advice.what_happened.as_str(), advice.what_to_do.as_str()),
        (DiagnosticKind::Quota, "s", "a")
    );

    let estimate = provider.estimate(&request).await.expect("a call").expect("an estimate");
    assert_eq!((estimate.lines[0].quantity, estimate.lines[0].monthly_cents), (3, 499));

    let probes = provider.credential_probe(&serde_json::Map::new()).await.expect("a call").expect("probes");
    assert_eq!(probes[0].url, "https://api.cloud.example/v1/servers");
    let response = ProbeResponse { status: 401, body: b"{}".to_vec() };
    let verdict = provider.judge_credentials(&[response]).await.expect("a verdict");
    assert_eq!(verdict, Verdict::Rejected("was refused".into()));
}

#[tokio::test]
async fn the_same_call_gives_the_same_bundle() {
    let provider = by_request().await;
    let first = provider.render(&asks("behave"), &context()).await.expect("a call");
    assert_eq!(first, provider.render(&asks("behave"), &context()).await.expect("a call"));
}

#[tokio::test]
async fn a_bundle_never_leaves_its_folder() {
    let provider = by_request().await;
    for path in ["../xyzzy", "/etc/xyzzy", "a/../../xyzzy", "a\\xyzzy", "xyzzy\0", "./xyzzy", "", "a//b"] {
        let text = render_failure(&provider, "path", path).await;
        assert!(text.contains("a path of the bundle"), "{path}: {text}");
    }
}

#[tokio::test]
async fn a_bundle_is_whole_and_of_bounded_size() {
    let provider = by_request().await;
    for (behaviour, expected) in [
        ("twice", "same path"),
        ("variables", "not a JSON object"),
        ("secret", "did not declare"),
        ("many files", "1000 files"),
        ("huge file", "larger than"),
        ("no reason", "no error among the findings"),
    ] {
        let text = render_failure(&provider, behaviour, "").await;
        assert!(text.contains(expected), "{behaviour}: {text}");
    }
}
