//! A JSON Schema of the dialect 2020-12, compiled, and what values break of it: for who holds a settings schema to the values that it
//! gives itself. Nothing from outside of its own text is looked at.

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::{Map, Value};

/// The dialect that the contract names; a schema that says another would be read otherwise than it was meant.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Longest text of one fault, in bytes: it quotes the value.
const FAULT_BYTES: usize = 400;

/// Steps back of one regular expression on one text; what needs more is a fault of the value.
const BACKTRACKS: usize = 100_000;

/// Bytes of one compiled regular expression.
const PATTERN_BYTES: usize = 1024 * 1024;

/// A schema that values can be held against.
#[derive(Debug)]
pub struct JsonSchema(Validator);

/// What a value breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueFault {
    /// JSON pointer into the value; empty for the value as a whole.
    pub pointer: String,
    /// The rule in words, with the value that breaks it.
    pub message: String,
}

/// Compiles the text of a schema.
///
/// `format` says what a value is, and nothing is held to it, as the dialect has it. A reference to another document is refused:
/// nothing is fetched.
///
/// # Errors
/// What is wrong with the schema, with a JSON pointer to the place where one is known.
pub fn compile(schema: &str) -> Result<JsonSchema, String> {
    let schema: Map<String, Value> =
        serde_json::from_str(schema).map_err(|error| format!("it is not a JSON object: {error}"))?;
    if let Some(dialect) = schema.get("$schema")
        && dialect.as_str().is_none_or(|dialect| dialect.trim_end_matches('#') != DIALECT)
    {
        return Err(format!("/$schema: it is {dialect}; JSON Schema 2020-12 is {DIALECT}"));
    }
    let patterns = PatternOptions::fancy_regex()
        .backtrack_limit(BACKTRACKS)
        .size_limit(PATTERN_BYTES)
        .dfa_size_limit(PATTERN_BYTES);
    let options = jsonschema::options().with_draft(Draft::Draft202012).with_pattern_options(patterns);
    let built = options.build(&Value::Object(schema));
    built.map(JsonSchema).map_err(|error| {
        let ValueFault { pointer, message } = fault(&error);
        // The meta-schema's word is on a value, which the schema is for it; the compiler's is on a place in the schema.
        let place = if pointer.is_empty() { error.schema_path().to_string() } else { pointer };
        if place.is_empty() { message } else { format!("{place}: {message}") }
    })
}

impl JsonSchema {
    /// Everything that a value breaks.
    pub fn faults(&self, value: &Value) -> Vec<ValueFault> {
        self.0.iter_errors(value).map(|error| fault(&error)).collect()
    }
}

fn fault(error: &jsonschema::ValidationError<'_>) -> ValueFault {
    let mut message = error.to_string();
    crate::words::clean(&mut message);
    message.truncate(message.floor_char_boundary(FAULT_BYTES));
    ValueFault { pointer: error.instance_path().to_string(), message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_value_breaks_is_named_by_its_place() {
        let schema = compile(
            r##"{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "$defs": {"port": {"type": "integer", "minimum": 1}},
                "properties": {"port": {"$ref": "#/$defs/port"}, "names": {"type": "array", "items": {"pattern": "^[a-z]+$"}}}}"##,
        )
        .unwrap();
        assert_eq!(schema.faults(&json!({"port": 6443, "names": ["a"]})), []);
        let faults = schema.faults(&json!({"port": 0, "names": ["a", "B"]}));
        let pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert!(pointers.contains(&"/port") && pointers.contains(&"/names/1"), "{faults:?}");
    }

    #[test]
    fn what_is_no_schema_of_the_dialect_is_refused_by_its_place() {
        for (schema, words) in [
            ("[]", "not a JSON object"),
            (r#"{"type": "objekt"}"#, "/type"),
            (r#"{"properties": {"a": {"type": "integer", "minimum": "1"}}}"#, "/properties/a/minimum"),
            (r#"{"properties": {"a": {"pattern": "("}}}"#, "/properties/a/pattern"),
            (r#"{"$schema": "http://json-schema.org/draft-07/schema#"}"#, "2020-12"),
            (r#"{"properties": {"a": {"$ref": "https://elsewhere.example/a.json"}}}"#, "elsewhere.example"),
            (r##"{"properties": {"a": {"$ref": "#/$defs/none"}}}"##, "none"),
        ] {
            let why = compile(schema).unwrap_err();
            assert!(why.contains(words), "{schema}: {why}");
        }
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        for schema in [
            r##"{"$ref": "#"}"##,
            r##"{"properties": {"a": {"$ref": "#/properties/a"}}}"##,
            r##"{"properties": {"a": {"anyOf": [{"$ref": "#/properties/a"}, {"type": "string"}]}}}"##,
        ] {
            if let Ok(schema) = compile(schema) {
                schema.faults(&json!({"a": {"a": "x"}}));
            }
        }
    }

    #[test]
    fn a_pattern_cannot_take_time_without_end() {
        let schema = compile(r#"{"properties": {"a": {"pattern": "^(a+)+(?=b)$"}}}"#).unwrap();
        assert_eq!(schema.faults(&json!({"a": format!("{}!", "a".repeat(1_000))})).len(), 1);
    }
}
