//! What runs that were killed left on disk, for whoever takes their deployments up again.

use super::{Engine, stage::WorkFolder};
use catalyst_domain::provider::SecretVariable;
use catalyst_domain::{DeploymentId, Secrets};
use std::io;
use std::time::SystemTime;

impl Engine {
    /// The deployments in whose work folder, or in the folder of whose run, something lies that may hold secrets; those whose run goes on
    /// among them. It reads the disk.
    ///
    /// # Errors
    /// The folder of work folders cannot be read.
    pub fn with_leftovers(&self) -> io::Result<Vec<DeploymentId>> {
        let mut found = self.folders.those(WorkFolder::has_leftovers)?;
        found.extend(self.folders.with_run_folder()?);
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// Whether something lies in the work folder of a deployment that may hold secrets.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn has_leftovers(&self, id: &DeploymentId) -> io::Result<bool> {
        let in_work_folder = self.folders.existing(id)?.map_or(Ok(false), |folder| folder.has_leftovers())?;
        Ok(in_work_folder || self.folders.with_run_folder()?.contains(id))
    }

    /// The deployments in whose work folder lies a state that its backend did not take. It reads the disk.
    ///
    /// # Errors
    /// The folder of work folders cannot be read.
    pub fn with_errored_state(&self) -> io::Result<Vec<DeploymentId>> {
        self.folders.those(|folder| Ok(folder.has_errored_state()))
    }

    /// When a run last wrote into what is left of it.
    pub fn last_written(&self, id: &DeploymentId) -> Option<SystemTime> {
        self.folders.existing(id).ok().flatten()?.last_written()
    }

    /// The secrets that an interrupted run left in its work folder, for its retry; `None` when there are none.
    ///
    /// # Errors
    /// The folder or its file cannot be read.
    pub fn leftover_secrets(&self, id: &DeploymentId, filled: &[SecretVariable]) -> io::Result<Option<Secrets>> {
        match self.folders.existing(id)? {
            Some(folder) => folder.leftover(filled),
            None => Ok(None),
        }
    }

    /// Removes what an interrupted run left in plain: its secrets, and all that the next run makes anew. Does nothing while a
    /// run goes. What it removed is gone also after a power loss.
    ///
    /// # Errors
    /// The files cannot be removed.
    pub fn remove_leftovers(&self, id: &DeploymentId) -> io::Result<()> {
        let Some(_removal) = self.busy.remove(id) else { return Ok(()) };
        self.folders.remove_run_folder(id)?;
        self.folders.existing(id)?.map_or(Ok(()), |folder| folder.remove_leftovers())
    }

    /// Whether a run of the deployment goes on, or waits for its turn.
    pub fn is_busy(&self, id: &DeploymentId) -> bool {
        self.busy.runs(id)
    }
}
