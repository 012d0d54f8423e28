//! Single operations of the store, for a process that is killed or given faults in the midst of one.
//!
//! Everything in them is fixed (ids, times, contents), so that two runs can be compared whole.

use catalyst_domain::kubeconfig::sha256_hex;
use catalyst_domain::provider::Endpoints;
use catalyst_domain::record::{NewRecord, ProviderRef};
use catalyst_domain::{DeploymentId, Entry, Fact, Level, Record, Request, SecretValue, Secrets, Timestamp};
use catalyst_store::{FileStore, OpenError, RunSecrets, Seal, Settings, StateKey, Store};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const BEARER: &str = "b1946ac92492d2347c6235b4d2611184b1946ac92492d2347c6235b4d2611184";
/// The deployment that operations are done on.
const TARGET: u64 = 1;
/// One that has everything and must never change.
const BYSTANDER: u64 = 2;
/// The one that is created.
const NEW: u64 = 3;
/// One of the older folder layout.
const OLDER: u64 = 4;

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Opening folders that are not there yet, with a key.
    OpenFresh,
    /// Opening what an interrupted process left, and a record of the older layout.
    OpenLeftovers,
    /// A new record.
    Create,
    /// Accepting a kubeconfig.
    Put,
    /// The same while its folder is missing.
    PutWithoutFolder,
    /// The same where all is sealed.
    SealedPut,
    /// A fact that changes the record.
    Transition,
    /// The fact after which the kubeconfig goes.
    DestroyFinished,
    /// The first entry of a log.
    FirstEntry,
    /// A further one.
    NextEntry,
    /// One behind a torn end.
    EntryAfterTear,
    /// The first state of a deployment.
    FirstState,
    /// One that pushes the oldest version out.
    EleventhState,
    /// The first one under a key, with plain ones before it.
    SealedState,
    /// Taking the state's lock.
    Lock,
    /// Giving it back.
    Unlock,
    /// Keeping the bundle.
    Bundle,
    /// Sealing the secrets of an interrupted run.
    RunSecrets,
}

/// All of them.
pub const OPS: [Op; 18] = [
    Op::OpenFresh,
    Op::OpenLeftovers,
    Op::Create,
    Op::Put,
    Op::PutWithoutFolder,
    Op::SealedPut,
    Op::Transition,
    Op::DestroyFinished,
    Op::FirstEntry,
    Op::NextEntry,
    Op::EntryAfterTear,
    Op::FirstState,
    Op::EleventhState,
    Op::SealedState,
    Op::Lock,
    Op::Unlock,
    Op::Bundle,
    Op::RunSecrets,
];

impl Op {
    /// The operation of this name.
    pub fn named(name: &str) -> Option<Self> {
        OPS.into_iter().find(|op| format!("{op:?}") == name)
    }

    /// Whether the operation is the opening itself.
    pub fn opens(self) -> bool {
        matches!(self, Self::OpenFresh | Self::OpenLeftovers)
    }

    /// Whether it works in a deployment's folder of states.
    pub fn is_of_state(self) -> bool {
        let of_states = [Self::FirstState, Self::EleventhState, Self::SealedState, Self::Lock, Self::Unlock];
        of_states.contains(&self) || [Self::Bundle, Self::RunSecrets].contains(&self)
    }

    /// Where a process that does this operation keeps things.
    pub fn settings(self, root: &Path) -> Settings {
        let seal = if self == Self::SealedPut { Seal::All } else { Seal::States };
        let key = matches!(self, Self::OpenFresh | Self::SealedState | Self::SealedPut | Self::RunSecrets).then(key);
        Settings { state_key: key, seal, ..plain_settings(root) }
    }

    /// Opens the store for it.
    ///
    /// # Errors
    /// As [`FileStore::open`].
    pub fn open(self, root: &Path) -> Result<Arc<FileStore>, OpenError> {
        FileStore::open(self.settings(root))
    }

    /// Fills a folder with what is there before.
    pub async fn prepare(self, root: &Path) {
        if self == Self::OpenFresh {
            return;
        }
        // Where all is sealed nothing is left to be sealed at the start.
        let settings = if self == Self::SealedPut { self.settings(root) } else { plain_settings(root) };
        let store = FileStore::open(settings).unwrap();
        store.create(record(TARGET)).await.unwrap();
        store.create(record(BYSTANDER)).await.unwrap();
        store.append(&id(BYSTANDER), vec![entry("a"), entry("b")]).await.unwrap();
        store.put_state(&id(BYSTANDER), &state(1), None).await.unwrap();
        store.put_bundle(&id(BYSTANDER), b"{}").await.unwrap();
        if self != Self::PutWithoutFolder {
            let body = kubeconfig();
            store.accept_kubeconfig(&id(BYSTANDER), BEARER, &body, at(1)).await.unwrap();
        }
        self.prepare_target(&store).await;
        drop(store);
        match self {
            Self::OpenLeftovers => leave_behind(root),
            Self::EntryAfterTear => {
                let path = root.join("deployments").join(format!("{}.log.jsonl", id(TARGET)));
                let mut text = std::fs::read(&path).unwrap();
                text.extend_from_slice(br#"{"n":3,"phase":"torn"#);
                std::fs::write(path, text).unwrap();
            }
            _ => {}
        }
    }

    async fn prepare_target(self, store: &FileStore) {
        let target = id(TARGET);
        match self {
            Self::DestroyFinished => {
                for fact in [Fact::ApplyBegan, Fact::Applied(endpoints())] {
                    store.record(&target, &fact, at(1)).await.unwrap();
                }
                store.accept_kubeconfig(&target, BEARER, &kubeconfig(), at(2)).await.unwrap();
                store.record(&target, &Fact::DestroyRequested, at(3)).await.unwrap();
            }
            Self::NextEntry | Self::EntryAfterTear => {
                store.append(&target, vec![entry("one"), entry("two")]).await.unwrap();
            }
            Self::EleventhState | Self::SealedState => {
                for serial in 1..=if self == Self::SealedState { 2 } else { 10 } {
                    store.put_state(&target, &state(serial), None).await.unwrap();
                }
            }
            Self::Unlock => store.lock_state(&target, br#"{"ID":"x"}"#).await.unwrap(),
            _ => {}
        }
    }

    /// The last touch after the store was opened.
    pub fn arrange(self, root: &Path) {
        if self == Self::PutWithoutFolder {
            std::fs::remove_dir(root.join("kubeconfigs")).unwrap();
        }
    }

    /// Does it. For an opening there is nothing left to do.
    ///
    /// # Errors
    /// The store's, in words.
    pub async fn perform(self, store: &dyn Store) -> Result<(), String> {
        let target = id(TARGET);
        let words = |error: &dyn std::error::Error| error.to_string();
        match self {
            Self::OpenFresh | Self::OpenLeftovers => Ok(()),
            Self::Create => store.create(record(NEW)).await.map(drop).map_err(|e| words(&e)),
            Self::Put | Self::PutWithoutFolder | Self::SealedPut => {
                let put = store.accept_kubeconfig(&target, BEARER, &kubeconfig(), at(5)).await;
                put.map(drop).map_err(|e| words(&e))
            }
            Self::Transition => store.record(&target, &Fact::ApplyBegan, at(5)).await.map(drop).map_err(|e| words(&e)),
            Self::DestroyFinished => {
                store.record(&target, &Fact::DestroyFinished, at(5)).await.map(drop).map_err(|e| words(&e))
            }
            Self::FirstEntry | Self::NextEntry | Self::EntryAfterTear => {
                let entries = vec![entry("three"), entry("four")];
                store.append(&target, entries).await.map(drop).map_err(|e| words(&e))
            }
            Self::FirstState | Self::EleventhState | Self::SealedState => {
                store.put_state(&target, &state(99), None).await.map_err(|e| words(&e))
            }
            Self::Lock => store.lock_state(&target, br#"{"ID":"x"}"#).await.map_err(|e| words(&e)),
            Self::Unlock => store.unlock_state(&target, Some("x")).await.map_err(|e| words(&e)),
            Self::Bundle => store.put_bundle(&target, br#"{"files":[]}"#).await.map_err(|e| words(&e)),
            Self::RunSecrets => {
                let mut secrets = Secrets::default();
                secrets.insert("token", SecretValue::new("t"));
                let kept = store.put_run_secrets(&target, RunSecrets { secrets, ended_at: at(5) }).await;
                kept.map(drop).map_err(|e| words(&e))
            }
        }
    }
}

/// All that a store tells of all deployments.
pub async fn view(store: &dyn Store) -> Value {
    let mut all = serde_json::Map::new();
    for record in store.list() {
        let id = &record.id;
        let log = store.read(id, 0, 1000).await.map_err(|error| error.to_string());
        let log =
            log.map(|entries| entries.into_iter().map(|e| json!([e.number, e.entry.message])).collect::<Vec<_>>());
        let kubeconfig = store.kubeconfig(id).await.map(text).map_err(|error| error.to_string());
        if let Ok(body) = &kubeconfig {
            assert_eq!(sha256_hex(body.as_bytes()), record.kubeconfig_sha256, "half a kubeconfig is served");
        }
        let state = store.state(id).await.map(|state| state.map(text)).map_err(|error| error.to_string());
        let bundle = store.bundle(id).await.map(|bundle| bundle.map(text)).map_err(|error| error.to_string());
        // Also tells whether it is locked.
        let empty = store.state_is_empty(id).await.map_err(|error| error.to_string());
        let secrets = store.run_secrets(id).await.map_err(|error| error.to_string());
        let secrets = secrets.map(|kept| kept.map(|kept| json!([kept.secrets.names(), kept.ended_at])));
        let whole = json!({
            "record": *record, "log": said(log), "kubeconfig": said(kubeconfig), "state": said(state), "bundle": said(bundle),
            "empty": said(empty), "secrets": said(secrets),
        });
        all.insert(id.to_string(), whole);
    }
    all.into()
}

/// The files below a folder by their paths, sorted.
pub fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target: PathBuf = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn said<T: Into<Value>>(result: Result<T, String>) -> Value {
    result.map_or_else(|error| json!({ "error": error }), Into::into)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// A store below a folder, in the layout of a host's data, where nothing is sealed.
pub fn plain_settings(root: &Path) -> Settings {
    Settings {
        deployments_dir: root.join("deployments"),
        kubeconfigs_dir: root.join("kubeconfigs"),
        state_dir: root.join("state"),
        lock_wait: Duration::from_secs(10),
        log_cap_bytes: 1 << 20,
        state_key: None,
        seal: Seal::States,
    }
}

fn key() -> StateKey {
    StateKey::parse(&"5e".repeat(32)).unwrap()
}

// What a kill leaves at the worst moments, and the files of an earlier version.
fn leave_behind(root: &Path) {
    let write = |path: String, bytes: &[u8]| std::fs::write(root.join(path), bytes).unwrap();
    write(format!("deployments/.{}.json.7.tmp", id(TARGET)), b"half");
    write("deployments/.write-probe".to_owned(), b"probe\n");
    write("deployments/..write-probe.7.tmp".to_owned(), b"pro");
    write(format!("kubeconfigs/.{}.yaml.7.tmp", id(TARGET)), b"half");
    write(format!("kubeconfigs/{}.yaml", id(TARGET)), b"never acknowledged");
    write(format!("{}.json", id(OLDER)), &serde_json::to_vec(&record(OLDER)).unwrap());
}

fn id(number: u64) -> DeploymentId {
    DeploymentId::from_bytes(number.to_be_bytes())
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + second).unwrap()
}

/// A deployment that was just asked for.
pub fn record(number: u64) -> Record {
    let request = Request { sovereign_fqdn: format!("a{number}.example"), ..Request::default() };
    Record::new(NewRecord {
        id: id(number),
        request,
        kubeconfig_bearer_hash: sha256_hex(BEARER.as_bytes()),
        provider: ProviderRef { id: "rehearsal".into(), version: "0".into(), digest: String::new() },
        at: at(i64::try_from(number).unwrap()),
    })
}

fn endpoints() -> Endpoints {
    let host = "192.0.2.7".to_owned();
    Endpoints {
        control_plane_ip: host.clone(),
        load_balancer_ip: host.clone(),
        kubeconfig_hosts: vec![host],
        console_url: String::new(),
    }
}

fn entry(message: &str) -> Entry {
    Entry::new(at(0), "tofu", Level::Info, message)
}

fn state(serial: u64) -> Vec<u8> {
    format!(r#"{{"serial":{serial},"resources":[{{"mode":"managed"}}]}}"#).into_bytes()
}

// As k3s lays out its own, so that it is stored as it came.
fn kubeconfig() -> Vec<u8> {
    "apiVersion: v1\nclusters:\n- cluster:\n    server: https://192.0.2.7:6443\n  name: d\ncontexts:\n- context:\n    cluster: d\n    \
     user: d\n  name: d\ncurrent-context: d\nkind: Config\nusers:\n- name: d\n  user:\n    token: t\n"
        .into()
}
