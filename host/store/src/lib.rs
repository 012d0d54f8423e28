//! Where records, logs, kubeconfigs, bundles and OpenTofu's state are kept.
//!
//! [`Store`] is all that others see; [`FileStore`] is its form on a volume. This crate knows nothing of
//! HTTP or clouds, and decides nothing: what a fact does to a record is the domain's table.

mod append;
mod deployment;
mod files;
mod folder;
mod health;
mod index;
mod inner;
mod kubeconfigs;
mod load;
mod names;
mod open;
mod reread;
mod run_secrets;
mod seal_kept;
mod sealing;
mod states;
#[cfg(test)]
mod unknown_outcome_tests;

pub use files::FileStore;
pub use open::{HeldFolder, OpenError, Settings, closed_to, kubeconfigs_sealed_and_plain};
pub use run_secrets::{RunSecrets, RunSecretsKept};
pub use sealing::{BadStateKey, Seal, StateKey, is_sealed};

use async_trait::async_trait;
use catalyst_domain::Refused;
use catalyst_domain::kubeconfig::{BearerFault, BodyFault};
use catalyst_domain::{DeploymentId, Entry, Fact, Record, Status, Timestamp};
use std::sync::Arc;
use tokio::sync::watch;

/// A log entry with its number. Numbers begin at 1 and have no gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbered {
    /// Place in the log.
    pub number: u64,
    /// The entry.
    pub entry: Entry,
}

/// What a viewer waits on: it changes whenever there may be something new to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Number of the last entry that is on disk. 0 for an empty log, and until the log is first read, counted or appended
    /// to: a viewer reads first and waits afterwards.
    pub last: u64,
    /// Grows with every change of the record.
    pub version: u64,
}

/// The store cannot do its work: disk full, read-only, broken, or shut after an unknown outcome.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot {doing}: {why}")]
pub struct StorageError {
    /// What was being done, such as `append to the log`.
    pub doing: &'static str,
    /// The system's reason, without paths.
    pub why: String,
}

/// Why a deployment was not created.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CreateError {
    /// Another deployment owns the name.
    #[error("{fqdn} belongs to deployment {owner}, which is {status}")]
    NameTaken {
        /// The name.
        fqdn: String,
        /// Its owner.
        owner: DeploymentId,
        /// The owner's state.
        status: Status,
    },
    /// The id is in use.
    #[error("the deployment id {0} is in use")]
    IdTaken(DeploymentId),
    /// Nothing was created.
    #[error(transparent)]
    Storage(StorageError),
}

/// Why a fact was not recorded. Nothing changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RecordError {
    /// No such deployment.
    #[error("there is no such deployment")]
    Unknown,
    /// The table has no row for it.
    #[error(transparent)]
    Refused(Refused),
    /// A failed deployment had left nothing behind, so its name went to another one: it cannot be applied again.
    #[error("{fqdn} now belongs to deployment {owner}, which is {status}")]
    NameTaken {
        /// The name.
        fqdn: String,
        /// Its owner.
        owner: DeploymentId,
        /// The owner's state.
        status: Status,
    },
    /// It could not be written.
    #[error(transparent)]
    Storage(StorageError),
}

/// Why a kubeconfig was not accepted. The bearer is not used up.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AcceptError {
    /// No such deployment.
    #[error("there is no such deployment")]
    Unknown,
    /// The bearer is refused.
    #[error(transparent)]
    Bearer(BearerFault),
    /// One was accepted before.
    #[error("a kubeconfig was already accepted")]
    AlreadySet {
        /// Whether it was this very body: a lost 204, seen again.
        same: bool,
    },
    /// The body is refused.
    #[error(transparent)]
    Body(BodyFault),
    /// The folder of kubeconfigs cannot be opened or created.
    #[error(transparent)]
    Folder(StorageError),
    /// File or record could not be written.
    #[error(transparent)]
    Storage(StorageError),
}

/// Why a kubeconfig cannot be given out.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KubeconfigError {
    /// No such deployment.
    #[error("there is no such deployment")]
    Unknown,
    /// None was handed in yet.
    #[error("no kubeconfig was handed in yet")]
    NotYet,
    /// It went with the cluster that it opened.
    #[error("this deployment is destroyed, and its kubeconfig with it: there is no cluster that it could open")]
    Destroyed,
    /// One was handed in before the outputs were known, so nobody can tell whether its server is this cluster's.
    #[error(
        "a kubeconfig was handed in, but it is not known yet whether its server is this cluster's: that shows when OpenTofu's outputs are read"
    )]
    Unchecked,
    /// One was accepted and dropped later.
    #[error("the kubeconfig that was handed in is not used: {0}; the node may hand in another one with its bearer")]
    Refused(String),
    /// The record names a file that cannot be read.
    #[error("the kubeconfig file is missing or cannot be read")]
    FileMissing,
    /// It is there, and cannot be opened: no key, another key, or a broken seal.
    #[error(transparent)]
    Sealed(StorageError),
}

/// Why OpenTofu's state was not read, written or locked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StateError {
    /// Somebody else holds the lock; its info is the JSON text that the holder gave.
    #[error("the state is locked")]
    Locked {
        /// JSON text of the holder.
        info: Vec<u8>,
    },
    /// The lock of this id is not held.
    #[error("the state is not locked with this id")]
    NotLocked,
    /// It could not be read or written.
    #[error(transparent)]
    Storage(StorageError),
}

/// A kept file that could not be read, under the name that it has since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Its name, below the folder in which things of its kind are kept.
    pub file: String,
    /// What is wrong with it.
    pub why: String,
}

/// What of a deployment can be damaged and set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Versions of OpenTofu's state, the newest first.
    States,
    /// The rendered bundle.
    Bundle,
    /// The log.
    Log,
}

/// All that is kept. Every method that returns `Ok` has its effect on disk: it survives `kill -9` at that instant.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Writes a new record. Fails when a live deployment owns the FQDN; a failed one owns it as long as its state is not
    /// empty.
    async fn create(&self, record: Record) -> Result<Arc<Record>, CreateError>;

    /// The record as it stands.
    fn get(&self, id: &DeploymentId) -> Option<Arc<Record>>;

    /// All records, oldest first.
    fn list(&self) -> Vec<Arc<Record>>;

    /// Applies one fact under the deployment's lock and replaces the record.
    async fn record(&self, id: &DeploymentId, fact: &Fact, at: Timestamp) -> Result<Arc<Record>, RecordError>;

    /// Appends entries and returns the number of the last one. They are on disk, and only then shown to viewers. A full log
    /// keeps phase markers and component states only; what it drops changes no number.
    async fn append(&self, id: &DeploymentId, entries: Vec<Entry>) -> Result<u64, RecordError>;

    /// Up to `limit` entries after number `after`, oldest first; fewer where they are long, so that a page stays below 1 MiB,
    /// but none only when there are none.
    async fn read(&self, id: &DeploymentId, after: u64, limit: usize) -> Result<Vec<Numbered>, RecordError>;

    /// Wakes on new entries and on a changed record; `None` for an unknown id.
    fn watch(&self, id: &DeploymentId) -> Option<watch::Receiver<Progress>>;

    /// Number of entries. Counted at first access, not at start.
    async fn count(&self, id: &DeploymentId) -> Result<u64, RecordError>;

    /// Checks bearer and body, publishes the file, records the pointer: all under the deployment's one lock.
    async fn accept_kubeconfig(
        &self,
        id: &DeploymentId,
        bearer: &str,
        body: &[u8],
        at: Timestamp,
    ) -> Result<Arc<Record>, AcceptError>;

    /// The stored kubeconfig, byte for byte, once its server is known to be this cluster's.
    async fn kubeconfig(&self, id: &DeploymentId) -> Result<Vec<u8>, KubeconfigError>;

    /// Whether the file that the record names is there: what [`catalyst_domain::restart::on_start`] asks. It reads the
    /// disk, so it is meant for the start of the process.
    fn kubeconfig_present(&self, id: &DeploymentId) -> bool;

    /// Whether the record names a file that is not there. The disk is asked once a second at most for each deployment.
    async fn kubeconfig_missing(&self, id: &DeploymentId) -> bool;

    /// Keeps the secrets of an interrupted run for its retry, instead of those that were kept before. They are on disk only
    /// sealed: without a key nothing is written.
    async fn put_run_secrets(&self, id: &DeploymentId, secrets: RunSecrets) -> Result<RunSecretsKept, StorageError>;

    /// The kept secrets of an interrupted run; `None` also for those that cannot be opened.
    async fn run_secrets(&self, id: &DeploymentId) -> Result<Option<RunSecrets>, StorageError>;

    /// Removes them, if there are any.
    async fn forget_run_secrets(&self, id: &DeploymentId) -> Result<(), StorageError>;

    /// The deployments of which secrets are kept, and when their runs ended.
    async fn kept_run_secrets(&self) -> Result<Vec<(DeploymentId, Timestamp)>, StorageError>;

    /// Keeps the rendered bundle of a deployment, as the JSON text of [`catalyst_domain::provider::Bundle`].
    async fn put_bundle(&self, id: &DeploymentId, bundle: &[u8]) -> Result<(), StorageError>;

    /// The kept bundle.
    async fn bundle(&self, id: &DeploymentId) -> Result<Option<Vec<u8>>, StorageError>;

    /// The current OpenTofu state.
    async fn state(&self, id: &DeploymentId) -> Result<Option<Vec<u8>>, StateError>;

    /// Whether the state names no resource. A locked state counts as not empty: somebody may be creating one.
    async fn state_is_empty(&self, id: &DeploymentId) -> Result<bool, StorageError>;

    /// Replaces the state and keeps earlier versions. With a lock held, `lock` must be its id.
    async fn put_state(&self, id: &DeploymentId, state: &[u8], lock: Option<&str>) -> Result<(), StateError>;

    /// Takes the lock; it outlives the process. `info` is OpenTofu's JSON text with its `ID`.
    async fn lock_state(&self, id: &DeploymentId, info: &[u8]) -> Result<(), StateError>;

    /// Gives the lock back; `None` forces it.
    async fn unlock_state(&self, id: &DeploymentId, lock: Option<&str>) -> Result<(), StateError>;

    /// Gives what nobody can read any more another name, and says which: what is kept beside it counts from then on. A file that
    /// another key would open is not damaged, nor is one that the disk does not return now.
    async fn set_damaged_aside(&self, id: &DeploymentId, part: Part) -> Result<Vec<SetAside>, StorageError>;

    /// Whether a state of this deployment was set aside, so that what is kept may lack what it told of.
    async fn has_state_aside(&self, id: &DeploymentId) -> Result<bool, StorageError>;

    /// Whether there was a record of this deployment at the start that could not be read: a damaged one, one of a newer version, or
    /// one that the disk did not return. The deployment is not served, and what is kept of it must stay.
    fn has_unread_record(&self, id: &DeploymentId) -> bool;

    /// Why the store must not be relied on, if so. Mutating routes answer 503 then, and readiness fails.
    fn unusable(&self) -> Option<StorageError>;

    /// Whether nothing is written any more until a restart, after a write whose outcome is unknown.
    fn is_shut(&self) -> bool;
}
