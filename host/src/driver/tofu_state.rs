//! Questions to OpenTofu's state, where there is one: is there such a resource, and which are there?

use catalyst_domain::tofu_state::{self, Object};
use serde_json::Value;

/// Whether the state holds the resource of an address such as `some_server.control_plane[0]`.
///
/// A state that cannot be read counts as holding it: nothing is minted anew on a guess.
pub fn holds(state: Option<&[u8]>, address: &str) -> bool {
    let Some(state) = state.filter(|bytes| !bytes.is_empty()) else { return false };
    let Some(resources) = tofu_state::resources(state) else { return true };
    let (name, index) = match address.split_once('[') {
        Some((name, rest)) => (name, Some(rest.trim_end_matches(']').trim_matches('"').to_owned())),
        None => (address, None),
    };
    let parts: Vec<&str> = name.split('.').collect();
    let [kind, name] = parts.as_slice() else { return true };
    let mut instances =
        resources.iter().filter(|one| one.kind == *kind && one.name == *name).flat_map(|one| &one.instances);
    instances.any(|instance| match (&index, &instance.index_key) {
        (None, _) => true,
        (Some(want), Value::String(have)) => want == have,
        (Some(want), Value::Number(have)) => *want == have.to_string(),
        (Some(_), _) => false,
    })
}

/// Addresses of everything that the state says is there, sorted, each once. Nothing for a state that cannot be read.
pub fn addresses(state: Option<&[u8]>) -> Vec<String> {
    state.and_then(tofu_state::addresses).unwrap_or_default()
}

/// Everything that the state says is there, sorted by address. Nothing for a state that cannot be read.
pub fn objects(state: Option<&[u8]>) -> Vec<Object> {
    state.and_then(tofu_state::objects).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{addresses, holds, objects};

    #[test]
    fn a_state_that_is_not_there_or_cannot_be_read_names_nothing() {
        let state = br#"{"resources":[{"mode":"managed","type":"t","name":"cp","instances":[{"index_key":0}]}]}"#;
        assert_eq!((addresses(Some(state)), objects(Some(state)).len()), (vec!["t.cp[0]".to_owned()], 1));
        for state in [None, Some(b"broken".as_slice())] {
            assert!(addresses(state).is_empty() && objects(state).is_empty());
        }
    }

    #[test]
    fn a_resource_is_found_by_its_address() {
        let state = br#"{"resources":[{"mode":"managed","type":"t","name":"cp","instances":[{"index_key":0},{"index_key":"a"}]}]}"#;
        for (address, there) in
            [("t.cp[0]", true), ("t.cp[1]", false), ("t.cp[\"a\"]", true), ("t.cp", true), ("t.w[0]", false)]
        {
            assert_eq!(holds(Some(state), address), there, "{address}");
        }
        assert!(!holds(None, "t.cp[0]"));
        assert!(!holds(Some(b""), "t.cp[0]"));
        assert!(holds(Some(b"broken"), "t.cp[0]"));
        assert!(holds(Some(br#"{"encrypted_data":"x"}"#), "t.cp[0]"), "nothing of it can be read");
        let read = br#"{"resources":[{"mode":"data","type":"t","name":"cp","instances":[{"index_key":0}]}]}"#;
        assert!(!holds(Some(read), "t.cp[0]"), "what is only read was not made");
        assert!(holds(Some(state), "module.x.t.cp[0]"), "an address that is not understood counts as held");
    }
}
