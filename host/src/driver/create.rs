//! From the body of a create to a deployment: which provider, what is secret, what is wrong, and the record.

use super::Driver;
use super::dns::PoolFault;
use super::examine::Examined;
use super::idempotency::IdempotencyKey;
use super::render::RenderFault;
use super::secrets::{NoRandomness, complete, random};
use crate::limits::{LiveFault, Slot, Subject};
use bytes::Bytes;
use catalyst_domain::kubeconfig::sha256_hex;
use catalyst_domain::provider::Descriptor;
use catalyst_domain::read_token::ReadToken;
use catalyst_domain::record::{Idempotency, NewRecord, ProviderRef};
use catalyst_domain::{
    Creator, DeploymentId, Entry, Finding, Level, Record, Request, SecretValue, Secrets, Status, Timestamp, phase,
};
use catalyst_sandbox::Provider;
use catalyst_store::CreateError;
use std::sync::Arc;
use tracing::Instrument;

/// Why no deployment was created.
#[derive(Debug)]
pub enum CreateFault {
    /// Everything that is wrong with the request.
    Findings(Vec<Finding>),
    /// The plugin failed.
    Provider(String),
    /// The store refused or failed.
    Store(CreateError),
    /// The pool name is not held for it.
    Pool(PoolFault),
    /// No random bytes.
    Random,
    /// The task of the create broke; whether there is a record must be looked up.
    Broken,
    /// The key belongs to a create of another request.
    OtherRequest(DeploymentId),
    /// Its subject has as many deployments as it may have.
    Live(LiveFault),
    /// The render is not the one that was approved.
    OtherRender {
        /// Digest that was approved.
        approved: String,
        /// Digest of what would be applied.
        found: String,
    },
}

/// A create as it came.
pub struct CreateCall {
    /// Its body.
    pub body: Bytes,
    /// What its sender called it.
    pub key: Option<IdempotencyKey>,
    /// Opens the deployment for reading.
    pub read_token: Option<ReadToken>,
    /// Who asks; `None` where callers are not known.
    pub creator: Option<Creator>,
    /// Whose limit it counts against.
    pub subject: Subject,
    /// Room for what it makes; where there is none yet, it is taken once it is known that the key made nothing before.
    pub slot: Option<Slot>,
    /// When it came.
    pub at: Timestamp,
}

/// What a create did.
#[derive(Debug)]
pub enum Created {
    /// A deployment was made.
    Now(Arc<Record>),
    /// A create with this key had made it before.
    Earlier(Arc<Record>),
}

impl From<NoRandomness> for CreateFault {
    fn from(_: NoRandomness) -> Self {
        Self::Random
    }
}

impl Driver {
    /// Creates a deployment and starts it, or finds the one that the same key made. When this returns, the record is on
    /// disk. It goes on to its end when the caller leaves, so that no record is left without its task.
    ///
    /// # Errors
    /// [`CreateFault`]; nothing was created.
    pub async fn create(self: &Arc<Self>, call: CreateCall) -> Result<Created, CreateFault> {
        let driver = self.clone();
        let whole = async move { driver.create_whole(call).await };
        let whole = self.tasks.spawn(whole.in_current_span());
        whole.await.unwrap_or(Err(CreateFault::Broken))
    }

    async fn create_whole(self: &Arc<Self>, call: CreateCall) -> Result<Created, CreateFault> {
        let CreateCall { body, key, read_token, creator, subject, slot, at } = call;
        let taken = self.take(&body)?;
        if taken.is_unread() {
            // No key can stand for it: what could not be read is blank, and may be so in another request as well.
            let _lane = self.creates.enter(&subject).await;
            return Err(CreateFault::Findings(self.examine(taken).await?.findings));
        }
        let approved = taken.approved_render_digest.clone();
        let idempotency = key.as_ref().map(|key| key.of(&taken.request, &approved));
        // Held until the record is there, so that of many creates with one key one makes it and the others find it.
        let _one_at_a_time = match &key {
            Some(key) => Some(self.creating.of(key).await),
            None => None,
        };
        if let Some(wanted) = &idempotency
            && let Some(earlier) = self.made_by(wanted)?
        {
            return Ok(Created::Earlier(earlier));
        }
        let slot = slot.map_or_else(|| self.slot(&subject).map_err(CreateFault::Live), Ok)?;
        let _lane = self.creates.enter(&subject).await;
        let examined = self.examine(taken).await?;
        if examined.findings.iter().any(Finding::is_error) {
            return Err(CreateFault::Findings(examined.findings));
        }
        let Examined { provider, request, mut secrets, findings } = examined;
        complete(&mut secrets, provider.descriptor(), &self.settings)?;
        if !approved.is_empty() {
            self.check_approved(&provider, &request, &secrets, &approved).await?;
        }
        let mut record = new_record(request, &provider, &secrets, at)?;
        record.approved_render_digest = approved;
        record.idempotency = idempotency;
        record.created_by = creator;
        record.read_tokens.extend(read_token);
        self.settle_namesakes(&record).await?;
        let reservation = self.reserve(&record.id, &record.request).await.map_err(CreateFault::Pool)?;
        if let Some(reservation) = &reservation {
            record = record.with_reservation(reservation);
        }
        let id = record.id.clone();
        let founded = self.found(record, secrets, slot, &findings, at).await;
        if let (Err(_), Some(reservation)) = (&founded, reservation) {
            self.give_back(&id, reservation);
        }
        founded.map(Created::Now)
    }

    /// A failed deployment frees its name when its state is empty, so what a dead run left of it is taken in before.
    async fn settle_namesakes(&self, record: &Record) -> Result<(), CreateFault> {
        let fqdn = &record.request.sovereign_fqdn;
        let failed = |other: &Arc<Record>| {
            other.status == Status::Failed && other.request.sovereign_fqdn.eq_ignore_ascii_case(fqdn)
        };
        for other in self.store.list().iter().filter(|other| failed(other)) {
            // After whoever takes it up or tidies it just now.
            let _turn = self.claims.of(&other.id).await;
            self.settle(&other.id).await.map_err(|error| CreateFault::Store(CreateError::Storage(error)))?;
        }
        Ok(())
    }

    /// Writes the record and starts the deployment.
    async fn found(
        self: &Arc<Self>,
        record: Record,
        secrets: Secrets,
        slot: Slot,
        findings: &[Finding],
        at: Timestamp,
    ) -> Result<Arc<Record>, CreateFault> {
        let id = record.id.clone();
        // Before the record: once it is there, a task may ask for them.
        self.vault.put(&id, secrets);
        let record = match self.store.create(record).await {
            Ok(record) => record,
            Err(error) => {
                self.vault.forget(&id);
                return Err(CreateFault::Store(error));
            }
        };
        slot.assign_to(&id);
        self.remark(&id, findings, at).await;
        let provider = record.provider.as_ref().map(|p| p.id.as_str());
        tracing::info!(deployment.id = %id, provider.id = provider, "deployment created");
        self.wake(&id);
        Ok(record)
    }

    /// The deployment that a create with this key made.
    fn made_by(&self, wanted: &Idempotency) -> Result<Option<Arc<Record>>, CreateFault> {
        let same_key =
            |record: &Arc<Record>| record.idempotency.as_ref().is_some_and(|kept| kept.key_sha256 == wanted.key_sha256);
        match self.store.list().into_iter().find(same_key) {
            Some(record) if record.idempotency.as_ref() == Some(wanted) => Ok(Some(record)),
            Some(record) => Err(CreateFault::OtherRequest(record.id.clone())),
            None => Ok(None),
        }
    }

    // The record keeps the digest, and the run checks it once more: a plugin may be replaced in between.
    async fn check_approved(
        &self,
        provider: &Provider,
        request: &Request,
        secrets: &Secrets,
        approved: &str,
    ) -> Result<(), CreateFault> {
        let rendered = self.render(provider, request, secrets).await.map_err(|fault| match fault {
            RenderFault::Findings(findings) => CreateFault::Findings(findings),
            RenderFault::Provider(why) => CreateFault::Provider(why),
        })?;
        if rendered.digest == approved {
            return Ok(());
        }
        Err(CreateFault::OtherRender { approved: approved.to_owned(), found: rendered.digest })
    }

    async fn remark(&self, id: &DeploymentId, findings: &[Finding], at: Timestamp) {
        let entry = |f: &Finding| Entry::new(at, phase::HOST, Level::Warn, f.message.clone());
        let entries: Vec<Entry> = findings.iter().map(entry).collect();
        if !entries.is_empty()
            && let Err(error) = self.store.append(id, entries).await
        {
            tracing::warn!(deployment.id = %id, %error, "cannot log the warnings of a create");
        }
    }
}

fn new_record(request: Request, provider: &Provider, secrets: &Secrets, at: Timestamp) -> Result<Record, NoRandomness> {
    let descriptor = provider.descriptor();
    Ok(Record::new(NewRecord {
        id: DeploymentId::from_bytes(random::<8>()?),
        request,
        kubeconfig_bearer_hash: bearer_hash(descriptor, secrets),
        provider: ProviderRef {
            id: descriptor.id.clone(),
            version: descriptor.version.clone(),
            digest: provider.digest().to_owned(),
        },
        at,
    }))
}

/// SHA-256 of the bearer's text; blank when the provider has none.
fn bearer_hash(descriptor: &Descriptor, secrets: &Secrets) -> String {
    descriptor.bearer().and_then(|spec| secrets.get(&spec.name)).map(hash_of).unwrap_or_default()
}

/// SHA-256 of a bearer's text.
pub(super) fn hash_of(bearer: &SecretValue) -> String {
    sha256_hex(bearer.expose().as_bytes())
}
