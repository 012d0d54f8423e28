//! What a run leaves in its work folder: the module, and after a kill variables, plan and temporary files. All of it may hold
//! secrets, also where a provider gave it another name, and no later run needs any of it.

use super::removal::remove;
use super::{
    ERRORED_STATE, KEPT_FILES, PLAN_FILE, REMEMBERED_BACKEND, RUN_FOLDERS, SPOOLS, VARIABLES_FILE, WorkFolder,
    WorkRoot, absent_is_fine,
};
use cap_fs_ext::DirExt as _;
use cap_std::fs::DirEntry;
use catalyst_domain::DeploymentId;
use std::io;
use std::time::SystemTime;

impl WorkRoot {
    /// The deployments whose work folder is such a one.
    pub(in crate::engine) fn those(
        &self,
        is_one: impl Fn(&WorkFolder) -> io::Result<bool>,
    ) -> io::Result<Vec<DeploymentId>> {
        let mut found = Vec::new();
        for entry in self.dir.entries()? {
            let name = entry?.file_name().into_string().unwrap_or_default();
            let Ok(id) = DeploymentId::parse(&name) else { continue };
            // A link, or a folder that goes at this moment, is none.
            let Ok(Some(folder)) = self.existing(&id) else { continue };
            match is_one(&folder) {
                Ok(true) => found.push(id),
                Ok(false) => {}
                // The others are looked at all the same.
                Err(error) => tracing::error!(deployment.id = %id, %error, "its work folder cannot be read"),
            }
        }
        Ok(found)
    }

    /// The deployments with a folder of a run's own: one that goes on, or one that was killed.
    pub(in crate::engine) fn with_run_folder(&self) -> io::Result<Vec<DeploymentId>> {
        self.inside(RUN_FOLDERS)
    }

    /// The deployments of whose run a supervisor left what the run made.
    pub(in crate::engine) fn with_spool(&self) -> io::Result<Vec<DeploymentId>> {
        self.inside(SPOOLS)
    }

    /// The deployments by whose id something lies in a folder of this one.
    fn inside(&self, folder: &str) -> io::Result<Vec<DeploymentId>> {
        let above = match self.dir.open_dir_nofollow(folder) {
            Ok(above) => above,
            Err(why) => return absent_is_fine(Err(why)).map(|()| Vec::new()),
        };
        let names =
            above.entries()?.map(|entry| entry.map(|entry| entry.file_name().into_string().unwrap_or_default()));
        Ok(names.collect::<io::Result<Vec<_>>>()?.iter().filter_map(|name| DeploymentId::parse(name).ok()).collect())
    }
}

impl WorkFolder {
    /// Whether a run left more than the next one is given: it may hold secrets, whatever its name is.
    pub(in crate::engine) fn has_leftovers(&self) -> io::Result<bool> {
        for entry in self.dir.entries()? {
            if is_leftover(&entry?)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether OpenTofu left a state that its backend did not take, or something stands in its place.
    pub(in crate::engine) fn has_errored_state(&self) -> bool {
        self.dir.symlink_metadata(ERRORED_STATE).is_ok()
    }

    /// When the run last wrote what [`WorkFolder::has_leftovers`] means.
    pub(in crate::engine) fn last_written(&self) -> Option<SystemTime> {
        let names = [VARIABLES_FILE, PLAN_FILE, REMEMBERED_BACKEND, ERRORED_STATE];
        let times = names.iter().filter_map(|name| self.dir.metadata(name).ok()?.modified().ok());
        times.map(cap_std::time::SystemTime::into_std).max()
    }

    /// Removes all but the lock file and a state that was not taken in; the next run is staged anew. When this returns, the files are
    /// gone also after a power loss.
    pub(in crate::engine) fn remove_leftovers(&self) -> io::Result<()> {
        // First what is known to hold secrets, whatever becomes of the rest.
        self.remove_secrets()?;
        self.remove_those(is_leftover)?;
        self.sync()
    }

    /// Removes all that the next run is not given.
    pub(super) fn clear(&self) -> io::Result<()> {
        self.remove_those(|entry| Ok(!is_kept(entry)?))
    }

    /// Removes what lies in the folder and is one of those.
    fn remove_those(&self, is_one: impl Fn(&DirEntry) -> io::Result<bool>) -> io::Result<()> {
        for entry in self.dir.entries()? {
            let entry = entry?;
            if is_one(&entry)? {
                remove(&self.dir, entry.file_name())?;
            }
        }
        Ok(())
    }

    /// Waits until the names in the folder are on disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        // A `Dir` is an `O_PATH` descriptor, which cannot be synced.
        self.dir.open(".")?.sync_all()
    }
}

/// Whether it is of a run that ended, and of no use to anybody. What has the name of a left-over state, whatever it is, is taken in or
/// set aside.
fn is_leftover(entry: &DirEntry) -> io::Result<bool> {
    Ok(entry.file_name() != ERRORED_STATE && !is_kept(entry)?)
}

/// Whether it stays when a run is staged.
fn is_kept(entry: &DirEntry) -> io::Result<bool> {
    let name = entry.file_name();
    Ok(KEPT_FILES.iter().any(|kept| name == *kept) && entry.file_type()?.is_file())
}
