//! What OpenTofu said it had made, and the kept state does not have.
//!
//! OpenTofu hands its state over at its end, and before that every 20 seconds at most. One that is killed takes what it
//! made since along. Nobody but the cloud knows of it then, so the run's error must say what to look for.

use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};

/// Resources that an error names; all of them are in the log.
const NAMED: usize = 5;
/// A value that stands nowhere but in the state: when it is lost there, there is nothing to look for.
const ONLY_IN_STATE: &str = "terraform_data";

#[derive(Deserialize)]
struct State {
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(default)]
    module: Option<String>,
    mode: String,
    r#type: String,
    name: String,
    #[serde(default)]
    instances: Vec<Instance>,
}

#[derive(Deserialize)]
struct Instance {
    #[serde(default)]
    index_key: Value,
}

/// What of `made`, ids by address, is not in the state.
pub(super) fn not_in(state: Option<&[u8]>, mut made: BTreeMap<String, String>) -> BTreeMap<String, String> {
    made.retain(|address, _| !address.split('.').any(|part| part == ONLY_IN_STATE));
    if !made.is_empty() {
        let kept = state.map(addresses).unwrap_or_default();
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

fn addresses(state: &[u8]) -> HashSet<String> {
    let Ok(state) = serde_json::from_slice::<State>(state) else { return HashSet::new() };
    let managed = state.resources.iter().filter(|resource| resource.mode == "managed");
    managed.flat_map(|resource| resource.instances.iter().map(|instance| address(resource, instance))).collect()
}

fn address(resource: &Resource, instance: &Instance) -> String {
    let module = resource.module.as_ref().map(|module| format!("{module}.")).unwrap_or_default();
    let index = if instance.index_key.is_null() { String::new() } else { format!("[{}]", instance.index_key) };
    format!("{module}{}.{}{index}", resource.r#type, resource.name)
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
        let expect = ["a_b.c", "a_b.d[0]", "a_b.d[\"x\"]", "module.m[1].a_b.e"];
        assert_eq!(addresses(state), expect.map(str::to_owned).into());
        assert!(addresses(b"").is_empty() && addresses(b"{}").is_empty());
    }
}
