//! The secrets of runs, in memory only and for a limited time. A restart forgets them all.

use catalyst_domain::{DeploymentId, Secrets};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Secrets by deployment.
pub struct Vault {
    ttl: Duration,
    kept: Mutex<HashMap<DeploymentId, Kept>>,
}

struct Kept {
    secrets: Secrets,
    /// Counts from the end of the last run; none while one is going.
    ended: Option<Instant>,
}

impl Vault {
    /// A vault that forgets `ttl` after a run's end.
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, kept: Mutex::default() }
    }

    /// Keeps the secrets of a run that begins.
    pub fn put(&self, id: &DeploymentId, secrets: Secrets) {
        self.kept().insert(id.clone(), Kept { secrets, ended: None });
    }

    /// The secrets, where they are still kept.
    pub fn get(&self, id: &DeploymentId) -> Option<Secrets> {
        self.kept().get(id).filter(|kept| !kept.is_over(self.ttl)).map(|kept| kept.secrets.clone())
    }

    /// Wipes the secrets of a deployment that did not come to be.
    pub fn forget(&self, id: &DeploymentId) {
        self.kept().remove(id);
    }

    /// The run has ended: the time begins to count.
    pub fn run_ended(&self, id: &DeploymentId) {
        if let Some(kept) = self.kept().get_mut(id) {
            kept.ended = Some(Instant::now());
        }
    }

    /// Wipes what is over its time.
    pub fn sweep(&self) {
        let ttl = self.ttl;
        self.kept().retain(|_, kept| !kept.is_over(ttl));
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<DeploymentId, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn is_over(&self, ttl: Duration) -> bool {
        self.ended.is_some_and(|ended| ended.elapsed() >= ttl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalyst_domain::SecretValue;

    #[test]
    fn h2_secrets_are_forgotten_after_their_time() {
        let (vault, id) = (Vault::new(Duration::ZERO), DeploymentId::from_bytes([1; 8]));
        let mut secrets = Secrets::default();
        secrets.insert("token", SecretValue::new("x"));
        vault.put(&id, secrets);
        vault.sweep();
        assert!(vault.get(&id).is_some(), "a run that is going keeps its secrets");
        vault.run_ended(&id);
        assert!(vault.get(&id).is_none());
        vault.sweep();
        assert!(vault.kept().is_empty());
    }
}
