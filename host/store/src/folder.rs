//! One folder in which files are replaced as a whole.
//!
//! It knows how a file gets to disk so that it survives a power loss, and nothing of what is in it.

use crate::sealing::{HEAD_BYTES, KeyMark, sealed_with};
use cap_std::fs::{Dir, DirBuilder, DirBuilderExt, File, OpenOptions, OpenOptionsExt, PermissionsExt};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// Only the owner reads or writes: records name people, kubeconfigs open clusters.
const FILE_MODE: u32 = 0o600;
/// Only the owner looks inside.
pub(crate) const FOLDER_MODE: u32 = 0o700;
/// A crash leaves few temporary files; more of them with consecutive numbers means that something else is wrong.
const TEMP_TRIES: u32 = 1_000;
/// Files of one name that are set aside. Each stands for a fault of its own; where there are so many, a person has to look.
const MOST_ASIDE: u32 = 1_000;

/// No effect on a file; a pipe is opened, or refused, at once.
const NONBLOCK: i32 = OFlags::NONBLOCK.bits().cast_signed();

/// How far a write got.
#[derive(Debug)]
pub(crate) enum WriteFault {
    /// It failed before anything could be seen: the old content stands.
    Unchanged(io::Error),
    /// It was published, but whether it survives a power loss is unknown.
    Unknown(io::Error),
}

impl WriteFault {
    /// The system's reason.
    pub(crate) fn reason(&self) -> &io::Error {
        match self {
            Self::Unchanged(error) | Self::Unknown(error) => error,
        }
    }

    pub(crate) fn into_reason(self) -> io::Error {
        match self {
            Self::Unchanged(error) | Self::Unknown(error) => error,
        }
    }
}

/// An open folder.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: Dir,
    // A `Dir` is an `O_PATH` descriptor, and syncing that gives EBADF.
    node: File,
    syncs: Mutex<Syncs>,
    synced: Condvar,
    #[cfg(test)]
    sync_faults: Mutex<std::collections::VecDeque<SyncFault>>,
}

/// What the next sync of a file fails with, and the length to which the disk has it then.
#[cfg(test)]
pub(crate) type SyncFault = (Errno, Option<u64>);

#[derive(Debug, Default)]
struct Syncs {
    started: u64,
    ended: u64,
    // Kept for ever: after a failed sync the kernel may call the next one a success although the data is lost.
    broken: Option<io::ErrorKind>,
}

impl Folder {
    pub(crate) fn new(dir: Dir) -> io::Result<Self> {
        let node = dir.open(".")?;
        Ok(Self {
            dir,
            node,
            syncs: Mutex::default(),
            synced: Condvar::new(),
            #[cfg(test)]
            sync_faults: Mutex::default(),
        })
    }

    /// Opens a folder inside `parent`; it is created where it is missing.
    pub(crate) fn inside(parent: &Dir, name: impl AsRef<Path>) -> Result<Self, WriteFault> {
        let name = name.as_ref();
        match parent.open_dir(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found.and_then(Self::new).map_err(WriteFault::Unchanged),
        }
        match parent.create_dir_with(name, DirBuilder::new().mode(FOLDER_MODE)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(WriteFault::Unchanged(error)),
            _ => {}
        }
        let folder = parent.open_dir(name).and_then(Self::new).map_err(WriteFault::Unchanged)?;
        // The new name must survive as well as what will be written below it.
        let node = parent.open(".").map_err(WriteFault::Unchanged)?;
        node.sync_all().map_err(WriteFault::Unknown)?;
        Ok(folder)
    }

    /// The capability itself, for reading.
    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// The descriptor that can be locked.
    pub(crate) fn node(&self) -> &File {
        &self.node
    }

    /// Reports a folder that others may enter. It is not changed: it may be one that the operator shares on purpose.
    pub(crate) fn report_access(&self, what: &'static str) {
        let mode = self.node.metadata().map(|meta| meta.permissions().mode() & 0o777);
        if let Ok(mode) = mode
            && mode & 0o077 != 0
        {
            tracing::warn!(mode = format!("{mode:o}"), "others may enter the folder of {what}; its files are private");
        }
    }

    /// Replaces a file as a whole, or changes nothing.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), WriteFault> {
        let temp = self.stage(name, bytes).map_err(WriteFault::Unchanged)?;
        let mut renamed = self.dir.rename(&temp, &self.dir, name);
        if renamed.as_ref().is_err_and(is_of_a_folder) {
            renamed = self.free_name(name).and_then(|_aside| self.dir.rename(&temp, &self.dir, name));
        }
        if let Err(error) = renamed {
            self.discard(&temp);
            return Err(WriteFault::Unchanged(error));
        }
        self.sync().map_err(WriteFault::Unknown)
    }

    /// Removes a file; one that is missing counts as removed. A folder of that name is set aside: it is none of ours.
    pub(crate) fn remove(&self, name: &str) -> Result<(), WriteFault> {
        match self.dir.remove_file(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(_) if self.is_folder(name) => self.set_aside(name).map(|_aside| ()),
            Err(error) => Err(WriteFault::Unchanged(error)),
            Ok(()) => self.sync().map_err(WriteFault::Unknown),
        }
    }

    /// Gives a file, or whatever has this name, the first free name of `<name>.1`, `<name>.2`, and so on, under which nothing
    /// reads it. That name.
    pub(crate) fn set_aside(&self, name: &str) -> Result<String, WriteFault> {
        let aside = self.free_name(name).map_err(WriteFault::Unchanged)?;
        self.sync().map_err(WriteFault::Unknown)?;
        Ok(aside)
    }

    fn free_name(&self, name: &str) -> io::Result<String> {
        let names = (1..=MOST_ASIDE).map(|number| format!("{name}.{number}"));
        let is_free =
            |name: &String| self.dir.symlink_metadata(name).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let Some(aside) = names.into_iter().find(is_free) else {
            let why = format!("{MOST_ASIDE} files are set aside as {name}.<number>: look at them and remove them");
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        };
        self.dir.rename(name, &self.dir, &aside)?;
        tracing::warn!(file = name, aside, "what cannot be used is set aside");
        Ok(aside)
    }

    fn is_folder(&self, name: &str) -> bool {
        self.dir.symlink_metadata(name).is_ok_and(|meta| meta.is_dir())
    }

    /// Whether something was set aside of a name that begins like this.
    pub(crate) fn has_aside(&self, is_name: impl Fn(&str) -> bool) -> io::Result<bool> {
        for entry in self.dir.entries()? {
            if entry?.file_name().to_str().and_then(original_name).is_some_and(&is_name) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes files that were set aside of such a name. What cannot be removed stays.
    pub(crate) fn discard_aside(&self, is_name: impl Fn(&str) -> bool) -> io::Result<()> {
        for entry in self.dir.entries()? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| original_name(name).is_some_and(&is_name)) else { continue };
            if entry.file_type()?.is_dir() { self.dir.remove_dir_all(name)? } else { self.dir.remove_file(name)? }
        }
        Ok(())
    }

    /// Gives a file another name, whatever had that name before.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), WriteFault> {
        self.dir.rename(from, &self.dir, to).map_err(WriteFault::Unchanged)?;
        self.sync().map_err(WriteFault::Unknown)
    }

    /// Removes a file that nobody was ever told about; it may come back after a power loss.
    pub(crate) fn discard(&self, name: &str) {
        let removed = self.dir.remove_file(name);
        if let Err(error) =
            removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
        {
            tracing::warn!(file = name, %error, "a leftover file could not be removed");
        }
    }

    /// Content of a file, `None` when it is missing. One that is longer than `limit` bytes is refused.
    pub(crate) fn read(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match self.open_to_read(name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let meta = file.metadata()?;
        if !meta.is_file() || meta.len() > limit {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too long or no plain file"));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0));
        io::Read::read_to_end(&mut io::Read::take(file, limit), &mut bytes)?;
        Ok(Some(bytes))
    }

    /// The first bytes of a file, up to `limit`.
    fn head(&self, name: &str, limit: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(limit);
        io::Read::read_to_end(&mut io::Read::take(self.open_to_read(name)?, limit as u64), &mut bytes)?;
        Ok(bytes)
    }

    /// Opens whatever has this name. A pipe in the place of a file holds nobody up.
    pub(crate) fn open_to_read(&self, name: &str) -> io::Result<File> {
        self.dir.open_with(name, OpenOptions::new().read(true).custom_flags(NONBLOCK))
    }

    /// Which key sealed a file; `None` for one that is not sealed, and where there is none.
    pub(crate) fn seal_of(&self, name: &str) -> io::Result<Option<KeyMark>> {
        match self.head(name, HEAD_BYTES) {
            Ok(head) => Ok(sealed_with(&head)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Names of everything in it, whatever it is.
    pub(crate) fn all_names(&self) -> io::Result<Vec<String>> {
        let names = self.dir.entries()?.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }

    /// Names of the plain files.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in self.dir.entries()? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Opens a file for writing at any place in it, and creates it where it is missing.
    pub(crate) fn open_to_write(&self, name: &str) -> io::Result<std::fs::File> {
        let mut options = OpenOptions::new();
        options.write(true).mode(FILE_MODE).custom_flags(NONBLOCK);
        match self.dir.open_with(name, &options) {
            Ok(file) => Ok(file.into_std()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(self.dir.open_with(name, options.create_new(true))?.into_std())
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the content of a file of this folder durable.
    pub(crate) fn sync_file(&self, file: &std::fs::File) -> io::Result<()> {
        #[cfg(test)]
        if let Some((errno, length)) = self.sync_faults.lock().unwrap().pop_front() {
            length.map_or(Ok(()), |length| file.set_len(length))?;
            return Err(errno.into());
        }
        file.sync_data()
    }

    /// Makes names durable. Callers that wait at the same time share one sync: only one that began after the call counts.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let mut syncs = self.syncs.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = syncs.started + 1;
        loop {
            if let Some(kind) = syncs.broken {
                return Err(kind.into());
            }
            if syncs.ended >= enough {
                return Ok(());
            }
            if syncs.started > syncs.ended {
                syncs = self.synced.wait(syncs).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            syncs.started += 1;
            drop(syncs);
            let result = self.node.sync_all();
            syncs = self.syncs.lock().unwrap_or_else(PoisonError::into_inner);
            syncs.ended = syncs.started;
            syncs.broken = syncs.broken.or(result.as_ref().err().map(io::Error::kind));
            self.synced.notify_all();
            result?;
        }
    }

    /// Removes what a crash left between `create_new` and `rename`.
    pub(crate) fn sweep(&self, is_ours: impl Fn(&str) -> bool) -> io::Result<usize> {
        let mut swept = 0;
        for name in self.names()? {
            if name.starts_with('.') && name.ends_with(".tmp") && is_ours(&name[1..]) {
                self.discard(&name);
                swept += 1;
            }
        }
        Ok(swept)
    }

    fn stage(&self, name: &str, bytes: &[u8]) -> io::Result<String> {
        let (temp, mut file) = self.create_temp(name)?;
        match file.write_all(bytes).and_then(|()| file.sync_all()) {
            Ok(()) => Ok(temp),
            Err(error) => {
                self.discard(&temp);
                Err(error)
            }
        }
    }

    fn create_temp(&self, name: &str) -> io::Result<(String, File)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(FILE_MODE);
        for _ in 0..TEMP_TRIES {
            let temp = format!(".{name}.{}.tmp", NEXT.fetch_add(1, Ordering::Relaxed));
            match self.dir.open_with(&temp, &options) {
                Ok(file) => return Ok((temp, file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many temporary files are in the way"))
    }

    /// A folder whose names can be changed but not synced.
    #[cfg(test)]
    pub(crate) fn that_cannot_sync(dir: Dir) -> Self {
        // The null device refuses fsync with EINVAL: a real failure of the system call.
        let node = File::from_std(std::fs::File::open("/dev/null").unwrap());
        Self { dir, node, syncs: Mutex::default(), synced: Condvar::new(), sync_faults: Mutex::default() }
    }

    /// The next syncs of files fail like this, one after the other.
    #[cfg(test)]
    pub(crate) fn fail_syncs(&self, faults: &[SyncFault]) {
        self.sync_faults.lock().unwrap().extend(faults);
    }

    #[cfg(test)]
    pub(crate) fn syncs_done(&self) -> u64 {
        self.syncs.lock().unwrap().ended
    }
}

/// Whether it is one file that cannot be read or written (a folder or a link to nowhere in its place, no right to it), and not the
/// disk that fails.
pub(crate) fn is_of_the_file(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, InvalidData, IsADirectory, PermissionDenied};
    let no_file = [Errno::LOOP, Errno::NXIO].map(|errno| Some(errno.raw_os_error())).contains(&error.raw_os_error());
    no_file || matches!(error.kind(), AlreadyExists | InvalidData | IsADirectory | PermissionDenied)
}

/// Whether a rename failed because a folder stands where the file is to be.
fn is_of_a_folder(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::IsADirectory | io::ErrorKind::DirectoryNotEmpty)
}

/// The name that a file had before it was set aside.
fn original_name(aside: &str) -> Option<&str> {
    let (name, number) = aside.rsplit_once('.')?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(name)
}
