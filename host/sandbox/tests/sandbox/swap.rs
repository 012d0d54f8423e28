//! Plugins come, change and go while calls are made, and a folder is followed without a restart.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use catalyst_domain::Request;
use catalyst_sandbox::{Follow, Sandbox, Settings};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use crate::fixtures::{asks, context, edited, folder, guest, limits, rebuilt, sandbox};

/// Renders while the plugin is replaced; more where loading is slow, for they go on until the last replacement.
const RENDERS: u64 = 10_000;
/// Replacements meanwhile.
const SWAPS: usize = 50;
/// Renderers at once.
const RENDERERS: u64 = 4;

/// Two plugins that differ in three places of every bundle, so that a mixed one would show.
fn old_and_new() -> [Vec<u8>; 2] {
    let good = guest("by_request");
    let new = edited(&good, "terraform {}", "locals    {}");
    let new = edited(&new, r#"{"region":"r1"}"#, r#"{"region":"r2"}"#);
    [good, edited(&new, "cloud_token", "cloud_tokem")]
}

/// Puts a file in the place of another as an operator should: whole or not at all.
fn put(dir: &Path, name: &str, bytes: &[u8]) {
    let beside = dir.join(".new");
    std::fs::write(&beside, bytes).expect("a file");
    std::fs::rename(&beside, dir.join(name)).expect("renamed");
}

/// Which of the two a bundle is of.
async fn rendered(sandbox: &Sandbox, number: u64) -> usize {
    let provider = sandbox.provider("hostile").expect("it serves at any time");
    let request = Request { worker_count: i64::try_from(number).expect("small"), ..asks("behave") };
    let bundle = provider.render(&request, &context()).await.expect("no render fails").expect("a bundle");
    let file = String::from_utf8(bundle.files[0].content.clone()).expect("text");
    let seen = (file.as_str(), bundle.variables["region"].as_str(), bundle.secret_variables[0].variable.as_str());
    match seen {
        ("terraform {}\n", Some("r1"), "cloud_token") => 0,
        ("locals    {}\n", Some("r2"), "cloud_tokem") => 1,
        mixed => panic!("neither old nor new: {mixed:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_renders_while_the_plugin_is_replaced_fifty_times() {
    let plugins = old_and_new();
    let (dir, cache) = (folder(&[("p.wasm", &plugins[0])]), tempfile::tempdir().expect("a folder"));
    let cache_dir = Some(cache.path().to_owned());
    let sandbox =
        Sandbox::new(Settings { cache_dir, limits: limits().into(), ..Settings::default() }).expect("a sandbox");
    assert!(sandbox.load_folder(dir.path()).await.failures.is_empty());
    let (done, swapped) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let renderers: Vec<_> = (0..RENDERERS)
        .map(|_| {
            let (sandbox, done, swapped) = (Arc::clone(&sandbox), Arc::clone(&done), Arc::clone(&swapped));
            tokio::spawn(async move {
                let mut of = [0_u64; 2];
                loop {
                    let number = done.fetch_add(1, Ordering::Relaxed);
                    if number >= RENDERS && swapped.load(Ordering::Relaxed) {
                        return of;
                    }
                    of[rendered(&sandbox, number).await] += 1;
                }
            })
        })
        .collect();
    for swap in 1..=SWAPS {
        // Spread over all renders, however quick they are.
        while done.load(Ordering::Relaxed) < RENDERS * swap as u64 / (SWAPS as u64 + 1) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        put(dir.path(), "p.wasm", &plugins[swap % 2]);
        let report = sandbox.load_folder(dir.path()).await;
        assert!(report.failures.is_empty(), "{:?}", report.failures);
    }
    swapped.store(true, Ordering::Relaxed);
    let mut of = [0; 2];
    for renderer in renderers {
        let each = renderer.await.expect("no render failed");
        of = [of[0] + each[0], of[1] + each[1]];
    }
    assert!(of[0] + of[1] >= RENDERS);
    assert!(of.iter().all(|count| *count > RENDERS / 10), "both served: {of:?}");
    assert_eq!(sandbox.stats().loaded, SWAPS as u64 + 1, "each swap was one");
}

/// Follows a folder with a short pause for as long as `scene` lasts.
async fn following<T>(sandbox: &Sandbox, dir: &Path, again: &Notify, scene: impl Future<Output = T>) -> T {
    let pace = Follow { settle: Duration::from_millis(60), rescan: Duration::from_millis(400) };
    tokio::select! {
        () = sandbox.follow(dir, pace, again) => panic!("it ended by itself"),
        result = scene => result,
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} did not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until the plugin with these bytes serves and nothing is wrong.
async fn serves(sandbox: &Sandbox, bytes: &[u8]) {
    let wanted = hex::encode(Sha256::digest(bytes));
    let right = || sandbox.provider("hostile").is_some_and(|provider| provider.digest() == wanted);
    until("the plugin", || right() && sandbox.failures().is_empty()).await;
}

#[tokio::test]
async fn components_that_come_change_and_go_and_locks_are_followed() {
    let good = guest("by_request");
    let (sandbox, dir) = (sandbox(limits()), folder(&[]));
    let path = dir.path();
    let again = Notify::new();
    following(&sandbox, path, &again, async {
        put(path, "p.wasm", &good);
        serves(&sandbox, &good).await;
        put(path, "p.wasm", &rebuilt(&good));
        serves(&sandbox, &rebuilt(&good)).await;

        put(path, "plugins.lock", b"# nobody\n");
        until("the end of what is not pinned", || sandbox.providers().is_empty()).await;
        // That it is gone may be an accident.
        std::fs::remove_file(path.join("plugins.lock")).expect("gone");
        until("a word on the lock", || {
            sandbox.failures().iter().any(|failure| failure.error.contains("was there and is gone"))
        })
        .await;
        again.notify_one();
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(sandbox.providers().is_empty(), "who asks for another look has not said that it was meant");
        let named = format!("sha256:{}  p.wasm\n", hex::encode(Sha256::digest(rebuilt(&good))));
        put(path, "plugins.lock", named.as_bytes());
        serves(&sandbox, &rebuilt(&good)).await;

        std::fs::remove_file(path.join("p.wasm")).expect("gone");
        until("the end of what is gone", || sandbox.providers().is_empty()).await;
    })
    .await;
}

#[tokio::test]
async fn a_slow_copy_is_read_when_it_is_whole_and_one_that_stops_half_way_changes_nothing() {
    let good = guest("by_request");
    let new = rebuilt(&good);
    let (sandbox, dir) = (sandbox(limits()), folder(&[("p.wasm", &good)]));
    let file = dir.path().join("p.wasm");
    sandbox.load_folder(dir.path()).await;
    following(&sandbox, dir.path(), &Notify::new(), async {
        for part in 1..=20 {
            std::fs::write(&file, &new[..new.len() * part / 20]).expect("a file");
            tokio::time::sleep(Duration::from_millis(15)).await;
            assert!(sandbox.failures().is_empty(), "half a copy was read: {:?}", sandbox.failures());
        }
        serves(&sandbox, &new).await;

        std::fs::write(&file, &good[..good.len() / 2]).expect("a file");
        until("a word on the half file", || !sandbox.failures().is_empty()).await;
        let failures = sandbox.failures();
        assert!(failures[0].previous_serves && failures[0].error.contains("not a valid component"), "{failures:?}");
        assert!(sandbox.provider("hostile").is_some());
        assert!(sandbox.stats().load_failures >= 1);
        std::fs::write(&file, &good).expect("a file");
        serves(&sandbox, &good).await;
    })
    .await;
}

#[tokio::test]
async fn a_mount_that_is_swapped_as_a_whole_and_a_folder_that_is_replaced_are_followed() {
    let good = guest("by_request");
    let root = folder(&[]);
    let (one, two, dir) = (root.path().join("..1"), root.path().join("..2"), root.path().join("plugins"));
    for (version, bytes) in [(&one, &good), (&two, &rebuilt(&good))] {
        std::fs::create_dir(version).expect("a folder");
        std::fs::write(version.join("p.wasm"), bytes).expect("a file");
    }
    std::fs::create_dir(&dir).expect("a folder");
    // As the kubelet does it: links through `..data`, which is renamed over.
    let mount = |version: &Path| {
        std::os::unix::fs::symlink(version, dir.join("..data_tmp")).expect("a link");
        std::fs::rename(dir.join("..data_tmp"), dir.join("..data")).expect("renamed");
    };
    mount(&one);
    std::os::unix::fs::symlink("..data/p.wasm", dir.join("p.wasm")).expect("a link");
    let sandbox = sandbox(limits());
    following(&sandbox, &dir, &Notify::new(), async {
        serves(&sandbox, &good).await;
        mount(&two);
        serves(&sandbox, &rebuilt(&good)).await;

        std::fs::rename(&dir, root.path().join("away")).expect("renamed");
        std::fs::create_dir(&dir).expect("a folder");
        put(&dir, "p.wasm", &good);
        serves(&sandbox, &good).await;
        // The new folder sends events as well.
        put(&dir, "p.wasm", &rebuilt(&good));
        serves(&sandbox, &rebuilt(&good)).await;
    })
    .await;
}

#[tokio::test]
async fn who_asks_need_not_wait_for_the_folder_to_hold_still() {
    let good = guest("by_request");
    let (sandbox, dir, again) = (sandbox(limits()), folder(&[]), Notify::new());
    let never = Follow { settle: Duration::from_secs(3600), rescan: Duration::from_secs(3600) };
    let scene = async {
        put(dir.path(), "p.wasm", &good);
        again.notify_one();
        serves(&sandbox, &good).await;
    };
    tokio::select! {
        () = sandbox.follow(dir.path(), never, &again) => panic!("it ended by itself"),
        () = scene => {}
    }
}
