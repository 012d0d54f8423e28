//! After a crash of the host: what a run that it left has done, and left behind.

use super::failure::{RunError, RunErrorKind};
use super::orphan::{self, Reaped};
use super::{Engine, RunStep, leftover, undelivered};
use catalyst_domain::DeploymentId;
use catalyst_domain::record::Child;
use std::time::Duration;

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

    /// After a crash of the host, and after [`Self::reap_orphan`]: a sentence on what the run that it left made and no state knows.
    ///
    /// # Errors
    /// What the run left cannot be read.
    pub async fn unkept(&self, id: &DeploymentId) -> std::io::Result<Option<String>> {
        match self.folders.existing(id)? {
            Some(folder) => undelivered::sentence(&*self.store, id, &folder).await,
            None => Ok(None),
        }
    }

    /// Forgets what [`Self::unkept`] says, once it is in the log.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn forget_unkept(&self, id: &DeploymentId) -> std::io::Result<()> {
        self.folders.existing(id)?.map_or(Ok(()), |folder| folder.remove_undelivered())
    }
}
