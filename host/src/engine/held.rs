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

/// Largest state that is taken, and so the most that is held of a deployment. A cluster's state is some hundred KiB; this is far above and
/// still fits in memory.
pub(super) const STATE_LIMIT: usize = 32 * 1024 * 1024;
/// Bytes of all states that are held. There is one for each run that went on when the disk failed; a usual one has some 100 kB.
const ROOM: usize = 256 * 1024 * 1024;
/// Bytes up to which a state is a usual one.
const USUAL: usize = 1024 * 1024;
/// Bytes that only usual states may take, so that a few large ones do not keep the others out.
const FOR_USUAL: usize = 64 * 1024 * 1024;
/// First pause between two tries to write, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// Why a state is not held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotHeld {
    #[error("it cannot be held in memory either: it has {bytes} bytes, and one state may have {}", STATE_LIMIT)]
    TooLarge { bytes: usize },
    #[error(
        "it cannot be held in memory either: states of {others} other deployments that are not written take {taken} bytes, and {room} \
         are there for all that are as large as this one"
    )]
    NoRoom { others: usize, taken: usize, room: usize },
}

/// The newest state of each deployment that is not on disk.
#[derive(Default)]
pub(super) struct HeldStates {
    all: Mutex<HashMap<DeploymentId, Bytes>>,
    /// One is written at a time: a run that begins and a look at the disk must not write the same one.
    writing: tokio::sync::Mutex<()>,
}

impl HeldStates {
    /// Holds the state in place of an older one of the deployment.
    ///
    /// # Errors
    /// There is no room for it. An older one of the deployment stays: it is better than none.
    pub(super) fn hold(&self, id: &DeploymentId, state: Bytes) -> Result<(), NotHeld> {
        let bytes = state.len();
        if bytes > STATE_LIMIT {
            return Err(NotHeld::TooLarge { bytes });
        }
        let mut all = self.all();
        let is_large = |bytes: usize| bytes > USUAL;
        // A large one counts the large ones, which leave room for the others; a usual one counts all.
        let sizes = all.iter().filter(|(other, _)| *other != id).map(|(_, state)| state.len());
        let sizes: Vec<usize> = sizes.filter(|size| is_large(*size) || !is_large(bytes)).collect();
        let room = if is_large(bytes) { ROOM - FOR_USUAL } else { ROOM };
        let taken: usize = sizes.iter().sum();
        if taken + bytes > room {
            return Err(NotHeld::NoRoom { others: sizes.len(), taken, room });
        }
        all.insert(id.clone(), state);
        Ok(())
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

    fn id(number: usize) -> DeploymentId {
        DeploymentId::from_bytes((number as u64).to_be_bytes())
    }

    fn of(bytes: usize) -> Bytes {
        Bytes::from(vec![0; bytes])
    }

    #[test]
    fn what_is_held_is_bounded_and_the_newest_counts() {
        let held = HeldStates::default();
        for state in ["old", "new"] {
            held.hold(&id(1), Bytes::from(state)).unwrap();
        }
        assert_eq!(held.get(&id(1)).unwrap(), "new");
        let refused = held.hold(&id(1), of(STATE_LIMIT + 1)).unwrap_err();
        assert_eq!(refused, NotHeld::TooLarge { bytes: STATE_LIMIT + 1 });
        assert!(refused.to_string().contains("one state may have 33554432"), "{refused}");
        assert_eq!(held.get(&id(1)).unwrap(), "new", "an older one is better than none");
        held.forget(&id(1));
        assert!(held.deployments().is_empty());
    }

    #[test]
    fn large_states_leave_room_for_usual_ones() {
        let (held, all) = (HeldStates::default(), of(STATE_LIMIT));
        let large = (ROOM - FOR_USUAL) / STATE_LIMIT;
        (0..large).for_each(|number| held.hold(&id(number), all.clone()).unwrap());
        // The newest of one that is there takes the place of the older.
        held.hold(&id(0), all.clone()).unwrap();
        let refused = held.hold(&id(large), all.clone()).unwrap_err();
        assert!(refused.to_string().contains(&format!("states of {large} other deployments")), "{refused}");
        let usual = FOR_USUAL / USUAL;
        (0..usual).for_each(|number| held.hold(&id(100 + number), all.slice(..USUAL)).unwrap());
        let refused = held.hold(&id(99), all.slice(..1)).unwrap_err();
        assert_eq!(refused, NotHeld::NoRoom { others: large + usual, taken: ROOM, room: ROOM });
        held.forget(&id(100));
        held.hold(&id(99), all.slice(..1)).unwrap();
    }
}
