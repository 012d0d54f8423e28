//! What OpenTofu's state says is there. Data sources, which are read and not made, are left out everywhere.

use serde::Deserialize;
use serde_json::Value;

/// Mode of what a module reads and does not make.
const DATA: &str = "data";

#[derive(Deserialize)]
struct Text {
    resources: Vec<Resource>,
}

/// A resource of the state, with all of its instances.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Resource {
    /// Address of its module; `None` in the root module.
    #[serde(default)]
    pub module: Option<String>,
    #[serde(default)]
    mode: String,
    /// Its type, such as `some_server`.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// Its name in the module.
    #[serde(default)]
    pub name: String,
    /// What there is of it: one without `count` or `for_each`, else any number.
    #[serde(default)]
    pub instances: Vec<Instance>,
}

/// An instance of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Instance {
    /// A number by `count`, a text by `for_each`, else null.
    #[serde(default)]
    pub index_key: Value,
}

/// The resources of a state. An empty text has none; `None` for one that cannot be read, as of a later format or encrypted by OpenTofu.
pub fn resources(state: &[u8]) -> Option<Vec<Resource>> {
    if state.is_empty() {
        return Some(Vec::new());
    }
    let Text { mut resources } = serde_json::from_slice(state).ok()?;
    resources.retain(|resource| resource.mode != DATA);
    Some(resources)
}

/// The addresses of all instances, sorted, as OpenTofu writes them: `module.m[0].some_server.node["a"]`. `None` for a state that cannot be
/// read.
pub fn addresses(state: &[u8]) -> Option<Vec<String>> {
    let mut all = Vec::new();
    for resource in resources(state)? {
        let module = resource.module.as_ref().map(|module| format!("{module}.")).unwrap_or_default();
        let address = format!("{module}{}.{}", resource.kind, resource.name);
        all.extend(resource.instances.iter().map(|instance| match &instance.index_key {
            Value::Null => address.clone(),
            key => format!("{address}[{key}]"),
        }));
    }
    all.sort();
    Some(all)
}

/// Whether a state names no resource. One that cannot be read may name anything.
pub fn is_empty(state: &[u8]) -> bool {
    resources(state).is_some_and(|resources| resources.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &[u8] = br#"{"version":4,"resources":[
        {"mode":"managed","type":"t","name":"cp","instances":[{"index_key":0},{"index_key":"a"}]},
        {"mode":"data","type":"d","name":"x","instances":[{}]},
        {"module":"module.m[0]","mode":"managed","type":"n","name":"one","instances":[{"attributes":{"id":"1"}}]},
        {"type":"of_a_later","name":"mode","instances":[{}]},
        {"mode":"managed","type":"t","name":"none","instances":[]}]}"#;

    #[test]
    fn everything_that_is_there_is_named_by_its_address() {
        let expect = ["module.m[0].n.one", "of_a_later.mode", "t.cp[\"a\"]", "t.cp[0]"];
        assert_eq!(addresses(STATE).unwrap(), expect);
        assert_eq!(addresses(b""), Some(Vec::new()));
    }

    #[test]
    fn what_cannot_be_read_may_name_anything() {
        for (state, empty) in [
            ("", true),
            (r#"{"resources":[]}"#, true),
            (r#"{"resources":[{"mode":"data"}]}"#, true),
            (r#"{"resources":[{"mode":"managed"}]}"#, false),
            (r#"{"encrypted_data":"x"}"#, false),
            ("[]", false),
            ("broken", false),
        ] {
            assert_eq!(is_empty(state.as_bytes()), empty, "{state}");
        }
        assert!(!is_empty(STATE));
        assert_eq!((addresses(b"broken"), addresses(b"{}")), (None, None));
    }
}
