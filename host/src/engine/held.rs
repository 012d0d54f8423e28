//! States that the store could not write, in memory until it can.
//!
//! A state is acknowledged to OpenTofu when it is on disk and never before, so what is held here is no promise: OpenTofu still has
//! it, and writes a copy of its own when it gives up. That copy often goes to the same full disk, and OpenTofu does not notice
//! each time that it failed. So the newest state that a run handed over stays here after the run, and is written again.

use axum::body::Bytes;
use catalyst_domain::DeploymentId;
use catalyst_domain::tofu_state::Head;
use catalyst_store::{StateError, Store};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::sleep;

/// Bytes of all states that are held. There is one for each run that went on when the disk failed; a usual one has some 100 kB.
const ROOM: usize = 256 * 1024 * 1024;
/// First pause between two tries to write, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// The newest state of each deployment that is not on disk.
#[derive(Default)]
pub(super) struct HeldStates {
    all: Mutex<HashMap<DeploymentId, Bytes>>,
    /// One is written at a time: a run that begins and a look at the disk must not write the same one.
    writing: tokio::sync::Mutex<()>,
}

impl HeldStates {
    /// Holds the state in place of an older one of the deployment; `false` where there is no room for it.
    pub(super) fn hold(&self, id: &DeploymentId, state: Bytes) -> bool {
        let mut all = self.all();
        // An older one is better than none.
        let taken: usize = all.iter().filter(|(other, _)| *other != id).map(|(_, state)| state.len()).sum();
        if taken + state.len() > ROOM {
            return false;
        }
        all.insert(id.clone(), state);
        true
    }

    /// The deployment's newest state is on disk.
    pub(super) fn forget(&self, id: &DeploymentId) {
        self.all().remove(id);
    }

    /// The state that is held of a deployment.
    pub(super) fn get(&self, id: &DeploymentId) -> Option<Bytes> {
        self.all().get(id).cloned()
    }

    /// The deployments of which one is held.
    pub(super) fn deployments(&self) -> Vec<DeploymentId> {
        self.all().keys().cloned().collect()
    }

    /// Writes what is held of a deployment, unless as new a state is on disk. Only while no run of it goes on.
    ///
    /// # Errors
    /// The store cannot read or write; it stays held.
    pub(super) async fn write(&self, store: &dyn Store, id: &DeploymentId) -> Result<(), StateError> {
        let _one_at_a_time = self.writing.lock().await;
        let Some(state) = self.get(id) else { return Ok(()) };
        let kept = store.state(id).await?;
        let is_kept = match (Head::of(&state), kept.as_deref().map(Head::of)) {
            (Ok(held), Some(Ok(kept))) => held.lineage == kept.lineage && held.serial <= kept.serial,
            _ => false,
        };
        if !is_kept {
            store.put_state(id, &state, None).await?;
            tracing::info!(deployment.id = %id, "a state that was held in memory is written");
        }
        self.forget(id);
        Ok(())
    }

    /// Writes what is held of a deployment as soon as the disk lets it, apart from whoever asks for it.
    pub(super) fn write_when_possible(self: &Arc<Self>, store: Arc<dyn Store>, id: DeploymentId) {
        let held = self.clone();
        tokio::spawn(async move {
            let mut pause = PAUSES.0;
            // A store that is shut stays so until a restart.
            while held.get(&id).is_some() && !store.is_shut() {
                sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
                if let Err(error) = held.write(&*store, &id).await {
                    tracing::warn!(deployment.id = %id, %error, "a state is still held in memory");
                }
            }
        });
    }

    fn all(&self) -> MutexGuard<'_, HashMap<DeploymentId, Bytes>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_and_the_newest_counts() {
        let (held, ids) = (HeldStates::default(), [1, 2].map(|number| DeploymentId::from_bytes([number; 8])));
        assert!(held.hold(&ids[0], Bytes::from_static(b"old")) && held.hold(&ids[0], Bytes::from_static(b"new")));
        assert_eq!(held.get(&ids[0]).unwrap(), "new");
        let large = Bytes::from(vec![0; ROOM - 2]);
        assert!(!held.hold(&ids[1], large.clone()), "three bytes are taken");
        assert!(held.get(&ids[1]).is_none() && held.get(&ids[0]).is_some());
        held.forget(&ids[0]);
        assert!(held.hold(&ids[1], large));
        assert_eq!(held.deployments(), [ids[1].clone()]);
    }
}
