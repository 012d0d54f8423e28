//! What one run has for itself beside its work folder: a home folder, OpenTofu's data folder and one for temporary files. All are
//! made anew for each run and removed at its end, so that nothing that an earlier run left (a link, a program, settings) is met by
//! the next, and a process that outlived its run has no right to what follows: the kernel's rights are those to a folder, not to a
//! name.

use super::stage::WorkRoot;
use catalyst_domain::DeploymentId;
use std::ffi::{OsStr, OsString};
use std::fs::Permissions;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

const HOME: &str = "home";
const DATA: &str = "data";
/// Providers of this run alone, where no cache of the host counts.
const CACHE: &str = "cache";
/// Where temporary files go when nothing else is said, or what is said is too long.
const TEMPORARY: &str = "/tmp";
/// Longest path of a folder for temporary files, in bytes. OpenTofu and its providers talk over sockets in it, whose paths have at
/// most 107 bytes (`sun_path`), and put up to 40 behind it.
const LONGEST: usize = 64;

/// The folders of one run, until this is dropped.
pub(super) struct RunFolder {
    root: Arc<WorkRoot>,
    id: DeploymentId,
    path: PathBuf,
    temporary: TempDir,
}

impl RunFolder {
    /// Makes them. `temporary` is where the host itself puts temporary files.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn make(root: &Arc<WorkRoot>, id: &DeploymentId, temporary: Option<&OsStr>) -> io::Result<Self> {
        let path = root.make_run_folder(id, &[HOME, DATA, CACHE])?;
        let temporary = temporary_folder(temporary.map_or(Path::new(TEMPORARY), Path::new))?;
        Ok(Self { root: root.clone(), id: id.clone(), path, temporary })
    }

    /// The variables that lead OpenTofu and its providers here.
    pub(super) fn environment(&self) -> Vec<(OsString, OsString)> {
        let own = [
            ("HOME", self.path.join(HOME)),
            ("TF_DATA_DIR", self.path.join(DATA)),
            ("TMPDIR", self.temporary.path().to_owned()),
        ];
        own.map(|(name, path)| (name.into(), path.into())).into()
    }

    /// Where providers may be kept for the time of the run.
    pub(super) fn cache(&self) -> PathBuf {
        self.path.join(CACHE)
    }

    /// Its folder for temporary files, which its supervisor removes as well.
    pub(super) fn temporary(&self) -> &Path {
        self.temporary.path()
    }

    /// What the run may write, beside its work folder.
    pub(super) fn own(&self) -> [&Path; 2] {
        [&self.path, self.temporary.path()]
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if let Err(why) = self.root.remove_run_folder(&self.id) {
            tracing::warn!(deployment.id = %self.id, error = %why, "a run's own folder stays until its next run");
        }
    }
}

/// A folder that only this user reads.
fn temporary_folder(above: &Path) -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("catalyst-").permissions(Permissions::from_mode(0o700));
    let folder = builder.tempdir_in(above)?;
    if folder.path().as_os_str().as_bytes().len() <= LONGEST {
        return Ok(folder);
    }
    builder.tempdir_in(TEMPORARY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_for_sockets_is_short_and_for_this_user_alone() {
        let deep = tempfile::tempdir().unwrap();
        let deep = deep.path().join("a".repeat(60));
        std::fs::create_dir(&deep).unwrap();
        for above in [Path::new("/tmp"), &deep] {
            let folder = temporary_folder(above).unwrap();
            assert!(folder.path().as_os_str().len() <= LONGEST, "{}", folder.path().display());
            assert_eq!(folder.path().metadata().unwrap().permissions().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn each_run_gets_new_folders_and_leaves_none() {
        let folder = tempfile::tempdir().unwrap();
        let root = Arc::new(WorkRoot::open(folder.path()).unwrap());
        let id = DeploymentId::from_bytes([1; 8]);
        let first = RunFolder::make(&root, &id, None).unwrap();
        let planted = first.path.join(DATA).join("providers");
        std::fs::create_dir(&planted).unwrap();
        // As after a crash: what it left is there when the next run begins.
        std::mem::forget(first);
        assert_eq!(root.with_run_folder().unwrap(), std::slice::from_ref(&id));
        let second = RunFolder::make(&root, &id, None).unwrap();
        assert!(second.path.join(DATA).is_dir() && second.path.join(HOME).is_dir() && !planted.exists());
        let temporary = second.temporary.path().to_owned();
        drop(second);
        assert!(root.with_run_folder().unwrap().is_empty());
        assert!(!folder.path().join(".runs").join(id.as_str()).exists() && !temporary.exists());
    }
}
