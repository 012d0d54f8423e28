//! The store with a clock beside it: how long its work takes, what it cannot do, and how long deployments stand in each
//! status. It changes nothing of what the store says.

use super::{Failed, Metrics};
use crate::telemetry;
use async_trait::async_trait;
use catalyst_domain::{DeploymentId, Entry, Fact, Record, Status, Timestamp};
use catalyst_store::{
    AcceptError, CreateError, KubeconfigError, Numbered, Part, Progress, RecordError, RunSecrets, RunSecretsKept,
    SetAside, StateError, StorageError, Store,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::watch;
use tracing::Instrument;

/// Every operation that is measured.
pub(super) const OPERATIONS: [&str; 20] = [
    "create",
    "record",
    "append",
    "read",
    "count",
    "accept_kubeconfig",
    "kubeconfig",
    "put_run_secrets",
    "run_secrets",
    "forget_run_secrets",
    "kept_run_secrets",
    "put_bundle",
    "bundle",
    "state",
    "state_is_empty",
    "put_state",
    "lock_state",
    "unlock_state",
    "set_damaged_aside",
    "has_state_aside",
];

/// A measured store.
pub struct Measured {
    inner: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    /// Since when deployments that are not at their end stand where they do.
    since: Mutex<HashMap<DeploymentId, (Status, Instant)>>,
}

impl Measured {
    /// Measures a store.
    pub fn new(inner: Arc<dyn Store>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { inner, metrics, since: Mutex::default() })
    }

    async fn took<T, E: Fault>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let (begun, span) = (Instant::now(), telemetry::store(operation));
        let outcome = work.instrument(span.clone()).await;
        let failed = outcome.as_ref().err().map_or(Failed::No, Fault::of_the_store);
        self.metrics.stored(operation, begun.elapsed(), failed);
        if failed == Failed::Yes {
            telemetry::failed(&span);
        }
        outcome
    }

    /// Looks where a deployment stands now.
    fn stands(&self, record: &Record) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let before = since.get(&record.id).copied();
        if before.is_some_and(|(status, _)| status == record.status) {
            return;
        }
        if let Some((status, at)) = before {
            self.metrics.phase_ended(status, record.status, at.elapsed());
        }
        if record.status.is_terminal() {
            since.remove(&record.id);
        } else {
            since.insert(record.id.clone(), (record.status, Instant::now()));
        }
    }
}

/// Tells a store that does not work from one that rightly refuses.
trait Fault {
    fn of_the_store(&self) -> Failed;
}

fn when(failed: bool) -> Failed {
    if failed { Failed::Yes } else { Failed::No }
}

impl Fault for StorageError {
    fn of_the_store(&self) -> Failed {
        Failed::Yes
    }
}

impl Fault for CreateError {
    fn of_the_store(&self) -> Failed {
        when(matches!(self, Self::Storage(_)))
    }
}

impl Fault for RecordError {
    fn of_the_store(&self) -> Failed {
        when(matches!(self, Self::Storage(_)))
    }
}

impl Fault for AcceptError {
    fn of_the_store(&self) -> Failed {
        when(matches!(self, Self::Storage(_) | Self::Folder(_)))
    }
}

impl Fault for KubeconfigError {
    fn of_the_store(&self) -> Failed {
        when(matches!(self, Self::FileMissing | Self::Sealed(_)))
    }
}

impl Fault for StateError {
    fn of_the_store(&self) -> Failed {
        when(matches!(self, Self::Storage(_)))
    }
}

#[async_trait]
impl Store for Measured {
    async fn create(&self, record: Record) -> Result<Arc<Record>, CreateError> {
        let created = self.took("create", self.inner.create(record)).await?;
        self.stands(&created);
        Ok(created)
    }

    fn get(&self, id: &DeploymentId) -> Option<Arc<Record>> {
        self.inner.get(id)
    }

    fn list(&self) -> Vec<Arc<Record>> {
        self.inner.list()
    }

    async fn record(&self, id: &DeploymentId, fact: &Fact, at: Timestamp) -> Result<Arc<Record>, RecordError> {
        let record = self.took("record", self.inner.record(id, fact, at)).await?;
        self.stands(&record);
        Ok(record)
    }

    async fn append(&self, id: &DeploymentId, entries: Vec<Entry>) -> Result<u64, RecordError> {
        self.took("append", self.inner.append(id, entries)).await
    }

    async fn read(&self, id: &DeploymentId, after: u64, limit: usize) -> Result<Vec<Numbered>, RecordError> {
        self.took("read", self.inner.read(id, after, limit)).await
    }

    fn watch(&self, id: &DeploymentId) -> Option<watch::Receiver<Progress>> {
        self.inner.watch(id)
    }

    async fn count(&self, id: &DeploymentId) -> Result<u64, RecordError> {
        self.took("count", self.inner.count(id)).await
    }

    async fn accept_kubeconfig(
        &self,
        id: &DeploymentId,
        bearer: &str,
        body: &[u8],
        at: Timestamp,
    ) -> Result<Arc<Record>, AcceptError> {
        let record = self.took("accept_kubeconfig", self.inner.accept_kubeconfig(id, bearer, body, at)).await?;
        self.stands(&record);
        Ok(record)
    }

    async fn kubeconfig(&self, id: &DeploymentId) -> Result<Vec<u8>, KubeconfigError> {
        self.took("kubeconfig", self.inner.kubeconfig(id)).await
    }

    fn kubeconfig_present(&self, id: &DeploymentId) -> bool {
        self.inner.kubeconfig_present(id)
    }

    async fn kubeconfig_missing(&self, id: &DeploymentId) -> bool {
        self.inner.kubeconfig_missing(id).await
    }

    async fn put_run_secrets(&self, id: &DeploymentId, secrets: RunSecrets) -> Result<RunSecretsKept, StorageError> {
        self.took("put_run_secrets", self.inner.put_run_secrets(id, secrets)).await
    }

    async fn run_secrets(&self, id: &DeploymentId) -> Result<Option<RunSecrets>, StorageError> {
        self.took("run_secrets", self.inner.run_secrets(id)).await
    }

    async fn forget_run_secrets(&self, id: &DeploymentId) -> Result<(), StorageError> {
        self.took("forget_run_secrets", self.inner.forget_run_secrets(id)).await
    }

    async fn kept_run_secrets(&self) -> Result<Vec<(DeploymentId, Timestamp)>, StorageError> {
        self.took("kept_run_secrets", self.inner.kept_run_secrets()).await
    }

    async fn put_bundle(&self, id: &DeploymentId, bundle: &[u8]) -> Result<(), StorageError> {
        self.took("put_bundle", self.inner.put_bundle(id, bundle)).await
    }

    async fn bundle(&self, id: &DeploymentId) -> Result<Option<Vec<u8>>, StorageError> {
        self.took("bundle", self.inner.bundle(id)).await
    }

    async fn state(&self, id: &DeploymentId) -> Result<Option<Vec<u8>>, StateError> {
        self.took("state", self.inner.state(id)).await
    }

    async fn state_is_empty(&self, id: &DeploymentId) -> Result<bool, StorageError> {
        self.took("state_is_empty", self.inner.state_is_empty(id)).await
    }

    async fn put_state(&self, id: &DeploymentId, state: &[u8], lock: Option<&str>) -> Result<(), StateError> {
        self.took("put_state", self.inner.put_state(id, state, lock)).await
    }

    async fn lock_state(&self, id: &DeploymentId, info: &[u8]) -> Result<(), StateError> {
        self.took("lock_state", self.inner.lock_state(id, info)).await
    }

    async fn unlock_state(&self, id: &DeploymentId, lock: Option<&str>) -> Result<(), StateError> {
        self.took("unlock_state", self.inner.unlock_state(id, lock)).await
    }

    async fn set_damaged_aside(&self, id: &DeploymentId, part: Part) -> Result<Vec<SetAside>, StorageError> {
        self.took("set_damaged_aside", self.inner.set_damaged_aside(id, part)).await
    }

    async fn has_state_aside(&self, id: &DeploymentId) -> Result<bool, StorageError> {
        self.took("has_state_aside", self.inner.has_state_aside(id)).await
    }

    fn has_unread_record(&self, id: &DeploymentId) -> bool {
        self.inner.has_unread_record(id)
    }

    fn unusable(&self) -> Option<StorageError> {
        self.inner.unusable()
    }

    fn is_shut(&self) -> bool {
        self.inner.is_shut()
    }
}
