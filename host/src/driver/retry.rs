//! Taking a failed deployment up again. Checking and claiming are one step: of two retries one wins.

use super::create::bearer_hash;
use super::credentials::CredentialsFault;
use super::dns::PoolFault;
use super::secrets::{complete, mint};
use super::{Driver, tofu_state};
use bytes::Bytes;
use catalyst_domain::Refused;
use catalyst_domain::kubeconfig::authorise;
use catalyst_domain::phase::RetryPhase;
use catalyst_domain::provider::Descriptor;
use catalyst_domain::transition::apply;
use catalyst_domain::{DeploymentId, Entry, Fact, Level, Record, Secrets, Timestamp};
use catalyst_store::{RecordError, StateError};
use std::sync::Arc;

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
    /// The secrets of the run are gone, or those in the body are wrong.
    Credentials(CredentialsFault),
    /// The plugin is missing.
    Provider(String),
    /// The pool name could not be held again.
    Pool(PoolFault),
    /// Refused or not written.
    Record(RecordError),
    /// The task of the retry broke.
    Broken,
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
        let whole = self.tasks.spawn(async move { driver.retry_now(&id, &phase, &body, at).await });
        whole.await.unwrap_or(Err(RetryError::Broken))
    }

    async fn retry_now(
        self: &Arc<Self>,
        id: &DeploymentId,
        phase: &str,
        body: &[u8],
        at: Timestamp,
    ) -> Result<Retried, RetryError> {
        let _one_at_a_time = self.claims.of(id).await;
        let record = self.store.get(id).ok_or(RetryError::Record(RecordError::Unknown))?;
        match RetryPhase::parse(phase) {
            Some(RetryPhase::Infrastructure(phase)) => self.retry_infrastructure(&record, phase, body, at).await,
            Some(RetryPhase::Component { id, release }) => self.retry_watch(&record, id, release, at).await,
            None => match apply(&record, &Fact::Phase0Retried { new_bearer_hash: None, reservation: None }, at) {
                Err(refused @ (Refused::Busy(_) | Refused::Gone)) => Err(refuse(refused)),
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
                self.note(&record.id, phase, "retry asked for: the cluster is watched again", at).await;
                self.wake(&record.id);
                Ok(Retried::Watch)
            }
            Err(RecordError::Refused(Refused::ManualRetry)) => {
                let text = format!("retry asked for: reconcile HelmRelease {release} on the cluster by hand");
                self.note(&record.id, phase, &text, at).await;
                Ok(Retried::Manual { release })
            }
            Err(error) => Err(RetryError::Record(error)),
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
        apply(record, &dry, at).map_err(refuse)?;
        let missing = || RetryError::Provider("the provider of this deployment is not loaded".to_owned());
        let provider = self.provider_of(record).ok_or_else(missing)?;
        let descriptor = provider.descriptor();
        let mut secrets = self.gather(record, descriptor, body).await.map_err(RetryError::Credentials)?;
        let new_bearer_hash = self.renew_bearer(record, descriptor, &mut secrets).await?;
        let no_random = |_| RetryError::Provider("the system gave no random bytes".to_owned());
        complete(&mut secrets, descriptor, &self.settings).map_err(no_random)?;
        let reservation = self.reserve_again(record).await.map_err(RetryError::Pool)?;
        self.vault.put(&record.id, secrets);
        let fact = Fact::Phase0Retried { new_bearer_hash, reservation: reservation.clone() };
        if let Err(error) = self.store.record(&record.id, &fact, at).await {
            // No run began, so the time after which secrets are forgotten counts from now.
            self.vault.run_ended(&record.id);
            reservation.into_iter().for_each(|reservation| self.give_back(&record.id, reservation));
            return Err(RetryError::Record(error));
        }
        self.note(&record.id, phase, "retry asked for: Phase 0 goes on from the kept state", at).await;
        self.wake(&record.id);
        Ok(Retried::Infrastructure)
    }

    /// A lost bearer may be minted anew only while no server can hold the old one; hash and state then change in one fact. A
    /// kubeconfig that was handed in goes with it: the server that it opened is not there any more.
    async fn renew_bearer(
        &self,
        record: &Record,
        descriptor: &Descriptor,
        secrets: &mut Secrets,
    ) -> Result<Option<String>, RetryError> {
        let Some(spec) = descriptor.bearer() else { return Ok(None) };
        if secrets.get(&spec.name).is_some_and(|bearer| authorise(record, bearer.expose()).is_ok()) {
            return Ok(None);
        }
        let no_random = |_| RetryError::Provider("the system gave no random bytes".to_owned());
        secrets.insert(&spec.name, mint().map_err(no_random)?);
        let state = self.store.state(&record.id).await.map_err(|error| match error {
            StateError::Storage(error) => RetryError::Record(RecordError::Storage(error)),
            other => RetryError::Provider(other.to_string()),
        })?;
        let given_out = descriptor.bearer_resource.as_deref().is_none_or(|a| tofu_state::holds(state.as_deref(), a));
        Ok((!given_out).then(|| bearer_hash(descriptor, secrets)))
    }

    pub(super) async fn note(&self, id: &DeploymentId, phase: &str, text: &str, at: Timestamp) {
        if let Err(error) = self.store.append(id, vec![Entry::new(at, phase, Level::Info, text)]).await {
            tracing::warn!(deployment.id = %id, %error, "cannot log what was asked for");
        }
    }
}

fn refuse(refused: Refused) -> RetryError {
    RetryError::Record(RecordError::Refused(refused))
}
