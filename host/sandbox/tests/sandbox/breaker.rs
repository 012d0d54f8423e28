//! A plugin that fails again and again is left alone for a while, says so, and comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use catalyst_domain::Request;
use catalyst_sandbox::{BreakerState, CallFailure, Limits, Outcome, Provider};

use crate::fixtures::{asks, by_request, by_request_within, folder, guest, limits, rebuilt, sandbox, validate_failure};

/// The same behaviour, asked for in another request.
fn varied(behaviour: &str, number: i64) -> Request {
    Request { worker_count: number, ..asks(behaviour) }
}

async fn trap(provider: &Provider, numbers: std::ops::Range<i64>) {
    for number in numbers {
        let error = provider.validate(&varied("trap", number)).await.expect_err("it traps");
        assert!(matches!(error.reason, CallFailure::Trap(_)), "{error}");
    }
}

async fn suspended(provider: &Provider) -> bool {
    let answer = provider.validate(&asks("behave")).await;
    answer.is_err_and(|error| matches!(error.reason, CallFailure::Suspended { .. }))
}

#[tokio::test]
async fn traps_in_a_row_suspend_it_at_once_and_one_answer_brings_it_back() {
    let provider = by_request().await;
    trap(&provider, 0..5).await;
    let begun = Instant::now();
    let error = provider.validate(&asks("behave")).await.expect_err("it is left alone");
    let text = error.to_string();
    assert!(text.starts_with("plugin hostile: validate is not called since 2"), "{text}");
    assert!(text.contains("5 different requests in a row trapped or hit a limit; tried again within "), "{text}");
    let CallFailure::Suspended { failures: 5, retry_ms: 0..=1000, .. } = error.reason else { panic!("{error:?}") };
    let stats = provider.stats();
    assert_eq!((stats.breaker.state, stats.breaker.failures_in_a_row), (BreakerState::Open, 5));
    assert!(stats.breaker.since.is_some());
    assert_eq!((stats.count(Outcome::Trap), stats.count(Outcome::Refused), stats.openings), (5, 1, 1));

    while suspended(&provider).await {
        assert!(begun.elapsed() < Duration::from_secs(30), "it never came back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(begun.elapsed() > Duration::from_millis(500), "the pause was kept");
    let breaker = provider.stats().breaker;
    assert_eq!((breaker.state, breaker.since, breaker.failures_in_a_row), (BreakerState::Closed, None, 0));
}

#[tokio::test]
async fn one_bad_request_sent_again_and_again_takes_nothing_from_others() {
    let provider = by_request().await;
    for _ in 0..20 {
        assert!(matches!(validate_failure(&provider, "trap").await, CallFailure::Trap(_)));
    }
    assert!(!suspended(&provider).await);
}

#[tokio::test]
async fn findings_and_answers_that_break_a_rule_never_suspend_it() {
    let provider = by_request().await;
    for number in 0..20 {
        assert!(provider.validate(&varied("behave", number)).await.is_ok());
        let error = provider.validate(&varied("no pointer", number)).await.expect_err("a rule is broken");
        assert!(matches!(error.reason, CallFailure::BadOutput(_)), "{error}");
    }
    assert_eq!(provider.stats().breaker.failures_in_a_row, 0);
    assert_eq!(provider.stats().count(Outcome::BadOutput), 20);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_the_trial_to_another() {
    let provider = by_request().await;
    trap(&provider, 0..5).await;
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    assert_eq!(provider.stats().breaker.state, BreakerState::HalfOpen);
    let endless = varied("loop", 1);
    let abandoned = tokio::time::timeout(Duration::from_millis(50), provider.validate(&endless)).await;
    assert!(abandoned.is_err(), "the trial itself went on until its caller left");
    // It ends where it runs, a moment after its caller left.
    let begun = Instant::now();
    while suspended(&provider).await {
        assert!(begun.elapsed() < Duration::from_secs(10), "nobody else may try");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn those_who_wait_for_a_slot_are_told_as_well() {
    let provider = by_request_within(Limits { call_timeout: Duration::from_millis(100), ..limits() }).await;
    let told = |number| {
        let provider = Arc::clone(&provider);
        tokio::spawn(async move {
            loop {
                match provider.validate(&varied("loop", number)).await.expect_err("no answer").reason {
                    CallFailure::Timeout { budget_ms: 100 } => return false,
                    CallFailure::Suspended { .. } => return true,
                    // Starved, on a busy machine.
                    CallFailure::Host(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        })
    };
    let callers: Vec<_> = (0..20).map(told).collect();
    let mut told = 0;
    for caller in callers {
        told += usize::from(caller.await.expect("the task ends"));
    }
    assert!(told > 0, "twenty calls ran into their limit, eight at once, although the first five opened the breaker");
}

#[tokio::test]
async fn other_bytes_start_closed_and_those_in_use_stay_suspended() {
    let good = guest("by_request");
    let (sandbox, dir) = (sandbox(limits()), folder(&[("p.wasm", &good)]));
    let old = Arc::clone(&sandbox.load_folder(dir.path()).await.serving[0]);
    trap(&old, 0..5).await;
    std::fs::write(dir.path().join("p.wasm"), rebuilt(&good)).expect("a file");
    let new = Arc::clone(&sandbox.load_folder(dir.path()).await.serving[0]);
    assert!(!suspended(&new).await);
    assert_eq!(new.stats().openings, 0);
    // Its first pause may be over by now.
    assert_ne!(old.stats().breaker.state, BreakerState::Closed);
}
