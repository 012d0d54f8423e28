//! What OpenTofu said it had made, and the kept state does not have.
//!
//! OpenTofu hands its state over at its end, and before that every 20 seconds at most. One that is killed takes what it
//! made since along. Nobody but the cloud knows of it then, so the run's error must say what to look for.

use catalyst_domain::tofu_state::{addresses, is_value};
use std::collections::{BTreeMap, HashSet};

/// Resources that an error names; all of them are in the log.
const NAMED: usize = 5;

/// What of `made`, ids by address, is not in the state.
pub(super) fn not_in(state: Option<&[u8]>, mut made: BTreeMap<String, String>) -> BTreeMap<String, String> {
    made.retain(|address, _| !is_value(address));
    if !made.is_empty() {
        let kept: HashSet<String> =
            state.and_then(|state| addresses(state).ok()).unwrap_or_default().into_iter().collect();
        made.retain(|address, _| !kept.contains(address));
    }
    made
}

/// A sentence on what was made and is in no state; `None` when there is none. `lost` holds ids by address.
pub fn sentence(lost: &BTreeMap<String, String>) -> Option<String> {
    let named: Vec<String> = lost.iter().take(NAMED).map(|(address, id)| format!("{address} ({id})")).collect();
    let more = lost.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!named.is_empty()).then(|| {
        let named = named.join(", ");
        format!("made, but not in the kept state: {named}{more}; remove it in the cloud before a retry makes it again")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_no_state_is_named_within_bounds() {
        let made = |names: &[&str]| -> BTreeMap<String, String> {
            names.iter().map(|name| ((*name).to_owned(), "7".to_owned())).collect()
        };
        let state = br#"{"resources":[{"mode":"managed","type":"a_b","name":"c","instances":[{}]}]}"#;
        let all = made(&["a_b.c", "a_b.d", "terraform_data.x", "module.m.terraform_data.y"]);
        assert_eq!(not_in(Some(state), all.clone()), made(&["a_b.d"]));
        assert_eq!(not_in(None, all), made(&["a_b.c", "a_b.d"]));
        assert_eq!(sentence(&made(&[])), None);
        let text = sentence(&made(&["a", "b", "c", "d", "e", "f", "g"])).unwrap();
        assert!(text.contains("a (7), b (7)") && text.contains("e (7) and 2 more"), "{text}");
    }

    #[test]
    fn addresses_are_written_as_opentofu_writes_them() {
        let state = br#"{"resources":[
            {"mode":"managed","type":"a_b","name":"c","instances":[{}]},
            {"mode":"managed","type":"a_b","name":"d","instances":[{"index_key":0},{"index_key":"x"}]},
            {"module":"module.m[1]","mode":"managed","type":"a_b","name":"e","instances":[{}]},
            {"mode":"data","type":"a_b","name":"f","instances":[{}]}]}"#;
        let names = ["a_b.c", "a_b.d[0]", "a_b.d[\"x\"]", "module.m[1].a_b.e", "a_b.f"];
        let made: BTreeMap<String, String> = names.map(|name| (name.to_owned(), "7".to_owned())).into();
        assert_eq!(not_in(Some(state), made.clone()).into_keys().collect::<Vec<_>>(), ["a_b.f"], "it is only read");
        for unread in [b"".as_slice(), b"{}"] {
            assert_eq!(not_in(Some(unread), made.clone()), made);
        }
    }
}
