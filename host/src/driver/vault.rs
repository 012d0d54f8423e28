//! The secrets of runs, in memory and for a limited time. A restart forgets them all; what a run that was killed left on disk
//! is taken in here.

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
    /// When they are forgotten; never while a run is going.
    until: Option<Instant>,
}

impl Vault {
    /// A vault that forgets `ttl` after a run's end.
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, kept: Mutex::default() }
    }

    /// Keeps the secrets of a run that begins.
    pub fn put(&self, id: &DeploymentId, secrets: Secrets) {
        self.kept().insert(id.clone(), Kept { secrets, until: None });
    }

    /// Keeps the secrets of a run that ended before, for the time that is left to them. What is kept already stays.
    pub fn put_ended(&self, id: &DeploymentId, secrets: Secrets, left: Duration) {
        let until = Instant::now().checked_add(left);
        let mut all = self.kept();
        if all.get(id).is_none_or(Kept::is_over) {
            all.insert(id.clone(), Kept { secrets, until });
        }
    }

    /// The secrets, where they are still kept.
    pub fn get(&self, id: &DeploymentId) -> Option<Secrets> {
        self.kept().get(id).filter(|kept| !kept.is_over()).map(|kept| kept.secrets.clone())
    }

    /// Wipes the secrets of a deployment that did not come to be.
    pub fn forget(&self, id: &DeploymentId) {
        self.kept().remove(id);
    }

    /// The run has ended: the time begins to count.
    pub fn run_ended(&self, id: &DeploymentId) {
        if let Some(kept) = self.kept().get_mut(id) {
            kept.until = Instant::now().checked_add(self.ttl);
        }
    }

    /// Wipes what is over its time.
    pub fn sweep(&self) {
        self.kept().retain(|_, kept| !kept.is_over());
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<DeploymentId, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
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

    #[test]
    fn secrets_that_a_crash_left_are_kept_for_the_rest_of_their_time() {
        let (vault, id) = (Vault::new(Duration::from_secs(3600)), DeploymentId::from_bytes([1; 8]));
        let secrets = |value: &str| {
            let mut secrets = Secrets::default();
            secrets.insert("token", SecretValue::new(value));
            secrets
        };
        vault.put_ended(&id, secrets("old"), Duration::ZERO);
        assert!(vault.get(&id).is_none());
        vault.put_ended(&id, secrets("left"), Duration::from_secs(60));
        vault.put_ended(&id, secrets("other"), Duration::from_secs(3600));
        assert_eq!(vault.get(&id).unwrap().get("token").unwrap().expose(), "left");
    }
}
