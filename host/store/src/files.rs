//! The store on a volume: the [`Store`] trait, and nothing but who runs where.
//!
//! Each method that changes something runs as one piece on a blocking thread and owns its deployment's lock there: a
//! caller that goes away half-way leaves neither half a change nor a memory that differs from the disk.

use crate::deployment::Deployment;
use crate::inner::{Inner, Put};
use crate::kubeconfigs::ReadFault;
use crate::reread::READ;
use crate::states::States;
use crate::{
    AcceptError, CreateError, KubeconfigError, Numbered, Part, Progress, RecordError, RunSecrets, RunSecretsKept,
    SetAside, StateError, StorageError, Store, load,
};
use async_trait::async_trait;
use catalyst_domain::kubeconfig::authorise;
use catalyst_domain::{DeploymentId, Entry, Fact, Record, Status, Timestamp};
use std::sync::Arc;
use tokio::sync::{Mutex, watch};

/// The store on a volume. One process has it at a time.
#[derive(Debug)]
pub struct FileStore(Arc<Inner>);

impl FileStore {
    pub(crate) fn around(inner: Arc<Inner>) -> Self {
        Self(inner)
    }

    #[cfg(test)]
    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    fn find(&self, id: &DeploymentId) -> Result<Arc<Deployment>, RecordError> {
        self.0.find(id).ok_or(RecordError::Unknown)
    }

    // Runs `work` to its end, also when the caller goes away.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> T + Send + 'static,
    ) -> Result<T, StorageError> {
        let inner = self.0.clone();
        tokio::task::spawn_blocking(move || work(&inner)).await.map_err(|_| stopping())
    }

    async fn locked<T: Send + 'static>(
        &self,
        lock: &Arc<Mutex<()>>,
        work: impl FnOnce(&Inner) -> T + Send + 'static,
    ) -> Result<T, StorageError> {
        let guard = lock.clone().lock_owned().await;
        self.blocking(move |inner| {
            let _guard = guard;
            work(inner)
        })
        .await
    }

    async fn with_states<T: Send + 'static>(
        &self,
        id: &DeploymentId,
        work: impl FnOnce(States<'_>) -> T + Send + 'static,
    ) -> Result<T, StorageError> {
        let Some(deployment) = self.0.find(id) else {
            return Err(StorageError { doing: "find the deployment", why: "there is no such deployment".to_owned() });
        };
        let id = id.clone();
        self.locked(&deployment.state, move |inner| work(inner.states(&id))).await
    }
}

#[async_trait]
impl Store for FileStore {
    async fn create(&self, record: Record) -> Result<Arc<Record>, CreateError> {
        self.blocking(|inner| inner.create(record)).await.map_err(CreateError::Storage)?
    }

    fn get(&self, id: &DeploymentId) -> Option<Arc<Record>> {
        self.0.find(id).map(|deployment| deployment.record())
    }

    fn list(&self) -> Vec<Arc<Record>> {
        let mut records = self.0.every();
        records.sort_by(|a, b| (a.started_at, &a.id).cmp(&(b.started_at, &b.id)));
        records
    }

    async fn record(&self, id: &DeploymentId, fact: &Fact, at: Timestamp) -> Result<Arc<Record>, RecordError> {
        let deployment = self.find(id)?;
        let fact = fact.clone();
        let lock = deployment.facts.clone();
        self.locked(&lock, move |inner| inner.record(&deployment, &fact, at)).await.map_err(RecordError::Storage)?
    }

    async fn append(&self, id: &DeploymentId, entries: Vec<Entry>) -> Result<u64, RecordError> {
        let deployment = self.find(id)?;
        let (answer, first) = deployment.log.enqueue(entries);
        if first {
            let inner = self.0.clone();
            // Not waited for: it writes for others as well, whether this caller stays or not.
            drop(tokio::task::spawn_blocking(move || {
                deployment.log.drain(&inner, |last| deployment.shown(last));
            }));
        }
        answer.await.map_err(|_| RecordError::Storage(stopping()))?.map_err(RecordError::Storage)
    }

    async fn read(&self, id: &DeploymentId, after: u64, limit: usize) -> Result<Vec<Numbered>, RecordError> {
        let deployment = self.find(id)?;
        let read = self.blocking(move |inner| {
            let entries = inner.read(&deployment, after, limit)?;
            deployment.shown(deployment.log.last(inner)?);
            Ok(entries)
        });
        read.await.flatten().map_err(RecordError::Storage)
    }

    fn watch(&self, id: &DeploymentId) -> Option<watch::Receiver<Progress>> {
        self.0.find(id).map(|deployment| deployment.watch())
    }

    async fn count(&self, id: &DeploymentId) -> Result<u64, RecordError> {
        let deployment = self.find(id)?;
        // A thread of its own for each poll would cost more than all the rest of the answer.
        if let Some(last) = deployment.log.last_known() {
            return Ok(last);
        }
        let count = self.blocking(move |inner| {
            let last = deployment.log.last(inner)?;
            deployment.shown(last);
            Ok(last)
        });
        count.await.flatten().map_err(RecordError::Storage)
    }

    async fn accept_kubeconfig(
        &self,
        id: &DeploymentId,
        bearer: &str,
        body: &[u8],
        at: Timestamp,
    ) -> Result<Arc<Record>, AcceptError> {
        let deployment = self.0.find(id).ok_or(AcceptError::Unknown)?;
        // Asked again under the lock. Here it keeps guesses out of the queue of the one that is right.
        authorise(&deployment.record(), bearer).map_err(AcceptError::Bearer)?;
        let put = Put { bearer: bearer.to_owned(), body: body.to_vec(), at };
        let lock = deployment.facts.clone();
        self.locked(&lock, move |inner| inner.accept(&deployment, &put)).await.map_err(AcceptError::Storage)?
    }

    async fn kubeconfig(&self, id: &DeploymentId) -> Result<Vec<u8>, KubeconfigError> {
        let deployment = self.0.find(id).ok_or(KubeconfigError::Unknown)?;
        let mut record = deployment.record();
        if record.has_kubeconfig() && record.kubeconfig_server.is_empty() {
            // The folder could not be read at the start.
            let lock = deployment.facts.clone();
            let reread = self.locked(&lock, move |inner| {
                let unread = |_| read_kubeconfig(inner, &deployment.record()).err();
                inner.reread_kubeconfig(&deployment).map_err(|e| unread(e).unwrap_or(KubeconfigError::FileMissing))
            });
            record = reread.await.map_err(|_| KubeconfigError::FileMissing)??;
        }
        match &*record.kubeconfig_refusal {
            _ if record.status == Status::Destroyed => return Err(KubeconfigError::Destroyed),
            _ if record.kubeconfig_checked => {}
            "" if record.has_kubeconfig() => return Err(KubeconfigError::Unchecked),
            "" => return Err(KubeconfigError::NotYet),
            why => return Err(KubeconfigError::Refused(why.to_owned())),
        }
        let read = self.blocking(move |inner| read_kubeconfig(inner, &record));
        read.await.map_err(|_| KubeconfigError::FileMissing)?
    }

    fn kubeconfig_present(&self, id: &DeploymentId) -> bool {
        self.get(id).is_some_and(|record| self.0.kubeconfigs.has(&record))
    }

    async fn kubeconfig_missing(&self, id: &DeploymentId) -> bool {
        let Some(deployment) = self.0.find(id).filter(|deployment| deployment.record().has_kubeconfig()) else {
            return false;
        };
        if let Some(missing) = deployment.kubeconfig_file.known() {
            return missing;
        }
        // A disk that cannot be asked has lost nothing yet.
        let look = self.blocking(move |inner| {
            let missing = !inner.kubeconfigs.has(&deployment.record());
            deployment.kubeconfig_file.note(missing);
            missing
        });
        look.await.unwrap_or(false)
    }

    async fn put_run_secrets(&self, id: &DeploymentId, secrets: RunSecrets) -> Result<RunSecretsKept, StorageError> {
        let id = id.clone();
        self.blocking(move |inner| inner.run_secrets().put(&id, &secrets)).await?
    }

    async fn run_secrets(&self, id: &DeploymentId) -> Result<Option<RunSecrets>, StorageError> {
        let id = id.clone();
        self.blocking(move |inner| inner.run_secrets().get(&id)).await?
    }

    async fn forget_run_secrets(&self, id: &DeploymentId) -> Result<(), StorageError> {
        let id = id.clone();
        self.blocking(move |inner| inner.run_secrets().forget(&id)).await?
    }

    async fn kept_run_secrets(&self) -> Result<Vec<(DeploymentId, Timestamp)>, StorageError> {
        self.blocking(|inner| inner.run_secrets().kept()).await?
    }

    async fn put_bundle(&self, id: &DeploymentId, bundle: &[u8]) -> Result<(), StorageError> {
        let bundle = bundle.to_vec();
        self.with_states(id, move |states| states.put_bundle(&bundle)).await?
    }

    async fn bundle(&self, id: &DeploymentId) -> Result<Option<Vec<u8>>, StorageError> {
        self.with_states(id, |states| states.bundle()).await?
    }

    async fn state(&self, id: &DeploymentId) -> Result<Option<Vec<u8>>, StateError> {
        self.with_states(id, |states| states.state()).await.flatten().map_err(StateError::Storage)
    }

    async fn state_is_empty(&self, id: &DeploymentId) -> Result<bool, StorageError> {
        self.with_states(id, |states| states.is_empty()).await?
    }

    async fn put_state(&self, id: &DeploymentId, state: &[u8], lock: Option<&str>) -> Result<(), StateError> {
        let (state, lock) = (state.to_vec(), lock.map(str::to_owned));
        let put = self.with_states(id, move |states| states.put_state(&state, lock.as_deref()));
        put.await.map_err(StateError::Storage)?
    }

    async fn lock_state(&self, id: &DeploymentId, info: &[u8]) -> Result<(), StateError> {
        let info = info.to_vec();
        self.with_states(id, move |states| states.lock(&info)).await.map_err(StateError::Storage)?
    }

    async fn unlock_state(&self, id: &DeploymentId, lock: Option<&str>) -> Result<(), StateError> {
        let lock = lock.map(str::to_owned);
        self.with_states(id, move |states| states.unlock(lock.as_deref())).await.map_err(StateError::Storage)?
    }

    async fn set_damaged_aside(&self, id: &DeploymentId, part: Part) -> Result<Vec<SetAside>, StorageError> {
        match part {
            Part::States => self.with_states(id, |states| states.set_damaged_aside()).await?,
            Part::Bundle => {
                let aside = self.with_states(id, |states| states.set_damaged_bundle_aside()).await??;
                Ok(aside.into_iter().collect())
            }
            Part::Log => {
                let Some(deployment) = self.0.find(id) else { return Ok(Vec::new()) };
                let set_aside = move |inner: &Inner| {
                    let aside = deployment.log.set_damaged_aside(inner)?;
                    aside.iter().for_each(|_| deployment.log_began_anew());
                    Ok(aside.into_iter().collect())
                };
                self.blocking(set_aside).await?
            }
        }
    }

    async fn has_state_aside(&self, id: &DeploymentId) -> Result<bool, StorageError> {
        self.with_states(id, |states| states.has_aside()).await?
    }

    fn has_unread_record(&self, id: &DeploymentId) -> bool {
        self.0.left_out.contains(id)
    }

    fn unusable(&self) -> Option<StorageError> {
        if self.0.health.probe_is_due() {
            let inner = self.0.clone();
            let probe = move || inner.health.judge("write to the folder of deployments", load::probe(&inner.records));
            // The disk may hang, so who asks is not made to wait: the next one sees the outcome.
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn_blocking(probe)),
                Err(_) => drop(probe()),
            }
        }
        self.0.health.trouble()
    }

    fn is_shut(&self) -> bool {
        self.0.health.is_shut()
    }
}

fn read_kubeconfig(inner: &Inner, record: &Record) -> Result<Vec<u8>, KubeconfigError> {
    match inner.kubeconfigs.read(record) {
        Ok(Some(body)) => Ok(body),
        Err(ReadFault::Sealed(fault)) => {
            Err(KubeconfigError::Sealed(StorageError { doing: READ, why: fault.to_string() }))
        }
        Ok(None) | Err(ReadFault::Disk(_)) => Err(KubeconfigError::FileMissing),
    }
}

fn stopping() -> StorageError {
    StorageError { doing: "go on", why: "the process is stopping".to_owned() }
}
