//! Where the secrets of a run come from: the request, the host, or made here; and when they are forgotten.

use super::{Driver, Settings};
use catalyst_domain::provider::{Descriptor, SecretSource};
use catalyst_domain::{Record, SecretValue, Secrets, Status, Timestamp};

/// Name by which a provider asks for the registry's pull token.
const GHCR_PULL_TOKEN: &str = "ghcr-pull-token";

/// The system gave no random bytes.
#[derive(Debug, Clone, Copy)]
pub struct NoRandomness;

/// Adds the host's secrets and makes those that are minted and not there yet.
pub fn complete(secrets: &mut Secrets, descriptor: &Descriptor, settings: &Settings) -> Result<(), NoRandomness> {
    for spec in &descriptor.secrets {
        match &spec.source {
            SecretSource::Host(name) if name == GHCR_PULL_TOKEN => {
                secrets.insert(&spec.name, settings.ghcr_pull_token.clone());
            }
            SecretSource::Minted if secrets.get(&spec.name).is_none() => secrets.insert(&spec.name, mint()?),
            SecretSource::Host(_) | SecretSource::Minted | SecretSource::Request(_) => {}
        }
    }
    Ok(())
}

/// 32 random bytes as 64 hex characters.
pub fn mint() -> Result<SecretValue, NoRandomness> {
    Ok(SecretValue::new(hex::encode(random::<32>()?)))
}

/// Random bytes of the system.
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

impl Driver {
    /// Wipes secrets whose time is over: those in memory, and those that a crash left in a work folder.
    pub(super) fn forget_secrets(&self) {
        self.vault.sweep();
        let ttl = self.settings.secrets_ttl;
        let over = |record: &Record| {
            let end = record.finished_at.and_then(|at| at.checked_add(ttl).ok());
            record.status == Status::Failed && end.is_some_and(|end| end < Timestamp::now())
        };
        for record in self.store.list().into_iter().filter(|record| over(record)) {
            if let Err(error) = self.engine.forget_secrets(&record.id) {
                tracing::warn!(deployment.id = %record.id, %error, "cannot remove the secrets of an interrupted run");
            }
        }
    }
}
