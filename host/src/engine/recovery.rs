//! After a crash of the host: what a run that it left has done, and left behind.

use super::backend::MAKE_ROOM;
use super::failure::{RunError, RunErrorKind};
use super::mask::Masker;
use super::orphan::{self, Reaped};
use super::{Engine, RunStep, leftover, undelivered, unkept};
use catalyst_domain::record::Child;
use catalyst_domain::{DeploymentId, Secrets};
use catalyst_store::StateError;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use tokio::task::spawn_blocking;

impl Engine {
    /// After a crash of the host: ends the run that it left, if that still goes on, by its supervisor (in folders of the release before,
    /// by OpenTofu itself). Call it before the first run of a deployment whose record names a child; [`Self::settle`] then brings in
    /// order what that one left.
    ///
    /// # Errors
    /// [`RunErrorKind::Failed`] while a run of the deployment goes on.
    pub async fn reap_orphan(&self, id: &DeploymentId, child: &Child, grace: Duration) -> Result<Reaped, RunError> {
        let _claim = self.claim(id).await?;
        Ok(orphan::reap(child, grace).await)
    }

    /// Processes that run in a deployment's work folder, the supervisor first: what a crash left, also where it came too early for the
    /// record.
    pub fn orphans(&self, id: &DeploymentId) -> Vec<Child> {
        match self.folders.existing(id) {
            Ok(Some(folder)) => orphan::running_in(folder.path()),
            Ok(None) | Err(_) => Vec::new(),
        }
    }

    /// Before a decision that rests on the state: releases a lock that nobody holds any more, writes what is held in memory, and
    /// takes in what a dead run could not hand over. A sentence for each file that cannot be used and was set aside. Only while no
    /// run of the deployment goes.
    ///
    /// # Errors
    /// [`RunErrorKind::Failed`] while a run goes; [`RunErrorKind::Storage`] when lock or state cannot be brought in order.
    pub async fn settle(&self, id: &DeploymentId) -> Result<Vec<String>, RunError> {
        let _claim = self.claim(id).await?;
        let failed = |why: String| RunError::new(RunStep::Init, RunErrorKind::Storage, why);
        let folder = self.folders.existing(id).map_err(|why| failed(format!("no work folder: {why}")))?;
        let tidied = leftover::tidy(&*self.store, &self.held, id, folder.as_ref()).await;
        tidied.map_err(|why| {
            failed(if self.held.get(id).is_some() { format!("{why}; {}", in_memory_only()) } else { why })
        })
    }

    /// The newest state of a deployment, also where it is in memory only; `None` where there is none.
    ///
    /// # Errors
    /// There is one that cannot be read, as without its key.
    pub async fn newest_state(&self, id: &DeploymentId) -> Result<Option<Vec<u8>>, StateError> {
        match self.held.get(id) {
            Some(held) => Ok(Some(held.to_vec())),
            None => self.store.state(id).await,
        }
    }

    /// The deployments of whose last run something lies there that [`Self::unkept`] reads. It reads the disk.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn with_unkept(&self) -> io::Result<Vec<DeploymentId>> {
        self.folders.with_spool()
    }

    /// Whether a left-over state of the deployment was set aside, so that what is kept may lack what it told of.
    pub fn has_state_aside(&self, id: &DeploymentId) -> bool {
        self.folders.has_aside(id).unwrap_or_default()
    }

    /// Before the process ends: writes the states that are held in memory, as far as the disk lets it.
    pub async fn write_held_states(&self) {
        for id in self.held.deployments() {
            if let Err(error) = self.held.write(&*self.store, &id).await {
                let text = "the newest state of a deployment is lost with this process; what it named is on its record or in its log";
                tracing::error!(deployment.id = %id, %error, "{text}");
            }
        }
    }

    /// After a crash of the host, and after [`Self::settle`]: what the run that it left made and no state has, ids by address, with a
    /// sentence on it; where it cannot be read, a sentence that says so. `secrets` are those of the run, as far as they are known: none
    /// of them is in it.
    pub async fn unkept(&self, id: &DeploymentId, secrets: &Secrets) -> (BTreeMap<String, String>, Option<String>) {
        match self.read_unkept(id, secrets).await {
            Ok(made) => {
                let text = unkept::sentence(&made);
                (made, text)
            }
            Err(why) => (BTreeMap::new(), Some(format!("what the last run made cannot be read: {why}"))),
        }
    }

    async fn read_unkept(&self, id: &DeploymentId, secrets: &Secrets) -> io::Result<BTreeMap<String, String>> {
        let (folders, of) = (self.folders.clone(), id.clone());
        let left = spawn_blocking(move || folders.read_spool(&of)).await.map_err(io::Error::other)??;
        let masker = Masker::new(secrets).map_err(io::Error::other)?;
        let made = left.map(|lines| undelivered::made(&lines, &masker)).unwrap_or_default();
        Ok(unkept::not_in(self.newest_state(id).await.ok().flatten().as_deref(), made))
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

/// What a person has to know where a state is nowhere on disk.
pub(super) fn in_memory_only() -> String {
    format!(
        "the newest state of this deployment is in the host's memory only: {MAKE_ROOM} and do not stop the host before, then retry or \
         destroy the deployment"
    )
}
