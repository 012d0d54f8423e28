//! States that a store does not take: acknowledged when they are on disk and never before, and never lost while the host lives.

use super::real::{module, tofu};
use super::states::{Wire, bench, serve_with};
use super::*;
use backend::Patience;
use tokio::time::Instant;

/// Slow enough that the store can be broken while it is being made.
const SLOW: &str =
    "resource \"terraform_data\" \"server\" {\n  provisioner \"local-exec\" { command = \"sleep 1\" }\n}\n";
const STATE: &str = r#"{"version":4,"lineage":"a","serial":2,"resources":[]}"#;

fn patience(longest: Duration, stop: &CancellationToken, log: &mpsc::Sender<Progress>) -> Patience {
    let deadline = Instant::now() + Duration::from_secs(3600);
    Patience { longest, deadline, stop: stop.clone(), log: log.downgrade() }
}

async fn is_held(held: &HeldStates, id: &DeploymentId) {
    while held.get(id).is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What a run came to, with something that is done beside it.
async fn alongside<T>(run: impl Future<Output = T>, beside: impl Future<Output = ()>) -> T {
    let (mut run, mut beside) = (std::pin::pin!(run), std::pin::pin!(beside));
    tokio::select! {
        done = &mut run => done,
        () = &mut beside => run.await,
    }
}

#[tokio::test]
async fn a_state_that_the_disk_does_not_take_is_answered_when_it_is_written() {
    let ((store, id), held, stop) = (bench(), Arc::<HeldStates>::default(), CancellationToken::new());
    let (log, mut said) = mpsc::channel(16);
    let access = serve_with(&store, &held, &id, patience(Duration::from_secs(600), &stop, &log));
    let wire = Wire::of(&access);
    store.with(|s| s.full = true);
    let heals = async {
        is_held(&held, &id).await;
        assert!(store.with(|s| s.states.is_empty()));
        store.with(|s| s.full = false);
    };
    let (answer, ()) = tokio::join!(wire.ask("POST", "", STATE), heals);
    assert_eq!(answer.0, 200);
    assert_eq!(store.with(|s| s.states[&id].clone()), STATE.as_bytes());
    assert!(held.get(&id).is_none() && access.failure().is_none());
    let mut lines = Vec::new();
    while let Ok(Progress::Line { level, message, .. }) = said.try_recv() {
        lines.push((level, message));
    }
    let [(Level::Warn, first), (Level::Warn, last)] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(first.contains("no space left on device") && first.contains("held in memory"), "{first}");
    assert!(first.contains("make room on the disk of CATALYST_STATE_DIR"), "{first}");
    assert_eq!(last, "the state is written");
}

#[tokio::test]
async fn whoever_waits_no_longer_is_told_that_it_failed_and_the_newest_state_stays_held() {
    let ((store, id), held, stop) = (bench(), Arc::<HeldStates>::default(), CancellationToken::new());
    let (log, _said) = mpsc::channel(16);
    let access = serve_with(&store, &held, &id, patience(Duration::from_secs(2), &stop, &log));
    let wire = Wire::of(&access);
    store.with(|s| s.full = true);
    let newer = STATE.replace("\"serial\":2", "\"serial\":3");
    assert_eq!(wire.ask("POST", "", STATE).await.0, 503);
    let begun = Instant::now();
    assert_eq!(wire.ask("POST", "", &newer).await.0, 503);
    assert!(begun.elapsed() < Duration::from_secs(1), "an outage is waited for once, not with each try");
    assert_eq!(held.get(&id).unwrap(), newer);
    assert!(held.write(&*store, &id).await.is_err());
    store.with(|s| s.full = false);
    held.write(&*store, &id).await.unwrap();
    assert_eq!(store.with(|s| s.states[&id].clone()), newer.as_bytes());
    assert!(held.get(&id).is_none());
    // What is older than what is kept is never written over it.
    held.hold(&id, STATE.into()).unwrap();
    held.write(&*store, &id).await.unwrap();
    assert_eq!((store.with(|s| s.states[&id].clone()), held.get(&id)), (newer.into_bytes(), None));
}

#[tokio::test]
async fn a_host_that_goes_down_waits_for_no_disk() {
    let ((store, id), held, stop) = (bench(), Arc::<HeldStates>::default(), CancellationToken::new());
    let (log, _said) = mpsc::channel(16);
    let access = serve_with(&store, &held, &id, patience(Duration::from_secs(3600), &stop, &log));
    let wire = Wire::of(&access);
    store.with(|s| s.full = true);
    let stops = async {
        is_held(&held, &id).await;
        stop.cancel();
    };
    assert_eq!(tokio::join!(wire.ask("POST", "", STATE), stops).0.0, 503);
    assert!(held.get(&id).is_some());
}

#[tokio::test]
async fn an_apply_goes_through_a_disk_that_is_full_for_a_while() {
    let bench = Bench::new(&tofu(), |_| {}).await;
    let store = bench.store.clone();
    let fills = move |p: &Progress| {
        if matches!(p, Progress::Line { message, .. } if message.contains("server: Creating...")) {
            store.with(|s| s.full = true);
        }
        false
    };
    let heals = async {
        is_held(&bench.engine.held, &bench.id).await;
        bench.store.with(|s| s.full = false);
    };
    let body = module(SLOW);
    let run = bench.apply_until(&body, CancellationToken::new(), fills);
    let (result, seen) = alongside(run, heals).await;
    result.unwrap();
    assert!(has_line(&seen, "held in memory") && has_line(&seen, "the state is written"), "{seen:?}");
    assert!(bench.store.with(|s| String::from_utf8_lossy(&s.states[&bench.id]).contains("\"server\"")));
    bench.assert_tidy();
}

#[tokio::test]
async fn an_apply_goes_through_a_disk_that_cannot_be_read_for_a_while() {
    // OpenTofu looks whether there is a state before it hands over the first one.
    let bench = Bench::new(&tofu(), |_| {}).await;
    let (breaks, heals) = (bench.store.clone(), bench.store.clone());
    let until = move |p: &Progress| {
        let Progress::Line { message, .. } = p else { return false };
        if message.contains("server: Creating...") {
            breaks.with(|s| s.broken = true);
        }
        if message.contains("server: Creation complete") {
            let heals = heals.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                heals.with(|s| s.broken = false);
            });
        }
        false
    };
    let (result, seen) = bench.apply_until(&module(SLOW), CancellationToken::new(), until).await;
    assert!(result.is_ok(), "{result:?} {seen:?}");
    assert!(bench.store.with(|s| String::from_utf8_lossy(&s.states[&bench.id]).contains("\"server\"")));
    bench.assert_tidy();
}

#[tokio::test]
async fn what_is_in_memory_when_a_run_ends_is_written_when_the_disk_is_well_and_said_until_then() {
    let mut bench = Bench::new(&tofu(), |_| {}).await;
    Arc::get_mut(&mut bench.engine).unwrap().state_wait = Duration::ZERO;
    let (store, work) = (bench.store.clone(), bench.work());
    let fills = move |p: &Progress| {
        if matches!(p, Progress::Line { message, .. } if message.contains("server: Creating...")) {
            // Nothing can be left in the work folder either: a folder stands there that is not empty.
            std::fs::create_dir_all(work.join("errored.tfstate/x")).unwrap();
            std::fs::create_dir_all(work.join("catalyst.tfstate.tmp")).unwrap();
            store.with(|s| s.full = true);
        }
        false
    };
    let body = module(SLOW);
    let (result, seen) = bench.apply_until(&body, CancellationToken::new(), fills).await;
    let error = result.unwrap_err();
    assert_eq!(error.kind, RunErrorKind::Storage, "{error:?}");
    assert!(error.to_string().contains("is in the host's memory only") && error.unkept.is_empty(), "{error}");
    assert!(!format!("{error:?}{seen:?}").contains("tofu state push"), "{error:?} {seen:?}");
    let state = bench.engine.newest_state(&bench.id).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&state).contains("\"server\""));
    let refused = bench.engine.settle(&bench.id).await.unwrap_err();
    assert!(refused.reason.contains("make room"), "{refused}");

    bench.store.with(|s| s.full = false);
    let notices = bench.engine.settle(&bench.id).await.unwrap();
    assert!(bench.engine.held.get(&bench.id).is_none());
    assert_eq!(bench.store.with(|s| s.states[&bench.id].clone()), state);
    assert!(notices.iter().any(|notice| notice.contains("errored.tfstate.1")), "{notices:?}");
    let (result, seen) = bench.apply(&body).await;
    result.unwrap();
    assert!(has_line(&seen, "Resources: 0 added, 0 changed, 0 destroyed"), "made twice: {seen:?}");
}

#[tokio::test]
async fn a_state_that_there_is_no_room_for_in_memory_is_not_waited_for_and_the_bound_is_named() {
    let ((store, id), held, stop) = (bench(), Arc::<HeldStates>::default(), CancellationToken::new());
    let (log, _said) = mpsc::channel(16);
    let access = serve_with(&store, &held, &id, patience(Duration::from_secs(600), &stop, &log));
    let wire = Wire::of(&access);
    // What others have taken before.
    let all = axum::body::Bytes::from(vec![0; crate::engine::held::STATE_LIMIT]);
    let of_others = (1..=u8::MAX).take_while(|n| held.hold(&DeploymentId::from_bytes([*n; 8]), all.clone()).is_ok());
    let others = of_others.count();
    store.with(|s| s.full = true);
    let large = STATE.replace("\"a\"", &format!("\"{}\"", "a".repeat(2 * 1024 * 1024)));
    assert_eq!(wire.ask("POST", "", &large).await.0, 503);
    assert!(held.get(&id).is_none());
    let why = access.failure().unwrap();
    assert!(why.contains("no space left on device") && why.contains(&format!("states of {others} other")), "{why}");
    // A usual one has its room all the same.
    stop.cancel();
    assert_eq!(wire.ask("POST", "", STATE).await.0, 503);
    assert!(held.get(&id).is_some());
}
