//! Opening the store: folders, the lock against a second process, and what is read before the first request.
//!
//! This is the one place that turns paths into capabilities.

use crate::files::FileStore;
use crate::folder::{FOLDER_MODE, Folder, WriteFault};
use crate::inner::Inner;
use crate::kubeconfigs::{Kubeconfigs, starts_with_id};
use crate::sealing::{Seal, Sealer, StateKey};
use crate::states::sealed_otherwise;
use crate::{health, load, seal_kept};
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use rustix::fs::{FlockOperation, flock, fstat};
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// While another process holds the lock it is asked for this often: the old process of a restart ends within seconds.
const LOCK_RETRY: Duration = Duration::from_millis(50);

/// Tells which key states are sealed with; in the folder of states.
const KEY_NOTE: &str = "key.id";
/// Limit of that file; it holds 16 digits.
const KEY_NOTE_BYTES: u64 = 1024;

/// Where things are kept, and the limits.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Records and logs (`CATALYST_DEPLOYMENTS_DIR`).
    pub deployments_dir: PathBuf,
    /// Kubeconfigs (`CATALYST_KUBECONFIGS_DIR`).
    pub kubeconfigs_dir: PathBuf,
    /// OpenTofu's states and the bundles (`CATALYST_STATE_DIR`).
    pub state_dir: PathBuf,
    /// How long to wait for another process to leave (`CATALYST_LOCK_WAIT`).
    pub lock_wait: Duration,
    /// Length of a log in bytes from which on only phase markers and component states are kept.
    pub log_cap_bytes: u64,
    /// Key for what is sealed (`CATALYST_STATE_KEY`); without one all is kept as it comes.
    pub state_key: Option<StateKey>,
    /// What is sealed with it (`CATALYST_SEAL`).
    pub seal: Seal,
}

/// Why the store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A folder cannot be used.
    #[error("cannot use the folder {}", path.display())]
    Folder {
        /// Which one.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Another process works in the same folder.
    #[error("another catalyst process holds {} and did not leave within {} s", path.display(), waited.as_secs_f32())]
    Held {
        /// Which one.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// All is to be sealed, and there is no key to do it with.
    #[error("CATALYST_SEAL is all, and CATALYST_STATE_KEY, the key to seal with, is not set")]
    NoKey,
    /// The key is not the one that kept files are encrypted with. Nothing was changed.
    #[error(
        "CATALYST_STATE_KEY is not the key of the OpenTofu states in {} or of what is encrypted beside them: files of \
         {deployments} deployments are encrypted with another one; give that key, or none to serve without these files",
        path.display()
    )]
    OtherStateKey {
        /// The folder of states.
        path: PathBuf,
        /// How many deployments it concerns.
        deployments: usize,
    },
}

impl FileStore {
    /// Opens the folders, waits for the lock and reads all records; logs are read when somebody asks. It blocks, so it is
    /// meant for the start of the process. A record that cannot be read is reported and left alone; a folder of
    /// kubeconfigs that cannot be used is reported and tried again with every use.
    ///
    /// # Errors
    /// [`OpenError`] when deployments or states cannot be kept, or another process does it.
    pub fn open(settings: Settings) -> Result<Arc<Self>, OpenError> {
        let fault = |path: &Path| {
            let path = path.to_owned();
            |source| OpenError::Folder { path, source }
        };
        if settings.seal == Seal::All && settings.state_key.is_none() {
            return Err(OpenError::NoKey);
        }
        let records = root(&settings.deployments_dir, "deployments").map_err(fault(&settings.deployments_dir))?;
        lock(records.node(), &settings.deployments_dir, settings.lock_wait)?;
        let states = root(&settings.state_dir, "OpenTofu states").map_err(fault(&settings.state_dir))?;
        // One folder for both is held already, and a second lock of it would wait for the first.
        if !is_same(records.node(), states.node()).map_err(fault(&settings.state_dir))? {
            lock(states.node(), &settings.state_dir, settings.lock_wait)?;
        }
        let kubeconfigs = Kubeconfigs::new(&settings.kubeconfigs_dir, Sealer::new(&settings));
        let kubeconfigs = kubeconfigs.map_err(fault(&settings.kubeconfigs_dir))?;
        admit_key(&states, &kubeconfigs, &settings)?;
        Self::start(records, states, kubeconfigs, &settings)
    }

    pub(crate) fn start(
        records: Folder,
        states: Folder,
        kubeconfigs: Kubeconfigs,
        settings: &Settings,
    ) -> Result<Arc<Self>, OpenError> {
        let fault = |source| OpenError::Folder { path: settings.deployments_dir.clone(), source };
        let swept = records.sweep(|name| starts_with_id(name) || load::is_probe(name)).map_err(fault)?;
        if swept > 0 {
            tracing::info!(files = swept, "temporary files of an interrupted write were removed");
        }
        let taken_in = load::take_in_older_layout(&settings.deployments_dir, &records);
        let load::Loaded { records: loaded, unread, left_out } = load::records(&records).map_err(fault)?;
        let health = health::Health::default();
        if let Some(error) = taken_in.err().or(unread) {
            // Served without it, its name could be given away while its cluster lives.
            let why = format!("a record could not be read or moved in ({error}); restart when the disk is well");
            health.shut("read the records", why);
        }
        if let Err(fault) = kubeconfigs.sweep(loaded.iter()) {
            if let WriteFault::Unknown(_) = fault {
                health.fault("create the folder of kubeconfigs", &fault);
            }
            tracing::warn!(error = %fault.reason(), "the folder of kubeconfigs cannot be used: kubeconfigs are refused until it can");
        }
        // A failed probe is no reason not to start: what is there can still be read.
        let _told_by_unusable = health.judge("write to the folder of deployments", load::probe(&records));
        // A process that was killed may have made a deployment's folder and not come to sync its name.
        if let Err(error) = states.sync() {
            health.fault("sync the folder of states", &WriteFault::Unknown(error));
        }
        note_key(&states, settings.state_key.as_ref(), &health);
        let inner = Arc::new(Inner::new(records, states, kubeconfigs, health, settings, loaded, left_out));
        inner.reread_kubeconfigs();
        tracing::info!(deployments = inner.len(), "the store is open");
        seal_kept::begin(&inner);
        Ok(Arc::new(Self::around(inner)))
    }
}

/// A folder that is kept to this process until it is dropped: one beside the store's own, which lock themselves.
#[derive(Debug)]
pub struct HeldFolder {
    _node: File,
}

impl HeldFolder {
    /// Takes the folder, and creates it for the owner only where it is missing. It blocks for up to `wait` while another
    /// process has it.
    ///
    /// # Errors
    /// [`OpenError::Held`] after that time; [`OpenError::Folder`] where it cannot be created, opened or locked.
    pub fn take(path: &Path, wait: Duration) -> Result<Self, OpenError> {
        let fault = |source| OpenError::Folder { path: path.to_owned(), source };
        create_private(path).map_err(fault)?;
        let node = File::open(path).map_err(fault)?;
        lock(&node, path, wait)?;
        Ok(Self { _node: node })
    }
}

/// How many deployments have a state, a bundle or a kubeconfig that this key does not open; without a key, that is encrypted.
/// Reads the first bytes of each and changes nothing.
///
/// # Errors
/// A folder cannot be read.
pub fn closed_to(settings: &Settings) -> io::Result<usize> {
    let mut closed = BTreeSet::new();
    if settings.state_dir.is_dir() {
        let states = Folder::new(Dir::open_ambient_dir(&settings.state_dir, ambient_authority())?)?;
        closed = sealed_otherwise(&states, settings.state_key.as_ref())?;
    }
    if settings.kubeconfigs_dir.is_dir() {
        let kubeconfigs = Kubeconfigs::new(&settings.kubeconfigs_dir, Sealer::new(settings))?;
        closed.extend(kubeconfigs.sealed_otherwise(settings.state_key.as_ref())?);
    }
    Ok(closed.len())
}

/// How many kubeconfigs of a folder are sealed, and how many are not. Reads the first bytes of each and changes nothing.
///
/// # Errors
/// The folder cannot be read.
pub fn kubeconfigs_sealed_and_plain(kubeconfigs_dir: &Path) -> io::Result<(usize, usize)> {
    let (mut sealed, mut plain) = (0, 0);
    if kubeconfigs_dir.is_dir() {
        let folder = Folder::new(Dir::open_ambient_dir(kubeconfigs_dir, ambient_authority())?)?;
        for name in folder.names()?.into_iter().filter(|name| starts_with_id(name)) {
            *if folder.seal_of(&name)?.is_some() { &mut sealed } else { &mut plain } += 1;
        }
    }
    Ok((sealed, plain))
}

/// Creates a folder and what is missing above it, for the owner only.
pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    std::fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&path)?;
    // Each new name must survive as well as what will be written below it.
    for parent in missing.into_iter().filter_map(Path::parent) {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

// A start with another key is refused before anything is written under it; the note tells without reading every file.
fn admit_key(states: &Folder, kubeconfigs: &Kubeconfigs, settings: &Settings) -> Result<(), OpenError> {
    let fault = |source| OpenError::Folder { path: settings.state_dir.clone(), source };
    let Some(noted) = states.read(KEY_NOTE, KEY_NOTE_BYTES).map_err(fault)? else { return Ok(()) };
    let key = settings.state_key.as_ref();
    if key.is_some_and(|key| noted.trim_ascii() == key.mark().text().as_bytes()) {
        return Ok(());
    }
    let mut closed = sealed_otherwise(states, key).map_err(fault)?;
    // A folder of kubeconfigs that cannot be read now is reported where it is opened.
    closed.extend(kubeconfigs.sealed_otherwise(key).unwrap_or_default());
    let deployments = closed.len();
    match (deployments, key) {
        (0, _) => {}
        (_, Some(_)) => return Err(OpenError::OtherStateKey { path: settings.state_dir.clone(), deployments }),
        (_, None) => tracing::warn!(
            deployments,
            "files are encrypted and CATALYST_STATE_KEY is not set: these deployments cannot be retried or destroyed, and kubeconfigs \
             among them are not given out"
        ),
    }
    Ok(())
}

// Where it cannot be written a later start reads no note, and each state still tells by itself.
fn note_key(states: &Folder, key: Option<&StateKey>, health: &health::Health) {
    let Some(text) = key.map(|key| key.mark().text() + "\n") else { return };
    if matches!(states.read(KEY_NOTE, KEY_NOTE_BYTES), Ok(Some(noted)) if noted == text.as_bytes()) {
        return;
    }
    if let Err(error) =
        health.judge("note which key states are encrypted with", states.replace(KEY_NOTE, text.as_bytes()))
    {
        tracing::warn!(%error, "a start with another key would not be noticed at once");
    }
}

fn root(path: &Path, what: &'static str) -> io::Result<Folder> {
    create_private(path)?;
    let folder = Folder::new(Dir::open_ambient_dir(path, ambient_authority())?)?;
    folder.report_access(what);
    Ok(folder)
}

// The lock lives as long as the open folder does.
fn lock(folder: impl AsFd, path: &Path, wait: Duration) -> Result<(), OpenError> {
    let began = Instant::now();
    loop {
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::WOULDBLOCK) if began.elapsed() >= wait => {
                return Err(OpenError::Held { path: path.to_owned(), waited: wait });
            }
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => std::thread::sleep(LOCK_RETRY),
            Err(errno) => return Err(OpenError::Folder { path: path.to_owned(), source: errno.into() }),
        }
    }
}

fn is_same(one: impl AsFd, other: impl AsFd) -> io::Result<bool> {
    let (one, other) = (fstat(one)?, fstat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}
