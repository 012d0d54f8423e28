//! Questions to OpenTofu's state: is there such a resource, and which are there?

use serde_json::Value;

/// A value that stands in the state and nowhere else.
const VALUE: &str = "terraform_data";
/// Types whose id may be the very value that they make up.
const SECRET_IDS: &str = "random_";

/// A resource of the state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// Its address.
    pub address: String,
    /// Its id in the cloud; blank where it has none, or one that must not be shown.
    pub id: String,
}

/// Whether the resource of this address is a value that stands in the state and nowhere else.
pub fn is_value(address: &str) -> bool {
    address.split('.').any(|part| part == VALUE)
}

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

/// Addresses of everything that the state says is there, sorted. Nothing for a state that cannot be read.
pub fn addresses(state: Option<&[u8]>) -> Vec<String> {
    let mut all: Vec<String> = resources(state).into_iter().map(|resource| resource.address).collect();
    // An object that is to go after its successor has the same address.
    all.dedup();
    all
}

/// Everything that the state says is there, sorted by address. Nothing for a state that cannot be read.
pub fn resources(state: Option<&[u8]>) -> Vec<Resource> {
    let Some(Ok(root)) = state.map(serde_json::from_slice::<Value>) else { return Vec::new() };
    let resources = root["resources"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut all = Vec::new();
    for resource in resources.iter().filter(|resource| resource["mode"] != "data") {
        let text = |key: &str| resource[key].as_str().unwrap_or_default();
        let module = resource["module"].as_str().map(|module| format!("{module}.")).unwrap_or_default();
        let address = format!("{module}{}.{}", text("type"), text("name"));
        for instance in resource["instances"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let address = match &instance["index_key"] {
                Value::Null => address.clone(),
                key => format!("{address}[{key}]"),
            };
            let id = if text("type").starts_with(SECRET_IDS) { String::new() } else { id_of(instance) };
            all.push(Resource { address, id });
        }
    }
    all.sort();
    all
}

fn id_of(instance: &Value) -> String {
    let is_secret = |path: &Value| path[0]["value"] == "id";
    if instance["sensitive_attributes"].as_array().is_some_and(|paths| paths.iter().any(is_secret)) {
        return String::new();
    }
    match &instance["attributes"]["id"] {
        Value::String(id) => id.clone(),
        Value::Number(id) => id.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{addresses, holds, is_value, resources};

    #[test]
    fn everything_that_is_there_is_named_by_its_address() {
        let state = br#"{"resources":[
            {"mode":"managed","type":"t","name":"cp","instances":[{"index_key":0},{"index_key":"a"}]},
            {"mode":"data","type":"d","name":"x","instances":[{}]},
            {"module":"module.m[0]","mode":"managed","type":"n","name":"one","instances":[{}]},
            {"mode":"managed","type":"t","name":"none","instances":[]}]}"#;
        assert_eq!(addresses(Some(state)), ["module.m[0].n.one", "t.cp[\"a\"]", "t.cp[0]"]);
        assert!(addresses(None).is_empty() && addresses(Some(b"broken")).is_empty());
    }

    #[test]
    fn ids_are_told_unless_they_are_secret() {
        let state = br#"{"resources":[
            {"mode":"managed","type":"t","name":"a","instances":[
                {"index_key":0,"attributes":{"id":"4711"}},{"index_key":1,"attributes":{"id":12}},{"index_key":2},
                {"index_key":3,"attributes":{"id":"x"},"sensitive_attributes":[[{"type":"get_attr","value":"id"}]]},
                {"index_key":4,"attributes":{"id":"y"},"sensitive_attributes":[[{"type":"get_attr","value":"user_data"}]]}]},
            {"mode":"managed","type":"random_string","name":"b","instances":[{"attributes":{"id":"the value"}}]}]}"#;
        let ids: Vec<String> = resources(Some(state)).into_iter().map(|resource| resource.id).collect();
        assert_eq!(ids, ["", "4711", "12", "", "", "y"]);
        assert!(
            is_value("terraform_data.x") && is_value("module.m[0].terraform_data.x[1]") && !is_value("t.terraform")
        );
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
        assert!(holds(Some(state), "module.x.t.cp[0]"), "an address that is not understood counts as held");
    }
}
