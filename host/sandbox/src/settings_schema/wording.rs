//! What a keyword of a schema asks for, in words. They come from the schema alone.

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value;

/// Values of an enumeration that are named.
const MAX_CHOICES: usize = 12;
/// Characters of a value or a pattern that are shown.
const MAX_SHOWN: usize = 120;

/// The finding's code, and the rule that a value breaks.
pub(super) fn rule(kind: &Kind, example: Option<&Value>) -> (&'static str, String) {
    let such_as = || example.map(|value| format!(", such as {}", shown(value))).unwrap_or_default();
    match kind {
        Kind::Type { kind } => ("wrong-type", format!("must be {}{}", types(kind), such_as())),
        Kind::Enum { options } => ("choice", format!("must be {}", choices(options))),
        Kind::Constant { expected_value } => ("choice", format!("must be {}", shown(expected_value))),
        Kind::Pattern { pattern } => ("pattern", format!("must match the pattern {}{}", cut(pattern), such_as())),
        Kind::Format { format } => ("format", format!("must be of the format {}{}", cut(format), such_as())),
        Kind::MinLength { limit } => ("too-short", format!("must have at least {limit} characters{}", such_as())),
        Kind::MaxLength { limit } => ("too-long", format!("must have at most {limit} characters")),
        Kind::Minimum { limit } => ("out-of-range", format!("must be {limit} or more")),
        Kind::Maximum { limit } => ("out-of-range", format!("must be {limit} or less")),
        Kind::ExclusiveMinimum { limit } => ("out-of-range", format!("must be more than {limit}")),
        Kind::ExclusiveMaximum { limit } => ("out-of-range", format!("must be less than {limit}")),
        Kind::MultipleOf { multiple_of } => ("out-of-range", format!("must be a multiple of {multiple_of}")),
        Kind::MinItems { limit } => ("too-few", format!("must have at least {limit} entries")),
        Kind::MaxItems { limit } => ("too-many", format!("must have at most {limit} entries")),
        Kind::UniqueItems => ("twice", "must not have the same entry twice".to_owned()),
        Kind::MinProperties { limit } => ("too-few", format!("must have at least {limit} keys")),
        Kind::MaxProperties { limit } => ("too-many", format!("must have at most {limit} keys")),
        other => ("settings-schema", format!("does not fit the rule {:?} of the settings schema", other.keyword())),
    }
}

fn types(kind: &TypeKind) -> String {
    let mut names: Vec<String> = match kind {
        TypeKind::Single(one) => vec![one.to_string()],
        TypeKind::Multiple(set) => set.iter().map(|one| one.to_string()).collect(),
    };
    names.sort_by_key(|name| name == "null");
    let article = |name: &String| match name.as_str() {
        "null" => "null".to_owned(),
        "boolean" => "true or false".to_owned(),
        "integer" => "a whole number".to_owned(),
        "array" => "a list".to_owned(),
        "object" => "an object".to_owned(),
        other => format!("a {other}"),
    };
    names.iter().map(article).collect::<Vec<_>>().join(" or ")
}

fn choices(options: &Value) -> String {
    let Some(all) = options.as_array() else { return shown(options) };
    let named: Vec<String> = all.iter().filter(|value| **value != "").take(MAX_CHOICES).map(shown).collect();
    let more = if all.len() > MAX_CHOICES { " and others" } else { "" };
    format!("one of {}{more}", named.join(", "))
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| cut(&value.to_string()), cut)
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
