//! Where the secrets of a run come from: the request, the host, or made here.

use super::Settings;
use catalyst_domain::provider::{Descriptor, SecretSource};
use catalyst_domain::{SecretValue, Secrets};

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
