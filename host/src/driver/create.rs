//! From the body of a create to a deployment: which provider, what is secret, what is wrong, and the record.

use super::Driver;
use super::dns::PoolFault;
use super::secrets::{NoRandomness, complete, random};
use catalyst_domain::finding::sort_by_contract;
use catalyst_domain::kubeconfig::sha256_hex;
use catalyst_domain::provider::Descriptor;
use catalyst_domain::record::{NewRecord, ProviderRef};
use catalyst_domain::request::{self, DomainMode, Parsed};
use catalyst_domain::{DeploymentId, Entry, Finding, Level, Record, Request, Secrets, Timestamp, phase};
use catalyst_sandbox::Provider;
use catalyst_store::CreateError;
use std::sync::Arc;

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
}

impl From<NoRandomness> for CreateFault {
    fn from(_: NoRandomness) -> Self {
        Self::Random
    }
}

impl Driver {
    /// Creates a deployment and starts it. When this returns, the record is on disk.
    ///
    /// # Errors
    /// [`CreateFault`]; nothing was created.
    pub async fn create(self: &Arc<Self>, body: &[u8], at: Timestamp) -> Result<Arc<Record>, CreateFault> {
        let parsed = request::parse(body).map_err(|error| CreateFault::Findings(error.0))?;
        let provider = match self.choose(&parsed) {
            Ok(provider) => provider,
            Err(finding) => {
                let mut findings = request::validate(&parsed.without_extra());
                findings.extend(finding);
                return Err(refused(findings));
            }
        };
        let (request, mut secrets, mut findings) = parsed.split(provider.descriptor());
        findings.extend(request::validate(&request));
        findings.extend(self.pool_rule(&request));
        findings.extend(self.names.managed.judge_pool(&request));
        let of_cloud = provider.validate(&request).await.map_err(|error| CreateFault::Provider(error.to_string()))?;
        add_new(&mut findings, of_cloud);
        if findings.iter().any(Finding::is_error) {
            return Err(refused(findings));
        }
        complete(&mut secrets, provider.descriptor(), &self.settings)?;
        let mut record = new_record(request, &provider, &secrets, at)?;
        // In a task of its own: a browser that goes away must not leave a name that is held for nothing [B-6].
        let driver = self.clone();
        let founded = self.tasks.spawn(async move {
            let reservation = driver.reserve(&record.id, &record.request).await.map_err(CreateFault::Pool)?;
            if let Some(reservation) = &reservation {
                record = record.with_reservation(reservation);
            }
            let id = record.id.clone();
            let founded = driver.found(record, secrets, &findings, at).await;
            if let (Err(_), Some(reservation)) = (&founded, reservation) {
                driver.give_back(&id, reservation);
            }
            founded
        });
        founded.await.unwrap_or_else(|_| Err(CreateFault::Provider("the create was broken off".to_owned())))
    }

    /// Writes the record and starts the deployment.
    async fn found(
        self: &Arc<Self>,
        record: Record,
        secrets: Secrets,
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
        self.remark(&id, findings, at).await;
        let provider = record.provider.as_ref().map(|p| p.id.as_str());
        tracing::info!(deployment.id = %id, provider.id = provider, "deployment created");
        self.wake(&id);
        Ok(record)
    }

    /// The provider of `regions[0]`; else the default; else the one whose secrets the body carries.
    fn choose(&self, parsed: &Parsed) -> Result<Arc<Provider>, Option<Finding>> {
        let known = || {
            let ids: Vec<String> = self.sandbox.providers().iter().map(|p| p.descriptor().id.clone()).collect();
            ids.join(", ")
        };
        if let Some(id) = parsed.provider() {
            let message = || format!("region[0]: provider must be one of {}", known());
            let unknown = || Some(Finding::error("/regions/0/provider", "unknown-provider", message()));
            return self.sandbox.provider(id).ok_or_else(unknown);
        }
        if parsed.has_regions() {
            // The rule that a slot needs a provider speaks for itself.
            return Err(None);
        }
        if let Some(id) = &self.settings.default_provider {
            let message = || format!("the default provider {id} is not loaded; name one of {} in regions", known());
            return self.sandbox.provider(id).ok_or_else(|| Some(Finding::error("/regions", "no-provider", message())));
        }
        let mut carried = self.sandbox.providers();
        carried.retain(|p| p.descriptor().request_secrets().any(|(_, key)| parsed.carries(key)));
        match (carried.pop(), carried.is_empty()) {
            (Some(provider), true) => Ok(provider),
            _ => {
                let message = format!("regions: name a provider in regions[0].provider: one of {}", known());
                Err(Some(Finding::error("/regions", "no-provider", message)))
            }
        }
    }

    fn pool_rule(&self, request: &Request) -> Option<Finding> {
        let missing = request.domain_mode() == DomainMode::Pool && self.settings.ghcr_pull_token.is_blank();
        let message =
            "sovereignDomainMode: pool mode needs CATALYST_GHCR_PULL_TOKEN on the server; see SECRET-ROTATION";
        missing.then(|| Finding::error("/sovereignDomainMode", "no-pull-token", message))
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

/// A blank field is named once, by the generic rule; what the cloud says of the same field adds nothing.
fn add_new(findings: &mut Vec<Finding>, of_cloud: Vec<Finding>) {
    for finding in of_cloud {
        if !findings.iter().any(|f| f.pointer == finding.pointer && f.code == finding.code) {
            findings.push(finding);
        }
    }
}

fn refused(mut findings: Vec<Finding>) -> CreateFault {
    sort_by_contract(&mut findings);
    CreateFault::Findings(findings)
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
pub(super) fn bearer_hash(descriptor: &Descriptor, secrets: &Secrets) -> String {
    let bearer = descriptor.bearer().and_then(|spec| secrets.get(&spec.name));
    bearer.map(|value| sha256_hex(value.expose().as_bytes())).unwrap_or_default()
}
