//! Taking a deployment up where an earlier run left it: what is asked alike before a retry and before a destroy.

use super::Driver;
use super::credentials::CredentialsFault;
use super::secrets::NoRandomness;
use catalyst_domain::{DeploymentId, Finding, Record};
use catalyst_store::{Part, RecordError, SetAside, StateError, StorageError};
use std::collections::BTreeMap;

/// Why a deployment was not taken up. Nothing changed.
#[derive(Debug)]
pub enum TakeUpFault {
    /// The secrets are gone, or those in the body are wrong.
    Credentials(CredentialsFault),
    /// What is wrong with the body beside them.
    Body(Vec<Finding>),
    /// The plugin of this provider is not loaded.
    NotLoaded(String),
    /// There was infrastructure, and its state is not kept here.
    NoState,
    /// The system gave no random bytes.
    Random,
    /// Refused or not written.
    Record(RecordError),
    /// The task broke.
    Broken,
}

impl From<CredentialsFault> for TakeUpFault {
    fn from(fault: CredentialsFault) -> Self {
        Self::Credentials(fault)
    }
}

impl From<StorageError> for TakeUpFault {
    fn from(error: StorageError) -> Self {
        Self::Record(RecordError::Storage(error))
    }
}

impl From<RecordError> for TakeUpFault {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

impl From<NoRandomness> for TakeUpFault {
    fn from(_: NoRandomness) -> Self {
        Self::Random
    }
}

/// What the store has of a deployment's infrastructure.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// No state was ever written here.
    Nothing,
    /// The state names no resource.
    Empty,
    /// The state names resources, or cannot be read.
    Resources,
}

impl Driver {
    /// Takes in what a dead run could not hand over, then says what is kept. Everything that is decided on the state is
    /// decided after this.
    ///
    /// # Errors
    /// [`TakeUpFault::NoState`]: where infrastructure was seen and no state of it is here, nobody can say what is left, and a
    /// run on an empty state would make all of it a second time.
    pub(super) async fn settled(&self, record: &Record) -> Result<Kept, TakeUpFault> {
        self.renew_log(&record.id).await;
        self.settle(&record.id).await?;
        // What the record says was in the state, and is not in the one that is kept, is told before a run begins without it.
        if !record.left.is_empty() {
            self.note_left(&record.id, &BTreeMap::new()).await;
        }
        match self.infrastructure(&record.id).await? {
            Kept::Nothing if record.had_infrastructure() => Err(TakeUpFault::NoState),
            kept => Ok(kept),
        }
    }

    /// As [`crate::engine::Engine::settle`]. What was set aside is said in the log.
    pub(super) async fn settle(&self, id: &DeploymentId) -> Result<(), StorageError> {
        let unsettled = |why: String| StorageError { doing: "bring OpenTofu's state in order", why };
        let notices = self.engine.settle(id).await.map_err(|error| unsettled(error.reason))?;
        if !notices.is_empty() {
            self.tell_set_aside(id, notices).await;
        }
        Ok(())
    }

    /// Sets a log aside that cannot be read, so that what begins now has one.
    pub(super) async fn renew_log(&self, id: &DeploymentId) {
        match self.store.set_damaged_aside(id, Part::Log).await {
            Ok(aside) => {
                for SetAside { file, why } in aside {
                    let text = format!(
                        "the log until now cannot be read ({why}) and is set aside as {file} in the folder of deployments \
                         (CATALYST_DEPLOYMENTS_DIR)"
                    );
                    self.warn(id, text).await;
                }
            }
            Err(error) => tracing::error!(deployment.id = %id, %error, "a log that cannot be read stays where it is"),
        }
    }

    pub(super) async fn infrastructure(&self, id: &DeploymentId) -> Result<Kept, StorageError> {
        Ok(match self.state(id).await? {
            None => Kept::Nothing,
            Some(state) if state.is_empty() => Kept::Nothing,
            Some(_) if self.store.state_is_empty(id).await? => Kept::Empty,
            Some(_) => Kept::Resources,
        })
    }

    /// The newest state, also where the disk did not take it yet.
    pub(super) async fn state(&self, id: &DeploymentId) -> Result<Option<Vec<u8>>, StorageError> {
        self.engine.newest_state(id).await.map_err(|error| match error {
            StateError::Storage(error) => error,
            other => StorageError { doing: "read the OpenTofu state", why: other.to_string() },
        })
    }
}
