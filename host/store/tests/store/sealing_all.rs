//! What is sealed beside states: kubeconfigs and bundles where all is, and the secrets of interrupted runs.

use crate::kit::*;
use catalyst_domain::{DeploymentId, SecretValue, Secrets};
use catalyst_store::{
    AcceptError, KubeconfigError, OpenError, RunSecrets, RunSecretsKept, Seal, StateKey, Store, is_sealed,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SECRET: &str = "token-of-a-cluster";
const HOST: &str = "192.0.2.7";

fn key(digit: char) -> StateKey {
    StateKey::parse(&digit.to_string().repeat(64)).unwrap()
}

fn sealing() -> Volume {
    let mut volume = Volume::with_key(key('1'));
    volume.seal = Seal::All;
    volume
}

fn bundle() -> Vec<u8> {
    format!(r#"{{"files":[],"note":"{SECRET}"}}"#).into_bytes()
}

fn state(serial: u64) -> Vec<u8> {
    format!(r#"{{"serial":{serial},"resources":[{{"mode":"managed","token":"{SECRET}"}}]}}"#).into_bytes()
}

impl Volume {
    fn bundle_file(&self, id: &DeploymentId) -> PathBuf {
        self.settings().state_dir.join(id.as_str()).join("bundle.json")
    }

    fn run_secrets_file(&self, id: &DeploymentId) -> PathBuf {
        self.settings().state_dir.join("run-secrets").join(format!("{id}.sealed"))
    }

    /// The files that hold a text in plain.
    fn holding(&self, text: &str) -> Vec<PathBuf> {
        let mut found = all_files(self.path());
        let holds = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        // One that goes at this moment holds nothing.
        found.retain(|path| std::fs::read(path).is_ok_and(|bytes| holds(&bytes)));
        found
    }
}

fn all_files(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

/// A deployment that has everything.
async fn fill(store: &dyn Store, number: u64) {
    store.create(record(number)).await.unwrap();
    apply(store, &id(number), HOST).await;
    store.put_bundle(&id(number), &bundle()).await.unwrap();
    for serial in 1..=3 {
        store.put_state(&id(number), &state(serial), None).await.unwrap();
    }
    store.accept_kubeconfig(&id(number), BEARER, &kubeconfig(HOST, SECRET), at(2)).await.unwrap();
}

async fn check_all(store: &dyn Store, number: u64) {
    assert_eq!(store.kubeconfig(&id(number)).await.unwrap(), kubeconfig(HOST, SECRET));
    assert_eq!(store.bundle(&id(number)).await.unwrap().unwrap(), bundle());
    assert_eq!(store.state(&id(number)).await.unwrap().unwrap(), state(3));
}

#[tokio::test]
async fn where_all_is_sealed_kubeconfigs_and_bundles_are_on_disk_only_sealed_and_come_back() {
    let mut volume = sealing();
    let store = volume.open();
    fill(&*store, 1).await;
    assert_eq!(volume.holding(SECRET), Vec::<PathBuf>::new());
    assert!(is_sealed(&std::fs::read(volume.kubeconfig(&id(1))).unwrap()), "the name of the file stays");
    check_all(&*store, 1).await;
    drop(store);
    for seal in [Seal::All, Seal::States] {
        volume.seal = seal;
        let store = volume.open();
        check_all(&*store, 1).await;
        let again = store.accept_kubeconfig(&id(1), BEARER, &kubeconfig(HOST, SECRET), at(3)).await;
        assert!(matches!(again, Err(AcceptError::AlreadySet { same: true })), "{again:?}");
    }
    // New ones are plain then, and both are read.
    let store = volume.open();
    fill(&*store, 2).await;
    check_all(&*store, 1).await;
    check_all(&*store, 2).await;
    assert!(!is_sealed(&std::fs::read(volume.kubeconfig(&id(2))).unwrap()));
}

#[tokio::test]
async fn without_the_key_or_with_another_one_each_is_refused_by_name() {
    let mut volume = sealing();
    let store = volume.open();
    store.create(record(1)).await.unwrap();
    apply(&*store, &id(1), HOST).await;
    store.accept_kubeconfig(&id(1), BEARER, &kubeconfig(HOST, SECRET), at(2)).await.unwrap();
    store.create(record(2)).await.unwrap();
    store.put_bundle(&id(2), &bundle()).await.unwrap();
    drop(store);
    // No state was ever written: kubeconfigs and bundles tell by themselves.
    volume.state_key = Some(key('2'));
    let error = volume.try_open().unwrap_err();
    assert!(matches!(error, OpenError::OtherStateKey { deployments: 2, .. }), "{error}");
    assert_eq!(catalyst_store::closed_to(&volume.settings()).unwrap(), 2);

    (volume.state_key, volume.seal) = (None, Seal::States);
    assert_eq!(catalyst_store::closed_to(&volume.settings()).unwrap(), 2);
    let store = volume.open();
    let refused = store.kubeconfig(&id(1)).await.unwrap_err();
    let words = refused.to_string();
    assert!(
        matches!(refused, KubeconfigError::Sealed(_)) && words.contains("CATALYST_STATE_KEY is not set"),
        "{words}"
    );
    let words = store.bundle(&id(2)).await.unwrap_err().to_string();
    assert!(words.contains("CATALYST_STATE_KEY is not set"), "{words}");
    assert!(store.unusable().is_none(), "that is no reason to stop everything");
    drop(store);

    volume.seal = Seal::All;
    let error = volume.try_open().unwrap_err();
    let words = error.to_string();
    assert!(
        matches!(error, OpenError::NoKey) && words.contains("CATALYST_SEAL") && words.contains("CATALYST_STATE_KEY")
    );
    volume.state_key = Some(key('1'));
    assert_eq!(volume.open().kubeconfig(&id(1)).await.unwrap(), kubeconfig(HOST, SECRET));
    assert_eq!(catalyst_store::closed_to(&volume.settings()).unwrap(), 0);
}

#[tokio::test]
async fn a_file_that_was_swapped_or_changed_is_refused() {
    let volume = sealing();
    let store = volume.open();
    for number in [1, 2] {
        fill(&*store, number).await;
    }
    let genuine = std::fs::read(volume.kubeconfig(&id(1))).unwrap();
    let mut flipped = genuine.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let state = volume.settings().state_dir.join(id(1).as_str()).join("00000003.tfstate");
    for (what, forgery) in [
        ("of another deployment", std::fs::read(volume.kubeconfig(&id(2))).unwrap()),
        ("its bundle", std::fs::read(volume.bundle_file(&id(1))).unwrap()),
        ("its state", std::fs::read(state).unwrap()),
        ("with one bit changed", flipped),
        ("cut", genuine[..30].to_vec()),
    ] {
        std::fs::write(volume.kubeconfig(&id(1)), forgery).unwrap();
        let words = store.kubeconfig(&id(1)).await.unwrap_err().to_string();
        assert!(words.contains("its seal is broken"), "{what}: {words}");
    }
    std::fs::write(volume.kubeconfig(&id(1)), &genuine).unwrap();
    check_all(&*store, 1).await;
    for forgery in [genuine, std::fs::read(volume.bundle_file(&id(2))).unwrap()] {
        std::fs::write(volume.bundle_file(&id(1)), forgery).unwrap();
        let words = store.bundle(&id(1)).await.unwrap_err().to_string();
        assert!(words.contains("its seal is broken"), "{words}");
    }
}

#[tokio::test]
async fn what_was_kept_in_plain_is_sealed_after_the_start_and_served_meanwhile() {
    const MANY: u64 = 30;
    let mut volume = Volume::new();
    let store = volume.open();
    for number in 1..=MANY {
        fill(&*store, number).await;
    }
    drop(store);
    // What a killed write left, and one that is partly sealed: as a process leaves it that is killed meanwhile.
    let left = volume.settings().state_dir.join(id(1).as_str()).join(".bundle.json.7.tmp");
    std::fs::write(left, bundle()).unwrap();
    assert_eq!(volume.holding(SECRET).len(), usize::try_from(5 * MANY + 1).unwrap());
    (volume.state_key, volume.seal) = (Some(key('1')), Seal::All);
    for start in 0..4 {
        let store = volume.open();
        for number in 1..=MANY {
            check_all(&*store, number).await;
        }
        // The first ones end in the midst of it: the next goes on.
        if start < 3 {
            continue;
        }
        let begun = Instant::now();
        while !volume.holding(SECRET).is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", volume.holding(SECRET));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for number in 1..=MANY {
            check_all(&*store, number).await;
        }
        assert_eq!(catalyst_store::kubeconfigs_sealed_and_plain(&volume.settings().kubeconfigs_dir).unwrap(), (30, 0));
    }
    let files = all_files(volume.path());
    assert!(files.iter().all(|path| path.extension().is_none_or(|end| end != "tmp")), "{files:?}");
    drop(volume.open());
}

#[tokio::test]
async fn a_kubeconfig_of_an_earlier_release_is_read_anew_and_sealed_or_set_aside_sealed() {
    let mut volume = Volume::new();
    let store = volume.open();
    for number in [1, 2] {
        fill(&*store, number).await;
    }
    drop(store);
    for number in [1, 2] {
        let path = volume.deployments(&format!("{}.json", id(number)));
        let mut record: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for key in ["kubeconfigServer", "kubeconfigChecked"] {
            record.as_object_mut().unwrap().remove(key);
        }
        std::fs::write(path, record.to_string()).unwrap();
    }
    let hurtful = String::from_utf8(kubeconfig(HOST, SECRET)).unwrap().replace("token:", "tokenFile: /etc/shadow #");
    std::fs::write(volume.kubeconfig(&id(2)), hurtful).unwrap();
    (volume.state_key, volume.seal) = (Some(key('1')), Seal::All);
    for _ in 0..2 {
        let store = volume.open();
        assert_eq!(store.kubeconfig(&id(1)).await.unwrap(), kubeconfig(HOST, SECRET));
        assert!(matches!(store.kubeconfig(&id(2)).await, Err(KubeconfigError::Refused(_))));
        let aside = volume.settings().kubeconfigs_dir.join(format!("{}.yaml.refused", id(2)));
        let begun = Instant::now();
        while !is_sealed(&std::fs::read(&aside).unwrap()) || !volume.holding(SECRET).is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", volume.holding(SECRET));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn secrets() -> RunSecrets {
    let mut secrets = Secrets::default();
    secrets.insert("cloud-token", SecretValue::new(SECRET));
    secrets.insert("odd", SecretValue::new("\"\\\n\u{1F980}\u{0}"));
    RunSecrets { secrets, ended_at: at(5) }
}

#[tokio::test]
async fn secrets_of_a_run_are_on_disk_only_sealed_and_without_a_key_not_at_all() {
    let mut volume = Volume::new();
    let store = volume.open();
    store.create(record(1)).await.unwrap();
    assert_eq!(store.put_run_secrets(&id(1), secrets()).await.unwrap(), RunSecretsKept::NoKey);
    assert!(store.run_secrets(&id(1)).await.unwrap().is_none() && !volume.run_secrets_file(&id(1)).exists());
    store.forget_run_secrets(&id(1)).await.unwrap();
    drop(store);

    volume.state_key = Some(key('1'));
    let store = volume.open();
    for _ in 0..2 {
        assert_eq!(store.put_run_secrets(&id(1), secrets()).await.unwrap(), RunSecretsKept::Sealed);
    }
    drop(store);
    assert_eq!(volume.holding(SECRET), Vec::<PathBuf>::new());
    let store = volume.open();
    let kept = store.run_secrets(&id(1)).await.unwrap().unwrap();
    assert_eq!((kept.ended_at, kept.secrets.names()), (at(5), vec!["cloud-token".to_owned(), "odd".to_owned()]));
    for name in kept.secrets.names() {
        assert_eq!(kept.secrets.get(&name), secrets().secrets.get(&name), "{name}");
    }
    assert_eq!(store.kept_run_secrets().await.unwrap(), vec![(id(1), at(5))]);
    store.forget_run_secrets(&id(1)).await.unwrap();
    assert!(store.run_secrets(&id(1)).await.unwrap().is_none() && !volume.run_secrets_file(&id(1)).exists());
    assert!(store.kept_run_secrets().await.unwrap().is_empty());
}

#[tokio::test]
async fn secrets_of_a_run_that_cannot_be_opened_count_as_gone_and_stop_nothing() {
    let mut volume = Volume::with_key(key('1'));
    let store = volume.open();
    for number in [1, 2] {
        store.create(record(number)).await.unwrap();
        store.put_run_secrets(&id(number), secrets()).await.unwrap();
    }
    let genuine = std::fs::read(volume.run_secrets_file(&id(1))).unwrap();
    let mut flipped = genuine.clone();
    flipped[60] ^= 1;
    let plain = br#"{"ended_at":"2026-01-01T00:00:00Z","secrets":{"cloud-token":"x"}}"#.to_vec();
    for forgery in [std::fs::read(volume.run_secrets_file(&id(2))).unwrap(), flipped, plain, Vec::new()] {
        std::fs::write(volume.run_secrets_file(&id(1)), forgery).unwrap();
        assert!(store.run_secrets(&id(1)).await.unwrap().is_none());
        let kept = store.kept_run_secrets().await.unwrap();
        assert!(kept.len() == 2 && kept.iter().any(|(of, at)| *of == id(1) && *at != self::at(5)), "{kept:?}");
    }
    std::fs::write(volume.run_secrets_file(&id(1)), genuine).unwrap();
    drop(store);
    for other in [None, Some(key('2'))] {
        volume.state_key = other;
        let store = volume.open();
        assert!(store.run_secrets(&id(1)).await.unwrap().is_none(), "another key is no reason not to start");
        assert!(store.unusable().is_none());
    }
    volume.state_key = Some(key('1'));
    let store = volume.open();
    assert!(store.run_secrets(&id(1)).await.unwrap().is_some());
    store.forget_run_secrets(&id(1)).await.unwrap();
}

#[tokio::test]
async fn a_plain_state_above_a_sealed_one_is_not_made_genuine() {
    let volume = sealing();
    let store = volume.open();
    for number in 1..=3 {
        fill(&*store, number).await;
    }
    drop(store);
    let folder = volume.settings().state_dir.join(id(2).as_str());
    let forged = folder.join("00000099.tfstate");
    std::fs::write(&forged, state(9)).unwrap();
    // Deployments are sealed one after the other, so when its neighbours are, it was its turn.
    let neighbours = [id(1), id(3)].map(|id| volume.bundle_file(&id));
    for file in &neighbours {
        std::fs::write(file, bundle()).unwrap();
    }
    let store = volume.open();
    let begun = Instant::now();
    while !neighbours.iter().all(|file| is_sealed(&std::fs::read(file).unwrap())) {
        assert!(begun.elapsed() < Duration::from_secs(60), "they are not sealed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(std::fs::read(&forged).unwrap(), state(9));
    let error = store.state(&id(2)).await.unwrap_err().to_string();
    assert!(error.contains("its seal is broken"), "{error}");
}
