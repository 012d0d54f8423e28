//! What OpenTofu's state says is there, and which of two states is the newer. Data sources, which are read and not made, are left out
//! everywhere.

mod text;

use crate::bearer::SeenServer;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use text::{Instance, Resource, Scalar};

/// Type of a value that stands in the state and nowhere else.
const VALUE: &str = "terraform_data";
/// Types whose id may be the very value that they make up.
const SECRET_IDS: &str = "random_";

/// Why it is not known what a state names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateFault {
    /// It cannot be read, as of a later format or encrypted by OpenTofu.
    #[error("it is no state that can be read")]
    Unread,
    /// It names more than the host keeps in memory.
    #[error("it has more than {} resource instances, or longer addresses than the host reads", text::MOST_INSTANCES)]
    TooMany,
}

/// The head of a state, which says whose it is and how new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The same in all states that were made one from the other.
    pub lineage: String,
    /// Rises with each of them.
    pub serial: u64,
}

impl Head {
    /// Reads it out of a state that OpenTofu can go on from, also one that OpenTofu encrypted.
    ///
    /// # Errors
    /// What is wrong with the text, in words that go behind "it is". They hold nothing of it.
    pub fn of(state: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Outline {
            lineage: Option<String>,
            serial: Option<u64>,
            #[serde(default)]
            version: Present,
            #[serde(default)]
            resources: Present,
            #[serde(default)]
            encrypted_data: Present,
        }
        if state.trim_ascii().is_empty() {
            return Err("empty".to_owned());
        }
        let no_state = || "no state of OpenTofu".to_owned();
        let outline: Outline = serde_json::from_slice(state).map_err(|why| match why.classify() {
            serde_json::error::Category::Data => no_state(),
            // The parser's own words may repeat a value.
            _ => format!("cut or no JSON, from line {} on", why.line()),
        })?;
        let is_object = state.trim_ascii_start().starts_with(b"{");
        let is_state = (outline.version.0 && outline.resources.0) || outline.encrypted_data.0;
        let head = outline.lineage.zip(outline.serial).filter(|_| is_object && is_state);
        head.map(|(lineage, serial)| Self { lineage, serial }).ok_or_else(no_state)
    }
}

/// Whether a key is there, whatever its value is.
#[derive(Default)]
struct Present(bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}

impl Instance {
    fn id(&self) -> String {
        match self.attributes.as_ref().map(|attributes| &attributes.id) {
            Some(Scalar::Text(id)) if !self.hides_id => id.clone(),
            Some(Scalar::Number(id)) if !self.hides_id => id.to_string(),
            _ => String::new(),
        }
    }

    fn server(&self, address: String) -> SeenServer {
        let name = self.attributes.as_ref().and_then(|attributes| attributes.name.text());
        SeenServer {
            address,
            id: self.id(),
            name: name.unwrap_or_default().to_owned(),
            tainted: self.status == "tainted",
            deposed: !self.deposed.is_empty(),
        }
    }
}

/// One thing that the state says is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// Address of its instance, as OpenTofu writes it: `module.m[0].some_server.node["a"]`.
    pub address: String,
    /// Its id in the cloud; blank where it has none, or one that must not be shown.
    pub id: String,
}

/// Each instance of each resource, with the address that OpenTofu writes.
fn instances(resources: &[Resource]) -> impl Iterator<Item = (String, &Resource, &Instance)> {
    resources.iter().flat_map(|resource| {
        let module = resource.module.as_ref().map(|module| format!("{module}.")).unwrap_or_default();
        let address = format!("{module}{}.{}", resource.kind, resource.name);
        resource.instances.iter().map(move |instance| {
            let address = match &instance.index_key {
                Scalar::None => address.clone(),
                Scalar::Number(number) => format!("{address}[{number}]"),
                Scalar::Text(key) => format!("{address}[{}]", Value::from(key.as_str())),
                Scalar::Other => format!("{address}[?]"),
            };
            (address, resource, instance)
        })
    })
}

/// Everything that is there, sorted by address. An object that is to go after its successor has the same address. An empty text has
/// nothing.
///
/// # Errors
/// [`StateFault`]
pub fn objects(state: &[u8]) -> Result<Vec<Object>, StateFault> {
    let resources = text::resources(state)?;
    let object = |(address, resource, instance): (String, &Resource, &Instance)| {
        let has_secret_id = resource.kind.starts_with(SECRET_IDS);
        Object { address, id: if has_secret_id { String::new() } else { instance.id() } }
    };
    let mut all: Vec<Object> = instances(&resources).map(object).collect();
    all.sort();
    Ok(all)
}

/// What is there as servers are looked at, in the state's order.
///
/// # Errors
/// [`StateFault`]
pub fn servers(state: &[u8]) -> Result<Vec<SeenServer>, StateFault> {
    let resources = text::resources(state)?;
    Ok(instances(&resources).map(|(address, _, instance)| instance.server(address)).collect())
}

/// The addresses of everything that is there, sorted, each once.
///
/// # Errors
/// [`StateFault`]
pub fn addresses(state: &[u8]) -> Result<Vec<String>, StateFault> {
    let mut all: Vec<String> = objects(state)?.into_iter().map(|object| object.address).collect();
    all.dedup();
    Ok(all)
}

/// Whether what has this address is a value that stands in the state and nowhere else: where that is lost, there is nothing to look for.
pub fn is_value(address: &str) -> bool {
    address.split('.').any(|part| part == VALUE)
}

/// The type of the resource with this address, such as `some_server` of `module.m["a.b"].some_server.node[0]`.
pub fn kind_of(address: &str) -> String {
    let mut depth = 0_usize;
    let without_keys = address.chars().filter(|c| match c {
        '[' => {
            depth += 1;
            false
        }
        ']' => {
            depth = depth.saturating_sub(1);
            false
        }
        _ => depth == 0,
    });
    let plain: String = without_keys.collect();
    plain.rsplit('.').nth(1).unwrap_or_default().to_owned()
}

/// Whether a state names no resource, however large it is. One that cannot be read may name anything.
pub fn is_empty(state: &[u8]) -> bool {
    text::names_any(state).is_ok_and(|any| !any)
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
        assert_eq!(addresses(b""), Ok(Vec::new()));
        let with_deposed = br#"{"resources":[{"type":"t","name":"a","instances":[{},{"deposed":"1234abcd"}]}]}"#;
        assert_eq!((addresses(with_deposed).unwrap().len(), objects(with_deposed).unwrap().len()), (1, 2));
    }

    #[test]
    fn ids_are_told_unless_they_are_secret() {
        let state = br#"{"resources":[
            {"mode":"managed","type":"t","name":"a","instances":[
                {"index_key":0,"attributes":{"id":"4711"}},{"index_key":1,"attributes":{"id":12}},{"index_key":2},
                {"index_key":3,"attributes":{"id":"x"},"sensitive_attributes":[[{"type":"get_attr","value":"id"}]]},
                {"index_key":4,"attributes":{"id":"y"},"sensitive_attributes":[[{"type":"get_attr","value":"user_data"}]]},
                {"index_key":5,"attributes":null,"sensitive_attributes":null}]},
            {"mode":"managed","type":"random_string","name":"b","instances":[{"attributes":{"id":"the value"}}]}]}"#;
        let ids: Vec<String> = objects(state).unwrap().into_iter().map(|object| object.id).collect();
        assert_eq!(ids, ["", "4711", "12", "", "", "y", ""]);
        for (address, expect) in
            [("terraform_data.x", true), ("module.m[0].terraform_data.x[1]", true), ("t.terraform", false)]
        {
            assert_eq!(is_value(address), expect, "{address}");
        }
    }

    #[test]
    fn the_type_of_a_resource_is_in_its_address() {
        for (address, expect) in [
            ("t.cp[0]", "t"),
            ("t.cp", "t"),
            (r#"module.m["a.b"].module.n.some_server.node["x.y"]"#, "some_server"),
            ("nothing", ""),
        ] {
            assert_eq!(kind_of(address), expect, "{address}");
        }
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
        assert_eq!(servers(state).unwrap(), expect);
        assert_eq!((servers(b""), servers(b"broken")), (Ok(Vec::new()), Err(StateFault::Unread)));
    }

    #[test]
    fn a_head_is_read_out_of_a_whole_state_alone() {
        let head = Ok(Head { lineage: "a".to_owned(), serial: 7 });
        for (state, expect) in [
            (r#"{"version":4,"lineage":"a","serial":7,"resources":[]}"#, head.clone()),
            (r#"{"lineage":"a","serial":7,"encrypted_data":"x"}"#, head),
            (" \n", Err("empty")),
            (r#"{"version":4,"serial":"#, Err("cut or no JSON, from line 1 on")),
            (r#"{"lineage":"a","serial":7}"#, Err("no state of OpenTofu")),
            (r#"{"version":4,"resources":[],"lineage":7,"serial":7}"#, Err("no state of OpenTofu")),
        ] {
            assert_eq!(Head::of(state.as_bytes()), expect.map_err(str::to_owned), "{state}");
        }
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
        assert_eq!((addresses(b"broken"), addresses(b"{}")), (Err(StateFault::Unread), Err(StateFault::Unread)));
    }

    #[test]
    fn a_state_with_a_million_things_is_refused_before_it_takes_memory() {
        let with =
            |things: &str| format!(r#"{{"version":4,"lineage":"a","serial":7,"resources":[{things}]}}"#).into_bytes();
        let million = |one: &str| vec![one; 1_000_000].join(",");
        let instances = format!(r#"{{"mode":"managed","type":"t","name":"n","instances":[{}]}}"#, million("{}"));
        // An address of a megabyte, a hundred times.
        let long = format!(
            r#"{{"mode":"managed","type":"t","name":"{}","instances":[{}]}}"#,
            "n".repeat(1024 * 1024),
            ["{}"; 100].join(",")
        );
        for state in [with(&instances), with(&million("{}")), with(&long)] {
            assert_eq!(objects(&state), Err(StateFault::TooMany));
            let too_many = Some(StateFault::TooMany);
            assert_eq!((servers(&state).err(), addresses(&state).err()), (too_many, too_many));
            assert!(!is_empty(&state));
            assert_eq!(Head::of(&state).unwrap().serial, 7);
        }
        assert!(is_empty(&with(&million(r#"{"mode":"data"}"#))));
        assert!(StateFault::TooMany.to_string().contains("more than 100000 resource instances"));
        // What is large and not needed is passed over.
        let nested =
            format!(r#"{{"type":"t","name":"n","instances":[{{"attributes":{{"x":[{}]}}}}]}}"#, million("[0]"));
        assert_eq!(addresses(&with(&nested)).unwrap(), ["t.n"]);
        let keys = format!(r#"{{"version":4,"lineage":"a","serial":7,"resources":[],{}}}"#, million(r#""k":0"#));
        assert_eq!(Head::of(keys.as_bytes()).unwrap().serial, 7);
    }

    #[test]
    fn values_of_another_form_than_the_usual_one_are_passed_over() {
        for (rest, address, id) in [
            (r#""index_key":[1,{"a":2}],"attributes":{"id":{"a":[1]},"name":true}"#, "t.n[?]", ""),
            (r#""index_key":1.5,"attributes":{"id":-3,"name":null}"#, "t.n[1.5]", "-3"),
            (r#""index_key":"a\"b","attributes":{"id":"x"},"sensitive_attributes":{"a":[1]}"#, r#"t.n["a\"b"]"#, "x"),
            (r#""attributes":{"id":"x"},"sensitive_attributes":[1,[],[2],[[3]],"id",["id"]]"#, "t.n", "x"),
            (r#""attributes":{"id":"x"},"sensitive_attributes":[[{"value":["id"]},{"value":"id"}]]"#, "t.n", "x"),
            (r#""attributes":{"id":"x"},"sensitive_attributes":[[],[{"a":1,"value":"id","b":2},1],[]]"#, "t.n", ""),
        ] {
            let state = format!(r#"{{"resources":[{{"type":"t","name":"n","instances":[{{{rest}}}]}}]}}"#);
            let expect = Object { address: address.to_owned(), id: id.to_owned() };
            assert_eq!(objects(state.as_bytes()), Ok(vec![expect]), "{rest}");
        }
    }
}
