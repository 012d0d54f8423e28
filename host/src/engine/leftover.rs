//! What a dead run left: a lock that nobody holds any more, a state that the backend did not take, and what is damaged of what is
//! kept. All of it is evidence and none of it a gate: what cannot be used gets another name, and its deployment goes on from what
//! is kept.

use super::held::HeldStates;
use super::stage::WorkFolder;
use catalyst_domain::DeploymentId;
use catalyst_domain::tofu_state::Head;
use catalyst_store::{Part, StateError, Store};

/// Gives a lock back whose holder is gone. Only for a deployment without a living OpenTofu.
pub(super) async fn release(store: &dyn Store, id: &DeploymentId) -> Result<(), String> {
    match store.unlock_state(id, None).await {
        Ok(()) | Err(StateError::NotLocked) => Ok(()),
        Err(why) => Err(format!("the lock of the state cannot be released: {why}")),
    }
}

/// Brings lock and state in order, where no run goes on: what is held in memory is written, and what a dead run could not hand
/// over is taken in. A sentence for each file that cannot be used, and under which name it is from now on.
///
/// # Errors
/// The disk cannot be read or written. Nothing is lost, and it can be done again.
pub(super) async fn tidy(
    store: &dyn Store,
    held: &HeldStates,
    id: &DeploymentId,
    folder: Option<&WorkFolder>,
) -> Result<Vec<String>, String> {
    release(store, id).await?;
    let damaged = store.set_damaged_aside(id, Part::States).await.map_err(|why| why.to_string())?;
    let mut notices: Vec<String> = damaged
        .iter()
        .map(|aside| {
            let (file, why) = (&aside.file, &aside.why);
            format!(
                "the newest kept state cannot be read ({why}) and is set aside as {file} in the folder of states \
                 (CATALYST_STATE_DIR); the state that was kept before it counts"
            )
        })
        .collect();
    held.write(store, id).await.map_err(|why| why.to_string())?;
    if let Some(folder) = folder {
        notices.extend(take_in(store, id, folder).await?);
    }
    Ok(notices)
}

/// Takes an `errored.tfstate` into the store when it is newer than what is there, then removes the file. One that cannot be used
/// is set aside, and a sentence says so.
async fn take_in(store: &dyn Store, id: &DeploymentId, folder: &WorkFolder) -> Result<Option<String>, String> {
    if !folder.has_errored_state() {
        return Ok(None);
    }
    let left = match folder.errored_state() {
        Ok(Some(left)) => left,
        Ok(None) => return set_aside(id, folder, "it is no plain file").map(Some),
        Err(why) => return set_aside(id, folder, &why.to_string()).map(Some),
    };
    let found = match Head::of(&left) {
        Ok(found) => found,
        Err(why) => return set_aside(id, folder, &format!("it is {why}")).map(Some),
    };
    let kept = store.state(id).await.map_err(|why| why.to_string())?.filter(|kept| !kept.is_empty());
    let newer = match kept.map(|kept| Head::of(&kept)) {
        None => true,
        Some(Ok(kept)) if kept.lineage == found.lineage => found.serial > kept.serial,
        Some(Ok(kept)) => {
            let why = format!("it is of lineage {}, and the kept one of {}", found.lineage, kept.lineage);
            return set_aside(id, folder, &why).map(Some);
        }
        Some(Err(why)) => {
            return set_aside(id, folder, &format!("it cannot be compared with the kept one, which is {why}"))
                .map(Some);
        }
    };
    if newer {
        store.put_state(id, &left, None).await.map_err(|why| why.to_string())?;
        tracing::warn!(deployment.id = %id, serial = found.serial, "took in a state that a dead run left");
    }
    folder.remove_errored_state().map_err(|why| format!("the left-over state cannot be removed: {why}"))?;
    Ok(None)
}

fn set_aside(id: &DeploymentId, folder: &WorkFolder, why: &str) -> Result<String, String> {
    let aside = folder.set_errored_state_aside();
    let aside = aside.map_err(|fault| format!("the left-over state cannot be set aside: {fault}"))?;
    tracing::error!(deployment.id = %id, aside, why, "a state that a run left cannot be used and is set aside");
    Ok(format!(
        "the state that a run left cannot be used ({why}) and is set aside as {aside} in the folder of work folders \
         (CATALYST_TOFU_WORKDIR); the deployment goes on from the state that is kept"
    ))
}
