//! OpenTofu's state, its lock and the rendered bundle: one folder per deployment.
//!
//! A state is never overwritten: each write is a new file with the next number, and the highest number counts. With a
//! key each new version is sealed; the ones from before are still read. A bundle is sealed where all is.

mod damage;

use crate::folder::{Folder, WriteFault, is_of_the_file};
use crate::health::{Health, failed};
use crate::sealing::{self, Kind, SealFault, Sealer, StateKey};
use crate::{StateError, StorageError};
use catalyst_domain::{DeploymentId, tofu_state};
use serde::Deserialize;
use std::collections::BTreeSet;
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
const FORGET_STATES: &str = "remove older OpenTofu states";
const READ_BUNDLE: &str = "read the bundle";
const WRITE_BUNDLE: &str = "write the bundle";

/// The folder of one deployment. The caller holds that deployment's lock.
#[derive(Debug)]
pub(crate) struct States<'a> {
    root: &'a Folder,
    id: &'a DeploymentId,
    health: &'a Health,
    sealer: &'a Sealer,
}

#[derive(Deserialize)]
struct LockInfo {
    #[serde(rename = "ID")]
    id: String,
}

impl<'a> States<'a> {
    pub(crate) fn new(root: &'a Folder, id: &'a DeploymentId, health: &'a Health, sealer: &'a Sealer) -> Self {
        Self { root, id, health, sealer }
    }

    /// The newest state. One that cannot be opened is an error: an older one would hide what was created since.
    pub(crate) fn state(&self) -> Result<Option<Vec<u8>>, StorageError> {
        let failed = |error| failed(READ_STATE, &error);
        let Some(folder) = self.existing().map_err(failed)? else { return Ok(None) };
        let known = versions(&folder).map_err(failed)?;
        let Some((newest, older)) = known.split_last() else { return Ok(None) };
        let limit = BLOB_BYTES + sealing::ADDED_BYTES;
        let read = folder.read(&version_name(*newest), limit);
        let Some(bytes) = read.map_err(|error| self.unread(READ_STATE, *newest, &error))? else { return Ok(None) };
        if self.sealer.key().is_some() && !sealing::is_sealed(&bytes) {
            self.plain_is_genuine(&folder, *newest, &bytes, older)?;
        }
        let opened = self.sealer.opened(Kind::State(*newest), self.id, bytes);
        opened.map(Some).map_err(|fault| self.sealed_off(READ_STATE, *newest, fault))
    }

    /// Whether nothing is in the state and nobody is about to change that.
    pub(crate) fn is_empty(&self) -> Result<bool, StorageError> {
        if self.holder(READ_STATE)?.is_some() {
            return Ok(false);
        }
        let Some(state) = self.state()? else { return Ok(true) };
        Ok(tofu_state::is_empty(&state))
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
        // Also where the file is there already: whether it stays is unknown after a failed sync.
        self.health.check().map_err(StateError::Storage)?;
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
        let closed = self.sealer.closed(Kind::Bundle, self.id, bundle);
        let closed = closed.map_err(|fault| StorageError { doing: WRITE_BUNDLE, why: fault.to_string() })?;
        self.write(WRITE_BUNDLE, BUNDLE, &closed)
    }

    pub(crate) fn bundle(&self) -> Result<Option<Vec<u8>>, StorageError> {
        let read = || match self.existing()? {
            Some(folder) => folder.read(BUNDLE, BLOB_BYTES + sealing::ADDED_BYTES),
            None => Ok(None),
        };
        let Some(bytes) = read().map_err(|error| failed(READ_BUNDLE, &error))? else { return Ok(None) };
        let opened = self.sealer.opened(Kind::Bundle, self.id, bytes);
        opened.map(Some).map_err(|fault| self.closed_off(READ_BUNDLE, BUNDLE, fault))
    }

    fn write_state(&self, state: &[u8]) -> Result<(), StorageError> {
        check_length(WRITE_STATE, state)?;
        self.health.check()?;
        let folder = self.folder(WRITE_STATE)?;
        let known = versions(&folder).map_err(|error| failed(WRITE_STATE, &error))?;
        if let Some(newest) = known.last() {
            self.goes_on(&folder, *newest)?;
        }
        let next = known.last().map_or(1, |newest| newest + 1);
        let sealed = self.sealer.key().map(|key| key.seal(Kind::State(next), self.id, state)).transpose();
        let sealed = sealed.map_err(|fault| self.sealed_off(WRITE_STATE, next, fault))?;
        let bytes = sealed.as_deref().unwrap_or(state);
        self.health.judge(WRITE_STATE, folder.replace(&version_name(next), bytes))?;
        for old in known.iter().filter(|old| **old + VERSIONS_KEPT <= next) {
            folder.discard(&version_name(*old));
        }
        if let Some(key) = self.sealer.key() {
            let kept = known.iter().filter(|old| **old + VERSIONS_KEPT > next);
            kept.for_each(|old| {
                if let Err(error) = self.seal_version(&folder, *old, key) {
                    tracing::warn!(deployment.id = %self.id, version = old, %error, "an earlier state stays unencrypted");
                }
            });
        }
        self.sweep(&folder);
        Ok(())
    }

    /// Removes every version but the newest: they hold what servers were given, and nothing of them is there any more.
    pub(crate) fn forget_older(&self) -> Result<(), StorageError> {
        self.health.check()?;
        let Some(folder) = self.existing().map_err(|error| failed(FORGET_STATES, &error))? else { return Ok(()) };
        let known = versions(&folder).map_err(|error| failed(FORGET_STATES, &error))?;
        let Some((_, older)) = known.split_last() else { return Ok(()) };
        for old in older {
            self.health.judge(FORGET_STATES, folder.remove(&version_name(*old)))?;
        }
        Ok(())
    }

    // What a killed process left. Here and not at start, which reads no folder of states.
    fn sweep(&self, folder: &Folder) {
        if let Err(error) = folder.sweep(|_| true) {
            tracing::warn!(deployment.id = %self.id, %error, "temporary files could not be looked for");
        }
    }

    // A key that came later covers what is kept from before as well. A version that cannot be sealed stays as it is. Whether
    // there was something to seal.
    fn seal_version(&self, folder: &Folder, version: u64, key: &StateKey) -> io::Result<bool> {
        self.seal_file(folder, &version_name(version), |plain| key.seal(Kind::State(version), self.id, plain))
    }

    fn seal_file(
        &self,
        folder: &Folder,
        name: &str,
        seal: impl FnOnce(&[u8]) -> Result<Vec<u8>, SealFault>,
    ) -> io::Result<bool> {
        if folder.seal_of(name)?.is_some() {
            return Ok(false);
        }
        let Some(plain) = folder.read(name, BLOB_BYTES)? else { return Ok(false) };
        let sealed = seal(&plain).map_err(io::Error::other)?;
        folder.replace(name, &sealed).map_err(|fault| {
            if let WriteFault::Unknown(_) = fault {
                self.health.fault(WRITE_STATE, &fault);
            }
            fault.into_reason()
        })?;
        Ok(true)
    }

    /// Seals the bundle and every version that is plain yet, where all is to be sealed; how many files that were.
    pub(crate) fn seal_kept(&self) -> io::Result<usize> {
        let Some(key) = self.sealer.key_for_all() else { return Ok(0) };
        let Some(folder) = self.existing()? else { return Ok(0) };
        // A temporary file of an interrupted write may hold what was to be plain.
        self.sweep(&folder);
        let mut sealed = 0;
        // The newest first: a plain version above a sealed one would not pass as genuine.
        let known = versions(&folder)?;
        let mut forged = None;
        for (at, version) in known.iter().enumerate().rev() {
            match self.may_be_sealed(&folder, *version, &known[..at]) {
                Ok(()) => sealed += usize::from(self.seal_version(&folder, *version, key)?),
                Err(error) => forged = Some(error),
            }
        }
        let bundle = self.seal_file(&folder, BUNDLE, |plain| key.seal(Kind::Bundle, self.id, plain))?;
        match forged {
            Some(error) => Err(io::Error::other(error)),
            None => Ok(sealed + usize::from(bundle)),
        }
    }

    // Sealed it would be genuine for ever.
    fn may_be_sealed(&self, folder: &Folder, version: u64, older: &[u64]) -> Result<(), StorageError> {
        match folder.read(&version_name(version), BLOB_BYTES + sealing::ADDED_BYTES) {
            Ok(Some(bytes)) if !sealing::is_sealed(&bytes) => self.plain_is_genuine(folder, version, &bytes, older),
            Ok(_) => Ok(()),
            Err(error) => Err(self.unread(READ_STATE, version, &error)),
        }
    }

    // A sealed state is never followed by a plain one or by one under another key: who has no key could not have read it.
    fn goes_on(&self, folder: &Folder, newest: u64) -> Result<(), StorageError> {
        let sealed_with = folder.seal_of(&version_name(newest));
        let sealed_with = sealed_with.map_err(|error| self.unread(WRITE_STATE, newest, &error))?;
        let fault = match (sealed_with, self.sealer.key()) {
            (None, _) => return Ok(()),
            (Some(mark), Some(key)) if mark == key.mark() => return Ok(()),
            (Some(_), Some(_)) => SealFault::OtherKey,
            (Some(_), None) => SealFault::NoKey,
        };
        Err(self.sealed_off(WRITE_STATE, newest, fault))
    }

    // Plain versions are from before the key, so none can come after a sealed one, and all are JSON.
    fn plain_is_genuine(&self, folder: &Folder, newest: u64, bytes: &[u8], older: &[u64]) -> Result<(), StorageError> {
        let text = bytes.trim_ascii_start();
        if !text.is_empty() && !text.starts_with(b"{") {
            return Err(self.sealed_off(READ_STATE, newest, SealFault::Broken));
        }
        for version in older {
            match folder.seal_of(&version_name(*version)) {
                Ok(None) => {}
                Ok(Some(_)) => return Err(self.sealed_off(READ_STATE, newest, SealFault::Broken)),
                // What cannot be read says nothing of the newest, which would be refused for ever.
                Err(error) if is_of_the_file(&error) => {}
                Err(error) => return Err(self.unread(READ_STATE, *version, &error)),
            }
        }
        Ok(())
    }

    fn write(&self, doing: &'static str, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        self.health.check()?;
        let folder = self.folder(doing)?;
        self.health.judge(doing, folder.replace(name, bytes))?;
        self.sweep(&folder);
        Ok(())
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

    /// A version that cannot be read, by its name where the fault is its own.
    fn unread(&self, doing: &'static str, version: u64, error: &io::Error) -> StorageError {
        let StorageError { why, .. } = failed(doing, error);
        let name = version_name(version);
        let why = if is_of_the_file(error) { format!("{}: {why}", self.file(&name)) } else { why };
        StorageError { doing, why }
    }

    fn sealed_off(&self, doing: &'static str, version: u64, fault: SealFault) -> StorageError {
        self.closed_off(doing, &version_name(version), fault)
    }

    /// A file whose seal does not open, with what helps.
    fn closed_off(&self, doing: &'static str, name: &str, fault: SealFault) -> StorageError {
        let advice = match fault {
            SealFault::NoKey | SealFault::OtherKey => "; start the host with the key that it was encrypted with",
            SealFault::Broken => "; look at it and move it away, then what was kept before it counts",
            SealFault::NoRandomness => "",
        };
        StorageError { doing, why: format!("{}: {fault}{advice}", self.file(name)) }
    }

    fn file(&self, name: &str) -> String {
        format!("{}/{name} in the folder of states (CATALYST_STATE_DIR)", self.id)
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

/// The deployments whose newest state or whose bundle is sealed with a key that is not `key`.
pub(crate) fn sealed_otherwise(root: &Folder, key: Option<&StateKey>) -> io::Result<BTreeSet<String>> {
    let mut closed = BTreeSet::new();
    for entry in root.dir().entries()? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let folder = Folder::new(entry.open_dir()?)?;
        let newest = versions(&folder)?.pop().map(version_name);
        for name in newest.iter().map(String::as_str).chain([BUNDLE]) {
            let id = entry.file_name().to_string_lossy().into_owned();
            match folder.seal_of(name) {
                Ok(mark) if mark.is_some() && mark != key.map(StateKey::mark) => drop(closed.insert(id)),
                Ok(_) => {}
                // The other deployments are looked at all the same; this one is when it is taken up.
                Err(error) => tracing::warn!(deployment.id = id, file = name, %error, "a kept file cannot be read"),
            }
        }
    }
    Ok(closed)
}

fn version_name(number: u64) -> String {
    format!("{number:08}{SUFFIX}")
}

// In rising order, whatever lies under such a name: a version that cannot be read hides what it was the newest to tell.
fn versions(folder: &Folder) -> io::Result<Vec<u64>> {
    let names = folder.all_names()?;
    let mut numbers: Vec<u64> =
        names.iter().filter_map(|name| name.strip_suffix(SUFFIX)).filter_map(|number| number.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}
