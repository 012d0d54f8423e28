//! A sync that fails: the one failure after which nothing may be acknowledged, but where there was only no room for one log.
//!
//! Inside the crate, because only here a folder can be given a descriptor that the kernel refuses to sync.

use crate::files::FileStore;
use crate::folder::Folder;
use crate::kubeconfigs::Kubeconfigs;
use crate::{RecordError, Settings, Store};
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use catalyst_domain::record::{NewRecord, ProviderRef};
use catalyst_domain::{DeploymentId, Entry, Fact, Level, Record, Request, Status, Timestamp};
use rustix::io::Errno;
use std::sync::Arc;
use std::time::Duration;

fn id() -> DeploymentId {
    DeploymentId::from_bytes([1; 8])
}

fn record() -> Record {
    let provider = ProviderRef { id: "p".into(), version: "1".into(), digest: String::new() };
    let request = Request { sovereign_fqdn: "a.example".into(), ..Request::default() };
    Record::new(NewRecord { id: id(), request, kubeconfig_bearer_hash: String::new(), provider, at: now() })
}

fn now() -> Timestamp {
    Timestamp::from_second(1_780_000_000).unwrap()
}

fn settings(root: &std::path::Path) -> Settings {
    Settings {
        deployments_dir: root.join("deployments"),
        kubeconfigs_dir: root.join("kubeconfigs"),
        state_dir: root.join("state"),
        // What a dropped store still writes holds its folders for a moment.
        lock_wait: Duration::from_secs(10),
        log_cap_bytes: 1_000_000,
        state_key: None,
        seal: crate::Seal::States,
    }
}

// Opens what is there, but with a folder of records that cannot be synced.
fn open_broken(settings: &Settings) -> Arc<FileStore> {
    let dir = |path| Dir::open_ambient_dir(path, ambient_authority()).unwrap();
    let records = Folder::that_cannot_sync(dir(&settings.deployments_dir));
    let states = Folder::new(dir(&settings.state_dir)).unwrap();
    let kubeconfigs = Kubeconfigs::new(&settings.kubeconfigs_dir, crate::sealing::Sealer::new(settings)).unwrap();
    FileStore::start(records, states, kubeconfigs, settings).unwrap()
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_acknowledged_until_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let settings = settings(root.path());
    let line = || vec![Entry::new(now(), "tofu", Level::Info, "one")];
    let store = FileStore::open(settings.clone()).unwrap();
    store.create(record()).await.unwrap();
    store.append(&id(), line()).await.unwrap();
    drop(store);

    let store = open_broken(&settings);
    let why = store.unusable().unwrap().to_string();
    assert!(why.contains("a sync failed") && why.contains("restart"), "{why}");
    let refused = store.record(&id(), &Fact::ApplyBegan, now()).await;
    assert!(matches!(refused, Err(RecordError::Storage(_))));
    assert!(store.append(&id(), line()).await.is_err());
    assert!(store.put_state(&id(), b"{}", None).await.is_err());
    assert!(store.put_bundle(&id(), b"{}").await.is_err());
    assert!(store.lock_state(&id(), br#"{"ID":"x"}"#).await.is_err());
    assert!(store.create(Record { id: DeploymentId::from_bytes([2; 8]), ..record() }).await.is_err());
    assert_eq!(store.get(&id()).unwrap().status, Status::Provisioning);
    assert_eq!(store.read(&id(), 0, 9).await.unwrap().len(), 1, "what is there is still shown");
    assert!(store.unusable().is_some(), "and it does not heal");
    drop(store);

    let store = FileStore::open(settings).unwrap();
    assert!(store.unusable().is_none());
    store.record(&id(), &Fact::ApplyBegan, now()).await.unwrap();
    assert_eq!(store.append(&id(), line()).await.unwrap(), 2);
}

#[tokio::test]
async fn a_sync_that_failed_is_never_tried_again() {
    let root = tempfile::tempdir().unwrap();
    let folder = Folder::that_cannot_sync(Dir::open_ambient_dir(root.path(), ambient_authority()).unwrap());
    let first = folder.sync().unwrap_err();
    let again = folder.sync().unwrap_err();
    assert_eq!(
        (first.raw_os_error().is_some(), again.raw_os_error()),
        (true, None),
        "the second one did not ask the kernel"
    );
}

#[test]
fn threads_that_wait_share_syncs() {
    let root = tempfile::tempdir().unwrap();
    let folder = Folder::new(Dir::open_ambient_dir(root.path(), ambient_authority()).unwrap()).unwrap();
    std::thread::scope(|scope| {
        for n in 0..32 {
            let folder = &folder;
            scope.spawn(move || {
                for round in 0..10 {
                    folder.replace(&format!("{n}"), format!("{round}").as_bytes()).unwrap();
                }
            });
        }
    });
    for n in 0..32 {
        assert_eq!(folder.read(&format!("{n}"), 9).unwrap().unwrap(), b"9");
    }
    assert_eq!(folder.names().unwrap().len(), 32);
    assert!(folder.syncs_done() < 320, "{}", folder.syncs_done());
}

/// A store whose log has one entry, and its folder of records.
async fn with_a_log(root: &std::path::Path) -> Arc<FileStore> {
    let store = FileStore::open(settings(root)).unwrap();
    store.create(record()).await.unwrap();
    store.append(&id(), line("one")).await.unwrap();
    store
}

fn line(message: &str) -> Vec<Entry> {
    vec![Entry::new(now(), "tofu", Level::Info, message)]
}

fn log(root: &std::path::Path) -> std::path::PathBuf {
    root.join("deployments").join(format!("{}.log.jsonl", id()))
}

async fn messages(store: &FileStore) -> Vec<String> {
    store.read(&id(), 0, 9).await.unwrap().into_iter().map(|numbered| numbered.entry.message).collect()
}

#[tokio::test]
async fn a_sync_that_finds_no_room_refuses_the_entry_and_nothing_else() {
    for errno in [Errno::NOSPC, Errno::DQUOT] {
        // The second number: syncs that fail while the file is brought back.
        for again in 0..3 {
            let root = tempfile::tempdir().unwrap();
            let store = with_a_log(root.path()).await;
            let before = std::fs::read(log(root.path())).unwrap();
            store.inner().records.fail_syncs(&vec![(errno, None); 1 + again]);
            for _ in 0..again.max(1) {
                let refused = store.append(&id(), line("refused")).await.unwrap_err();
                assert!(refused.to_string().contains("make room"), "{refused}");
                assert!(!store.is_shut(), "{errno} {again}");
                assert_eq!(messages(&store).await, ["one"]);
                assert_eq!(
                    std::fs::read(log(root.path())).unwrap(),
                    before,
                    "{errno} {again}: what was refused is cut off"
                );
            }
            assert_eq!(store.append(&id(), line("two")).await.unwrap(), 2, "{errno} {again}");
            assert!(store.unusable().is_none());
            assert_eq!(messages(&store).await, ["one", "two"]);
            drop(store);
            assert_eq!(messages(&FileStore::open(settings(root.path())).unwrap()).await, ["one", "two"]);
        }
    }
}

#[tokio::test]
async fn a_first_entry_that_finds_no_room_leaves_an_empty_log() {
    let root = tempfile::tempdir().unwrap();
    let store = FileStore::open(settings(root.path())).unwrap();
    store.create(record()).await.unwrap();
    store.inner().records.fail_syncs(&[(Errno::NOSPC, None)]);
    store.append(&id(), line("refused")).await.unwrap_err();
    assert_eq!(store.append(&id(), line("one")).await.unwrap(), 1);
    assert_eq!(messages(&store).await, ["one"]);
}

#[tokio::test]
async fn a_log_that_lost_what_was_acknowledged_shuts_the_store() {
    // Within the first entry, and all of it.
    for length in [10, 0] {
        let root = tempfile::tempdir().unwrap();
        let store = with_a_log(root.path()).await;
        store.inner().records.fail_syncs(&[(Errno::NOSPC, Some(length))]);
        store.append(&id(), line("refused")).await.unwrap_err();
        assert!(store.is_shut(), "{length}");
        let why = store.unusable().unwrap().why;
        assert!(why.contains("does not hold what it held before") && why.contains("restart"), "{length}: {why}");
        assert!(why.contains(&format!("{}.log.jsonl", id())), "{length}: {why}");
        assert!(store.append(&id(), line("x")).await.is_err());
    }
}

#[tokio::test]
async fn a_sync_that_fails_otherwise_shuts_the_store_also_while_a_log_is_brought_back() {
    for faults in [&[(Errno::IO, None)][..], &[(Errno::NOSPC, None), (Errno::IO, None)]] {
        let root = tempfile::tempdir().unwrap();
        let store = with_a_log(root.path()).await;
        store.inner().records.fail_syncs(faults);
        store.append(&id(), line("refused")).await.unwrap_err();
        let why = store.unusable().unwrap().why;
        assert!(store.is_shut() && why.contains("a second sync would not tell") && why.contains("restart"), "{why}");
        assert!(store.append(&id(), line("x")).await.is_err());
        assert_eq!(messages(&store).await, ["one"]);
    }
}

#[tokio::test]
async fn a_log_of_an_earlier_process_is_shown_when_there_is_room_to_sync_it() {
    let root = tempfile::tempdir().unwrap();
    drop(with_a_log(root.path()).await);
    let store = FileStore::open(settings(root.path())).unwrap();
    store.inner().records.fail_syncs(&[(Errno::NOSPC, None)]);
    assert!(store.read(&id(), 0, 9).await.unwrap_err().to_string().contains("make room"));
    assert!(!store.is_shut());
    assert_eq!(messages(&store).await, ["one"]);
    assert_eq!(store.append(&id(), line("two")).await.unwrap(), 2);
}
