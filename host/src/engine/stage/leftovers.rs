//! What a run that was killed leaves in its work folder: variables, plan, what `init` remembers of the backend, temporary files.
//! All of it may hold secrets, and no later run needs any of it.

use super::removal::remove_folder;
use super::{
    DATA_FOLDER, ERRORED_STATE, INSTALL_SETTINGS_FILE, LOCK_FILE, PLAN_FILE, REMEMBERED_BACKEND, RUN_FOLDERS, SPOOLS,
    VARIABLES_FILE, WorkFolder, WorkRoot, absent_is_fine,
};
use cap_fs_ext::DirExt as _;
use cap_std::fs::Dir;
use catalyst_domain::DeploymentId;
use std::io;
use std::time::SystemTime;

/// What of OpenTofu's own data stays: providers and modules are what everybody gets.
const KEPT_DATA: [&str; 2] = ["providers", "modules"];
/// Where OpenTofu writes what it had in memory when it broke.
const CRASH_LOG: &str = "crash.";
/// In every name that OpenTofu gives to a state, its backup or its lock.
const STATE: &str = ".tfstate";

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
    /// Whether a run that ended left what may hold secrets. A state that its backend did not take counts apart.
    pub(in crate::engine) fn has_leftovers(&self) -> io::Result<bool> {
        if self.dir.exists(REMEMBERED_BACKEND) {
            return Ok(true);
        }
        for entry in self.dir.entries()? {
            let name = entry?.file_name();
            if name.to_str().is_some_and(may_hold_secrets) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether OpenTofu left a state that its backend did not take.
    pub(in crate::engine) fn has_errored_state(&self) -> bool {
        self.dir.exists(ERRORED_STATE)
    }

    /// When the run last wrote what [`WorkFolder::has_leftovers`] means.
    pub(in crate::engine) fn last_written(&self) -> Option<SystemTime> {
        let names = [VARIABLES_FILE, PLAN_FILE, REMEMBERED_BACKEND, ERRORED_STATE];
        let times = names.iter().filter_map(|name| self.dir.metadata(name).ok()?.modified().ok());
        times.map(cap_std::time::SystemTime::into_std).max()
    }

    /// Removes all but providers, the lock file and a state that its backend did not take; the next run is staged anew. When
    /// this returns, the files are gone also after a power loss.
    pub(in crate::engine) fn remove_leftovers(&self) -> io::Result<()> {
        // First what is known to hold secrets, whatever becomes of the rest.
        self.remove_secrets()?;
        match self.dir.open_dir_nofollow(DATA_FOLDER) {
            Ok(data) => remove_all_but(&data, &KEPT_DATA)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // A link that a run put there could lead to what must stay.
            Err(_) => absent_is_fine(self.dir.remove_file(DATA_FOLDER))?,
        }
        remove_all_but(&self.dir, &[DATA_FOLDER, LOCK_FILE, ERRORED_STATE])
    }
}

fn may_hold_secrets(name: &str) -> bool {
    let is_state = name.contains(STATE) && name != ERRORED_STATE;
    [VARIABLES_FILE, PLAN_FILE, INSTALL_SETTINGS_FILE].contains(&name) || is_state || name.starts_with(CRASH_LOG)
}

fn remove_all_but(dir: &Dir, kept: &[&str]) -> io::Result<()> {
    for entry in dir.entries()? {
        let entry = entry?;
        let name = entry.file_name();
        if kept.iter().any(|kept| name == *kept) {
            continue;
        }
        let removed = if entry.file_type()?.is_dir() { remove_folder(dir, &name) } else { dir.remove_file(&name) };
        absent_is_fine(removed)?;
    }
    // A `Dir` is an `O_PATH` descriptor, which cannot be synced.
    dir.open(".")?.sync_all()
}
