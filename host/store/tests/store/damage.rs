//! Kept files that cannot be read any more: they are set aside under a name that nothing reads, and what is kept beside them counts.

use crate::kit::*;
use catalyst_domain::provider::Bundle;
use catalyst_domain::{Fact, LeftResource};
use catalyst_store::{FileStore, Part, Seal, StateError, StateKey, Store};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn state(serial: u64) -> Vec<u8> {
    format!(r#"{{"version":4,"lineage":"l","serial":{serial},"resources":[{{"mode":"managed"}}]}}"#).into_bytes()
}

fn in_states(volume: &Volume, name: &str) -> PathBuf {
    volume.settings().state_dir.join(id(1).as_str()).join(name)
}

fn bundle() -> Vec<u8> {
    let empty = Bundle {
        files: Vec::new(),
        variables: serde_json::Map::new(),
        secret_variables: Vec::new(),
        deployment_id_variable: None,
        cluster_exists_variable: None,
        nodes: Vec::new(),
        user_data: Vec::new(),
        warnings: Vec::new(),
    };
    serde_json::to_vec(&empty).unwrap()
}

fn key(byte: &str) -> StateKey {
    StateKey::parse(&byte.repeat(32)).unwrap()
}

/// A way to damage a file, with a word of what is said of it.
type Damage = (&'static str, fn(&Path));

fn damages() -> Vec<Damage> {
    fn to(path: &Path, content: &[u8]) {
        std::fs::write(path, content).unwrap();
    }
    let mut all: Vec<Damage> = vec![
        ("empty", |path| to(path, b"")),
        ("no", |path| to(path, &std::fs::read(path).unwrap()[..20])),
        ("no", |path| to(path, b"\xff\xfe\0\0binary\n")),
        ("no plain file", |path| {
            std::fs::remove_file(path).unwrap();
            std::fs::create_dir_all(path.join("deep")).unwrap();
        }),
    ];
    if !rustix::process::geteuid().is_root() {
        all.push(("denied", |path| {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o000)).unwrap();
        }));
    }
    all
}

async fn with_states(volume: &Volume, serials: u64) -> Arc<FileStore> {
    let store = volume.open();
    store.create(record(1)).await.unwrap();
    for serial in 1..=serials {
        store.put_state(&id(1), &state(serial), None).await.unwrap();
    }
    store
}

async fn sets_a_damaged_state_aside(context: &str, volume: Volume, word: &str, damage: fn(&Path)) {
    let store = with_states(&volume, 3).await;
    assert!(store.set_damaged_aside(&id(1), Part::States).await.unwrap().is_empty());
    assert!(!store.has_state_aside(&id(1)).await.unwrap());
    damage(&in_states(&volume, "00000003.tfstate"));
    let aside = store.set_damaged_aside(&id(1), Part::States).await.unwrap();
    assert_eq!(aside.len(), 1, "{context}: {aside:?}");
    assert_eq!(aside[0].file, format!("{}/00000003.tfstate.1", id(1)), "{context}");
    assert!(aside[0].why.contains(word), "{context}: {aside:?}");
    assert_eq!(store.state(&id(1)).await.unwrap().unwrap(), state(2), "{context}");
    assert!(store.has_state_aside(&id(1)).await.unwrap() && store.unusable().is_none(), "{context}");
    // The same again: nothing that was set aside is overwritten, and a state can be written.
    store.put_state(&id(1), &state(3), None).await.unwrap();
    damage(&in_states(&volume, "00000003.tfstate"));
    let again = store.set_damaged_aside(&id(1), Part::States).await.unwrap();
    assert_eq!(again[0].file, format!("{}/00000003.tfstate.2", id(1)), "{context}");
    store.put_state(&id(1), &state(4), None).await.unwrap();
    assert_eq!(store.state(&id(1)).await.unwrap().unwrap(), state(4), "{context}");
}

#[tokio::test]
async fn a_damaged_state_is_set_aside_and_the_one_before_it_counts() {
    for (number, (word, damage)) in damages().into_iter().enumerate() {
        sets_a_damaged_state_aside(&format!("{number}"), Volume::new(), word, damage).await;
    }
}

#[tokio::test]
async fn a_damaged_state_under_a_key_is_set_aside_as_well_wherever_it_is_cut_or_changed() {
    let mut all = damages();
    // The cut of a sealed file leaves its head.
    all[1].0 = "its seal is broken";
    all.push(("its seal is broken", |path| {
        let mut bytes = std::fs::read(path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(path, bytes).unwrap();
    }));
    all.push(("its seal is broken", |path| {
        let older = std::fs::read(path.with_file_name("00000002.tfstate")).unwrap();
        std::fs::write(path, older).unwrap();
    }));
    for (number, (word, damage)) in all.into_iter().enumerate() {
        sets_a_damaged_state_aside(&format!("{number}"), Volume::with_key(key("1a")), word, damage).await;
    }
}

#[tokio::test]
async fn a_damaged_version_before_the_newest_hides_nothing() {
    for (number, (_, damage)) in damages().into_iter().enumerate() {
        let mut volume = Volume::new();
        drop(with_states(&volume, 3).await);
        damage(&in_states(&volume, "00000002.tfstate"));
        // The key came later: plain states above are what they were.
        volume.state_key = Some(key("1a"));
        let store = volume.open();
        assert!(store.set_damaged_aside(&id(1), Part::States).await.unwrap().is_empty(), "{number}");
        assert_eq!(store.state(&id(1)).await.unwrap().unwrap(), state(3), "{number}");
        store.put_state(&id(1), &state(4), None).await.unwrap();
        assert_eq!(store.state(&id(1)).await.unwrap().unwrap(), state(4), "{number}");
    }
}

#[tokio::test]
async fn where_all_states_are_damaged_none_is_left_and_all_are_named() {
    let volume = Volume::new();
    let store = with_states(&volume, 2).await;
    for name in ["00000001.tfstate", "00000002.tfstate"] {
        std::fs::write(in_states(&volume, name), "{\"serial\": 7}").unwrap();
    }
    let aside = store.set_damaged_aside(&id(1), Part::States).await.unwrap();
    assert_eq!(aside.len(), 2, "{aside:?}");
    assert_eq!(store.state(&id(1)).await.unwrap(), None);
}

#[tokio::test]
async fn what_was_set_aside_goes_with_the_end_of_a_deployment_that_left_nothing() {
    for left in [false, true] {
        let volume = Volume::new();
        let store = with_states(&volume, 2).await;
        std::fs::write(in_states(&volume, "00000002.tfstate"), "").unwrap();
        store.set_damaged_aside(&id(1), Part::States).await.unwrap();
        let lost = Fact::LeftBehind(vec![LeftResource::new("t.x", "7", false)]);
        let ends = [failed()].into_iter().chain(left.then_some(lost));
        for fact in ends.chain([Fact::DestroyRequested, Fact::DestroyFinished]) {
            store.record(&id(1), &fact, at(1)).await.unwrap();
        }
        assert_eq!(in_states(&volume, "00000002.tfstate.1").exists(), left);
    }
}

#[tokio::test]
async fn a_failed_deployment_that_left_something_in_no_state_keeps_its_name() {
    let volume = Volume::new();
    let store = volume.open();
    store.create(record(1)).await.unwrap();
    store.record(&id(1), &failed(), at(1)).await.unwrap();
    let lost = Fact::LeftBehind(vec![LeftResource::new("t.x", "7", false)]);
    store.record(&id(1), &lost, at(1)).await.unwrap();
    assert!(store.create(named(2, "a1.example")).await.is_err());
    store.record(&id(1), &Fact::LeftBehind(Vec::new()), at(1)).await.unwrap();
    store.create(named(2, "a1.example")).await.unwrap();
}

#[tokio::test]
async fn a_damaged_bundle_is_set_aside_and_another_one_can_be_kept() {
    for (number, (word, damage)) in damages().into_iter().enumerate() {
        let volume = Volume::new();
        let store = with_states(&volume, 1).await;
        store.put_bundle(&id(1), &bundle()).await.unwrap();
        assert!(store.set_damaged_aside(&id(1), Part::Bundle).await.unwrap().is_empty());
        damage(&in_states(&volume, "bundle.json"));
        let aside = store.set_damaged_aside(&id(1), Part::Bundle).await.unwrap();
        assert_eq!(aside[0].file, format!("{}/bundle.json.1", id(1)), "{number}");
        assert!(aside[0].why.contains(word), "{number}: {aside:?}");
        assert_eq!(store.bundle(&id(1)).await.unwrap(), None, "{number}");
        store.put_bundle(&id(1), &bundle()).await.unwrap();
        assert_eq!(store.bundle(&id(1)).await.unwrap().unwrap(), bundle(), "{number}");
    }
}

/// The words of a refusal name the file and what to do.
fn check_refused(result: Result<impl std::fmt::Debug, StateError>, words: &[&str]) {
    let refused = result.unwrap_err();
    let StateError::Storage(error) = &refused else { panic!("{refused:?}") };
    let file = format!("{}/00000002.tfstate in the folder of states (CATALYST_STATE_DIR)", id(1));
    let all = [file.as_str()].into_iter().chain(words.iter().copied());
    all.for_each(|word| assert!(error.why.contains(word), "{word} is not in {error}"));
}

#[tokio::test]
async fn what_another_key_opens_or_somebody_put_there_is_refused_by_its_name_and_not_set_aside() {
    let mut volume = Volume::with_key(key("1a"));
    volume.seal = Seal::All;
    let store = with_states(&volume, 2).await;
    store.put_bundle(&id(1), &bundle()).await.unwrap();
    let sealed = std::fs::read(in_states(&volume, "00000002.tfstate")).unwrap();
    // A whole plain state above encrypted ones is none that a crash leaves.
    std::fs::write(in_states(&volume, "00000002.tfstate"), state(2)).unwrap();
    assert!(store.set_damaged_aside(&id(1), Part::States).await.unwrap().is_empty());
    check_refused(store.state(&id(1)).await, &["its seal is broken", "move it away"]);
    std::fs::write(in_states(&volume, "00000002.tfstate"), &sealed).unwrap();
    drop(store);
    volume.state_key = None;
    volume.seal = Seal::States;
    let store = volume.open();
    for part in [Part::States, Part::Bundle] {
        assert!(store.set_damaged_aside(&id(1), part).await.unwrap().is_empty(), "{part:?}");
    }
    let words = ["CATALYST_STATE_KEY is not set", "start the host with the key"];
    check_refused(store.state(&id(1)).await, &words);
    check_refused(store.put_state(&id(1), &state(3), None).await, &words);
    let bundle = store.bundle(&id(1)).await.unwrap_err().to_string();
    assert!(bundle.contains(&format!("{}/bundle.json in the folder of states", id(1))), "{bundle}");
}

#[tokio::test]
async fn a_bundle_whose_seal_is_broken_is_rendered_anew_so_it_is_set_aside() {
    let mut volume = Volume::with_key(key("1a"));
    volume.seal = Seal::All;
    let store = with_states(&volume, 1).await;
    store.put_bundle(&id(1), &bundle()).await.unwrap();
    let mut bundle = std::fs::read(in_states(&volume, "bundle.json")).unwrap();
    *bundle.last_mut().unwrap() ^= 1;
    std::fs::write(in_states(&volume, "bundle.json"), bundle).unwrap();
    assert_eq!(store.set_damaged_aside(&id(1), Part::Bundle).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_folder_in_the_place_of_a_file_fails_neither_the_store_nor_a_start() {
    let mut volume = Volume::with_key(key("1a"));
    let store = with_states(&volume, 1).await;
    store.put_bundle(&id(1), &bundle()).await.unwrap();
    std::fs::create_dir_all(in_states(&volume, "lock.json/deep")).unwrap();
    store.unlock_state(&id(1), None).await.unwrap();
    assert!(in_states(&volume, "lock.json.1").is_dir());
    store.lock_state(&id(1), br#"{"ID":"x"}"#).await.unwrap();
    store.unlock_state(&id(1), Some("x")).await.unwrap();
    let sealed = volume.settings().state_dir.join("run-secrets").join(format!("{}.sealed", id(1)));
    std::fs::create_dir_all(&sealed).unwrap();
    assert!(store.run_secrets(&id(1)).await.unwrap().is_none());
    store.forget_run_secrets(&id(1)).await.unwrap();
    assert!(!sealed.exists() && store.unusable().is_none());
    // A start under another key looks at each deployment.
    for name in ["00000001.tfstate", "bundle.json"] {
        std::fs::remove_file(in_states(&volume, name)).unwrap();
        std::fs::create_dir(in_states(&volume, name)).unwrap();
    }
    std::fs::create_dir(volume.deployments("00000000000000ff.json")).unwrap();
    drop(store);
    volume.state_key = None;
    let store = volume.open();
    assert_eq!(store.list().len(), 1);
    assert!(store.has_unread_record(&catalyst_domain::DeploymentId::parse("00000000000000ff").unwrap()));
}

#[tokio::test]
async fn a_damaged_log_is_set_aside_and_begins_anew() {
    fn middle(path: &Path) {
        let text = std::fs::read_to_string(path).unwrap();
        std::fs::write(path, text.replacen("\"n\":2", "\"n\":broken", 1)).unwrap();
    }
    fn folder(path: &Path) {
        std::fs::remove_file(path).unwrap();
        std::fs::create_dir(path).unwrap();
    }
    for (word, damage) in [("line 2", middle as fn(&Path)), ("no plain file", folder)] {
        let volume = Volume::new();
        let store = volume.open();
        store.create(record(1)).await.unwrap();
        store.append(&id(1), vec![entry("one"), entry("two"), entry("three")]).await.unwrap();
        drop(store);
        damage(&volume.log(&id(1)));
        let store = volume.open();
        let refused = store.append(&id(1), vec![entry("x")]).await.unwrap_err().to_string();
        assert!(refused.contains(&format!("{}.log.jsonl", id(1))), "{word}: {refused}");
        assert!(store.unusable().is_none(), "{word}: it is this log that cannot be written, and not the disk");
        let mut watched = store.watch(&id(1)).unwrap();
        let aside = store.set_damaged_aside(&id(1), Part::Log).await.unwrap();
        assert!(aside.len() == 1 && aside[0].why.contains(word), "{word}: {aside:?}");
        assert_eq!(aside[0].file, format!("{}.log.jsonl.1", id(1)));
        assert!(volume.deployments(&aside[0].file).exists());
        watched.borrow_and_update();
        assert_eq!(store.append(&id(1), vec![entry("anew")]).await.unwrap(), 1);
        assert!(watched.has_changed().unwrap(), "{word}: whoever watches is told");
        assert_eq!(messages(&read_all(&*store, &id(1)).await), ["anew"]);
        assert!(store.set_damaged_aside(&id(1), Part::Log).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn the_damaged_end_of_a_log_is_kept_before_it_is_cut_off() {
    let volume = Volume::new();
    let store = volume.open();
    store.create(record(1)).await.unwrap();
    store.append(&id(1), vec![entry("one"), entry("two")]).await.unwrap();
    drop(store);
    let mut text = std::fs::read(volume.log(&id(1))).unwrap();
    let good = text.len();
    text.extend_from_slice(b"\xff\xfe no entry\nnor this\n");
    std::fs::write(volume.log(&id(1)), &text).unwrap();
    let store = volume.open();
    assert_eq!(store.append(&id(1), vec![entry("three")]).await.unwrap(), 3);
    let kept = std::fs::read(volume.deployments(&format!("{}.log.jsonl.end.1", id(1)))).unwrap();
    assert_eq!(kept, &text[good..]);
}
