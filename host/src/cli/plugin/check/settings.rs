//! The settings schema, and what the component makes of its values: those that the schema itself gives, and those of a wrong type.

use super::ledger::Rule;
use super::samples::{self, Given};
use super::twins::Twins;
use catalyst_domain::provider::Descriptor;
use catalyst_domain::{Finding, Request};
use catalyst_sandbox::{Function, SettingsSchema};
use serde_json::{Map, Value};
use std::time::Duration;
use tokio::time::timeout;

/// Longest value that a reason quotes, in bytes.
const VALUE_BYTES: usize = 80;
/// Time to hold the schema's own values to it: milliseconds, but for a schema that was made to take long.
const SCHEMA_LONGEST: Duration = Duration::from_secs(5);

/// Holds the schema to its own dialect and to what it gives of values.
pub(super) async fn schema(twins: &mut Twins<'_>, descriptor: &Descriptor) {
    let ledger = &mut twins.ledger;
    let whole = samples::schema(descriptor);
    let properties = whole.get("properties").is_none_or(Value::is_object);
    ledger.require(Rule::Schema, properties, || "`properties` is no object".to_owned());
    let kind = whole.get("type").is_none_or(|kind| kind == "object");
    ledger.require(Rule::Schema, kind, || "`type` is not `object`".to_owned());
    for (key, value) in samples::required_settings(descriptor) {
        ledger.require(Rule::Schema, value.is_some(), || {
            format!("{key} is required, and no value can be told: give it `examples`, or check with --request")
        });
    }
    for (key, schema) in samples::properties(descriptor) {
        ledger.require(Rule::Schema, schema.is_object(), || format!("the schema of {key} is no object"));
    }
    let text = descriptor.settings_schema.clone();
    let (values, examples) = (samples::given_values(descriptor), samples::whole_examples(descriptor));
    // A schema may be made so that it takes for ever, and nothing in it can be interrupted.
    let judged = tokio::task::spawn_blocking(move || judge(&text, values, examples));
    let outcomes = match twins.budget.within(timeout(SCHEMA_LONGEST, judged)).await {
        Some(Ok(Ok(outcomes))) => outcomes,
        Some(Ok(Err(_))) => vec![Err("the settings schema could not be judged".to_owned())],
        Some(Err(_)) => vec![Err("to hold its own values to the settings schema takes longer than it may".to_owned())],
        None => {
            let why = twins.budget.over();
            return twins.ledger.leave_out(Rule::Schema, "the values of the schema", &why);
        }
    };
    outcomes.into_iter().for_each(|outcome| twins.ledger.hold(Rule::Schema, outcome));
}

/// Whether it is a schema, and takes the values that it gives.
fn judge(text: &str, values: Vec<Given>, examples: Vec<Value>) -> Vec<Result<(), String>> {
    let schema = match SettingsSchema::compile(text) {
        Ok(schema) => schema,
        Err(why) => return vec![Err(why)],
    };
    let of_value = |Given { key, what, value }: Given| {
        let alone = Value::Object(Map::from_iter([(key.clone(), value.clone())]));
        match schema.faults(&alone).find(|fault| is_at(&fault.pointer, &key)) {
            None => Ok(()),
            Some(fault) => {
                Err(format!("the schema refuses its own {what} of {key}, {}: {}", shown(&value), fault.message))
            }
        }
    };
    let of_example = |(index, example): (usize, Value)| match schema.faults(&example).next() {
        None => Ok(()),
        Some(fault) => {
            let place = if fault.pointer.is_empty() { String::new() } else { format!("{}: ", fault.pointer) };
            Err(format!("the schema refuses its own example {index}: {place}{}", fault.message))
        }
    };
    let is_schema = Ok(());
    [is_schema]
        .into_iter()
        .chain(values.into_iter().map(of_value))
        .chain(examples.into_iter().enumerate().map(of_example))
        .collect()
}

/// What the component says to values that its schema gives: no error at their keys. Other keys may be missed beside them.
pub(super) async fn given(twins: &mut Twins<'_>, descriptor: &Descriptor, base: &Request) {
    for Given { key, what, value } in samples::given_values(descriptor) {
        let mut request = base.clone();
        request.extra.insert(key.clone(), value.clone());
        let name = format!("{key} with the {what} of its schema, {}", shown(&value));
        let Some(findings) = validate(twins, &name, &request).await else { continue };
        let refused = findings.iter().find(|finding| finding.is_error() && is_at(&finding.pointer, &key));
        let outcome = refused.map_or(Ok(()), |finding| Err(format!("{name}: refused: {}", finding.message)));
        twins.ledger.hold(Rule::Settings, outcome);
    }
}

/// What the component says to values of a wrong type: an error at their keys.
pub(super) async fn wrong(twins: &mut Twins<'_>, descriptor: &Descriptor, base: &Request) {
    for (key, request) in samples::wrong_settings(base, descriptor) {
        let name = format!("{key} with a wrong type");
        let Some(findings) = validate(twins, &name, &request).await else { continue };
        let told = findings.iter().any(|finding| finding.is_error() && is_at(&finding.pointer, &key));
        twins.ledger.require(Rule::Settings, told, || format!("{name}: no error finding at /{key}"));
    }
}

async fn validate(twins: &mut Twins<'_>, name: &str, request: &Request) -> Option<Vec<Finding>> {
    twins.ask(Rule::Settings, Function::Validate, name, async |provider| provider.validate(request).await).await
}

/// Whether a JSON pointer leads to a key of the settings, or below it.
fn is_at(pointer: &str, key: &str) -> bool {
    let at = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
    pointer.strip_prefix(&at).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    let end = text.floor_char_boundary(VALUE_BYTES);
    if end == text.len() { text } else { format!("{}…", &text[..end]) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pointer_leads_to_its_key_and_to_no_longer_one() {
        assert!(is_at("/apiPort", "apiPort") && is_at("/apiPort/0", "apiPort") && is_at("/a~1b", "a/b"));
        assert!(!is_at("/apiPorts", "apiPort") && !is_at("", "apiPort"));
    }

    #[test]
    fn a_schema_is_held_to_its_own_values() {
        let given = |key: &str, value: Value| Given { key: key.to_owned(), what: "default", value };
        let schema = r#"{"required": ["b"], "properties": {"a": {"type": "integer"}, "b": {}}}"#;
        let outcomes = judge(schema, vec![given("a", json!(1)), given("a", json!("1"))], vec![json!({"a": 1})]);
        let reasons: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
        assert_eq!(reasons.len(), 2, "what is required is asked of whole examples alone: {reasons:?}");
        assert!(reasons[0].starts_with("the schema refuses its own default of a, \"1\": "), "{reasons:?}");
        assert!(reasons[1].starts_with("the schema refuses its own example 0: "), "{reasons:?}");
        let none = judge(r#"{"type": 7}"#, vec![given("a", json!(1))], Vec::new());
        let Some(Err(why)) = none.first() else { panic!("{none:?}") };
        assert!(none.len() == 1 && why.starts_with("the settings schema is no JSON Schema 2020-12: /type: "), "{why}");
    }

    #[test]
    fn a_long_value_is_cut() {
        assert_eq!(shown(&json!("x")), "\"x\"");
        assert!(shown(&json!("ü".repeat(100))).ends_with('…'));
    }
}
