//! What a component that keeps the compiler busy does to the loading of others: nothing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use catalyst_sandbox::{Compile, CompileError, Compiler, Follow, Limits, Sandbox, Settings, Target, compile};
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
}

#[async_trait]
impl Compiler for Slow {
    async fn compile(&self, component: Vec<u8>, target: Target, limits: &Limits) -> Result<Vec<u8>, CompileError> {
        if component.ends_with(BOMB) {
            self.begun.fetch_add(1, Ordering::Relaxed);
            let _gone = self.let_go.acquire().await;
            return Err(CompileError::Timeout { limit_ms: limits.compile_timeout.as_millis() });
        }
        compile(&component, target).map_err(CompileError::Invalid)
    }
}

fn slow() -> (Arc<Slow>, Arc<Sandbox>) {
    let slow = Arc::new(Slow { let_go: Semaphore::new(0), begun: AtomicUsize::new(0) });
    let compile = Compile::Apart(Arc::clone(&slow) as Arc<dyn Compiler>);
    let sandbox = Sandbox::new(Settings { limits: limits().into(), compile, ..Settings::default() });
    (slow, sandbox.expect("a sandbox"))
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
    let (slow, sandbox) = slow();
    let (good, bomb) = (guest("by_request"), bomb());
    let dir = folder(&[("good.wasm", &good)]);
    sandbox.load_folder(dir.path()).await;
    std::fs::write(dir.path().join("a-bomb.wasm"), &bomb).expect("a file");
    lock(dir.path(), &[("a-bomb.wasm", &bomb)]);
    let loading = tokio::spawn({
        let (sandbox, dir) = (Arc::clone(&sandbox), dir.path().to_owned());
        async move { sandbox.load_folder(&dir).await }
    });
    until("the end of what is not pinned", || sandbox.providers().is_empty()).await;
    assert!(!loading.is_finished());
    slow.let_go.add_permits(1);
    let report = loading.await.expect("it ends");
    assert_eq!(report.failures.len(), 2, "{:?}", report.failures);
}

#[tokio::test]
async fn a_bomb_is_compiled_once_and_again_when_somebody_asks() {
    let (slow, sandbox) = slow();
    slow.let_go.add_permits(10);
    let dir = folder(&[("a-bomb.wasm", &bomb()), ("good.wasm", &guest("by_request"))]);
    let begun = || slow.begun.load(Ordering::Relaxed);
    for changes in 0..3 {
        std::fs::write(
            dir.path().join("good.wasm"),
            vec![rebuilt(&guest("by_request")), other()][changes % 2].as_slice(),
        )
        .expect("a file");
        let report = sandbox.load_folder(dir.path()).await;
        let [failure] = report.failures.as_slice() else { panic!("{:?}", report.failures) };
        assert_eq!((failure.file.as_str(), report.serving.len()), ("a-bomb.wasm", 1));
        assert!(failure.error.contains("could not be compiled within 60000 ms"), "{failure:?}");
    }
    assert_eq!(begun(), 1);

    // The same bytes under another name may have other limits; bytes that changed are others.
    std::fs::rename(dir.path().join("a-bomb.wasm"), dir.path().join("b-bomb.wasm")).expect("renamed");
    sandbox.load_folder(dir.path()).await;
    assert_eq!(begun(), 2);

    let again = Notify::new();
    again.notify_one();
    let never = Follow { settle: Duration::from_secs(3600), rescan: Duration::from_secs(3600) };
    tokio::select! {
        () = sandbox.follow(dir.path(), never, &again) => panic!("it ended by itself"),
        () = until("another try", || begun() == 3) => {}
    }
}

#[tokio::test]
async fn others_are_loaded_while_a_bomb_keeps_the_compiler_busy() {
    let (slow, sandbox) = slow();
    let dir = folder(&[("a-bomb.wasm", &bomb()), ("b.wasm", &guest("by_request")), ("c.wasm", &other())]);
    let loading = tokio::spawn({
        let (sandbox, dir) = (Arc::clone(&sandbox), dir.path().to_owned());
        async move { sandbox.load_folder(&dir).await }
    });
    until("the others", || sandbox.stats().loaded == 2).await;
    assert!(!loading.is_finished());
    slow.let_go.add_permits(1);
    assert_eq!(loading.await.expect("it ends").serving.len(), 2);
}
