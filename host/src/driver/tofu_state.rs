//! One question to OpenTofu's state: is there such a resource?

use serde_json::Value;

/// Whether the state holds the resource of an address such as `some_server.control_plane[0]`.
///
/// A state that cannot be read counts as holding it: nothing is minted anew on a guess.
pub fn holds(state: Option<&[u8]>, address: &str) -> bool {
    let Some(state) = state.filter(|bytes| !bytes.is_empty()) else { return false };
    let Ok(root) = serde_json::from_slice::<Value>(state) else { return true };
    let (name, index) = match address.split_once('[') {
        Some((name, rest)) => (name, Some(rest.trim_end_matches(']').trim_matches('"').to_owned())),
        None => (address, None),
    };
    let parts: Vec<&str> = name.split('.').collect();
    let [kind, name] = parts.as_slice() else { return true };
    let resources = root["resources"].as_array().map(Vec::as_slice).unwrap_or_default();
    resources.iter().filter(|r| r["type"] == **kind && r["name"] == **name).any(|resource| {
        let instances = resource["instances"].as_array().map(Vec::as_slice).unwrap_or_default();
        instances.iter().any(|instance| match (&index, &instance["index_key"]) {
            (None, _) => true,
            (Some(want), Value::String(have)) => want == have,
            (Some(want), Value::Number(have)) => *want == have.to_string(),
            (Some(_), _) => false,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::holds;

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
        assert!(holds(Some(state), "module.x.t.cp[0]"), "an address that is not understood counts as held");
    }
}
