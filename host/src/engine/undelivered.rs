//! What a host may never have heard of: resources that a run made, out of the lines that the run's supervisor left.

use super::hearing::one_line;
use super::lines::understand;
use super::mask::Masker;
use super::unkept;
use catalyst_domain::DeploymentId;
use catalyst_store::Store;
use std::collections::BTreeMap;

/// A sentence on what was made and is not in the kept state; `None` when all of it is. Call it after the state of the run was taken
/// in. Only addresses and ids are read, and masked: the lines themselves may hold what is masked elsewhere.
pub(super) async fn sentence(store: &dyn Store, id: &DeploymentId, lines: &[u8], masker: &Masker) -> Option<String> {
    let made = lines.split(|byte| *byte == b'\n').filter_map(|line| understand(line).made);
    let shown = |text: &str| one_line(&masker.mask(text));
    let made: BTreeMap<String, String> = made.map(|(address, id)| (shown(&address), shown(&id))).collect();
    unkept::sentence(store, id, &made).await
}
