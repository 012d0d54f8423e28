//! The secrets of interrupted runs, for their retry or destroy. They are on disk only sealed, one file for each deployment.

use crate::StorageError;
use crate::folder::Folder;
use crate::health::{Health, failed};
use crate::sealing::{self, Kind, Sealer};
use catalyst_domain::{DeploymentId, SecretValue, Secrets, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use zeroize::Zeroizing;

/// In the folder of states; no deployment's id has this form.
const FOLDER: &str = "run-secrets";
const SUFFIX: &str = ".sealed";
/// Largest file in bytes: some credentials, each of which came with a request of 1 MiB at most.
const LIMIT: u64 = 4 * 1024 * 1024;

const READ: &str = "read the secrets of an interrupted run";
const WRITE: &str = "seal the secrets of an interrupted run";
const REMOVE: &str = "remove the secrets of an interrupted run";

/// What a run had that did not come to its end.
#[derive(Debug, Clone)]
pub struct RunSecrets {
    /// Its secrets.
    pub secrets: Secrets,
    /// When it ended, from which on the time counts after which they are forgotten.
    pub ended_at: Timestamp,
}

/// What became of secrets that were to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunSecretsKept {
    /// They are on disk, sealed.
    Sealed,
    /// There is no key, so nothing was written.
    NoKey,
}

/// The folder of sealed secrets.
#[derive(Debug)]
pub(crate) struct SecretsFolder<'a> {
    states: &'a Folder,
    health: &'a Health,
    sealer: &'a Sealer,
}

#[derive(Serialize)]
struct Written<'a> {
    ended_at: Timestamp,
    secrets: BTreeMap<&'a str, &'a str>,
}

#[derive(Deserialize)]
struct Read {
    ended_at: Timestamp,
    secrets: BTreeMap<String, String>,
}

impl<'a> SecretsFolder<'a> {
    pub(crate) fn new(states: &'a Folder, health: &'a Health, sealer: &'a Sealer) -> Self {
        Self { states, health, sealer }
    }

    /// Replaces what is kept of a deployment.
    pub(crate) fn put(&self, id: &DeploymentId, kept: &RunSecrets) -> Result<RunSecretsKept, StorageError> {
        let Some(key) = self.sealer.key() else { return Ok(RunSecretsKept::NoKey) };
        self.health.check()?;
        let refused = |why: String| StorageError { doing: WRITE, why };
        let text = encode(kept).map_err(|error| refused(error.to_string()))?;
        if text.len() as u64 > LIMIT {
            return Err(refused(format!("they have more than {LIMIT} bytes")));
        }
        let sealed = key.seal(Kind::RunSecrets, id, &text).map_err(|fault| refused(fault.to_string()))?;
        let folder = Folder::inside(self.states.dir(), FOLDER).map_err(|fault| self.health.fault(WRITE, &fault))?;
        self.health.judge(WRITE, folder.replace(&name_of(id), &sealed))?;
        if let Err(error) = folder.sweep(|name| name.starts_with(id.as_str())) {
            tracing::warn!(deployment.id = %id, %error, "temporary files could not be looked for");
        }
        Ok(RunSecretsKept::Sealed)
    }

    /// What is kept of a deployment. What cannot be opened counts as gone and is reported.
    pub(crate) fn get(&self, id: &DeploymentId) -> Result<Option<RunSecrets>, StorageError> {
        match self.read(id)? {
            None => Ok(None),
            Some(Ok(kept)) => Ok(Some(kept)),
            Some(Err(why)) => {
                // They are asked for with a retry or a destroy, as when they were never kept.
                let text = "the sealed secrets of an interrupted run cannot be opened and count as gone";
                tracing::warn!(deployment.id = %id, why, "{text}");
                Ok(None)
            }
        }
    }

    // The file, opened, or why it cannot be.
    fn read(&self, id: &DeploymentId) -> Result<Option<Result<RunSecrets, String>>, StorageError> {
        let read = || match self.existing()? {
            Some(folder) => folder.read(&name_of(id), LIMIT + sealing::ADDED_BYTES),
            None => Ok(None),
        };
        let bytes = match read() {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(Some(Err(error.to_string()))),
            Err(error) => return Err(failed(READ, &error)),
        };
        if !sealing::is_sealed(&bytes) {
            return Ok(Some(Err("it is not sealed".to_owned())));
        }
        let opened = self.sealer.opened(Kind::RunSecrets, id, bytes).map(Zeroizing::new);
        let kept = opened.map_err(|fault| fault.to_string()).and_then(|text| decode(&text));
        Ok(Some(kept))
    }

    /// Removes what is kept of a deployment, if anything is.
    pub(crate) fn forget(&self, id: &DeploymentId) -> Result<(), StorageError> {
        let Some(folder) = self.existing().map_err(|error| failed(REMOVE, &error))? else { return Ok(()) };
        self.health.judge(REMOVE, folder.remove(&name_of(id)))
    }

    /// The deployments of which something is kept, and when their runs ended; for what cannot be opened, when it was written.
    pub(crate) fn kept(&self) -> Result<Vec<(DeploymentId, Timestamp)>, StorageError> {
        let unread = |error: io::Error| failed(READ, &error);
        let Some(folder) = self.existing().map_err(unread)? else { return Ok(Vec::new()) };
        let names = folder.names().map_err(unread)?;
        let ids = names.iter().filter_map(|name| DeploymentId::parse(name.strip_suffix(SUFFIX)?).ok());
        let mut kept = Vec::new();
        for id in ids {
            let ended_at = match self.read(&id) {
                Ok(Some(Ok(found))) => Some(found.ended_at),
                _ => written_at(&folder, &id),
            };
            kept.extend(ended_at.map(|ended_at| (id, ended_at)));
        }
        Ok(kept)
    }

    fn existing(&self) -> io::Result<Option<Folder>> {
        match self.states.dir().open_dir(FOLDER) {
            Ok(dir) => Folder::new(dir).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn name_of(id: &DeploymentId) -> String {
    format!("{id}{SUFFIX}")
}

fn written_at(folder: &Folder, id: &DeploymentId) -> Option<Timestamp> {
    let modified = folder.dir().metadata(name_of(id)).ok()?.modified().ok()?;
    Timestamp::try_from(modified.into_std()).ok()
}

// In one buffer of the right size: growing would leave copies of secrets in freed memory.
fn encode(kept: &RunSecrets) -> serde_json::Result<Zeroizing<Vec<u8>>> {
    let names = kept.secrets.names();
    let pairs = names.iter().filter_map(|name| Some((name.as_str(), kept.secrets.get(name)?.expose())));
    let written = Written { ended_at: kept.ended_at, secrets: pairs.collect() };
    // JSON writes a byte as six at most.
    let size = written.secrets.iter().map(|(name, value)| 6 * (name.len() + value.len()) + 8).sum::<usize>();
    let mut text = Zeroizing::new(Vec::with_capacity(size + 128));
    serde_json::to_writer(&mut *text, &written)?;
    Ok(text)
}

// The parser's own words may repeat a value.
fn decode(text: &[u8]) -> Result<RunSecrets, String> {
    let read: Read = serde_json::from_slice(text).map_err(|_| "it holds no secrets in a known form".to_owned())?;
    let mut secrets = Secrets::default();
    read.secrets.into_iter().for_each(|(name, value)| secrets.insert(name, SecretValue::new(value)));
    Ok(RunSecrets { secrets, ended_at: read.ended_at })
}
