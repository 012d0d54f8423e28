//! Taking a failed deployment up again. Checking and claiming are one step: of two retries one wins.

use super::create::bearer_hash;
use super::dns::PoolFault;
use super::secrets::{complete, mint};
use super::take_up::TakeUpFault;
use super::{Driver, tofu_state};
use bytes::Bytes;
use catalyst_domain::Refused;
use catalyst_domain::kubeconfig::authorise;
use catalyst_domain::phase::RetryPhase;
use catalyst_domain::provider::Descriptor;
use catalyst_domain::transition::apply;
use catalyst_domain::{DeploymentId, Entry, Fact, Level, Record, Secrets, Timestamp};
use catalyst_store::RecordError;
use std::sync::Arc;
use tracing::Instrument;

/// What a retry did.
#[derive(Debug)]
pub enum Retried {
    /// Phase 0 runs again.
    Infrastructure,
    /// The cluster is watched again.
    Watch,
    /// Nothing: a person has to act on the cluster.
    Manual {
        /// The HelmRelease to act on.
        release: &'static str,
    },
}

/// Why nothing was taken up.
#[derive(Debug)]
pub enum RetryError {
    /// No phase of that name.
    UnknownPhase(String),
    /// The pool name could not be held again.
    Pool(PoolFault),
    /// The deployment cannot be taken up.
    TakeUp(TakeUpFault),
}

impl<T: Into<TakeUpFault>> From<T> for RetryError {
    fn from(fault: T) -> Self {
        Self::TakeUp(fault.into())
    }
}

impl Driver {
    /// Retries a phase. The body may give credentials by the create's own keys.
    ///
    /// # Errors
    /// [`RetryError`]; nothing changed.
    pub async fn retry(
        self: &Arc<Self>,
        id: DeploymentId,
        phase: String,
        body: Bytes,
        at: Timestamp,
    ) -> Result<Retried, RetryError> {
        // In a task of its own: a caller that leaves must part neither a claim from its task nor a name from its owner.
        let driver = self.clone();
        let whole = async move { driver.retry_now(&id, &phase, &body, at).await };
        let whole = self.tasks.spawn(whole.in_current_span());
        whole.await.unwrap_or_else(|_| Err(TakeUpFault::Broken.into()))
    }

    async fn retry_now(
        self: &Arc<Self>,
        id: &DeploymentId,
        phase: &str,
        body: &[u8],
        at: Timestamp,
    ) -> Result<Retried, RetryError> {
        let _one_at_a_time = self.claims.of(id).await;
        let record = self.store.get(id).ok_or(RecordError::Unknown)?;
        match RetryPhase::parse(phase) {
            Some(RetryPhase::Infrastructure(phase)) => self.retry_infrastructure(&record, phase, body, at).await,
            Some(RetryPhase::Component { id, release }) => self.retry_watch(&record, id, release, at).await,
            None => match apply(&record, &Fact::Phase0Retried { new_bearer_hash: None, reservation: None }, at) {
                Err(refused @ (Refused::Busy(_) | Refused::Gone)) => Err(RecordError::Refused(refused).into()),
                _ => Err(RetryError::UnknownPhase(phase.to_owned())),
            },
        }
    }

    async fn retry_watch(
        self: &Arc<Self>,
        record: &Record,
        phase: &str,
        release: &'static str,
        at: Timestamp,
    ) -> Result<Retried, RetryError> {
        match self.store.record(&record.id, &Fact::Phase1Retried, at).await {
            Ok(_) => {
                self.renew_log(&record.id).await;
                self.note(&record.id, phase, "retry asked for: the cluster is watched again", at).await;
                self.wake(&record.id);
                Ok(Retried::Watch)
            }
            Err(RecordError::Refused(Refused::ManualRetry)) => {
                let text = format!("retry asked for: reconcile HelmRelease {release} on the cluster by hand");
                self.note(&record.id, phase, &text, at).await;
                Ok(Retried::Manual { release })
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn retry_infrastructure(
        self: &Arc<Self>,
        record: &Record,
        phase: &str,
        body: &[u8],
        at: Timestamp,
    ) -> Result<Retried, RetryError> {
        let dry = Fact::Phase0Retried { new_bearer_hash: None, reservation: None };
        apply(record, &dry, at).map_err(RecordError::Refused)?;
        let provider = self.provider_of(record).ok_or_else(|| self.not_loaded(record))?;
        let descriptor = provider.descriptor();
        self.settled(record).await?;
        let mut secrets = self.gather(record, descriptor, body).await?;
        let new_bearer_hash = self.renew_bearer(record, descriptor, &mut secrets).await?;
        complete(&mut secrets, descriptor, &self.settings)?;
        let reservation = self.reserve_again(record).await.map_err(RetryError::Pool)?;
        self.vault.put(&record.id, secrets);
        // Before the fact, which begins the run.
        self.ledger.mark_retried(&record.id);
        let fact = Fact::Phase0Retried { new_bearer_hash, reservation: reservation.clone() };
        if let Err(error) = self.store.record(&record.id, &fact, at).await {
            // No run began, so the time after which secrets are forgotten counts from now.
            self.vault.run_ended(&record.id);
            self.ledger.take_retry_mark(&record.id);
            reservation.into_iter().for_each(|reservation| self.give_back(&record.id, reservation));
            return Err(error.into());
        }
        self.note(&record.id, phase, "retry asked for: Phase 0 goes on from the kept state", at).await;
        self.wake(&record.id);
        Ok(Retried::Infrastructure)
    }

    /// A bearer is minted anew when the old one is lost, or when the server that handed in a kubeconfig with it is gone. Only
    /// while no server can hold the old one does the new one count: hash and state then change in one fact, and a kubeconfig
    /// that was handed in goes with it, for the server that it opened is not there any more.
    async fn renew_bearer(
        &self,
        record: &Record,
        descriptor: &Descriptor,
        secrets: &mut Secrets,
    ) -> Result<Option<String>, TakeUpFault> {
        let Some(spec) = descriptor.bearer() else { return Ok(None) };
        let state = self.state(&record.id).await?;
        let given_out = descriptor.bearer_resource.as_deref().is_none_or(|a| tofu_state::holds(state.as_deref(), a));
        let known = secrets.get(&spec.name).is_some_and(|bearer| authorise(record, bearer.expose()).is_ok());
        if known && (given_out || !record.has_kubeconfig()) {
            return Ok(None);
        }
        secrets.insert(&spec.name, mint()?);
        Ok((!given_out).then(|| bearer_hash(descriptor, secrets)))
    }

    pub(super) fn not_loaded(&self, record: &Record) -> TakeUpFault {
        TakeUpFault::NotLoaded(record.provider_id().unwrap_or_default().to_owned())
    }

    pub(super) async fn note(&self, id: &DeploymentId, phase: &str, text: &str, at: Timestamp) {
        if let Err(error) = self.store.append(id, vec![Entry::new(at, phase, Level::Info, text)]).await {
            tracing::warn!(deployment.id = %id, %error, "cannot log what was asked for");
        }
    }
}
