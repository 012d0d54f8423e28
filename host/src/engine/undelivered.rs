//! What a dead host never heard of: resources that its run made, out of the lines that the run's supervisor left.

use super::hearing::one_line;
use super::lines::understand;
use super::stage::WorkFolder;
use super::unkept;
use catalyst_domain::DeploymentId;
use catalyst_store::Store;
use std::collections::BTreeMap;
use std::io;

/// A sentence on what was made and is not in the kept state; `None` when all of it is. Call it after the state of a dead run was taken
/// in. Only addresses and ids are read: the lines themselves may hold what is masked elsewhere.
///
/// # Errors
/// The lines cannot be read.
pub(super) async fn sentence(store: &dyn Store, id: &DeploymentId, folder: &WorkFolder) -> io::Result<Option<String>> {
    let Some(lines) = folder.undelivered()? else { return Ok(None) };
    let made = lines.split(|byte| *byte == b'\n').filter_map(|line| understand(line).made);
    let made: BTreeMap<String, String> = made.map(|(address, id)| (one_line(&address), one_line(&id))).collect();
    Ok(unkept::sentence(store, id, &made).await)
}
