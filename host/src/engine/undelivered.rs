//! What a host may never have heard of: resources that a run made, out of the lines that the run's supervisor left.

use super::hearing::one_line;
use super::lines::understand;
use super::mask::Masker;
use std::collections::BTreeMap;

/// Ids of what was made, by address. Only these are read, and masked: the lines themselves may hold what is masked elsewhere.
pub(super) fn made(lines: &[u8], masker: &Masker) -> BTreeMap<String, String> {
    let made = lines.split(|byte| *byte == b'\n').filter_map(|line| understand(line).made);
    let shown = |text: &str| one_line(&masker.mask(text));
    made.map(|(address, id)| (shown(&address), shown(&id))).collect()
}
