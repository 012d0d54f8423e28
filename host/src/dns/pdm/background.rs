//! Releases that nobody waits for. They know a name by who reserved it, as the manager does: a release that is still being
//! tried would take the name of a new reservation by the same hand, so it is called off before one is made.

use super::{PdmClient, PoolName};
use crate::dns::release::{Proof, ReleaseEnd, release};
use crate::dns::retry::RetryPolicy;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Releases under way, by who reserved.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<HashMap<String, Vec<OneRelease>>>);

#[derive(Debug)]
struct OneRelease {
    call_off: CancellationToken,
    /// Closed when it has ended, however it did.
    ended: watch::Receiver<()>,
}

impl UnderWay {
    fn add(&self, created_by: &str, one: OneRelease) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, releases| {
            releases.retain(|one| one.ended.has_changed().is_ok());
            !releases.is_empty()
        });
        all.entry(created_by.to_owned()).or_default().push(one);
    }

    fn take(&self, created_by: &str) -> Vec<OneRelease> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(created_by).unwrap_or_default()
    }
}

impl PdmClient {
    /// Releases a name as [`release`] does, until it is done, `stop` comes, or the same hand reserves again.
    pub async fn release_unless_wanted(
        &self,
        name: &PoolName,
        created_by: &str,
        proof: Proof,
        policy: &RetryPolicy,
        stop: &CancellationToken,
    ) -> ReleaseEnd {
        let (alive, ended) = watch::channel(());
        let call_off = stop.child_token();
        self.under_way.add(created_by, OneRelease { call_off: call_off.clone(), ended });
        let end = release(self, name, created_by, proof, policy, &call_off, |_| {}).await;
        drop(alive);
        end
    }

    /// Returns when no release of this hand goes on any more.
    pub(super) async fn call_off(&self, created_by: &str) {
        for mut one in self.under_way.take(created_by) {
            one.call_off.cancel();
            // Its call may be on the way already; an error means that it has ended.
            while one.ended.changed().await.is_ok() {}
        }
    }
}
