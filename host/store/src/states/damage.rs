//! Kept files that nobody can read any more: an empty or cut file, one that is no JSON, a folder in its place, one without the
//! right to read it. They are evidence and no gate, so they get a name under which nothing reads them, and what is kept
//! beside them counts.
//!
//! A state whose seal is broken is damaged as well: who could have changed the file could as well have removed it, so nothing is
//! gained by a refusal that only a person can end. What another key would open is not damaged, and neither is a plain state that
//! stands above encrypted ones, which no crash leaves: those are refused where they are read.

use super::{BLOB_BYTES, BUNDLE, READ_BUNDLE, READ_STATE, SUFFIX, States, version_name, versions};
use crate::folder::{Folder, is_of_the_file};
use crate::health::failed;
use crate::sealing::{self, Kind, SealFault};
use crate::{SetAside, StorageError};
use catalyst_domain::provider::Bundle;
use catalyst_domain::tofu_state::Head;
use std::io;

const SET_ASIDE: &str = "set aside what cannot be read";

impl States<'_> {
    /// Sets versions aside until the newest is one that can be read, or none is left.
    pub(crate) fn set_damaged_aside(&self) -> Result<Vec<SetAside>, StorageError> {
        let mut aside = Vec::new();
        let Some(folder) = self.existing().map_err(|error| failed(READ_STATE, &error))? else { return Ok(aside) };
        loop {
            let known = versions(&folder).map_err(|error| failed(READ_STATE, &error))?;
            let Some(newest) = known.last() else { return Ok(aside) };
            let read = self.read_kept(&folder, &version_name(*newest), Kind::State(*newest));
            let Some(why) = damage(read.map_err(|error| failed(READ_STATE, &error))?, state_fault) else {
                return Ok(aside);
            };
            aside.push(self.set_aside(&folder, &version_name(*newest), why)?);
        }
    }

    /// Sets the bundle aside where it cannot be read.
    pub(crate) fn set_damaged_bundle_aside(&self) -> Result<Option<SetAside>, StorageError> {
        let Some(folder) = self.existing().map_err(|error| failed(READ_BUNDLE, &error))? else { return Ok(None) };
        let read = self.read_kept(&folder, BUNDLE, Kind::Bundle).map_err(|error| failed(READ_BUNDLE, &error))?;
        damage(read, bundle_fault).map(|why| self.set_aside(&folder, BUNDLE, why)).transpose()
    }

    /// Whether a state was set aside.
    pub(crate) fn has_aside(&self) -> Result<bool, StorageError> {
        let read = || self.existing()?.map_or(Ok(false), |folder| folder.has_aside(|name| name.ends_with(SUFFIX)));
        read().map_err(|error| failed(READ_STATE, &error))
    }

    /// Removes all that was set aside: nothing of the deployment is left that it could tell of.
    pub(crate) fn discard_aside(&self) {
        let discard = || self.existing()?.map_or(Ok(()), |folder| folder.discard_aside(|_| true));
        if let Err(error) = discard() {
            tracing::warn!(deployment.id = %self.id, %error, "files that were set aside stay");
        }
    }

    fn set_aside(&self, folder: &Folder, name: &str, why: String) -> Result<SetAside, StorageError> {
        self.health.check()?;
        let file = self.health.judge(SET_ASIDE, folder.set_aside(name))?;
        Ok(SetAside { file: format!("{}/{file}", self.id), why })
    }

    /// The text of a file, or why there is none. A disk that does not answer is an error: the file may be whole.
    fn read_kept(&self, folder: &Folder, name: &str, kind: Kind) -> io::Result<ReadKept> {
        let bytes = match folder.read(name, BLOB_BYTES + sealing::ADDED_BYTES) {
            Ok(None) => return Ok(ReadKept::None),
            Ok(Some(bytes)) => bytes,
            Err(error) if is_of_the_file(&error) => return Ok(ReadKept::Damaged(error.to_string())),
            Err(error) => return Err(error),
        };
        Ok(match self.sealer.opened(kind, self.id, bytes) {
            Ok(text) => ReadKept::Text(text),
            Err(fault @ SealFault::Broken) => ReadKept::Damaged(fault.to_string()),
            Err(_) => ReadKept::Closed,
        })
    }
}

enum ReadKept {
    /// It is not there.
    None,
    /// The key for its seal is not here: that is refused where it is read.
    Closed,
    Text(Vec<u8>),
    Damaged(String),
}

fn damage(read: ReadKept, fault: impl Fn(&[u8]) -> Option<String>) -> Option<String> {
    match read {
        ReadKept::None | ReadKept::Closed => None,
        ReadKept::Damaged(why) => Some(why),
        ReadKept::Text(text) if text.trim_ascii().is_empty() => Some("it is empty".to_owned()),
        ReadKept::Text(text) => fault(&text),
    }
}

fn state_fault(text: &[u8]) -> Option<String> {
    Head::of(text).err().map(|why| format!("it is {why}"))
}

fn bundle_fault(text: &[u8]) -> Option<String> {
    let read: Result<Bundle, _> = serde_json::from_slice(text);
    read.err().map(|error| format!("it is no bundle, from line {} on", error.line()))
}
