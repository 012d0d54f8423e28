//! A sync that fails: the one failure after which nothing may be acknowledged.
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
        lock_wait: Duration::ZERO,
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
