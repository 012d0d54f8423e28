//! OpenTofu's state, its lock and the rendered bundle: one folder per deployment.
//!
//! A state is never overwritten: each write is a new file with the next number, and the highest number counts.

use crate::folder::Folder;
use crate::health::{Health, failed};
use crate::{StateError, StorageError};
use catalyst_domain::DeploymentId;
use serde::Deserialize;
use std::io;

/// Earlier states that are kept: enough to go back behind a bad apply and its retries.
const VERSIONS_KEPT: u64 = 10;
/// Largest state or bundle in bytes. A cluster's state is some 100 kB; what is larger is not one of ours.
const BLOB_BYTES: u64 = 64 * 1024 * 1024;
/// Largest lock info in bytes. OpenTofu's has some 300.
const INFO_BYTES: u64 = 64 * 1024;

const LOCK: &str = "lock.json";
const BUNDLE: &str = "bundle.json";
const SUFFIX: &str = ".tfstate";

const READ_STATE: &str = "read the OpenTofu state";
const WRITE_STATE: &str = "write the OpenTofu state";
const LOCK_STATE: &str = "lock the OpenTofu state";
const UNLOCK_STATE: &str = "unlock the OpenTofu state";
const READ_BUNDLE: &str = "read the bundle";
const WRITE_BUNDLE: &str = "write the bundle";

/// The folder of one deployment. The caller holds that deployment's lock.
#[derive(Debug)]
pub(crate) struct States<'a> {
    root: &'a Folder,
    id: &'a DeploymentId,
    health: &'a Health,
}

#[derive(Deserialize)]
struct LockInfo {
    #[serde(rename = "ID")]
    id: String,
}

#[derive(Deserialize)]
struct StateText {
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(default)]
    mode: String,
}

impl<'a> States<'a> {
    pub(crate) fn new(root: &'a Folder, id: &'a DeploymentId, health: &'a Health) -> Self {
        Self { root, id, health }
    }

    /// The newest state.
    pub(crate) fn state(&self) -> Result<Option<Vec<u8>>, StorageError> {
        let read = || {
            let Some(folder) = self.existing()? else { return Ok(None) };
            match versions(&folder)?.last() {
                Some(newest) => folder.read(&version_name(*newest), BLOB_BYTES),
                None => Ok(None),
            }
        };
        read().map_err(|error| failed(READ_STATE, &error))
    }

    /// Whether nothing is in the state and nobody is about to change that.
    pub(crate) fn is_empty(&self) -> Result<bool, StorageError> {
        if self.holder(READ_STATE)?.is_some() {
            return Ok(false);
        }
        let Some(state) = self.state()? else { return Ok(true) };
        if state.is_empty() {
            return Ok(true);
        }
        // What cannot be read (a later format, an encrypted state) may name anything.
        let text: Option<StateText> = serde_json::from_slice(&state).ok();
        Ok(text.is_some_and(|text| text.resources.iter().all(|resource| resource.mode == "data")))
    }

    /// Writes a new version, and removes the oldest.
    pub(crate) fn put_state(&self, state: &[u8], lock: Option<&str>) -> Result<(), StateError> {
        match (self.holder(WRITE_STATE).map_err(StateError::Storage)?, lock) {
            (Some((holder, _)), Some(id)) if holder == id => {}
            (Some((_, info)), _) => return Err(StateError::Locked { info }),
            (None, Some(_)) => return Err(StateError::NotLocked),
            (None, None) => {}
        }
        self.write_state(state).map_err(StateError::Storage)
    }

    /// Takes the lock. Who asks again with the id that holds it has it: an answer was lost.
    pub(crate) fn lock(&self, info: &[u8]) -> Result<(), StateError> {
        let refuse = |why: &str| StateError::Storage(StorageError { doing: LOCK_STATE, why: why.to_owned() });
        if info.len() as u64 > INFO_BYTES {
            return Err(refuse("the lock info is too long"));
        }
        let new: LockInfo = serde_json::from_slice(info).map_err(|_| refuse("the lock info is no JSON with an ID"))?;
        match self.holder(LOCK_STATE).map_err(StateError::Storage)? {
            Some((holder, _)) if holder == new.id => Ok(()),
            Some((_, info)) => Err(StateError::Locked { info }),
            None => self.write(LOCK_STATE, LOCK, info).map_err(StateError::Storage),
        }
    }

    /// Gives the lock back; `None` forces it.
    pub(crate) fn unlock(&self, lock: Option<&str>) -> Result<(), StateError> {
        // Forcing must also help when the info cannot be read.
        if let Some(id) = lock {
            match self.holder(UNLOCK_STATE).map_err(StateError::Storage)? {
                Some((holder, _)) if holder == id => {}
                Some((_, info)) => return Err(StateError::Locked { info }),
                None => return Err(StateError::NotLocked),
            }
        }
        self.remove_lock().map_err(StateError::Storage)
    }

    pub(crate) fn put_bundle(&self, bundle: &[u8]) -> Result<(), StorageError> {
        check_length(WRITE_BUNDLE, bundle)?;
        self.write(WRITE_BUNDLE, BUNDLE, bundle)
    }

    pub(crate) fn bundle(&self) -> Result<Option<Vec<u8>>, StorageError> {
        let read = || match self.existing()? {
            Some(folder) => folder.read(BUNDLE, BLOB_BYTES),
            None => Ok(None),
        };
        read().map_err(|error| failed(READ_BUNDLE, &error))
    }

    fn write_state(&self, state: &[u8]) -> Result<(), StorageError> {
        check_length(WRITE_STATE, state)?;
        self.health.check()?;
        let folder = self.folder(WRITE_STATE)?;
        let known = versions(&folder).map_err(|error| failed(WRITE_STATE, &error))?;
        let next = known.last().map_or(1, |newest| newest + 1);
        self.health.judge(WRITE_STATE, folder.replace(&version_name(next), state))?;
        for old in known.iter().filter(|old| **old + VERSIONS_KEPT <= next) {
            folder.discard(&version_name(*old));
        }
        if let Err(error) = folder.sweep(|_| true) {
            tracing::warn!(deployment.id = %self.id, %error, "temporary state files could not be looked for");
        }
        Ok(())
    }

    fn write(&self, doing: &'static str, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        self.health.check()?;
        let folder = self.folder(doing)?;
        self.health.judge(doing, folder.replace(name, bytes))
    }

    fn remove_lock(&self) -> Result<(), StorageError> {
        self.health.check()?;
        match self.existing().map_err(|error| failed(UNLOCK_STATE, &error))? {
            Some(folder) => self.health.judge(UNLOCK_STATE, folder.remove(LOCK)),
            None => Ok(()),
        }
    }

    // Id and info of the holder.
    fn holder(&self, doing: &'static str) -> Result<Option<(String, Vec<u8>)>, StorageError> {
        let read = || match self.existing()? {
            Some(folder) => folder.read(LOCK, INFO_BYTES),
            None => Ok(None),
        };
        let Some(info) = read().map_err(|error| failed(doing, &error))? else { return Ok(None) };
        // A lock that cannot be read is still a lock; no id fits it, so only force takes it away.
        let id = serde_json::from_slice::<LockInfo>(&info).map(|info| info.id).unwrap_or_default();
        Ok(Some((id, info)))
    }

    fn folder(&self, doing: &'static str) -> Result<Folder, StorageError> {
        Folder::inside(self.root.dir(), self.id.as_str()).map_err(|fault| self.health.fault(doing, &fault))
    }

    fn existing(&self) -> io::Result<Option<Folder>> {
        match self.root.dir().open_dir(self.id.as_str()) {
            Ok(dir) => Folder::new(dir).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn check_length(doing: &'static str, bytes: &[u8]) -> Result<(), StorageError> {
    if bytes.len() as u64 <= BLOB_BYTES {
        return Ok(());
    }
    Err(StorageError { doing, why: format!("it has more than {BLOB_BYTES} bytes") })
}

fn version_name(number: u64) -> String {
    format!("{number:08}{SUFFIX}")
}

// In rising order.
fn versions(folder: &Folder) -> io::Result<Vec<u64>> {
    let names = folder.names()?;
    let mut numbers: Vec<u64> =
        names.iter().filter_map(|name| name.strip_suffix(SUFFIX)).filter_map(|number| number.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}
