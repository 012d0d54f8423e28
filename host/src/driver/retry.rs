//! Taking a failed deployment up again. Checking and claiming are one step: of two retries one wins.

use super::Driver;
use super::dns::PoolFault;
use super::secrets::complete;
use super::servers::with_key;
use super::take_up::TakeUpFault;
use bytes::Bytes;
use catalyst_domain::fact::Repair;
use catalyst_domain::json::first_value;
use catalyst_domain::phase::RetryPhase;
use catalyst_domain::replace::ACCEPT_DATA_LOSS;
use catalyst_domain::transition::apply;
use catalyst_domain::{DeploymentId, Entry, Fact, Finding, Level, Record, Refused, Timestamp};
use catalyst_sandbox::Provider;
use catalyst_store::RecordError;
use serde_json::Value;
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
    /// The cluster's data would be lost, and the body does not say that this is accepted.
    DataLoss(String),
    /// The body accepts that the cluster's data is lost, and who asks may not destroy.
    NotAllowed,
    /// What is wrong with the body.
    Body(Finding),
    /// The deployment cannot be taken up.
    TakeUp(TakeUpFault),
}

impl<T: Into<TakeUpFault>> From<T> for RetryError {
    fn from(fault: T) -> Self {
        Self::TakeUp(fault.into())
    }
}

/// What a destroy that did not come to its end may have left on the cluster, and what becomes of it.
const DESTROY_LEFT: &str = "the destroy before this may have suspended Flux on the cluster, and keeps new Services and claims out by ResourceQuotas \
                            (catalyst-destroy-*): what has its mark is resumed, and these quotas are deleted, once the cluster is watched again";

impl Driver {
    /// Retries a phase. The body may give credentials by the create's own keys, and may accept a loss of data where `may_lose_data` is
    /// set.
    ///
    /// # Errors
    /// [`RetryError`]; nothing changed.
    pub async fn retry(
        self: &Arc<Self>,
        id: DeploymentId,
        phase: String,
        body: Bytes,
        may_lose_data: bool,
        at: Timestamp,
    ) -> Result<Retried, RetryError> {
        if !may_lose_data && accepts_data_loss(&body)? {
            return Err(RetryError::NotAllowed);
        }
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
            None => {
                let retried = Fact::Phase0Retried { repair: None, data_loss_accepted: false, reservation: None };
                match apply(&record, &retried, at) {
                    Err(refused @ (Refused::Busy(_) | Refused::Gone)) => Err(RecordError::Refused(refused).into()),
                    _ => Err(RetryError::UnknownPhase(phase.to_owned())),
                }
            }
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
        let data_loss_accepted = accepts_data_loss(body)?;
        let retried = |repair, reservation| Fact::Phase0Retried { repair, data_loss_accepted, reservation };
        let refused = apply(record, &retried(None, None), at).err();
        if let Some(refused) = refused.filter(|refused| *refused != Refused::Healthy) {
            return Err(RecordError::Refused(refused).into());
        }
        let provider = self.provider_of(record).ok_or_else(|| self.not_loaded(record));
        let repair = match (refused, &provider) {
            (None, _) => None,
            (Some(healthy), Err(_)) => return Err(RecordError::Refused(healthy).into()),
            (Some(healthy), Ok(provider)) => {
                Some(self.repair(record, provider, data_loss_accepted).await?.ok_or(RecordError::Refused(healthy))?)
            }
        };
        let provider = provider?;
        let descriptor = provider.descriptor();
        self.settled(record).await?;
        let record = self.look_at_servers(&record.id, at).await?;
        let outlook = self.outlook(&record, &provider).await?;
        if let Some(loss) = outlook.loss.filter(|_| !data_loss_accepted) {
            return Err(RetryError::DataLoss(with_key(&loss)));
        }
        let mut secrets = self.gather(&record, descriptor, body).await?;
        complete(&mut secrets, descriptor, &self.settings)?;
        let reservation = self.reserve_again(&record).await.map_err(RetryError::Pool)?;
        self.vault.put(&record.id, secrets);
        // Before the fact, which begins the run.
        self.ledger.mark_retried(&record.id);
        if let Err(error) = self.store.record(&record.id, &retried(repair, reservation.clone()), at).await {
            // No run began, so the time after which secrets are forgotten counts from now.
            self.vault.run_ended(&record.id);
            self.ledger.take_retry_mark(&record.id);
            reservation.into_iter().for_each(|reservation| self.give_back(&record.id, reservation));
            return Err(error.into());
        }
        let text = match data_loss_accepted {
            true => "retry asked for: Phase 0 goes on from the kept state, and the cluster's data may be lost",
            false => "retry asked for: Phase 0 goes on from the kept state",
        };
        self.note(&record.id, phase, text, at).await;
        if record.destroy_begun && record.has_cluster() {
            self.warn(&record.id, DESTROY_LEFT.to_owned()).await;
        }
        self.wake(&record.id);
        Ok(Retried::Infrastructure)
    }

    /// What makes it right to apply a deployment that is ready; none where nothing does. One whose state cannot be looked at counts as
    /// healthy.
    async fn repair(
        &self,
        record: &Record,
        provider: &Provider,
        data_loss_accepted: bool,
    ) -> Result<Option<Repair>, TakeUpFault> {
        if self.settled(record).await.is_err() {
            return Ok(None);
        }
        let damaged = self.outlook(record, provider).await?.damaged;
        Ok(match (data_loss_accepted, damaged) {
            (true, _) => Some(Repair::DataLossAccepted),
            (false, true) => Some(Repair::ServerMissing),
            (false, false) => None,
        })
    }

    /// Tells the record which servers there are before anything is decided on it.
    async fn look_at_servers(&self, id: &DeploymentId, at: Timestamp) -> Result<Arc<Record>, RecordError> {
        match self.servers_seen(id).await {
            Some(fact) => self.store.record(id, &fact, at).await,
            None => self.store.get(id).ok_or(RecordError::Unknown),
        }
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

/// Whether the body says that the cluster's data may be lost. What is no JSON object says nothing.
fn accepts_data_loss(body: &[u8]) -> Result<bool, RetryError> {
    let Ok(Value::Object(keys)) = first_value(body) else { return Ok(false) };
    // As everywhere in a body, keys are the same in any case.
    let given = keys.iter().find(|(key, _)| key.eq_ignore_ascii_case(ACCEPT_DATA_LOSS)).map(|(_, value)| value);
    match given {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(accepted)) => Ok(*accepted),
        Some(_) => {
            let message = format!("{ACCEPT_DATA_LOSS} must be true or false");
            Err(RetryError::Body(Finding::error(format!("/{ACCEPT_DATA_LOSS}"), "wrong-type", message)))
        }
    }
}
