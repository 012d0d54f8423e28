//! Disks that are full or read-only, and folders that are not there. Each is a real one.

use crate::kit::*;
use catalyst_domain::{Fact, Status};
use catalyst_store::{AcceptError, CreateError, FileStore, OpenError, Settings, Store};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A small file system of its own; it goes with the test.
struct Tmpfs<'a>(&'a Path);

impl<'a> Tmpfs<'a> {
    fn mount(at: &'a Path, size: &str) -> Self {
        let options = format!("size={size},mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(at).status().unwrap();
        assert!(
            mounted.success(),
            "this test mounts a tmpfs: run it as root, or in a user and mount namespace of its own"
        );
        Self(at)
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(Command::new("mount").args(["-o", &options]).arg(self.0).status().unwrap().success());
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        let _best_effort = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

fn fill(folder: &Path) {
    let mut size = 65536;
    for n in 0.. {
        let path = folder.join(format!("ballast{n}"));
        if std::fs::write(path, vec![b'x'; size]).is_err() {
            if size == 1 {
                return;
            }
            size = (size / 4).max(1);
        }
    }
}

fn empty(folder: &Path) {
    for found in std::fs::read_dir(folder).unwrap() {
        let path = found.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("ballast") {
            std::fs::remove_file(path).unwrap();
        }
    }
}

async fn heals(store: &FileStore) {
    for _ in 0..100 {
        if store.unusable().is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{:?}", store.unusable());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_or_read_only_disk_loses_nothing_and_heals() {
    let volume = Volume::new();
    let disk = Tmpfs::mount(volume.path(), "1m");
    let store = volume.open();
    store.create(record(1)).await.unwrap();
    store.append(&id(1), vec![entry("one")]).await.unwrap();
    for trouble in ["full", "read-only"] {
        match trouble {
            "full" => fill(volume.path()),
            _ => disk.remount("ro"),
        }
        let before = (store.list(), read_all(&*store, &id(1)).await);
        let fact = if trouble == "full" { Fact::ApplyBegan } else { failed() };
        assert!(store.record(&id(1), &fact, at(1)).await.is_err(), "{trouble}");
        let long = vec![entry("x".repeat(60_000)), entry("x".repeat(60_000))];
        assert!(store.append(&id(1), long).await.is_err(), "{trouble}");
        assert!(matches!(store.create(record(2)).await, Err(CreateError::Storage(_))), "{trouble}");
        let put = store.accept_kubeconfig(&id(1), BEARER, &kubeconfig("192.0.2.7", "t"), at(1)).await;
        assert!(matches!(put, Err(AcceptError::Storage(_))), "{trouble}: {put:?}");
        assert!(store.put_state(&id(1), &vec![b'x'; 65536], None).await.is_err(), "{trouble}");
        let why = store.unusable().unwrap().why;
        assert!(why.contains("No space left") || why.contains("Read-only file system"), "{trouble}: {why}");
        assert_eq!((store.list(), read_all(&*store, &id(1)).await), before, "{trouble}");
        match trouble {
            "full" => empty(volume.path()),
            _ => disk.remount("rw"),
        }
        heals(&store).await;
        store.record(&id(1), &fact, at(2)).await.unwrap();
        store.append(&id(1), vec![entry(trouble)]).await.unwrap();
    }
    store.accept_kubeconfig(&id(1), BEARER, &kubeconfig("192.0.2.7", "t"), at(3)).await.unwrap();
    let before = (store.list(), read_all(&*store, &id(1)).await);
    assert_eq!(messages(&before.1), ["one", "full", "read-only"]);
    drop(store);
    let store = volume.open();
    assert_eq!((store.list(), read_all(&*store, &id(1)).await), before);
    let leftovers = |folder: &Path| {
        let names = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with('.')).collect::<Vec<_>>()
    };
    assert!(leftovers(&volume.settings().deployments_dir).is_empty());
    assert!(leftovers(&volume.settings().kubeconfigs_dir).is_empty());
    drop(store);
    drop(disk);
}

#[tokio::test(flavor = "multi_thread")]
async fn e5_a_disk_that_is_read_only_at_start_is_read_and_reported() {
    let volume = Volume::new();
    let disk = Tmpfs::mount(volume.path(), "1m");
    let store = volume.open();
    store.create(record(1)).await.unwrap();
    drop(store);
    disk.remount("ro");
    let store = volume.open();
    assert_eq!(store.list().len(), 1);
    assert!(store.unusable().unwrap().why.contains("Read-only file system"));
    disk.remount("rw");
    heals(&store).await;
    drop(store);
    drop(disk);
}

#[tokio::test]
async fn a_folder_of_kubeconfigs_that_is_unusable_heals_without_a_restart() {
    let volume = Volume::new();
    let folder = volume.path().join("not/yet/kubeconfigs");
    std::fs::write(volume.path().join("not"), "in the way").unwrap();
    let store = FileStore::open(Settings { kubeconfigs_dir: folder.clone(), ..volume.settings() }).unwrap();
    store.create(record(1)).await.unwrap();
    let body = kubeconfig("192.0.2.7", "t");
    let put = store.accept_kubeconfig(&id(1), BEARER, &body, at(1)).await;
    assert!(matches!(put, Err(AcceptError::Folder(_))), "{put:?}");
    assert!(store.unusable().is_none(), "everything else can be kept");
    std::fs::remove_file(volume.path().join("not")).unwrap();
    store.accept_kubeconfig(&id(1), BEARER, &body, at(2)).await.unwrap();
    assert_eq!(store.get(&id(1)).unwrap().status, Status::Provisioning);
    apply(&*store, &id(1), "192.0.2.7").await;
    assert_eq!(store.kubeconfig(&id(1)).await.unwrap(), body);
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let volume = Volume::new();
    let file = volume.path().join("file");
    std::fs::write(&file, "").unwrap();
    for settings in [
        Settings { deployments_dir: file.join("deployments"), ..volume.settings() },
        Settings { state_dir: file.clone(), ..volume.settings() },
    ] {
        let error = FileStore::open(settings).unwrap_err();
        assert!(matches!(&error, OpenError::Folder { path, .. } if path.starts_with(&file)), "{error}");
    }
}
