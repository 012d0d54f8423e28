//! Where the supervisor of a run leaves what the run made. Room for it is taken before the run begins, so that a disk that fills
//! meanwhile does not take it: whatever was bought is told after a crash as well.

use super::aside::make_folder_in_any_case;
use super::removal::remove;
use super::{SPOOLS, WorkRoot, absent_is_fine};
use cap_fs_ext::{DirExt as _, FollowSymlinks, OpenOptionsFollowExt as _};
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use catalyst_domain::DeploymentId;
use rustix::fs::{FallocateFlags, OFlags, fallocate};
use rustix::io::Errno;
use std::io::{self, ErrorKind, Read as _};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Room that is taken, in bytes: some 300 for each resource, and a large cluster has 200.
const ROOM: u64 = 64 * 1024;
/// Most that is read: a supervisor writes 8 MiB at most.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

impl WorkRoot {
    /// The file of a deployment's run: out of the run's reach.
    pub(in crate::engine) fn spool(&self, id: &DeploymentId) -> PathBuf {
        self.path.join(SPOOLS).join(id.as_str())
    }

    /// Takes room for it, in place of what is there.
    ///
    /// # Errors
    /// There is no room, or the disk refuses.
    pub(in crate::engine) fn reserve_spool(&self, id: &DeploymentId) -> io::Result<()> {
        make_folder_in_any_case(&self.dir, SPOOLS)?;
        let above = self.dir.open_dir_nofollow(SPOOLS)?;
        remove(&above, id.as_str())?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let file = above.open_with(id.as_str(), &options)?;
        match fallocate(&file, FallocateFlags::KEEP_SIZE, 0, ROOM) {
            Err(why @ (Errno::NOSPC | Errno::DQUOT)) => {
                remove(&above, id.as_str())?;
                Err(why.into())
            }
            // Where the file system knows nothing of the kind, it is as good as it can be.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// What a supervisor left there.
    ///
    /// # Errors
    /// Something else lies there, or the disk refuses.
    pub(in crate::engine) fn read_spool(&self, id: &DeploymentId) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let Some(above) = self.spools()? else { return Ok(None) };
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).follow(FollowSymlinks::No);
        let file = match above.open_with(id.as_str(), &options) {
            Ok(file) => file,
            Err(why) if why.kind() == ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(why),
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidData, "it is no plain file"));
        }
        let mut lines = Zeroizing::new(Vec::new());
        file.take(MOST_BYTES).read_to_end(&mut lines)?;
        Ok(Some(lines))
    }

    /// Removes it, or whatever stands in its place.
    pub(in crate::engine) fn remove_spool(&self, id: &DeploymentId) -> io::Result<()> {
        self.spools()?.map_or(Ok(()), |above| remove(&above, id.as_str()))
    }

    fn spools(&self) -> io::Result<Option<Dir>> {
        match self.dir.open_dir_nofollow(SPOOLS) {
            Ok(above) => Ok(Some(above)),
            Err(why) => absent_is_fine(Err(why)).map(|()| None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_supervisor_leaves_is_read_back_and_whatever_lies_there_goes() {
        let folder = tempfile::tempdir().unwrap();
        let root = WorkRoot::open(folder.path()).unwrap();
        let id = DeploymentId::from_bytes([1; 8]);
        assert!(root.read_spool(&id).unwrap().is_none());
        root.remove_spool(&id).unwrap();
        // A file in the place of the folder of all of them, then a folder in that of one.
        std::fs::write(folder.path().join(SPOOLS), "x").unwrap();
        assert!(root.read_spool(&id).unwrap().is_none());
        root.reserve_spool(&id).unwrap();
        assert_eq!(root.read_spool(&id).unwrap().unwrap().as_slice(), b"");
        std::fs::write(root.spool(&id), "a line\n").unwrap();
        assert_eq!(root.read_spool(&id).unwrap().unwrap().as_slice(), b"a line\n");
        std::fs::remove_file(root.spool(&id)).unwrap();
        std::fs::create_dir_all(root.spool(&id).join("deep")).unwrap();
        assert_eq!(root.read_spool(&id).unwrap_err().kind(), ErrorKind::InvalidData);
        root.reserve_spool(&id).unwrap();
        assert!(root.spool(&id).is_file());
        root.remove_spool(&id).unwrap();
        assert!(!root.spool(&id).exists());
    }
}
