//! A record as somebody left it on the disk: it is taken or left out, and one that is taken is written as it was read.

use crate::fuzz::{Pure, Random, Target, Verdict};
use crate::storage::plain_settings;
use catalyst_domain::record::{NewRecord, ProviderRef};
use catalyst_domain::{DeploymentId, Record, Request, Timestamp};
use catalyst_store::{FileStore, Store};
use std::path::PathBuf;
use std::sync::Arc;

const PIECES: &[&str] = &[
    "\"status\":\"ready\"",
    "\"status\":\"failed\"",
    "\"schema\":1",
    "\"schema\":2",
    "\"id\":\"",
    "null",
    "\"events\":[]",
    "\"events\":null",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "0",
    "-1",
    "1e400",
    "\"startedAt\":\"2026-01-01T00:00:00Z\"",
    "0001-01-01T00:00:00Z",
    "\"kubeconfigHosts\":[\"a\"]",
    "\"result\":{}",
    "<redacted>",
    "\\ud800",
    "\u{e4}",
    "\0",
];

pub(super) fn target() -> anyhow::Result<Box<dyn Target>> {
    Ok(Box::new(Pure { name: "record-json", dictionary: PIECES, generate, check }))
}

/// A volume that lives as long as one input; in memory where the machine has such a folder, because a start syncs.
pub(super) struct Volume(tempfile::TempDir);

impl Volume {
    pub(super) fn new() -> Self {
        let memory = std::path::Path::new("/dev/shm");
        let made = if memory.is_dir() {
            tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir())
        } else {
            tempfile::tempdir()
        };
        Self(made.unwrap_or_else(|error| panic!("no folder for a volume: {error}")))
    }

    pub(super) fn deployments(&self) -> PathBuf {
        self.0.path().join("deployments")
    }

    pub(super) fn plant(&self, name: &str, content: &[u8]) {
        std::fs::create_dir_all(self.deployments()).unwrap();
        std::fs::write(self.deployments().join(name), content).unwrap();
    }

    pub(super) fn open(&self) -> Arc<FileStore> {
        FileStore::open(plain_settings(self.0.path())).unwrap()
    }
}

/// A deployment that was just made.
pub(super) fn record() -> Record {
    Record::new(NewRecord {
        id: DeploymentId::from_bytes([7; 8]),
        request: Request { sovereign_fqdn: "a.example".to_owned(), ..Request::default() },
        kubeconfig_bearer_hash: "0".repeat(64),
        provider: ProviderRef { id: "rehearsal".into(), version: "0.1.0".into(), digest: "0".repeat(64) },
        at: Timestamp::UNIX_EPOCH,
    })
}

fn generate(random: &mut Random) -> Vec<u8> {
    let mut value = serde_json::to_value(record()).unwrap_or_default();
    for _ in 0..random.below(4) {
        let Some(map) = value.as_object_mut() else { break };
        let keys: Vec<String> = map.keys().cloned().collect();
        let key = if random.one_in(3) {
            random.pick(&["events", "result", "error", "dns", "child", "x", "readTokens"]).to_owned()
        } else {
            keys[random.below(keys.len())].clone()
        };
        let odd = [
            serde_json::Value::Null,
            0.into(),
            "".into(),
            "x".into(),
            serde_json::json!([]),
            serde_json::json!({}),
            serde_json::json!([null]),
            true.into(),
            serde_json::json!({"a": "<redacted>"}),
            (-1).into(),
            1e300.into(),
        ];
        map.insert(key, odd[random.below(odd.len())].clone());
    }
    serde_json::to_vec_pretty(&value).unwrap_or_default()
}

fn check(input: &[u8]) -> Verdict {
    let id = DeploymentId::from_bytes([7; 8]);
    let volume = Volume::new();
    volume.plant(&format!("{id}.json"), input);
    let Some(taken) = volume.open().get(&id) else { return Verdict::Holds("left out".to_owned()) };
    let written = serde_json::to_vec(&*taken).unwrap_or_default();
    let other = Volume::new();
    other.plant(&format!("{id}.json"), &written);
    match other.open().get(&id) {
        Some(again) if again == taken => Verdict::Holds(format!("taken as {}", taken.status)),
        Some(_) => Verdict::Broken("written and read again it is another record".to_owned()),
        None => Verdict::Broken("what is written is left out at the next start".to_owned()),
    }
}
