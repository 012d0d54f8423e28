//! What the tests share: a volume that lives as long as the test, and plain examples of everything.

use catalyst_domain::kubeconfig::sha256_hex;
use catalyst_domain::provider::Endpoints;
use catalyst_domain::record::{NewRecord, ProviderRef};
use catalyst_domain::{DeploymentId, Entry, Fact, Level, Record, Request, Timestamp};
use catalyst_store::{FileStore, Numbered, OpenError, Seal, Settings, StateKey, Store};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub const BEARER: &str = "b1946ac92492d2347c6235b4d2611184b1946ac92492d2347c6235b4d2611184";
pub const MEBIBYTE: u64 = 1024 * 1024;

pub struct Volume {
    root: tempfile::TempDir,
    pub log_cap_bytes: u64,
    pub state_key: Option<StateKey>,
    pub seal: Seal,
}

impl Volume {
    pub fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), log_cap_bytes: 64 * MEBIBYTE, state_key: None, seal: Seal::States }
    }

    pub fn with_key(key: StateKey) -> Self {
        Self { state_key: Some(key), ..Self::new() }
    }

    pub fn path(&self) -> &Path {
        self.root.path()
    }

    pub fn settings(&self) -> Settings {
        Settings {
            deployments_dir: self.path().join("deployments"),
            kubeconfigs_dir: self.path().join("kubeconfigs"),
            state_dir: self.path().join("state"),
            lock_wait: Duration::from_secs(5),
            log_cap_bytes: self.log_cap_bytes,
            state_key: self.state_key.clone(),
            seal: self.seal,
        }
    }

    pub fn try_open(&self) -> Result<Arc<FileStore>, OpenError> {
        FileStore::open(self.settings())
    }

    pub fn open(&self) -> Arc<FileStore> {
        self.try_open().unwrap()
    }

    pub fn deployments(&self, name: &str) -> PathBuf {
        self.settings().deployments_dir.join(name)
    }

    pub fn log(&self, id: &DeploymentId) -> PathBuf {
        self.deployments(&format!("{id}.log.jsonl"))
    }

    pub fn kubeconfig(&self, id: &DeploymentId) -> PathBuf {
        self.settings().kubeconfigs_dir.join(format!("{id}.yaml"))
    }

    /// Writes a file into the deployments folder as somebody else would.
    pub fn plant(&self, name: &str, content: &str) -> PathBuf {
        std::fs::create_dir_all(self.settings().deployments_dir).unwrap();
        let path = self.deployments(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

pub fn id(number: u64) -> DeploymentId {
    DeploymentId::from_bytes(number.to_be_bytes())
}

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + second).unwrap()
}

pub fn record(number: u64) -> Record {
    named(number, &format!("a{number}.example"))
}

pub fn named(number: u64, fqdn: &str) -> Record {
    let request = Request { sovereign_fqdn: fqdn.to_owned(), ..Request::default() };
    Record::new(NewRecord {
        id: id(number),
        request,
        kubeconfig_bearer_hash: sha256_hex(BEARER.as_bytes()),
        provider: ProviderRef { id: "rehearsal".into(), version: "0.1.0".into(), digest: "00".repeat(32) },
        at: at(i64::try_from(number).unwrap()),
    })
}

pub fn endpoints(host: &str) -> Endpoints {
    Endpoints {
        control_plane_ip: host.to_owned(),
        load_balancer_ip: host.to_owned(),
        kubeconfig_hosts: vec![host.to_owned()],
        console_url: String::new(),
    }
}

/// The outputs of a deployment are read.
pub async fn apply(store: &dyn Store, id: &DeploymentId, host: &str) {
    for fact in [Fact::ApplyBegan, Fact::Applied(endpoints(host))] {
        store.record(id, &fact, at(1)).await.unwrap();
    }
}

pub fn failed() -> Fact {
    Fact::Phase0Failed { error: "tofu apply: no quota".to_owned() }
}

pub fn entry(message: impl Into<String>) -> Entry {
    Entry::new(at(0), "tofu", Level::Info, message)
}

pub fn marker(phase: &str) -> Entry {
    Entry::new(at(0), phase, Level::Info, "begins")
}

/// A kubeconfig that differs by `token` only, laid out as k3s lays out its own.
pub fn kubeconfig(host: &str, token: &str) -> Vec<u8> {
    format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    server: https://{host}:6443\n  name: d\ncontexts:\n- context:\n    \
         cluster: d\n    user: d\n  name: d\ncurrent-context: d\nkind: Config\nusers:\n- name: d\n  user:\n    \
         token: {token}\n"
    )
    .into_bytes()
}

pub async fn read_all(store: &dyn Store, id: &DeploymentId) -> Vec<Numbered> {
    let mut all: Vec<Numbered> = Vec::new();
    loop {
        let more = store.read(id, all.len() as u64, 1000).await.unwrap();
        if more.is_empty() {
            return all;
        }
        all.extend(more);
    }
}

pub fn messages(entries: &[Numbered]) -> Vec<&str> {
    entries.iter().map(|numbered| numbered.entry.message.as_str()).collect()
}
