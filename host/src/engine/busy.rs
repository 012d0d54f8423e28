//! Which deployments have a run, and in whose folders something is removed: one of them at a time, each for its deployment alone.

use catalyst_domain::DeploymentId;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What goes on, by deployment.
#[derive(Default)]
pub(super) struct Busy {
    sets: Mutex<Sets>,
    removed: Notify,
}

#[derive(Default)]
struct Sets {
    runs: HashSet<DeploymentId>,
    removals: HashSet<DeploymentId>,
}

/// The one run of a deployment, until it is dropped.
pub(super) struct Claim {
    busy: Arc<Busy>,
    pub(super) id: DeploymentId,
}

/// A removal in the folders of a deployment, until it is dropped. A run that is to begin waits for it.
pub(super) struct Removal {
    busy: Arc<Busy>,
    id: DeploymentId,
}

impl Busy {
    /// The right to the deployment's one run; `None` while another goes on or waits for its turn. Waits for a removal.
    pub(super) async fn claim(self: &Arc<Self>, id: &DeploymentId) -> Option<Claim> {
        loop {
            let removed = self.removed.notified();
            {
                let mut sets = self.sets();
                if !sets.removals.contains(id) {
                    return sets.runs.insert(id.clone()).then(|| Claim { busy: self.clone(), id: id.clone() });
                }
            }
            removed.await;
        }
    }

    /// The right to remove what lies in the deployment's folders; `None` while a run or another removal goes on.
    pub(super) fn remove(self: &Arc<Self>, id: &DeploymentId) -> Option<Removal> {
        let mut sets = self.sets();
        let is_free = !sets.runs.contains(id) && sets.removals.insert(id.clone());
        is_free.then(|| Removal { busy: self.clone(), id: id.clone() })
    }

    /// Whether a run of the deployment goes on, or waits for its turn.
    pub(super) fn runs(&self, id: &DeploymentId) -> bool {
        self.sets().runs.contains(id)
    }

    fn sets(&self) -> MutexGuard<'_, Sets> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.busy.sets().runs.remove(&self.id);
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        self.busy.sets().removals.remove(&self.id);
        self.busy.removed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test(start_paused = true)]
    async fn a_run_waits_for_a_removal_of_its_deployment_alone_and_a_removal_for_none() {
        let (busy, [one, other]) = (Arc::new(Busy::default()), [1, 2].map(|n| DeploymentId::from_bytes([n; 8])));
        let removal = busy.remove(&one).unwrap();
        assert!(busy.remove(&one).is_none(), "one removal at a time");
        let of_other = busy.claim(&other).await.unwrap();
        assert!(timeout(Duration::from_secs(1), busy.claim(&one)).await.is_err());
        let (claimed, ()) = tokio::join!(busy.claim(&one), async {
            tokio::task::yield_now().await;
            drop(removal);
        });
        assert!(busy.runs(&one) && busy.remove(&one).is_none() && busy.claim(&one).await.is_none());
        drop((claimed, of_other));
        assert!(!busy.runs(&one) && !busy.runs(&other) && busy.remove(&one).is_some());
    }
}
