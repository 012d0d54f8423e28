//! A component's settings schema: compiled once, when the component is loaded, and asked about the settings of each request
//! before the component sees them.
//!
//! What it finds names places, rules and the schema's own examples, and never a value of the request.

mod wording;

use std::collections::BTreeSet;

use catalyst_domain::Finding;
use catalyst_domain::finding::MAX_FINDINGS;
use catalyst_domain::request::{UNKNOWN_KEY, pointer_to, unknown_keys, unknown_words};
use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::Value;

use crate::bind::Settings;
use crate::check::{self, SchemaCost, values_in};
use crate::words;

/// Bytes of one compiled regular expression. Each byte of a text costs time that grows with it; one of a host name has some 20 KiB.
const PATTERN_BYTES: usize = 64 * 1024;
/// Bytes of the states that one regular expression remembers while it is matched, which makes it fast.
const PATTERN_STATES: usize = 1024 * 1024;
/// Bytes of text times regular expressions that are judged in one go, about a second of work at the worst. It leaves 128 KiB of text to
/// a schema of 4.
const MOST_TEXT_WORK: usize = 512 * 1024;
/// Subschemas and values that they list, times values that are judged in one go. It bounds the errors, which the library collects before
/// it gives the first, and the comparisons of an `enum`. It leaves 10,000 values to a schema of 50.
const MOST_WORK: usize = 500_000;
/// Bytes of the text of one fault: it quotes the value.
const FAULT_BYTES: usize = 400;
/// Bytes of a pointer, as in a component's own findings.
const POINTER: usize = 256;
/// Levels of settings in which unknown keys are looked for.
const LEVELS: usize = 8;

/// What a schema says of the settings of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JudgedSettings {
    /// Errors about values that do not fit, warnings about keys within them that nobody knows.
    pub findings: Vec<Finding>,
    /// An error for each setting that is required and not given. The component may have better words for it.
    pub missing: Vec<Finding>,
    /// Keys of the settings that do not fit: the component is asked without them.
    pub unfit: BTreeSet<String>,
}

/// What a value breaks of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueFault {
    /// JSON pointer into the value; empty for the value as a whole.
    pub pointer: String,
    /// The rule in words, with the value that breaks it.
    pub message: String,
}

/// A compiled schema.
#[derive(Debug)]
pub struct SettingsSchema {
    schema: Value,
    cost: SchemaCost,
    validator: Validator,
}

impl SettingsSchema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// Words on what is wrong with it.
    pub fn compile(text: &str) -> Result<Self, String> {
        let schema: Value =
            serde_json::from_str(text).map_err(|_| "the settings schema is not a JSON object".to_owned())?;
        let cost = check::schema(&schema)?;
        // The engine whose time grows with the text, and not with the ways to match it.
        let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_STATES);
        let built = jsonschema::options().with_draft(Draft::Draft202012).with_pattern_options(patterns).build(&schema);
        let validator = built.map_err(|error| {
            let ValueFault { pointer, message } = fault(&error);
            // The meta-schema's word is on a value, which the schema is for it; the compiler's is on a place in the schema.
            let place = if pointer.is_empty() { error.schema_path().to_string() } else { pointer };
            let place = if place.is_empty() { place } else { format!("{place}: ") };
            format!("the settings schema is no JSON Schema 2020-12: {place}{message}")
        })?;
        Ok(Self { schema, cost, validator })
    }

    /// Everything that a value breaks, in words that hold the value: for values of the plugin's author. Of a value that is too large
    /// to be judged in a request, that alone.
    pub fn faults<'a>(&'a self, value: &'a Value) -> impl Iterator<Item = ValueFault> {
        let too_large = self.too_large(value);
        let errors = too_large.is_empty().then(|| self.validator.iter_errors(value));
        too_large.into_iter().chain(errors.into_iter().flatten().map(|error| fault(&error)))
    }

    fn too_large(&self, value: &Value) -> Vec<ValueFault> {
        let mut given = match value {
            Value::Object(settings) => settings.clone(),
            other => Settings::from_iter([("value".to_owned(), other.clone())]),
        };
        let mut judged = JudgedSettings::default();
        self.take_out_what_is_too_much(&mut given, &mut judged);
        let of = |finding: Finding| {
            let pointer = if value.is_object() { finding.pointer } else { String::new() };
            ValueFault { pointer, message: short_words(finding.message) }
        };
        judged.findings.into_iter().map(of).collect()
    }

    /// Judges settings. White space around a text does not count, and neither does a text of nothing else or `null`, which is "not
    /// given" as everywhere in a request.
    pub fn judge(&self, settings: &Settings) -> JudgedSettings {
        let mut judged = JudgedSettings::default();
        let mut given: Settings =
            settings.iter().filter_map(|(key, value)| Some((key.clone(), trimmed(value)?))).collect();
        self.take_out_what_is_too_much(&mut given, &mut judged);
        let instance = Value::Object(given);
        for error in self.validator.iter_errors(&instance).take(2 * MAX_FINDINGS) {
            self.add(&error, &mut judged);
        }
        self.unknown_below(&self.schema, &instance, "", LEVELS, &mut judged.findings);
        judged
    }

    fn take_out_what_is_too_much(&self, given: &mut Settings, judged: &mut JudgedSettings) {
        let most = MOST_WORK / self.cost.subschemas;
        let values = |key: &str, value: &Value| values_in(value, 1 + key.len());
        take_out(given, judged, values, most, "too-many", |key| {
            let text = check::TEXT_PER_VALUE;
            format!(
                "{key}: has too many values: all settings together may have {most}, and {text} bytes of a text or path count as one"
            )
        });
        if self.cost.patterns == 0 {
            return;
        }
        let most = MOST_TEXT_WORK / self.cost.patterns;
        let texts = |_: &str, value: &Value| text_in(value);
        take_out(given, judged, texts, most, "too-long", |key| {
            format!("{key}: is too long: the texts of all settings together may have {most} bytes")
        });
    }

    fn add(&self, error: &ValidationError<'_>, judged: &mut JudgedSettings) {
        let at = error.instance_path().to_string();
        let top = top_key(&at);
        // A place of that depth is of no help.
        let at =
            if at.len() > POINTER { top.as_deref().map_or_else(String::new, |key| pointer_to("", key)) } else { at };
        let findings = match error.kind() {
            // Not the request's fault.
            Kind::RegexEngineFailure { .. } => return,
            Kind::Required { property } => {
                let key = property.as_str().unwrap_or_default();
                let finding =
                    Finding::error(pointer_to(&at, key), "required", format!("{}: is required", label(&at, key)));
                if top.is_none() {
                    judged.missing.push(finding);
                    return;
                }
                vec![finding]
            }
            Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
                self.not_allowed(&at, unexpected, &error.schema_path().to_string())
            }
            kind => {
                let (code, rule) = wording::rule(kind, self.example(top.as_deref(), &at));
                let name = if at.is_empty() { "the settings".to_owned() } else { label(&at, "") };
                vec![Finding::error(&at, code, format!("{name}: {rule}"))]
            }
        };
        for mut finding in findings {
            [&mut finding.pointer, &mut finding.message].into_iter().for_each(words::clean);
            if !judged.findings.iter().any(|known| known.pointer == finding.pointer && known.code == finding.code) {
                judged.findings.push(finding);
            }
        }
        match top {
            Some(key) => drop(judged.unfit.insert(key)),
            // A rule on all of them: none can be relied on.
            None => judged.unfit.extend(self.properties(&self.schema).map(str::to_owned)),
        }
    }

    /// An error for each key that the schema does not allow.
    fn not_allowed(&self, at: &str, unexpected: &[String], schema_path: &str) -> Vec<Finding> {
        let around = schema_path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let around = self.schema.pointer(around).unwrap_or(&Value::Null);
        let one = |key: &String| {
            let message = format!("{}: {}", label(at, ""), unknown_words(key, self.properties(around)));
            Finding::error(pointer_to(at, key), UNKNOWN_KEY, message)
        };
        unexpected.iter().take(MAX_FINDINGS).map(one).collect()
    }

    fn properties<'a>(&self, schema: &'a Value) -> impl Iterator<Item = &'a str> + use<'a> {
        schema.get("properties").and_then(Value::as_object).into_iter().flat_map(|all| all.keys().map(String::as_str))
    }

    /// A value of a setting that the schema itself gives, where the setting as a whole does not fit.
    fn example(&self, top: Option<&str>, at: &str) -> Option<&Value> {
        let setting = self.schema.get("properties")?.get(top.filter(|key| pointer_to("", key) == at)?)?;
        setting.get("examples").and_then(|examples| examples.get(0)).or_else(|| setting.get("default"))
    }

    /// A warning for each key of an object within the settings that its schema does not name. Where a schema says which further
    /// keys there may be, or is put together from several, nothing can be said.
    fn unknown_below(&self, schema: &Value, value: &Value, at: &str, levels: usize, findings: &mut Vec<Finding>) {
        if levels == 0 || findings.len() >= MAX_FINDINGS {
            return;
        }
        match value {
            Value::Object(object) => {
                let Some(known) = schema.get("properties").and_then(Value::as_object) else { return };
                let open = [
                    "$ref",
                    "allOf",
                    "anyOf",
                    "oneOf",
                    "if",
                    "patternProperties",
                    "additionalProperties",
                    "unevaluatedProperties",
                    "dependentSchemas",
                ];
                // Those at the top are the request's own keys.
                if !at.is_empty() && !open.iter().any(|keyword| schema.get(keyword).is_some()) {
                    let names: Vec<&str> = known.keys().map(String::as_str).collect();
                    let unknown = object.keys().map(String::as_str).filter(|key| !known.contains_key(*key));
                    findings.extend(unknown_keys(at, unknown, &names));
                }
                for (key, inner) in object {
                    if let Some(schema) = known.get(key) {
                        self.unknown_below(schema, inner, &pointer_to(at, key), levels - 1, findings);
                    }
                }
            }
            Value::Array(items) => {
                let Some(schema) = schema.get("items").filter(|items| items.is_object()) else { return };
                for (index, item) in items.iter().enumerate() {
                    self.unknown_below(schema, item, &format!("{at}/{index}"), levels - 1, findings);
                }
            }
            _ => {}
        }
    }
}

fn fault(error: &ValidationError<'_>) -> ValueFault {
    ValueFault { pointer: error.instance_path().to_string(), message: short_words(error.to_string()) }
}

fn short_words(mut message: String) -> String {
    words::clean(&mut message);
    message.truncate(message.floor_char_boundary(FAULT_BYTES));
    message
}

/// A setting as it counts; `None` where it is not given.
fn trimmed(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.trim()).filter(|text| !text.is_empty()).map(Value::from),
        other => Some(other.clone()),
    }
}

/// Bytes of the texts in a value, keys counted.
fn text_in(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(text_in).sum(),
        Value::Object(object) => object.iter().map(|(key, inner)| key.len() + text_in(inner)).sum(),
        _ => 0,
    }
}

/// Takes the largest settings out until `most` is left of what `measure` counts, each with a finding.
fn take_out(
    given: &mut Settings,
    judged: &mut JudgedSettings,
    measure: impl Fn(&str, &Value) -> usize,
    most: usize,
    code: &str,
    message: impl Fn(&str) -> String,
) {
    while given.iter().map(|(key, value)| measure(key, value)).sum::<usize>() > most {
        let largest = given.iter().max_by_key(|(key, value)| measure(key, value)).map(|(key, _)| key.clone());
        let Some(key) = largest else { return };
        judged.findings.push(Finding::error(pointer_to("", &key), code, message(&key)));
        given.remove(&key);
        judged.unfit.insert(key);
    }
}

/// The first key of a pointer, as it is in the object.
fn top_key(pointer: &str) -> Option<String> {
    pointer.split('/').nth(1).map(|key| key.replace("~1", "/").replace("~0", "~"))
}

/// A place as people write it: `networks/3`, or a key within it.
fn label(at: &str, key: &str) -> String {
    let path = at.trim_start_matches('/');
    match (path.is_empty(), key.is_empty()) {
        (true, _) => key.to_owned(),
        (_, true) => path.to_owned(),
        _ => format!("{path}/{key}"),
    }
}

#[cfg(test)]
mod tests;
