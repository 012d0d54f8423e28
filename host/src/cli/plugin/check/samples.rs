//! Requests made from what a component says of itself: what it must take, and what it must survive.

use catalyst_domain::Request;
use catalyst_domain::provider::Descriptor;
use catalyst_domain::request::RegionSlot;
use serde_json::{Map, Value, json};

/// A public key in good form; nobody has its private half.
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ check";
/// What a template would evaluate, and a text must not become.
pub(super) const LIVE: &str = "${upper(\"catalyst-check\")}";

/// Examples of one schema that are tried.
const EXAMPLES: usize = 10;

/// A request with a name to tell it by.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub name: String,
    pub request: Request,
}

fn sample(name: impl Into<String>, request: Request) -> Sample {
    Sample { name: name.into(), request }
}

/// The plain request of the first region.
pub(super) fn default_request(descriptor: &Descriptor) -> Request {
    let region = descriptor.catalogue.regions.first().map(|region| region.id.as_str());
    plain(descriptor, region.unwrap_or("region-1"))
}

/// One server and one worker, as cheap as the region has them, with the settings that the schema requires.
fn plain(descriptor: &Descriptor, region: &str) -> Request {
    let machine = machine(descriptor, region);
    let slot = RegionSlot {
        provider: descriptor.id.clone(),
        cloud_region: region.to_owned(),
        control_plane_size: machine.clone(),
        worker_size: machine.clone(),
        worker_count: 1,
    };
    Request {
        org_name: "Example Ltd".to_owned(),
        org_email: "ops@check.example".to_owned(),
        sovereign_fqdn: "one.check.example".to_owned(),
        sovereign_domain_mode: "byo".to_owned(),
        region: slot.cloud_region.clone(),
        control_plane_size: machine.clone(),
        worker_size: machine,
        worker_count: 1,
        regions: vec![slot],
        ssh_public_key: KEY.to_owned(),
        extra: required_settings(descriptor).into_iter().filter_map(|(key, value)| Some((key, value?))).collect(),
        ..Request::default()
    }
}

/// The first that is not retired and has the two cores that a server needs; else the first.
fn machine(descriptor: &Descriptor, region: &str) -> String {
    let catalogue = &descriptor.catalogue;
    let offered = catalogue.regions.iter().find(|r| r.id == region).map(|r| r.machine_types.as_slice());
    let offered = offered.unwrap_or_default();
    let fits = |name: &&String| {
        catalogue.machine_types.iter().any(|m| m.name == **name && !m.retired && m.cores >= 2 && m.arch == "x86")
    };
    offered.iter().find(fits).or(offered.first()).cloned().unwrap_or_else(|| "machine-1".to_owned())
}

/// What every component must accept: the plain request in each region, and once with every default written out.
pub(super) fn accepted(descriptor: &Descriptor) -> Vec<Sample> {
    let regions = descriptor.catalogue.regions.iter().map(|region| region.id.as_str());
    let mut samples: Vec<Sample> =
        regions.map(|region| sample(format!("region {region}"), plain(descriptor, region))).collect();
    if samples.is_empty() {
        samples.push(sample("a region of no name, for the catalogue has none", default_request(descriptor)));
    }
    let mut written = default_request(descriptor);
    let defaults =
        properties(descriptor).into_iter().filter_map(|(key, schema)| Some((key, schema.get("default")?.clone())));
    let before = written.extra.len();
    for (key, value) in defaults {
        written.extra.entry(key).or_insert(value);
    }
    if written.extra.len() > before {
        samples.push(sample("every default written out", written));
    }
    samples
}

/// What a component may accept or refuse, but has to answer, twice the same.
pub(super) fn hostile(base: &Request, descriptor: &Descriptor) -> Vec<Sample> {
    let mut samples = Vec::new();
    for (what, text) in hostile_texts() {
        let name = |field: &str| format!("{what} as the {field}");
        samples.push(sample(name("organisation"), Request { org_name: text.clone(), ..base.clone() }));
        samples.push(sample(name("mail address"), Request { org_email: text.clone(), ..base.clone() }));
        samples.push(sample(name("FQDN"), Request { sovereign_fqdn: text.clone(), ..base.clone() }));
        samples.push(sample(name("public key"), Request { ssh_public_key: text.clone(), ..base.clone() }));
        samples.push(sample(name("region"), with_slot(base, |slot| slot.cloud_region.clone_from(&text))));
        samples.push(sample(name("machine type"), with_slot(base, |slot| slot.control_plane_size.clone_from(&text))));
        for (key, schema) in properties(descriptor) {
            if allows(&schema, "string") {
                let mut request = base.clone();
                request.extra.insert(key.clone(), json!(text));
                samples.push(sample(name(&format!("setting {key}")), request));
            }
        }
    }
    for count in [-1, 1_000_000, i64::MAX, i64::MIN] {
        samples.push(sample(format!("{count} workers"), with_slot(base, |slot| slot.worker_count = count)));
    }
    let regions = base.regions.iter().cycle().take(500).cloned().collect();
    samples.push(sample("500 regions", Request { regions, ..base.clone() }));
    samples.push(sample("no region", Request { regions: Vec::new(), ..base.clone() }));
    samples.push(sample("three servers", Request { ha_enabled: true, ..base.clone() }));
    samples.push(sample("nothing at all", Request::default()));
    samples
}

fn hostile_texts() -> Vec<(&'static str, String)> {
    vec![
        ("a template's call", format!("Acme {LIVE} Ltd")),
        ("a template's file read", "${file(\"/etc/shadow\")}".to_owned()),
        ("a template's directive", "%{ if true }x%{ endif }".to_owned()),
        ("half a template mark", "$${ $ % %%{ ${".to_owned()),
        ("quotes and a shell's marks", "\"'`$(id)`;|&<>\\".to_owned()),
        ("YAML", "x\n  - evil: true\n#".to_owned()),
        ("a heredoc's end", "\nEOT\nresource \"x\" \"y\" {}\n".to_owned()),
        ("control characters", "a\u{0}b\u{1b}[2J\r\n\t".to_owned()),
        ("private-use characters", "a\u{e000}b\u{f8ff}\u{10fffd}".to_owned()),
        ("turned text", "a\u{202e}b\u{2066}".to_owned()),
        ("a path", "../../etc/passwd".to_owned()),
        ("blank text", " \u{a0}\u{3000} ".to_owned()),
        ("a long text", "A".repeat(20_000)),
    ]
}

fn with_slot(base: &Request, change: impl FnOnce(&mut RegionSlot)) -> Request {
    let mut request = base.clone();
    if let Some(slot) = request.regions.first_mut() {
        change(slot);
        request.region.clone_from(&slot.cloud_region);
        request.control_plane_size.clone_from(&slot.control_plane_size);
        request.worker_size.clone_from(&slot.worker_size);
        request.worker_count = slot.worker_count;
    }
    request
}

/// For each setting with a type: its key, and the plain request with a value of another type there.
pub(super) fn wrong_settings(base: &Request, descriptor: &Descriptor) -> Vec<(String, Request)> {
    let wrong = |(key, schema): (String, Value)| {
        let typed = schema.get("type").is_some() || schema.get("enum").is_some();
        let value = [("object", json!({"wrong": true})), ("boolean", json!(true)), ("number", json!(1.5))];
        let value = value.into_iter().find(|(kind, _)| typed && !allows(&schema, kind)).map(|(_, value)| value)?;
        let mut request = base.clone();
        request.extra.insert(key.clone(), value);
        Some((key, request))
    };
    properties(descriptor).into_iter().filter_map(wrong).collect()
}

/// The settings that the schema names, with their schemas.
pub(super) fn properties(descriptor: &Descriptor) -> Map<String, Value> {
    match schema(descriptor).get("properties") {
        Some(Value::Object(properties)) => properties.clone(),
        _ => Map::new(),
    }
}

/// Each required setting with a value that the schema itself gives or allows, where one can be told.
pub(super) fn required_settings(descriptor: &Descriptor) -> Vec<(String, Option<Value>)> {
    let properties = properties(descriptor);
    let schema = schema(descriptor);
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let keys = required.iter().filter_map(Value::as_str);
    keys.map(|key| (key.to_owned(), properties.get(key).and_then(value_of))).collect()
}

/// A value that the schema itself gives a setting.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Given {
    pub key: String,
    /// `default` or `example`.
    pub what: &'static str,
    pub value: Value,
}

/// The default of each setting, and its examples.
pub(super) fn given_values(descriptor: &Descriptor) -> Vec<Given> {
    let mut given = Vec::new();
    for (key, schema) in properties(descriptor) {
        let value = |what, value: &Value| Given { key: key.clone(), what, value: value.clone() };
        given.extend(schema.get("default").map(|default| value("default", default)));
        let examples = schema.get("examples").and_then(Value::as_array).into_iter().flatten();
        given.extend(examples.take(EXAMPLES).map(|example| value("example", example)));
    }
    given
}

/// Examples of the settings as a whole.
pub(super) fn whole_examples(descriptor: &Descriptor) -> Vec<Value> {
    let schema = schema(descriptor);
    schema.get("examples").and_then(Value::as_array).into_iter().flatten().take(EXAMPLES).cloned().collect()
}

/// The component's schema, which is a JSON object: the sandbox made sure of it.
pub(super) fn schema(descriptor: &Descriptor) -> Value {
    serde_json::from_str(&descriptor.settings_schema).unwrap_or_default()
}

fn value_of(schema: &Value) -> Option<Value> {
    let first = |key: &str| schema.get(key).and_then(Value::as_array).and_then(|list| list.first()).cloned();
    let given = schema.get("default").or(schema.get("const")).cloned();
    given.or_else(|| first("examples")).or_else(|| first("enum")).or_else(|| made_up(schema))
}

/// A value where nothing but the type and a length or a bound is asked for.
fn made_up(schema: &Value) -> Option<Value> {
    let number = |key: &str| schema.get(key).and_then(Value::as_u64);
    if schema.get("pattern").is_some() || schema.get("format").is_some() {
        return None;
    }
    match schema.get("type")?.as_str()? {
        "string" => {
            let length = usize::try_from(number("minLength").unwrap_or(1)).ok()?.clamp(1, 4096);
            let most = usize::try_from(number("maxLength").unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
            (length <= most).then(|| json!("x".repeat(length)))
        }
        "integer" | "number" => Some(schema.get("minimum").cloned().unwrap_or_else(|| json!(1))),
        "boolean" => Some(json!(false)),
        "array" if number("minItems").unwrap_or(0) == 0 => Some(json!([])),
        "object" if schema.get("required").is_none() => Some(json!({})),
        _ => None,
    }
}

/// Whether a schema takes values of a JSON type, as far as `type` and `enum` tell.
fn allows(schema: &Value, kind: &str) -> bool {
    let is = |name: &Value| name == kind || (kind == "number" && name == "integer");
    let of = |value: &Value| match kind {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        _ => value.is_object(),
    };
    match (schema.get("type"), schema.get("enum")) {
        (Some(Value::Array(types)), _) => types.iter().any(is),
        (Some(name), _) => is(name),
        (None, Some(Value::Array(values))) => values.iter().any(of),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_required_setting_gets_a_value_only_where_one_can_be_told() {
        for (schema, expect) in [
            (json!({"type": "string", "default": "d"}), Some(json!("d"))),
            (json!({"type": "string", "examples": ["e"]}), Some(json!("e"))),
            (json!({"enum": ["one", "two"]}), Some(json!("one"))),
            (json!({"type": "string", "minLength": 3}), Some(json!("xxx"))),
            (json!({"type": "integer", "minimum": 5}), Some(json!(5))),
            (json!({"type": "string", "pattern": "^v[0-9]$"}), None),
            (json!({"type": "string", "minLength": 3, "maxLength": 2}), None),
            (json!({"description": "anything"}), None),
        ] {
            assert_eq!(value_of(&schema), expect, "{schema}");
        }
    }

    #[test]
    fn the_schema_gives_defaults_and_examples() {
        let schema = json!({"properties": {"a": {"default": 1, "examples": [2, 3]}, "b": {"examples": "none"}}, "examples": [{"a": 4}]});
        let mut descriptor = descriptor();
        descriptor.settings_schema = schema.to_string();
        let given: Vec<_> = given_values(&descriptor).into_iter().map(|g| (g.key, g.what, g.value)).collect();
        let one = |what, value| ("a".to_owned(), what, json!(value));
        assert_eq!(given, [one("default", 1), one("example", 2), one("example", 3)]);
        assert_eq!(whole_examples(&descriptor), [json!({"a": 4})]);
    }

    fn descriptor() -> Descriptor {
        let catalogue = catalyst_domain::provider::Catalogue {
            as_of: "2026-01-01".into(),
            currency: "EUR".into(),
            regions: Vec::new(),
            machine_types: Vec::new(),
        };
        Descriptor {
            id: "a".into(),
            display_name: "A".into(),
            version: "1.0.0".into(),
            secrets: Vec::new(),
            tofu_providers: Vec::new(),
            bearer_resource: None,
            catalogue,
            user_data_limit: 1,
            settings_schema: "{}".into(),
            api_hosts: Vec::new(),
        }
    }

    #[test]
    fn types_are_told_apart() {
        assert!(allows(&json!({"type": ["string", "null"]}), "string"));
        assert!(!allows(&json!({"type": "integer"}), "string"));
        assert!(allows(&json!({"type": "integer"}), "number"));
        assert!(!allows(&json!({"enum": ["a"]}), "object"));
        assert!(allows(&json!({}), "object"));
    }
}
