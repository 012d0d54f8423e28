//! The end of a run, when OpenTofu is gone: what it left is taken in, and the rest is removed.

use crate::engine::progress::Outlet;
use crate::engine::run_folder::RunFolder;
use crate::engine::stage::WorkFolder;
use crate::engine::{Engine, leftover};
use catalyst_domain::{DeploymentId, Level, phase};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// Takes in what a run left that has ended. Whether its newest state is in memory only.
pub(super) async fn tidy(engine: &Engine, id: &DeploymentId, folder: &Arc<WorkFolder>, outlet: &mut Outlet) -> bool {
    let Engine { store, held, .. } = engine;
    match leftover::tidy(&**store, held, id, Some(folder)).await {
        Ok(notices) => notices.into_iter().for_each(|notice| outlet.line(phase::HOST, Level::Warn, notice)),
        Err(why) => {
            tracing::warn!(deployment.id = %id, error = why, "left for the next run of this deployment");
        }
    }
    let Some(state) = held.get(id) else { return false };
    held.write_when_possible(store.clone(), id.clone());
    // The work folders may be on another disk. OpenTofu tried the same, and does not notice each time that it failed.
    let folder = folder.clone();
    let left = spawn_blocking(move || folder.leave_state(&state)).await;
    !matches!(left, Ok(Ok(())))
}

/// Removes what a run left, which may be millions of files: nobody else waits for that.
pub(super) async fn clean_up(engine: &Engine, id: &DeploymentId, folder: Arc<WorkFolder>, own: Arc<RunFolder>) {
    // The run's own claim ended with its supervisor. Whoever has the deployment now cleans up as well.
    let Some(removal) = engine.busy.remove(id) else { return };
    let clean = move || {
        let _removal = removal;
        own.remove().and(folder.remove_leftovers())
    };
    let cleaned = spawn_blocking(clean).await;
    if let Err(why) = cleaned.map_err(std::io::Error::other).flatten() {
        tracing::error!(deployment.id = %id, error = %why, "what a run left stays on disk; it is tried again");
    }
}
