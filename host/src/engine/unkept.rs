//! What OpenTofu said it had made, and the kept state does not have.
//!
//! OpenTofu hands its state over at its end, and before that every 20 seconds at most. One that is killed takes what it
//! made since along. Nobody but the cloud knows of it then, so the run's error must say what to look for.

use catalyst_domain::DeploymentId;
use catalyst_store::Store;
use std::collections::{BTreeMap, HashSet};

/// Resources that an error names; all of them are in the log.
const NAMED: usize = 5;
/// A value that stands nowhere but in the state: when it is lost there, there is nothing to look for.
const ONLY_IN_STATE: &str = "terraform_data";

/// A sentence on what was made and is not in the kept state; `None` when all of it is. `made` holds ids by address.
pub(super) async fn sentence(store: &dyn Store, id: &DeploymentId, made: &BTreeMap<String, String>) -> Option<String> {
    let is_real = |address: &str| !address.split('.').any(|part| part == ONLY_IN_STATE);
    let mut lost: Vec<_> = made.iter().filter(|(address, _)| is_real(address)).collect();
    if lost.is_empty() {
        return None;
    }
    let kept = store.state(id).await.ok().flatten().map(|state| addresses(&state)).unwrap_or_default();
    lost.retain(|(address, _)| !kept.contains(*address));
    let named: Vec<String> = lost.iter().take(NAMED).map(|(address, id)| format!("{address} ({id})")).collect();
    let more = lost.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!named.is_empty()).then(|| {
        let named = named.join(", ");
        format!("made, but not in the kept state: {named}{more}; remove it in the cloud before a retry makes it again")
    })
}

fn addresses(state: &[u8]) -> HashSet<String> {
    catalyst_domain::tofu_state::addresses(state).unwrap_or_default().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_opentofu_writes_them() {
        let state = br#"{"resources":[
            {"mode":"managed","type":"a_b","name":"c","instances":[{}]},
            {"mode":"managed","type":"a_b","name":"d","instances":[{"index_key":0},{"index_key":"x"}]},
            {"module":"module.m[1]","mode":"managed","type":"a_b","name":"e","instances":[{}]},
            {"mode":"data","type":"a_b","name":"f","instances":[{}]}]}"#;
        let expect = ["a_b.c", "a_b.d[0]", "a_b.d[\"x\"]", "module.m[1].a_b.e"];
        assert_eq!(addresses(state), expect.map(str::to_owned).into());
        assert!(addresses(b"").is_empty() && addresses(b"{}").is_empty());
    }
}
