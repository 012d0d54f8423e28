//! After a crash of the host: what a run that it left has done, and left behind.

use super::failure::{RunError, RunErrorKind};
use super::mask::Masker;
use super::orphan::{self, Reaped};
use super::{Engine, RunStep, leftover, undelivered};
use catalyst_domain::record::Child;
use catalyst_domain::{DeploymentId, Secrets};
use std::io;
use std::time::Duration;
use tokio::task::spawn_blocking;

impl Engine {
    /// After a crash of the host: ends the OpenTofu that it left, if it still lives, releases its lock and takes in the
    /// state that it could not hand over. Call it before the first run of a deployment whose record names a child.
    ///
    /// # Errors
    /// [`RunErrorKind::Storage`] when lock or state cannot be brought in order.
    pub async fn reap_orphan(&self, id: &DeploymentId, child: &Child, grace: Duration) -> Result<Reaped, RunError> {
        let _claim = self.claim(id)?;
        let reaped = orphan::reap(child, grace).await;
        if reaped == Reaped::Alive {
            return Ok(reaped);
        }
        self.tidy(id).await?;
        Ok(reaped)
    }

    /// Processes that run in a deployment's work folder: what a crash left, also where it came too early for the record.
    pub fn orphans(&self, id: &DeploymentId) -> Vec<Child> {
        match self.folders.existing(id) {
            Ok(Some(folder)) => orphan::running_in(folder.path()),
            Ok(None) | Err(_) => Vec::new(),
        }
    }

    /// Before a decision that rests on the state: releases a lock that nobody holds any more and takes in what a dead run
    /// could not hand over. Only while no run of the deployment goes.
    ///
    /// # Errors
    /// [`RunErrorKind::Failed`] while a run goes; [`RunErrorKind::Storage`] when lock or state cannot be brought in order.
    pub async fn settle(&self, id: &DeploymentId) -> Result<(), RunError> {
        let _claim = self.claim(id)?;
        self.tidy(id).await
    }

    async fn tidy(&self, id: &DeploymentId) -> Result<(), RunError> {
        let failed = |why: String| RunError::new(RunStep::Init, RunErrorKind::Storage, why);
        leftover::release(&*self.store, id).await.map_err(failed)?;
        match self.folders.existing(id).map_err(|why| failed(format!("no work folder: {why}")))? {
            Some(folder) => leftover::take_in(&*self.store, id, &folder).await.map_err(failed),
            None => Ok(()),
        }
    }

    /// The deployments of whose last run something lies there that [`Self::unkept`] reads. It reads the disk.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn with_unkept(&self) -> io::Result<Vec<DeploymentId>> {
        self.folders.with_spool()
    }

    /// After a crash of the host, and after [`Self::reap_orphan`]: a sentence on what the run that it left made and no state knows.
    /// `secrets` are those of the run, as far as they are known: none of them is in it.
    ///
    /// # Errors
    /// What the run left cannot be read.
    pub async fn unkept(&self, id: &DeploymentId, secrets: &Secrets) -> io::Result<Option<String>> {
        let (folders, of) = (self.folders.clone(), id.clone());
        let left = spawn_blocking(move || folders.read_spool(&of)).await.map_err(io::Error::other)??;
        let masker = Masker::new(secrets).map_err(io::Error::other)?;
        match left {
            Some(lines) => Ok(undelivered::sentence(&*self.store, id, &lines, &masker).await),
            None => Ok(None),
        }
    }

    /// Forgets what [`Self::unkept`] says, once it is kept elsewhere.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub async fn forget_unkept(&self, id: &DeploymentId) -> io::Result<()> {
        let (folders, id) = (self.folders.clone(), id.clone());
        spawn_blocking(move || folders.remove_spool(&id)).await.map_err(io::Error::other)?
    }
}
