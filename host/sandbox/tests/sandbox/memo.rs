//! The same question is computed once, also where it fails for good, and other bytes know nothing.

use std::sync::Arc;

use catalyst_domain::Request;
use catalyst_domain::provider::{Asked, Diagnostic};
use catalyst_sandbox::{CallFailure, MEMO_BYTES, Outcome, Provider, Sandbox, Settings};
use futures::FutureExt;

use crate::fixtures::{asks, brisk, by_request, context, edited, folder, guest, limits, rebuilt, validate_failure};

fn remembering(memo_bytes: u64) -> Arc<Sandbox> {
    Sandbox::new(Settings { limits: limits().into(), memo_bytes, ..Settings::default() }).expect("a sandbox")
}

async fn serving(sandbox: &Sandbox, dir: &std::path::Path) -> Arc<Provider> {
    let mut report = sandbox.load_folder(dir).await;
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    report.serving.pop().expect("the guest serves")
}

fn remembered(provider: &Provider) -> u64 {
    provider.stats().count(Outcome::Remembered)
}

#[tokio::test]
async fn every_function_gives_the_same_answer_again_without_a_call() {
    let dir = folder(&[("p.wasm", &guest("by_request"))]);
    let sandbox = remembering(MEMO_BYTES);
    let provider = serving(&sandbox, dir.path()).await;
    let request = asks("behave");
    let diagnostic = Diagnostic { summary: "s".into(), detail: "d".into(), address: None };
    let round = async || {
        let render = provider.render(&request, &context()).await.expect("a call");
        (
            provider.validate(&request).await.expect("findings"),
            render,
            provider.read_outputs("192.0.2.1").await.expect("a call"),
            provider.read_outputs("").await.expect("a call"),
            provider.diagnose(&diagnostic, &Asked::default()).await.expect("advice"),
            provider.estimate(&request).await.expect("a call"),
            provider.credential_probe(&serde_json::Map::new()).await.expect("a call"),
            provider.judge_credentials(&[]).await.expect("a verdict"),
        )
    };
    let first = round().await;
    assert_eq!(remembered(&provider), 0);
    let made = provider.stats().made();
    assert_eq!(round().await, first);
    assert_eq!((remembered(&provider), provider.stats().made()), (8, made), "nothing was computed again");
    let stats = sandbox.stats();
    assert_eq!(stats.memo_answers, 8);
    assert!((1_000..100_000).contains(&stats.memo_bytes), "{stats:?}");

    let other = Request { worker_count: 1, ..request.clone() };
    provider.validate(&other).await.expect("findings");
    let mut elsewhere = context();
    elsewhere.gitops_branch = "other".into();
    assert!(provider.render(&request, &elsewhere).await.expect("a call").is_ok());
    assert_eq!((remembered(&provider), provider.stats().made()), (8, made + 2), "another input is another question");
}

#[tokio::test]
async fn failures_that_would_come_again_are_remembered_and_those_of_a_machine_or_a_limit_are_not() {
    let dir = folder(&[("p.wasm", &guest("by_request"))]);
    let settings = Settings { limits: brisk().into(), memo_bytes: MEMO_BYTES, ..Settings::default() };
    let sandbox = Sandbox::new(settings).expect("a sandbox");
    let provider = serving(&sandbox, dir.path()).await;
    for (behaviour, comes_again) in
        [("trap", true), ("no pointer", true), ("exit", true), ("memory", false), ("loop", false), ("recurse", false)]
    {
        let (made, known) = (provider.stats().made(), remembered(&provider));
        let first = validate_failure(&provider, behaviour).await;
        assert_eq!(validate_failure(&provider, behaviour).await, first, "{behaviour}");
        let expected = if comes_again { (made + 1, known + 1) } else { (made + 2, known) };
        assert_eq!((provider.stats().made(), remembered(&provider)), expected, "{behaviour}");
        // One answer, so that the breaker lets the next through.
        provider.validate(&Request { worker_count: made.cast_signed(), ..asks("behave") }).await.expect("findings");
    }
    // A failure is an answer of its own function only, and of its own bytes.
    assert!(provider.estimate(&asks("trap")).await.is_ok());
    std::fs::write(dir.path().join("p.wasm"), rebuilt(&guest("by_request"))).expect("a file");
    let other = serving(&sandbox, dir.path()).await;
    validate_failure(&other, "trap").await;
    assert_eq!(remembered(&other), 0);
}

#[tokio::test]
async fn remembered_failures_are_bounded_as_answers_are() {
    let dir = folder(&[("p.wasm", &guest("by_request"))]);
    let sandbox = remembering(64 * 1024);
    let provider = serving(&sandbox, dir.path()).await;
    for number in 0..600 {
        provider.validate(&Request { worker_count: number, ..asks("no pointer") }).await.expect_err("a rule is broken");
    }
    let stats = sandbox.stats();
    assert!(stats.memo_bytes <= 64 * 1024 && stats.memo_answers < 600, "{stats:?}");
}

#[tokio::test]
async fn off_is_off() {
    let plain = by_request().await;
    for _ in 0..3 {
        plain.validate(&asks("behave")).await.expect("findings");
    }
    assert_eq!((remembered(&plain), plain.stats().count(Outcome::Answered)), (0, 3));
}

#[tokio::test]
async fn other_bytes_are_asked_anew() {
    let good = guest("by_request");
    let dir = folder(&[("p.wasm", &good)]);
    let sandbox = remembering(MEMO_BYTES);
    let price = async |provider: &Provider| {
        let estimate = provider.estimate(&asks("behave")).await.expect("a call").expect("an estimate");
        estimate.as_of
    };
    assert_eq!(price(&*serving(&sandbox, dir.path()).await).await, "2020-01-01");
    std::fs::write(dir.path().join("p.wasm"), edited(&good, "2020-01-01", "2031-01-01")).expect("a file");
    assert_eq!(price(&*serving(&sandbox, dir.path()).await).await, "2031-01-01");
}

#[tokio::test]
async fn what_is_known_is_answered_while_the_plugin_is_left_alone() {
    let dir = folder(&[("p.wasm", &guest("by_request"))]);
    let provider = serving(&remembering(MEMO_BYTES), dir.path()).await;
    let known = provider.validate(&asks("behave")).await.expect("findings");
    for number in 0..5 {
        let request = Request { worker_count: number, ..asks("trap") };
        provider.validate(&request).await.expect_err("it traps");
    }
    // Neither waits for a lane: both are there when they are asked for.
    let new = provider.validate(&asks("log")).now_or_never().expect("at once").expect_err("it is left alone");
    assert!(matches!(new.reason, CallFailure::Suspended { .. }), "{new}");
    assert_eq!(provider.validate(&asks("behave")).now_or_never().expect("at once").expect("from before"), known);
}

#[tokio::test]
async fn limits_are_those_of_the_file() {
    let text = r#"{"default": {"call_timeout_ms": 60000}, "plugins": {"p.wasm": {"call_timeout_ms": 300}}}"#;
    let limits = catalyst_sandbox::PluginLimits::parse(text).expect("limits");
    let sandbox = Sandbox::new(Settings { limits, ..Settings::default() }).expect("a sandbox");
    let provider = serving(&sandbox, folder(&[("p.wasm", &guest("by_request"))]).path()).await;
    assert_eq!(validate_failure(&provider, "loop").await, CallFailure::Timeout { budget_ms: 300 });
    assert_eq!(provider.limits().memory_bytes, brisk().memory_bytes);
}
