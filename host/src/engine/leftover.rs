//! What a dead run left: a lock that nobody holds any more, and a state that the backend did not take.

use super::stage::WorkFolder;
use catalyst_domain::DeploymentId;
use catalyst_store::{StateError, Store};
use serde::Deserialize;
use std::cmp::Ordering;

/// The head of a state, which says whose it is and how new.
#[derive(Deserialize, PartialEq, Eq, Debug)]
struct Head {
    lineage: String,
    serial: u64,
}

/// Gives a lock back whose holder is gone. Only for a deployment without a living OpenTofu.
pub(super) async fn release(store: &dyn Store, id: &DeploymentId) -> Result<(), String> {
    match store.unlock_state(id, None).await {
        Ok(()) | Err(StateError::NotLocked) => Ok(()),
        Err(why) => Err(format!("the lock of the state cannot be released: {why}")),
    }
}

/// Takes an `errored.tfstate` into the store when it is newer than what is there, then removes the file.
///
/// # Errors
/// The state of another lineage is never taken and never thrown away: a person has to look.
pub(super) async fn take_in(store: &dyn Store, id: &DeploymentId, folder: &WorkFolder) -> Result<(), String> {
    let Some(left) = folder.errored_state().map_err(|why| format!("the left-over state cannot be read: {why}"))? else {
        return Ok(());
    };
    let found: Head = serde_json::from_slice(&left).map_err(|_| "the left-over state is damaged".to_owned())?;
    let kept = store.state(id).await.map_err(|why| why.to_string())?;
    let kept = kept.filter(|kept| !kept.is_empty()).map(|kept| serde_json::from_slice(&kept));
    let kept: Option<Head> =
        kept.transpose().map_err(|_| "the kept state is damaged, and a newer one was left behind")?;
    let newer = match &kept {
        None => true,
        Some(kept) if kept.lineage == found.lineage => found.serial.cmp(&kept.serial) == Ordering::Greater,
        Some(kept) => {
            let (found, kept) = (&found.lineage, &kept.lineage);
            return Err(format!("the left-over state is of lineage {found}, the kept one of {kept}"));
        }
    };
    if newer {
        store.put_state(id, &left, None).await.map_err(|why| why.to_string())?;
        tracing::warn!(deployment.id = %id, serial = found.serial, "took in a state that a dead run left");
    }
    folder.remove_errored_state().map_err(|why| format!("the left-over state cannot be removed: {why}"))
}
