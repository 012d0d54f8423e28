//! Two questions to OpenTofu's state: is there such a resource, and which are there?

use catalyst_domain::bearer::SeenServer;
use serde_json::Value;

/// The resource instances that the state has, but for data sources; none where there is no state. `None` for one that cannot be read:
/// nothing is decided on a guess.
pub fn servers(state: Option<&[u8]>) -> Option<Vec<SeenServer>> {
    let Some(state) = state.filter(|bytes| !bytes.is_empty()) else { return Some(Vec::new()) };
    let root: Value = serde_json::from_slice(state).ok()?;
    let seen = |(address, instance): (String, &Value)| SeenServer {
        address,
        id: match &instance["attributes"]["id"] {
            Value::String(id) => id.clone(),
            Value::Number(id) => id.to_string(),
            _ => String::new(),
        },
        name: instance["attributes"]["name"].as_str().unwrap_or_default().to_owned(),
        tainted: instance["status"] == "tainted",
        deposed: instance["deposed"].as_str().is_some_and(|key| !key.is_empty()),
    };
    Some(instances(&root).into_iter().map(seen).collect())
}

/// Addresses of everything that the state says is there, sorted. Nothing for a state that cannot be read.
pub fn addresses(state: Option<&[u8]>) -> Vec<String> {
    let Some(Ok(root)) = state.map(serde_json::from_slice::<Value>) else { return Vec::new() };
    let mut all: Vec<String> = instances(&root).into_iter().map(|(address, _)| address).collect();
    all.sort();
    all
}

/// Each instance of each managed resource with its address, as OpenTofu writes it.
fn instances(root: &Value) -> Vec<(String, &Value)> {
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
            all.push((address, instance));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{SeenServer, addresses, servers};

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
    fn a_server_is_told_with_its_id_and_whether_it_stays() {
        let state = br#"{"resources":[{"mode":"managed","type":"t","name":"cp","instances":[
            {"index_key":0,"status":"tainted","attributes":{"id":"17","name":"one"}},
            {"index_key":0,"deposed":"1a2b3c4d","attributes":{"id":"16"}},
            {"index_key":1,"attributes":{"id":18}},
            {"index_key":2,"attributes":{}}]}]}"#;
        let seen = |address: &str, id: &str, tainted, deposed| SeenServer {
            address: address.into(),
            id: id.into(),
            name: if id == "17" { "one".into() } else { String::new() },
            tainted,
            deposed,
        };
        let expect = [
            seen("t.cp[0]", "17", true, false),
            seen("t.cp[0]", "16", false, true),
            seen("t.cp[1]", "18", false, false),
            seen("t.cp[2]", "", false, false),
        ];
        assert_eq!(servers(Some(state)).unwrap(), expect);
        assert_eq!(servers(None), Some(Vec::new()));
        assert_eq!(servers(Some(b"")), Some(Vec::new()));
        assert_eq!(servers(Some(b"broken")), None);
    }
}
