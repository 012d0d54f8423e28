//! OpenTofu's states under a key: what is on disk, and what each wrong key or file meets.

use crate::kit::*;
use catalyst_domain::DeploymentId;
use catalyst_store::{OpenError, StateError, StateKey, Store, is_sealed};
use std::path::PathBuf;

const SECRET: &str = "minted-value-of-a-cluster";

fn key(digit: char) -> Option<StateKey> {
    Some(StateKey::parse(&digit.to_string().repeat(64)).unwrap())
}

fn state(serial: u64) -> Vec<u8> {
    format!(r#"{{"serial":{serial},"resources":[{{"mode":"managed","token":"{SECRET}"}}]}}"#).into_bytes()
}

impl Volume {
    fn version(&self, id: &DeploymentId, version: u64) -> PathBuf {
        self.settings().state_dir.join(id.as_str()).join(format!("{version:08}.tfstate"))
    }

    fn bytes(&self, id: &DeploymentId, version: u64) -> Vec<u8> {
        std::fs::read(self.version(id, version)).unwrap()
    }
}

async fn refusal(store: &dyn Store, id: &DeploymentId) -> String {
    let written = store.put_state(id, &state(99), None).await;
    match store.state(id).await {
        Err(StateError::Storage(error)) => {
            assert!(!store.state_is_empty(id).await.unwrap_or(false), "what cannot be read is not empty");
            assert!(store.unusable().is_none(), "one state is no reason to stop everything");
            format!("{error} / {}", written.err().map(|error| error.to_string()).unwrap_or_default())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_state_under_a_key_is_on_disk_only_sealed_and_comes_back() {
    let mut volume = Volume::new();
    volume.state_key = key('1');
    let store = volume.open();
    store.create(record(1)).await.unwrap();
    store.put_state(&id(1), &state(1), None).await.unwrap();
    store.put_state(&id(1), &state(1), None).await.unwrap();
    for version in [1, 2] {
        let bytes = volume.bytes(&id(1), version);
        assert!(is_sealed(&bytes) && !String::from_utf8_lossy(&bytes).contains(SECRET));
    }
    assert_ne!(volume.bytes(&id(1), 1), volume.bytes(&id(1), 2), "each version has a nonce of its own");
    drop(store);
    let store = volume.open();
    assert_eq!(store.state(&id(1)).await.unwrap().unwrap(), state(1));
    assert!(!store.state_is_empty(&id(1)).await.unwrap());
}

#[tokio::test]
async fn states_from_before_the_key_are_read_and_then_sealed_with_all_that_is_kept() {
    let mut volume = Volume::new();
    let store = volume.open();
    store.create(record(1)).await.unwrap();
    for serial in 1..=12 {
        store.put_state(&id(1), &state(serial), None).await.unwrap();
    }
    drop(store);
    volume.state_key = key('1');
    let store = volume.open();
    assert_eq!(store.state(&id(1)).await.unwrap().unwrap(), state(12));
    store.put_state(&id(1), &state(13), None).await.unwrap();
    for version in 4..=13 {
        assert!(is_sealed(&volume.bytes(&id(1), version)), "version {version}");
    }
    // A person goes back by removing what is newer: the older one opens.
    std::fs::remove_file(volume.version(&id(1), 13)).unwrap();
    assert_eq!(store.state(&id(1)).await.unwrap().unwrap(), state(12));
}

#[tokio::test]
async fn another_key_is_refused_at_start_and_nothing_is_touched() {
    let mut volume = Volume::new();
    volume.state_key = key('1');
    let store = volume.open();
    store.create(record(1)).await.unwrap();
    store.put_state(&id(1), &state(1), None).await.unwrap();
    drop(store);
    let before = volume.bytes(&id(1), 1);
    volume.state_key = key('2');
    let error = volume.try_open().unwrap_err();
    assert!(matches!(error, OpenError::OtherStateKey { deployments: 1, .. }), "{error}");
    assert!(error.to_string().contains("CATALYST_STATE_KEY"), "{error}");
    // Where the note is lost each state still tells by itself.
    std::fs::remove_file(volume.settings().state_dir.join("key.id")).unwrap();
    let store = volume.open();
    let why = refusal(&*store, &id(1)).await;
    assert_eq!(why.matches("encrypted with another key than CATALYST_STATE_KEY").count(), 2, "{why}");
    // Another deployment is not concerned.
    store.create(record(2)).await.unwrap();
    store.put_state(&id(2), &state(1), None).await.unwrap();
    drop(store);
    assert_eq!(volume.bytes(&id(1), 1), before);
    assert!(!volume.version(&id(1), 2).exists());
    std::fs::remove_dir_all(volume.settings().state_dir.join(id(2).as_str())).unwrap();
    volume.state_key = key('1');
    assert_eq!(volume.open().state(&id(1)).await.unwrap().unwrap(), state(1));
}

#[tokio::test]
async fn without_the_key_a_sealed_state_is_refused_by_name_and_never_followed_by_a_plain_one() {
    let mut volume = Volume::new();
    volume.state_key = key('1');
    let store = volume.open();
    store.create(record(1)).await.unwrap();
    store.put_state(&id(1), &state(1), None).await.unwrap();
    drop(store);
    volume.state_key = None;
    let store = volume.open();
    let why = refusal(&*store, &id(1)).await;
    assert_eq!(why.matches("CATALYST_STATE_KEY is not set").count(), 2, "{why}");
    assert!(!volume.version(&id(1), 2).exists());
    store.create(record(2)).await.unwrap();
    store.put_state(&id(2), &state(1), None).await.unwrap();
    drop(store);
    volume.state_key = key('1');
    let store = volume.open();
    for number in [1, 2] {
        assert_eq!(store.state(&id(number)).await.unwrap().unwrap(), state(1));
    }
}

#[tokio::test]
async fn a_key_that_nothing_is_sealed_with_may_be_replaced() {
    let mut volume = Volume::new();
    volume.state_key = key('1');
    drop(volume.open());
    volume.state_key = key('2');
    let store = volume.open();
    store.create(record(1)).await.unwrap();
    store.put_state(&id(1), &state(1), None).await.unwrap();
    drop(store);
    volume.state_key = key('1');
    assert!(matches!(volume.try_open(), Err(OpenError::OtherStateKey { deployments: 1, .. })));
}

#[tokio::test]
async fn files_that_were_swapped_changed_or_put_there_are_refused() {
    let mut volume = Volume::new();
    volume.state_key = key('1');
    let store = volume.open();
    for number in [1, 2] {
        store.create(record(number)).await.unwrap();
        store.put_state(&id(number), &state(1), None).await.unwrap();
        store.put_state(&id(number), &state(2), None).await.unwrap();
    }
    let genuine = volume.bytes(&id(1), 2);
    let mut flipped = genuine.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut beheaded = genuine.clone();
    beheaded[0] ^= 1;
    let forgeries = [
        ("of another deployment", volume.bytes(&id(2), 2)),
        ("of an earlier version", volume.bytes(&id(1), 1)),
        ("with one bit changed", flipped),
        ("without its head", beheaded),
        ("cut", genuine[..genuine.len() - 1].to_vec()),
        ("cut to its head", genuine[..24].to_vec()),
        ("plain", state(2)),
        ("empty", Vec::new()),
    ];
    for (what, forgery) in forgeries {
        std::fs::write(volume.version(&id(1), 2), &forgery).unwrap();
        let read = store.state(&id(1)).await;
        assert!(
            matches!(&read, Err(StateError::Storage(error)) if error.why.contains("its seal is broken")),
            "{what}: {read:?}"
        );
        assert_eq!(volume.bytes(&id(1), 2), forgery, "{what}: it is left for a person to look at");
    }
    std::fs::write(volume.version(&id(1), 2), &genuine).unwrap();
    assert_eq!(store.state(&id(1)).await.unwrap().unwrap(), state(2));
}
