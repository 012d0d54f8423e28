//! What is on the volume: names, modes, leftovers, older layouts, a second process.

use crate::kit::*;
use catalyst_domain::{Fact, Record, ResultInfo, Status};
use catalyst_store::{AcceptError, FileStore, HeldFolder, KubeconfigError, OpenError, Settings, Store};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn only_the_owner_reads_what_is_written() {
    let volume = Volume::new();
    let store = volume.open();
    store.create(record(1)).await.unwrap();
    store.append(&id(1), vec![entry("x")]).await.unwrap();
    store.accept_kubeconfig(&id(1), BEARER, &kubeconfig("192.0.2.7", "t"), at(1)).await.unwrap();
    store.put_state(&id(1), b"{}", None).await.unwrap();
    store.put_bundle(&id(1), b"{}").await.unwrap();
    store.lock_state(&id(1), br#"{"ID":"x"}"#).await.unwrap();
    let mut files = 0;
    let mut folders = vec![volume.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for found in std::fs::read_dir(folder).unwrap() {
            let path = found.unwrap().path();
            if path.is_dir() {
                assert_eq!(mode(&path), 0o700, "{}", path.display());
                folders.push(path);
            } else {
                assert_eq!(mode(&path), 0o600, "{}", path.display());
                files += 1;
            }
        }
    }
    assert_eq!(files, 6);
    let text = std::fs::read_to_string(volume.deployments(&format!("{}.json", id(1)))).unwrap();
    assert!(text.starts_with("{\n  \"") && text.ends_with("}\n") && !text.contains("0001-01-01"), "{text}");
}

#[tokio::test]
async fn old_states_go_and_the_newest_ten_stay() {
    let volume = Volume::new();
    let store = volume.open();
    store.create(record(1)).await.unwrap();
    let folder = volume.settings().state_dir.join(id(1).as_str());
    for version in 1..=13 {
        store.put_state(&id(1), format!("{version}").as_bytes(), None).await.unwrap();
        std::fs::write(folder.join(format!(".{version:08}.tfstate.9.tmp")), "left by a crash").unwrap();
    }
    store.put_state(&id(1), b"14", None).await.unwrap();
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|found| found.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, (5..=14).map(|version| format!("{version:08}.tfstate")).collect::<Vec<_>>());
    assert_eq!(store.state(&id(1)).await.unwrap().unwrap(), b"14");
}

#[test]
fn a_second_process_is_refused_and_taken_in_when_the_first_leaves() {
    let volume = Volume::new();
    let first = volume.open();
    let began = Instant::now();
    let short = Settings { lock_wait: Duration::from_millis(200), ..volume.settings() };
    let refused = FileStore::open(short).unwrap_err();
    assert!(matches!(refused, OpenError::Held { .. }) && refused.to_string().contains("another catalyst process"));
    assert!(began.elapsed() >= Duration::from_millis(200));
    std::thread::scope(|scope| {
        let second = scope.spawn(|| volume.try_open());
        std::thread::sleep(Duration::from_millis(100));
        drop(first);
        second.join().unwrap().unwrap();
    });
}

#[test]
fn two_processes_share_neither_deployments_nor_states_whichever_comes_first() {
    let (one, two) = (Volume::new(), Volume::new());
    let mixed = |deployments: &Volume, states: &Volume| Settings {
        lock_wait: Duration::from_millis(100),
        state_dir: states.settings().state_dir,
        ..deployments.settings()
    };
    for (first, second, held) in [
        (mixed(&one, &one), mixed(&two, &one), one.settings().state_dir),
        (mixed(&two, &one), mixed(&one, &one), one.settings().state_dir),
        (mixed(&one, &one), mixed(&one, &two), one.settings().deployments_dir),
        (mixed(&one, &two), mixed(&one, &one), one.settings().deployments_dir),
    ] {
        let first = FileStore::open(first).unwrap();
        let refused = FileStore::open(second.clone()).unwrap_err();
        assert!(matches!(&refused, OpenError::Held { path, .. } if *path == held), "{refused}");
        // Who was refused holds nothing either.
        drop(first);
        drop(FileStore::open(second).unwrap());
    }
}

#[test]
fn one_folder_may_hold_deployments_and_states() {
    let volume = Volume::new();
    let both = Settings { state_dir: volume.settings().deployments_dir, ..volume.settings() };
    drop(FileStore::open(both).unwrap());
}

#[test]
fn a_folder_beside_the_store_has_one_holder() {
    let volume = Volume::new();
    let path = volume.path().join("work").join("tofu");
    let first = HeldFolder::take(&path, Duration::ZERO).unwrap();
    let refused = HeldFolder::take(&path, Duration::from_millis(100)).unwrap_err();
    assert!(matches!(refused, OpenError::Held { .. }), "{refused}");
    drop(first);
    HeldFolder::take(&path, Duration::ZERO).unwrap();
}

#[tokio::test]
async fn e7_leftovers_are_swept_and_nothing_else() {
    let volume = Volume::new();
    let ours = volume.plant(&format!(".{}.0.json.tmp", id(1)), "{");
    let other = volume.plant(".somebody.tmp", "x");
    let note = volume.plant("note.txt", "x");
    let store = volume.open();
    assert!(!ours.exists() && other.exists() && note.exists());
    assert!(store.list().is_empty());
}

#[tokio::test]
async fn e8_what_is_no_record_is_left_out_and_left_alone() {
    let volume = Volume::new();
    let good = serde_json::to_string(&record(1)).unwrap();
    volume.plant(&format!("{}.json", id(1)), &good);
    let mut later = serde_json::to_value(record(4)).unwrap();
    later["schema"] = 99.into();
    let bad = [
        volume.plant(&format!("{}.json", id(2)), "{\"id\":"),
        volume.plant(&format!("{}.json", id(3)), &good),
        volume.plant(&format!("{}.json", id(4)), &later.to_string()),
        volume.plant("readme.json", "{}"),
        volume.plant(".hidden.json", "{}"),
    ];
    std::fs::create_dir(volume.deployments("folder.json")).unwrap();
    symlink("/etc/hostname", volume.deployments(&format!("{}.json", id(5)))).unwrap();
    let store = volume.open();
    assert_eq!(store.list().len(), 1);
    assert!(bad.iter().all(|path| path.exists()));
    assert!(store.create(record(2)).await.is_err(), "a broken record is not overwritten");
    assert_eq!(std::fs::read_to_string(&bad[0]).unwrap(), "{\"id\":");
}

#[tokio::test]
async fn a_record_of_the_earlier_service_is_taken_over() {
    let volume = Volume::new();
    let text = format!(
        r#"{{"id":"{}","status":"failed","request":{{"sovereignFQDN":"a.example","cloudToken":"<redacted>","cloudProjectID":"p",
        "dynadotKey":"<redacted>"}},"result":{{"controlPlaneIP":"192.0.2.1","loadBalancerIP":"192.0.2.2",
        "kubeconfigPath":"/elsewhere/{}.yaml"}},"startedAt":"2026-04-29T10:00:00Z","finishedAt":"0001-01-01T00:00:00Z",
        "events":null,"kubeconfigBearerHash":"{}"}}"#,
        id(1),
        id(1),
        "00".repeat(32)
    );
    volume.plant(&format!("{}.json", id(1)), &text);
    std::fs::create_dir_all(volume.settings().kubeconfigs_dir).unwrap();
    let stored = kubeconfig("192.0.2.2", "t");
    std::fs::write(volume.kubeconfig(&id(1)), &stored).unwrap();
    let store = volume.open();
    let record = store.get(&id(1)).unwrap();
    assert_eq!(record.request.extra.keys().collect::<Vec<_>>(), ["cloudProjectID"]);
    assert_eq!(store.kubeconfig(&id(1)).await.unwrap(), stored, "by its base name");
    assert!(store.kubeconfig_present(&id(1)));
    assert!(store.create(named(2, "a.example")).await.is_err(), "its cluster lives, so it keeps the name");
    let watched = store.record(&id(1), &Fact::WatchResumed, at(1)).await.unwrap();
    assert_eq!(watched.status, Status::Phase1Watching);
    let text = std::fs::read_to_string(volume.deployments(&format!("{}.json", id(1)))).unwrap();
    assert!(!text.contains("redacted") && !text.contains("\"events\"") && !text.contains("0001-01-01"), "{text}");
}

#[tokio::test]
async fn e6_records_of_the_older_folder_layout_are_moved_in() {
    let volume = Volume::new();
    let newer = Record { error: "newer".to_owned(), ..record(2) };
    volume.plant(&format!("{}.json", id(2)), &serde_json::to_string(&newer).unwrap());
    for number in [1, 2] {
        let path = volume.path().join(format!("{}.json", id(number)));
        std::fs::write(path, serde_json::to_string(&record(number)).unwrap()).unwrap();
    }
    std::fs::write(volume.path().join("other.json"), "{}").unwrap();
    std::fs::write(volume.path().join(format!("{}.json", id(3))), "{}").unwrap();
    let store = volume.open();
    assert_eq!(*store.get(&id(1)).unwrap(), record(1));
    assert_eq!(store.get(&id(2)).unwrap().error, "newer");
    assert_eq!(store.list().len(), 2);
    assert!(!volume.path().join(format!("{}.json", id(1))).exists());
    assert!(volume.path().join(format!("{}.json", id(2))).exists() && volume.path().join("other.json").exists());
}

#[tokio::test]
async fn a_kubeconfig_that_was_never_acknowledged_is_removed_at_start() {
    let volume = Volume::new();
    let store = volume.open();
    store.create(record(1)).await.unwrap();
    store.create(record(2)).await.unwrap();
    let body = kubeconfig("192.0.2.7", "t");
    apply(&*store, &id(2), "192.0.2.7").await;
    store.accept_kubeconfig(&id(2), BEARER, &body, at(1)).await.unwrap();
    drop(store);
    for unacknowledged in [volume.kubeconfig(&id(1)), volume.kubeconfig(&id(9))] {
        std::fs::write(unacknowledged, "half").unwrap();
    }
    std::fs::write(volume.settings().kubeconfigs_dir.join(format!(".{}.yaml.7.tmp", id(1))), "half").unwrap();
    let store = volume.open();
    let mut left: Vec<_> =
        std::fs::read_dir(volume.settings().kubeconfigs_dir).unwrap().map(|f| f.unwrap().path()).collect();
    left.sort();
    assert_eq!(left, [volume.kubeconfig(&id(2)), volume.kubeconfig(&id(9))], "files of unknown ids are not ours");
    store.accept_kubeconfig(&id(1), BEARER, &body, at(2)).await.unwrap();

    // A pointer whose file is gone stays: the bearer remains used up.
    drop(store);
    std::fs::remove_file(volume.kubeconfig(&id(2))).unwrap();
    let store = volume.open();
    assert!(store.get(&id(2)).unwrap().has_kubeconfig() && !store.kubeconfig_present(&id(2)));
    assert!(store.kubeconfig_missing(&id(2)).await && !store.kubeconfig_missing(&id(1)).await);
    assert!(matches!(store.kubeconfig(&id(2)).await, Err(KubeconfigError::FileMissing)));
}

/// What the release before stored: no server is on its record.
fn plant_old(volume: &Volume, body: &[u8]) {
    let mut old = record(1);
    old.status = Status::Ready;
    old.phase0_finished_at = Some(at(1));
    old.kubeconfig_hosts = vec!["192.0.2.7".into()];
    old.result = Some(ResultInfo { kubeconfig_path: format!("{}.yaml", id(1)), ..ResultInfo::default() });
    volume.plant(&format!("{}.json", id(1)), &serde_json::to_string(&old).unwrap());
    std::fs::create_dir_all(volume.settings().kubeconfigs_dir).unwrap();
    std::fs::write(volume.kubeconfig(&id(1)), body).unwrap();
}

#[tokio::test]
async fn what_the_release_before_stored_is_read_anew_also_after_a_kill_in_between() {
    let good = kubeconfig("192.0.2.7", "t");
    let unsafe_one = String::from_utf8(good.clone()).unwrap().replace("token: t", "exec: {command: sh}");
    let aside = |volume: &Volume| volume.kubeconfig(&id(1)).with_extension("yaml.refused");
    // Killed after the file was set aside, before the record said so.
    let volume = Volume::new();
    plant_old(&volume, unsafe_one.as_bytes());
    std::fs::rename(volume.kubeconfig(&id(1)), aside(&volume)).unwrap();
    let store = volume.open();
    let refused = store.kubeconfig(&id(1)).await;
    assert!(matches!(&refused, Err(KubeconfigError::Refused(why)) if why.contains("run a program")), "{refused:?}");
    assert!(aside(&volume).exists());
    for fact in [Fact::DestroyRequested, Fact::DestroyFinished] {
        store.record(&id(1), &fact, at(3)).await.unwrap();
    }
    assert!(!aside(&volume).exists(), "it goes with its deployment");
    // Killed after the file was written anew, before the record said so: the digest on the record is of what came.
    let came = [b"# by hand\n".as_slice(), &good].concat();
    for file in [&came, &good] {
        let volume = Volume::new();
        plant_old(&volume, file);
        let path = volume.settings().deployments_dir.join(format!("{}.json", id(1)));
        let mut old: Record = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        old.kubeconfig_sha256 = catalyst_domain::kubeconfig::sha256_hex(&came);
        std::fs::write(&path, serde_json::to_vec(&old).unwrap()).unwrap();
        for _start in 0..2 {
            let store = volume.open();
            assert_eq!(store.kubeconfig(&id(1)).await.unwrap(), good);
            let again = store.accept_kubeconfig(&id(1), BEARER, &came, at(9)).await;
            assert!(matches!(again, Err(AcceptError::AlreadySet { same: true })), "{again:?}");
        }
    }
    // The folder cannot be read at the start, and heals.
    let volume = Volume::new();
    plant_old(&volume, unsafe_one.as_bytes());
    let (folder, away) = (volume.settings().kubeconfigs_dir, volume.path().join("away"));
    std::fs::rename(&folder, &away).unwrap();
    std::fs::write(&folder, "").unwrap();
    let store = volume.open();
    assert!(matches!(store.kubeconfig(&id(1)).await, Err(KubeconfigError::FileMissing)));
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&away, &folder).unwrap();
    assert!(matches!(store.kubeconfig(&id(1)).await, Err(KubeconfigError::Refused(_))));
    assert!(aside(&volume).exists() && !volume.kubeconfig(&id(1)).exists());
}

#[tokio::test]
async fn the_kubeconfig_of_a_destroyed_deployment_leaves_the_disk() {
    let volume = Volume::new();
    let store = volume.open();
    store.create(record(1)).await.unwrap();
    for fact in [Fact::ApplyBegan, Fact::Applied(endpoints("192.0.2.7"))] {
        store.record(&id(1), &fact, at(1)).await.unwrap();
    }
    store.accept_kubeconfig(&id(1), BEARER, &kubeconfig("192.0.2.7", "t"), at(2)).await.unwrap();
    let file = volume.kubeconfig(&id(1));
    let kept = std::fs::read(&file).unwrap();
    store.record(&id(1), &Fact::DestroyRequested, at(3)).await.unwrap();
    store.record(&id(1), &Fact::DestroyFinished, at(4)).await.unwrap();
    assert!(!file.exists());
    // A crash between record and removal leaves the file; the next start removes it.
    drop(store);
    std::fs::write(&file, kept).unwrap();
    drop(volume.open());
    assert!(!file.exists());
}
