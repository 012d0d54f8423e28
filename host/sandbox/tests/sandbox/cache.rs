//! Machine code is kept, and trusted only when it is the host's own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use catalyst_sandbox::{Compiled, Sandbox, Settings};

use crate::fixtures::{folder, guest, limits, rebuilt};

async fn load(cache: &Path) -> Compiled {
    let sandbox =
        Sandbox::new(Settings { cache_dir: Some(cache.to_owned()), limits: limits().into(), ..Settings::default() })
            .expect("a sandbox");
    let report = sandbox.load_folder(folder(&[("p.wasm", &guest("by_request"))]).path()).await;
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    report.serving[0].compiled()
}

fn entry(cache: &Path) -> PathBuf {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(cache)
        .expect("the cache")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "aot"))
        .collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries.remove(0)
}

#[tokio::test]
async fn a_second_start_compiles_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    let cache = root.path().join("deep/cache");
    assert_eq!(load(&cache).await, Compiled::Now);
    assert_eq!(load(&cache).await, Compiled::Cached);
    let mode = |path: &Path| std::fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!((mode(&cache), mode(&cache.join("key")), mode(&entry(&cache))), (0o700, 0o600, 0o600));
}

#[tokio::test]
async fn a_changed_entry_is_never_run() {
    let root = tempfile::tempdir().expect("a folder");
    load(root.path()).await;
    let path = entry(root.path());
    let sound = std::fs::read(&path).expect("the entry");
    for at in [0, 31, 32, 500, sound.len() - 1] {
        let mut changed = sound.clone();
        changed[at] ^= 1;
        std::fs::write(&path, changed).expect("written");
        assert_eq!(load(root.path()).await, Compiled::Now, "byte {at}");
        assert_eq!(std::fs::read(&path).expect("the entry"), sound, "the entry was made anew");
    }
    for keep in [0, 10, 32, sound.len() / 2] {
        std::fs::write(&path, &sound[..keep]).expect("written");
        assert_eq!(load(root.path()).await, Compiled::Now, "cut to {keep}");
    }
}

#[tokio::test]
async fn an_entry_of_another_component_or_key_is_never_run() {
    let root = tempfile::tempdir().expect("a folder");
    load(root.path()).await;
    let path = entry(root.path());
    let other = tempfile::tempdir().expect("a folder");
    load(other.path()).await;
    std::fs::copy(entry(other.path()), &path).expect("copied");
    assert_eq!(load(root.path()).await, Compiled::Now, "made under another key");

    std::fs::write(root.path().join("key"), b"short").expect("written");
    assert_eq!(load(root.path()).await, Compiled::Now, "a damaged key is made anew");
    assert_eq!(load(root.path()).await, Compiled::Cached);

    // Same key, but the code of another component under this one's name.
    let sandbox = Sandbox::new(Settings {
        cache_dir: Some(root.path().to_owned()),
        limits: limits().into(),
        ..Settings::default()
    })
    .expect("a sandbox");
    sandbox.load_folder(folder(&[("p.wasm", &rebuilt(&guest("by_request")))]).path()).await;
    let stranger = std::fs::read_dir(root.path())
        .expect("the cache")
        .map(|entry| entry.expect("an entry").path())
        .find(|found| found.extension().is_some_and(|ext| ext == "aot") && *found != path)
        .expect("the other entry");
    std::fs::rename(stranger, &path).expect("renamed");
    assert_eq!(load(root.path()).await, Compiled::Now);
}

#[tokio::test]
async fn a_cache_that_is_a_link_is_refused() {
    let root = tempfile::tempdir().expect("a folder");
    let link = root.path().join("link");
    std::os::unix::fs::symlink(root.path(), &link).expect("a link");
    assert!(Sandbox::new(Settings { cache_dir: Some(link), limits: limits().into(), ..Settings::default() }).is_err());
}

#[tokio::test]
async fn an_entry_that_is_loaded_counts_as_used_now() {
    let root = tempfile::tempdir().expect("a folder");
    load(root.path()).await;
    let path = entry(root.path());
    let file = std::fs::File::open(&path).expect("the entry");
    let long_ago = SystemTime::now() - Duration::from_secs(86_400);
    file.set_modified(long_ago).expect("aged");
    assert_eq!(load(root.path()).await, Compiled::Cached);
    let used = std::fs::metadata(&path).expect("metadata").modified().expect("a time");
    assert!(used > long_ago + Duration::from_secs(3600), "{used:?}");
}
