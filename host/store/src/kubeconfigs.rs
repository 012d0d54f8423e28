//! The folder of kubeconfigs.
//!
//! It is opened for every use, so that a folder that was unusable at start, or was put in place since, needs no restart.
//! Where all is sealed each file is; what was kept from before is read as well.

use crate::folder::{Folder, WriteFault};
use crate::sealing::{self, Kind, SealFault, Sealer, StateKey};
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use catalyst_domain::kubeconfig::MAX_BYTES;
use catalyst_domain::{DeploymentId, Record};
use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Where kubeconfigs are.
#[derive(Debug)]
pub(crate) struct Kubeconfigs {
    parent_path: PathBuf,
    name: OsString,
    sealer: Sealer,
    parent: Mutex<Option<Dir>>,
}

/// Why a kubeconfig was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadFault {
    /// The disk did not give it out.
    #[error(transparent)]
    Disk(#[from] io::Error),
    /// It is there and cannot be opened.
    #[error(transparent)]
    Sealed(SealFault),
}

impl Kubeconfigs {
    /// Nothing is opened yet; a path without a last name is refused.
    pub(crate) fn new(path: &Path, sealer: Sealer) -> io::Result<Self> {
        // A link of the operator's leads out of the parent, where a `Dir` does not follow.
        let path = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path))?;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the root folder cannot hold kubeconfigs"));
        };
        Ok(Self { parent_path: parent.to_owned(), name: name.to_owned(), sealer, parent: Mutex::default() })
    }

    /// Opens the folder; it is created where it is missing.
    pub(crate) fn open(&self) -> Result<Folder, WriteFault> {
        Folder::inside(&self.parent().map_err(WriteFault::Unchanged)?, &self.name)
    }

    /// The stored kubeconfig of a record; `None` when it is missing.
    pub(crate) fn read(&self, record: &Record) -> Result<Option<Vec<u8>>, ReadFault> {
        file_of(record).map_or(Ok(None), |name| self.read_file(&record.id, &name))
    }

    fn read_file(&self, id: &DeploymentId, name: &str) -> Result<Option<Vec<u8>>, ReadFault> {
        let Some(folder) = self.existing()? else { return Ok(None) };
        let Some(bytes) = folder.read(name, MAX_BYTES as u64 + sealing::ADDED_BYTES)? else { return Ok(None) };
        self.sealer.opened(Kind::Kubeconfig, id, bytes).map(Some).map_err(ReadFault::Sealed)
    }

    fn existing(&self) -> io::Result<Option<Folder>> {
        match self.parent()?.open_dir(&self.name) {
            Ok(dir) => Folder::new(dir).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Seals what is kept of a record in plain, where all is to be sealed; how many files that were.
    pub(crate) fn seal_kept(&self, record: &Record) -> Result<usize, WriteFault> {
        let Some(key) = self.sealer.key_for_all() else { return Ok(0) };
        let Some(folder) = self.existing().map_err(WriteFault::Unchanged)? else { return Ok(0) };
        let mut count = 0;
        for name in file_of(record).into_iter().chain([refused_name_of(&record.id)]) {
            if folder.seal_of(&name).map_err(WriteFault::Unchanged)?.is_some() {
                continue;
            }
            let plain = folder.read(&name, MAX_BYTES as u64).map_err(WriteFault::Unchanged)?;
            let Some(plain) = plain else { continue };
            let sealed = key.seal(Kind::Kubeconfig, &record.id, &plain).map_err(unsealed)?;
            folder.replace(&name, &sealed)?;
            count += 1;
        }
        Ok(count)
    }

    /// The deployments whose kubeconfig is sealed with a key that is not `key`.
    pub(crate) fn sealed_otherwise(&self, key: Option<&StateKey>) -> io::Result<BTreeSet<String>> {
        let mut closed = BTreeSet::new();
        let Some(folder) = self.existing()? else { return Ok(closed) };
        for name in folder.names()?.into_iter().filter(|name| starts_with_id(name)) {
            let mark = folder.seal_of(&name)?;
            if mark.is_some() && mark != key.map(StateKey::mark) {
                closed.insert(name.split('.').next().unwrap_or_default().to_owned());
            }
        }
        Ok(closed)
    }

    /// Whether the file of a record is there.
    pub(crate) fn has(&self, record: &Record) -> bool {
        let meta = |name: String| self.parent().ok()?.open_dir(&self.name).ok()?.metadata(name).ok();
        file_of(record).and_then(meta).is_some_and(|meta| meta.is_file())
    }

    /// Removes files that a crash left: temporary ones, and those of known records that do not name them. A `PUT` that
    /// wrote one was never answered, so the node tries again. Files of unknown ids are left alone.
    pub(crate) fn sweep<'a>(&self, records: impl Iterator<Item = &'a Record> + Clone) -> Result<(), WriteFault> {
        let folder = self.open()?;
        // A process that was killed may have made the folder and not come to sync its name.
        let parent = self.parent().and_then(|parent| parent.open(".")).map_err(WriteFault::Unchanged)?;
        parent.sync_all().map_err(WriteFault::Unknown)?;
        folder.report_access("kubeconfigs");
        let named: HashSet<String> = records.clone().filter_map(file_of).collect();
        let known: HashSet<&str> = records.map(|record| record.id.as_str()).collect();
        folder.sweep(starts_with_id).map_err(WriteFault::Unchanged)?;
        for name in folder.names().map_err(WriteFault::Unchanged)? {
            let id = name.strip_suffix(".yaml");
            if id.is_some_and(|id| known.contains(id)) && !named.contains(&name) {
                tracing::warn!(deployment.id = id, "a kubeconfig that was never acknowledged is removed");
                folder.discard(&name);
            }
        }
        Ok(())
    }

    /// Writes the file of a deployment.
    pub(crate) fn write(&self, folder: &Folder, id: &DeploymentId, body: &[u8]) -> Result<(), WriteFault> {
        folder.replace(&name_of(id), &self.sealer.closed(Kind::Kubeconfig, id, body).map_err(unsealed)?)
    }

    /// Replaces the file that a record names.
    pub(crate) fn rewrite(&self, record: &Record, body: &[u8]) -> Result<(), WriteFault> {
        let name = file_of(record).unwrap_or_else(|| name_of(&record.id));
        let closed = self.sealer.closed(Kind::Kubeconfig, &record.id, body).map_err(unsealed)?;
        self.open()?.replace(&name, &closed)
    }

    /// Gives the file that a record names another name, so that it is used no more and a person can look at it.
    pub(crate) fn set_aside(&self, record: &Record) -> Result<(), WriteFault> {
        let file = file_of(record).unwrap_or_else(|| name_of(&record.id));
        self.open()?.rename(&file, &refused_name_of(&record.id))
    }

    /// What was set aside, if anything was.
    pub(crate) fn read_refused(&self, id: &DeploymentId) -> Result<Option<Vec<u8>>, ReadFault> {
        self.read_file(id, &refused_name_of(id))
    }

    /// Removes what was set aside.
    pub(crate) fn discard_refused(&self, id: &DeploymentId) {
        let name = refused_name_of(id);
        if let Ok(folder) = self.open()
            && folder.dir().exists(&name)
        {
            folder.discard(&name);
        }
    }

    /// Removes the file that a record named.
    pub(crate) fn discard(&self, record: &Record) {
        let Some(name) = file_of(record) else { return };
        match self.open() {
            Ok(folder) => folder.discard(&name),
            Err(fault) => {
                let error = fault.reason();
                tracing::warn!(deployment.id = %record.id, %error, "the kubeconfig that is no longer needed stays");
            }
        }
    }

    fn parent(&self) -> io::Result<Dir> {
        let mut parent = self.parent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(dir) = &*parent {
            return dir.try_clone();
        }
        crate::open::create_private(&self.parent_path)?;
        let dir = Dir::open_ambient_dir(&self.parent_path, ambient_authority())?;
        *parent = Some(dir.try_clone()?);
        Ok(dir)
    }
}

fn unsealed(fault: SealFault) -> WriteFault {
    WriteFault::Unchanged(io::Error::other(fault))
}

/// Base name of a deployment's kubeconfig.
pub(crate) fn name_of(id: &DeploymentId) -> String {
    format!("{id}.yaml")
}

/// Base name of a kubeconfig that was set aside: no name under which one is read.
pub(crate) fn refused_name_of(id: &DeploymentId) -> String {
    format!("{id}.yaml.refused")
}

/// Whether a name begins with an id and a dot, as all our files do.
pub(crate) fn starts_with_id(name: &str) -> bool {
    name.split_once('.').is_some_and(|(id, _)| DeploymentId::parse(id).is_ok())
}

// The earlier service wrote absolute paths; the folder may have moved since.
fn file_of(record: &Record) -> Option<String> {
    let path = &record.result.as_ref()?.kubeconfig_path;
    Some(Path::new(path).file_name()?.to_str()?.to_owned())
}
