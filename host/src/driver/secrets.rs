//! Where the secrets of a run come from: the request, the host, or made here.

use super::{Driver, Hand, Settings};
use catalyst_domain::provider::{Descriptor, SecretSource};
use catalyst_domain::{Level, Record, SecretValue, Secrets, phase};
use catalyst_sandbox::grants::{Basis, Grant};
use std::collections::BTreeMap;

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

/// The secrets of the host that a plugin wants: the host's name of each, by the plugin's own.
pub fn host_secrets(descriptor: &Descriptor) -> BTreeMap<String, String> {
    let of_host = descriptor.secrets.iter().filter_map(|spec| match &spec.source {
        SecretSource::Host(name) => Some((spec.name.clone(), name.clone())),
        SecretSource::Minted | SecretSource::Request(_) => None,
    });
    of_host.collect()
}

/// The secrets of a run, parted by what holds now.
pub struct RunSecrets {
    /// What it gets.
    pub given: Secrets,
    /// What it does not get any more.
    pub withheld: Secrets,
}

impl Hand {
    /// Withholds the secrets of the host whose grant was taken back since a run before had them, and says so.
    pub(super) async fn granted_secrets(&self, record: &Record, mut given: Secrets) -> RunSecrets {
        let mut withheld = Secrets::default();
        for name in self.driver.ungranted(record) {
            let Some(value) = given.remove(&name) else { continue };
            withheld.insert(&name, value);
            let text = format!(
                "this run does not get {name} of this host: plugins.lock does not grant it to the plugin any more"
            );
            self.say(phase::HOST, Level::Warn, text).await;
        }
        RunSecrets { given, withheld }
    }
}

impl Driver {
    /// Secrets of the host, by the plugin's names, that a deployment's module may have had and that are not granted now.
    fn ungranted(&self, record: &Record) -> Vec<String> {
        let provider = self.provider_of(record);
        let mut wanted = record.render_host_secrets.clone();
        if wanted.is_empty() {
            // Of a release before, which had this one only. Its plugins gave it the same name.
            wanted.insert(GHCR_PULL_TOKEN.to_owned(), GHCR_PULL_TOKEN.to_owned());
        }
        let Some(provider) = provider else {
            let is_taken_back = |of_host: &String| {
                let of_this = |line: &&String| line.ends_with(&format!(" {}", Grant::Secret(of_host.clone())));
                record.render_rights.iter().filter(of_this).any(|line| self.sandbox.took_back(line))
            };
            return wanted.into_iter().filter(|(_, of_host)| is_taken_back(of_host)).map(|(name, _)| name).collect();
        };
        // What the plugin takes from elsewhere by now is the request's own, or made here.
        wanted.retain(|name, _| !provider.descriptor().secrets.iter().any(|spec| spec.name == *name));
        wanted.extend(host_secrets(provider.descriptor()));
        let rights = provider.rights();
        let is_granted = |of_host: &String| {
            rights.basis() != Basis::Granted || rights.grants().contains(&Grant::Secret(of_host.clone()))
        };
        wanted.into_iter().filter(|(_, of_host)| !is_granted(of_host)).map(|(name, _)| name).collect()
    }
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
