//! What a component that keeps the compiler busy does to the loading of others: nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use catalyst_sandbox::{
    Compile, CompileError, Compiler, Follow, Limits, LoadReport, Sandbox, Settings, Target, compile,
};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, Semaphore};

use crate::fixtures::{edited, folder, guest, limits, rebuilt};

/// The bomb's last bytes, by which the compiler below knows it.
const BOMB: &[u8] = &[0, 3, 1, b'b', 0];

/// Compiles as the real one does, but a bomb only until it is let go, and then in vain. The real one is given bombs in
/// `hostile`; here its time must be in the test's hand.
#[derive(Debug)]
struct Slow {
    let_go: Semaphore,
    begun: AtomicUsize,
    end: CompileError,
}

#[async_trait]
impl Compiler for Slow {
    async fn compile(&self, component: Vec<u8>, target: Target, _: &Limits) -> Result<Vec<u8>, CompileError> {
        if component.ends_with(BOMB) {
            self.begun.fetch_add(1, Ordering::Relaxed);
            let _gone = self.let_go.acquire().await;
            return Err(self.end.clone());
        }
        compile(&component, target).map_err(CompileError::Invalid)
    }
}

const TOO_LARGE: CompileError = CompileError::Memory { limit_bytes: 2_000 };
const TOO_SLOW: CompileError = CompileError::Timeout { limit_ms: 3_000 };

fn slow(end: CompileError) -> (Arc<Slow>, Arc<Sandbox>) {
    slow_with(end, None)
}

fn slow_with(end: CompileError, cache_dir: Option<PathBuf>) -> (Arc<Slow>, Arc<Sandbox>) {
    let slow = Arc::new(Slow { let_go: Semaphore::new(0), begun: AtomicUsize::new(0), end });
    let compile = Compile::Apart(Arc::clone(&slow) as Arc<dyn Compiler>);
    let sandbox = Sandbox::new(Settings { limits: limits().into(), compile, cache_dir, ..Settings::default() });
    (slow, sandbox.expect("a sandbox"))
}

/// Loads a folder apart from the test.
fn loading(sandbox: &Arc<Sandbox>, dir: &Path) -> tokio::task::JoinHandle<LoadReport> {
    let (sandbox, dir) = (Arc::clone(sandbox), dir.to_owned());
    tokio::spawn(async move { sandbox.load_folder(&dir).await })
}

fn serves(sandbox: &Sandbox, id: &str, bytes: &[u8]) -> bool {
    sandbox.provider(id).is_some_and(|provider| provider.digest() == hex::encode(Sha256::digest(bytes)))
}

fn bomb() -> Vec<u8> {
    [guest("by_request").as_slice(), BOMB].concat()
}

/// The same guest under another id.
fn other() -> Vec<u8> {
    edited(&guest("by_request"), "hostile", "another")
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} did not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn lock(dir: &Path, pinned: &[(&str, &[u8])]) {
    let line = |(name, bytes): &(&str, &[u8])| format!("sha256:{}  {name}\n", hex::encode(Sha256::digest(bytes)));
    std::fs::write(dir.join("plugins.lock"), pinned.iter().map(line).collect::<String>()).expect("a lock");
}

#[tokio::test]
async fn what_is_allowed_no_more_ends_before_anything_new_is_compiled() {
    let (slow, sandbox) = slow(TOO_LARGE);
    let (good, bomb) = (guest("by_request"), bomb());
    let dir = folder(&[("good.wasm", &good)]);
    sandbox.load_folder(dir.path()).await;
    std::fs::write(dir.path().join("a-bomb.wasm"), &bomb).expect("a file");
    lock(dir.path(), &[("a-bomb.wasm", &bomb)]);
    let loading = loading(&sandbox, dir.path());
    until("the end of what is not pinned", || sandbox.providers().is_empty()).await;
    assert!(!loading.is_finished());
    slow.let_go.add_permits(1);
    let report = loading.await.expect("it ends");
    assert_eq!(report.failures.len(), 2, "{:?}", report.failures);
}

#[tokio::test]
async fn an_update_whose_pin_replaces_the_old_one_leaves_no_gap_and_no_way_back() {
    let (slow, sandbox) = slow(TOO_LARGE);
    let (good, bad) = (guest("by_request"), bomb());
    let dir = folder(&[("p.wasm", &good)]);
    lock(dir.path(), &[("p.wasm", &good)]);
    sandbox.load_folder(dir.path()).await;
    std::fs::write(dir.path().join("p.wasm"), &bad).expect("a file");
    lock(dir.path(), &[("p.wasm", &bad)]);
    let loading = loading(&sandbox, dir.path());
    until("the compiler", || slow.begun.load(Ordering::Relaxed) == 1).await;
    assert!(serves(&sandbox, "hostile", &good), "until the new one is ready");
    slow.let_go.add_permits(1);
    let report = loading.await.expect("it ends");
    assert!(report.serving.is_empty() && !report.failures[0].previous_serves, "the old one is pinned no more");
}

#[tokio::test]
async fn updates_serve_and_what_is_gone_ends_while_a_bomb_keeps_the_compiler_busy() {
    let (slow, sandbox) = slow(TOO_LARGE);
    let good = guest("by_request");
    let dir = folder(&[("b.wasm", &good), ("c.wasm", &other())]);
    assert_eq!(sandbox.load_folder(dir.path()).await.serving.len(), 2);
    std::fs::write(dir.path().join("a-bomb.wasm"), bomb()).expect("a file");
    std::fs::write(dir.path().join("b.wasm"), rebuilt(&good)).expect("a file");
    std::fs::remove_file(dir.path().join("c.wasm")).expect("gone");
    let loading = loading(&sandbox, dir.path());
    until("the update", || serves(&sandbox, "hostile", &rebuilt(&good))).await;
    assert!(sandbox.provider("another").is_none());
    until("the bomb", || slow.begun.load(Ordering::Relaxed) == 1).await;
    assert!(!loading.is_finished());
    slow.let_go.add_permits(1);
    assert_eq!(loading.await.expect("it ends").serving.len(), 1);
}

#[tokio::test]
async fn a_start_serves_what_was_compiled_before_while_a_bomb_keeps_the_compiler_busy() {
    let (good, cache) = (guest("by_request"), tempfile::tempdir().expect("a folder"));
    let dir = folder(&[("a-bomb.wasm", &bomb()), ("b.wasm", &good)]);
    for start in 0..2 {
        let (slow, sandbox) = slow_with(TOO_LARGE, Some(cache.path().to_owned()));
        let loading = loading(&sandbox, dir.path());
        if start == 1 {
            until("the one from the cache", || serves(&sandbox, "hostile", &good)).await;
            assert!(!loading.is_finished());
        }
        slow.let_go.add_permits(1);
        assert_eq!(loading.await.expect("it ends").serving.len(), 1);
    }
}

#[tokio::test]
async fn a_bomb_is_compiled_once_and_again_when_somebody_asks() {
    let (slow, sandbox) = slow(TOO_LARGE);
    slow.let_go.add_permits(10);
    let good = guest("by_request");
    let dir = folder(&[("a-bomb.wasm", &bomb()), ("good.wasm", &good)]);
    let begun = || slow.begun.load(Ordering::Relaxed);
    for bytes in [rebuilt(&good), other(), good] {
        std::fs::write(dir.path().join("good.wasm"), bytes).expect("a file");
        let report = sandbox.load_folder(dir.path()).await;
        let [failure] = report.failures.as_slice() else { panic!("{:?}", report.failures) };
        assert_eq!((failure.file.as_str(), report.serving.len()), ("a-bomb.wasm", 1));
        assert!(failure.error.contains("could not be compiled within 2000 bytes"), "{failure:?}");
    }
    assert_eq!(begun(), 1);

    // The same bytes under another name may have other limits.
    std::fs::rename(dir.path().join("a-bomb.wasm"), dir.path().join("b-bomb.wasm")).expect("renamed");
    sandbox.load_folder(dir.path()).await;
    assert_eq!(begun(), 2);

    let (again, never) = (Notify::new(), Duration::from_secs(3600));
    tokio::select! {
        () = sandbox.follow(dir.path(), Follow { settle: never, rescan: never }, &again) => panic!("it ended by itself"),
        () = async {
            again.notify_one();
            until("another try", || begun() == 3).await;
            // And where it is asked for while a change settles.
            std::fs::write(dir.path().join("good.wasm"), other()).expect("a file");
            tokio::time::sleep(Duration::from_millis(300)).await;
            again.notify_one();
            until("another try", || begun() == 4).await;
        } => {}
    }
}

#[tokio::test]
async fn a_reading_that_is_broken_off_gives_no_id_to_whom_it_saw_first() {
    let (slow, sandbox) = slow(TOO_LARGE);
    let good = guest("by_request");
    let dir = folder(&[("a-twin.wasm", &good), ("b-bomb.wasm", &bomb()), ("c-twin.wasm", &rebuilt(&good))]);
    let first = loading(&sandbox, dir.path());
    until("the compiler", || slow.begun.load(Ordering::Relaxed) == 1).await;
    std::fs::remove_file(dir.path().join("b-bomb.wasm")).expect("gone");
    slow.let_go.add_permits(1);
    assert!(first.await.expect("it ends").serving.is_empty(), "only one of two is known");
    let report = sandbox.load_folder(dir.path()).await;
    assert!(report.serving.is_empty() && report.failures.len() == 2, "{report:?}");
}

#[tokio::test]
async fn what_is_taken_back_while_a_bomb_is_compiled_waits_for_no_other() {
    let (slow, sandbox) = slow(TOO_LARGE);
    let good = guest("by_request");
    let dir = folder(&[("good.wasm", &good)]);
    sandbox.load_folder(dir.path()).await;
    let bombs = [bomb(), [rebuilt(&good).as_slice(), BOMB].concat()];
    for (name, bytes) in ["a-bomb.wasm", "b-bomb.wasm"].into_iter().zip(&bombs) {
        std::fs::write(dir.path().join(name), bytes).expect("a file");
    }
    let first = loading(&sandbox, dir.path());
    until("the compiler", || slow.begun.load(Ordering::Relaxed) == 1).await;
    lock(dir.path(), &[("b-bomb.wasm", &bombs[1])]);
    slow.let_go.add_permits(1);
    first.await.expect("it ends");
    assert_eq!(slow.begun.load(Ordering::Relaxed), 1, "the second bomb comes after what was changed");
    let second = loading(&sandbox, dir.path());
    until("the end of what is not pinned", || sandbox.providers().is_empty()).await;
    slow.let_go.add_permits(1);
    second.await.expect("it ends");
}

#[tokio::test]
async fn what_is_taken_back_while_a_bomb_is_compiled_ends_before_the_compiler() {
    let (slow, sandbox) = slow(TOO_LARGE);
    let (good, bomb) = (guest("by_request"), bomb());
    let dir = folder(&[("good.wasm", &good), ("other.wasm", &other())]);
    let all: [(&str, &[u8]); 3] = [("a-bomb.wasm", &bomb), ("good.wasm", &good), ("other.wasm", &other())];
    lock(dir.path(), &all);
    assert_eq!(sandbox.load_folder(dir.path()).await.serving.len(), 2);
    std::fs::write(dir.path().join("a-bomb.wasm"), &bomb).expect("a file");
    let loading = loading(&sandbox, dir.path());
    until("the compiler", || slow.begun.load(Ordering::Relaxed) == 1).await;

    // A file that is gone.
    std::fs::remove_file(dir.path().join("other.wasm")).expect("gone");
    until("the end of what is gone", || sandbox.provider("another").is_none()).await;
    assert!(serves(&sandbox, "hostile", &good), "nothing else ends");
    // Half a lock says nothing, and an update that is pinned leaves no gap.
    std::fs::write(dir.path().join("plugins.lock"), "sha256:12").expect("half a lock");
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert!(serves(&sandbox, "hostile", &good));
    std::fs::write(dir.path().join("good.wasm"), rebuilt(&good)).expect("a file");
    lock(dir.path(), &[("a-bomb.wasm", &bomb), ("good.wasm", &rebuilt(&good))]);
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert!(serves(&sandbox, "hostile", &good));
    // A digest that was taken out, that of the bomb as well.
    lock(dir.path(), &[]);
    until("the end of what is not pinned", || sandbox.providers().is_empty()).await;
    assert!(!loading.is_finished(), "the compiler is still at work");
    slow.let_go.add_permits(1);
    let report = loading.await.expect("it ends");
    assert!(report.serving.is_empty(), "{report:?}");
    assert!(report.failures.iter().all(|failure| failure.error.contains("not named in plugins.lock")), "{report:?}");
}

#[tokio::test]
async fn what_was_compiled_serves_only_where_it_is_still_allowed() {
    let (slow, sandbox) = slow(TOO_LARGE);
    let (good, bomb) = (guest("by_request"), bomb());
    let dir = folder(&[("good.wasm", &good)]);
    lock(dir.path(), &[("good.wasm", &good), ("a-bomb.wasm", &bomb)]);
    assert_eq!(sandbox.load_folder(dir.path()).await.serving.len(), 1);
    std::fs::write(dir.path().join("a-bomb.wasm"), &bomb).expect("a file");
    let loading = loading(&sandbox, dir.path());
    until("the compiler", || slow.begun.load(Ordering::Relaxed) == 1).await;
    // At the same moment, so that nobody looked at the folder in between.
    lock(dir.path(), &[]);
    slow.let_go.add_permits(1);
    assert!(loading.await.expect("it ends").serving.is_empty());
}

#[tokio::test]
async fn trouble_that_may_pass_is_tried_again_by_itself() {
    let (slow, sandbox) = slow(TOO_SLOW);
    slow.let_go.add_permits(10);
    let dir = folder(&[("a-bomb.wasm", &bomb()), ("good.wasm", &guest("by_request"))]);
    let (again, pace) = (Notify::new(), Follow { settle: Duration::ZERO, rescan: Duration::from_millis(50) });
    let begun = Instant::now();
    tokio::select! {
        () = sandbox.follow(dir.path(), pace, &again) => panic!("it ended by itself"),
        () = until("other tries", || slow.begun.load(Ordering::Relaxed) == 4) => {}
    }
    assert!(begun.elapsed() > Duration::from_millis(50 + 100 + 200), "they come ever slower");
}
