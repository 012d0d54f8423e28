//! Time, memory and output of one call, and that others do not notice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use catalyst_sandbox::{CallFailure, Limits, Outcome, Provider};
use tracing_subscriber::layer::SubscriberExt;

use crate::fixtures::{asks, brisk, by_request, by_request_within, limits, validate_failure};

/// Whether the plugin answers as it should.
async fn answers(provider: &Provider) {
    let findings = provider.validate(&asks("behave")).await.expect("an answer");
    assert_eq!(findings[0].message, "{}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_ends_with_its_budget_and_others_go_on() {
    let provider = by_request_within(brisk()).await;
    answers(&provider).await;
    let loops: Vec<_> = ["loop", "loop in log", "loop", "loop"]
        .map(|behaviour| {
            let provider = Arc::clone(&provider);
            tokio::spawn(async move { validate_failure(&provider, behaviour).await })
        })
        .into();
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    let mut calls = 0;
    while !loops.iter().all(tokio::task::JoinHandle::is_finished) {
        let started = Instant::now();
        answers(&provider).await;
        slowest = slowest.max(started.elapsed());
        calls += 1;
    }
    assert!(calls > 5, "only {calls} calls went through");
    // Both grow with whatever else the machine does.
    let whole = begun.elapsed();
    assert!(slowest < whole / 2, "a call waited {slowest:?} of the {whole:?} that the loops took");
    for task in loops {
        let failure = task.await.expect("the task ends");
        assert_eq!(failure, CallFailure::Timeout { budget_ms: brisk().call_timeout.as_millis() });
    }
    answers(&provider).await;
}

#[tokio::test]
async fn a_loop_does_not_stop_a_single_thread() {
    let provider = by_request_within(brisk()).await;
    let (failure, ()) = tokio::join!(validate_failure(&provider, "loop"), async {
        for _ in 0..5 {
            answers(&provider).await;
        }
    });
    assert!(matches!(failure, CallFailure::Timeout { .. }), "{failure:?}");
}

/// The one thread of this test is kept from the guest until its time on the clock is over. Where the engine's first tick comes
/// late, the guest has gone to the slow lane's thread by then, which nobody keeps from it: that try says nothing.
#[tokio::test]
async fn a_guest_that_was_kept_from_its_cpu_time_is_not_blamed() {
    let budget = Duration::from_millis(25);
    for _ in 0..20 {
        let provider = by_request_within(Limits { call_timeout: budget, ..Limits::default() }).await;
        let (failure, ()) = tokio::join!(validate_failure(&provider, "loop"), async {
            tokio::task::yield_now().await;
            std::thread::sleep(budget * 50);
        });
        let text = match failure {
            CallFailure::Host(text) => text,
            CallFailure::Timeout { .. } => continue,
            other => panic!("{other:?}"),
        };
        assert!(
            text.starts_with("this machine gave it ") && text.ends_with(" ms of CPU time within 1000 ms"),
            "{text}"
        );
        let stats = provider.stats();
        assert_eq!((stats.breaker.failures_in_a_row, stats.count(Outcome::Host)), (0, 1));
        return;
    }
    panic!("the guest had its CPU time in every try");
}

#[tokio::test]
async fn a_caller_that_goes_away_frees_the_slot() {
    let provider = by_request_within(brisk()).await;
    for _ in 0..20 {
        let request = asks("loop");
        let abandoned = tokio::time::timeout(Duration::from_millis(15), provider.validate(&request)).await;
        assert!(abandoned.is_err());
    }
    answers(&provider).await;
}

#[tokio::test]
async fn a_trap_costs_its_own_call() {
    let provider = by_request().await;
    for behaviour in ["trap", "panic", "recurse"] {
        let failure = validate_failure(&provider, behaviour).await;
        let CallFailure::Trap(text) = &failure else { panic!("{behaviour}: {failure:?}") };
        let expected = if behaviour == "recurse" { "stack" } else { "unreachable" };
        assert!(text.contains(expected), "{behaviour}: {text}");
        answers(&provider).await;
    }
    assert_eq!(validate_failure(&provider, "exit").await, CallFailure::Exit);
    answers(&provider).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_go_on_while_guests_trap_and_eat_and_flood() {
    let provider = by_request().await;
    for behaviour in ["trap", "recurse", "exit", "memory", "huge", "many findings"] {
        let stop = Arc::new(AtomicBool::new(false));
        let hostile: Vec<_> = (0..2)
            .map(|_| {
                let (provider, stop) = (Arc::clone(&provider), Arc::clone(&stop));
                tokio::spawn(async move {
                    let mut failures = 0_u32;
                    while !stop.load(Ordering::Relaxed) {
                        validate_failure(&provider, behaviour).await;
                        failures += 1;
                    }
                    failures
                })
            })
            .collect();
        for _ in 0..20 {
            answers(&provider).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stop.store(true, Ordering::Relaxed);
        for task in hostile {
            assert!(task.await.expect("the task ends") > 0, "{behaviour}: nothing hostile went on meanwhile");
        }
    }
}

#[tokio::test]
async fn memory_is_bounded_and_freed() {
    let provider = by_request().await;
    for _ in 0..3 {
        let failure = validate_failure(&provider, "memory").await;
        assert_eq!(failure, CallFailure::Memory { limit_bytes: limits().memory_bytes });
    }
    let findings = provider.validate(&asks("tables and memory")).await.expect("a refusal that is handled is no error");
    let mebibytes: usize = findings[0].message.parse().expect("a number");
    assert!((30..64).contains(&mebibytes), "{mebibytes} MiB were given");
}

#[tokio::test]
async fn output_is_bounded() {
    let provider = by_request().await;
    let failure = validate_failure(&provider, "huge").await;
    assert_eq!(failure, CallFailure::HostcallLimit { limit_bytes: limits().hostcall_bytes });
    for (behaviour, expected) in
        [("long message", "message is longer"), ("many findings", "5000 findings"), ("no pointer", "JSON pointer")]
    {
        match validate_failure(&provider, behaviour).await {
            CallFailure::BadOutput(text) => assert!(text.contains(expected), "{text}"),
            other => panic!("{behaviour}: {other:?}"),
        }
    }
}

/// Keeps what is traced.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("kept").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_flood_of_log_is_cut_and_said() {
    let provider = by_request().await;
    for behaviour in ["log", "print"] {
        let kept = Kept::default();
        let writer = kept.clone();
        let layer =
            tracing_subscriber::fmt::layer().without_time().with_ansi(false).with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(layer);
        // The runtime of this test has one thread, so the guard sees the whole call.
        let guard = tracing::subscriber::set_default(subscriber);
        provider.validate(&asks(behaviour)).await.expect("a flood is no error");
        drop(guard);
        let text = String::from_utf8(kept.0.lock().expect("kept").clone()).expect("text");
        let guest: usize = text.matches(['Q', 'Z']).count();
        assert!((32 * 1024..=limits().log_bytes).contains(&guest), "{behaviour}: {guest} bytes of log");
        assert!(text.lines().all(|line| line.len() < limits().log_line_bytes + 300), "{behaviour}: a line is too long");
        assert!(text.contains("plugin.id=\"hostile\"") || text.contains("plugin.id=hostile"), "{behaviour}");
        assert!(text.contains("wrote more log than one call may"), "{behaviour}: {:?}", text.lines().last());
    }
}
