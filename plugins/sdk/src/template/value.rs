//! Values of the template language, as far as templates of user data need them.

use std::collections::BTreeMap;

use unicode_normalization::UnicodeNormalization;

use super::EvalError;

/// A value in a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// No value.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number; templates of user data need no other.
    Int(i64),
    /// Text in Unicode normal form C, as OpenTofu keeps all its strings.
    Text(String),
    /// A list or tuple.
    List(Vec<Value>),
    /// A map or object; OpenTofu visits keys in byte order.
    Map(BTreeMap<String, Value>),
    /// A string that only the apply knows.
    Hole {
        /// Name of the template variable.
        name: String,
        /// Longest value in bytes, for the budget of user data.
        max_bytes: u32,
    },
}

impl Value {
    /// Text in normal form C.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(normalised(text.into()))
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Hole { .. } => "a hole",
        }
    }

    /// The value as the string that OpenTofu converts it to.
    pub(super) fn to_text(&self, place: &str) -> Result<String, EvalError> {
        match self {
            Self::Bool(value) => Ok(value.to_string()),
            Self::Int(value) => Ok(value.to_string()),
            Self::Text(value) => Ok(value.clone()),
            other => Err(other.unexpected(place, "a string")),
        }
    }

    pub(super) fn to_bool(&self, place: &str) -> Result<bool, EvalError> {
        match self {
            Self::Bool(value) => Ok(*value),
            Self::Text(value) if value == "true" => Ok(true),
            Self::Text(value) if value == "false" => Ok(false),
            other => Err(other.unexpected(place, "a bool")),
        }
    }

    pub(super) fn unexpected(&self, place: &str, wanted: &str) -> EvalError {
        match self {
            Self::Hole { name, .. } => EvalError::ComputedHole { hole: name.clone(), place: place.to_owned() },
            other => {
                EvalError::Type { place: place.to_owned(), reason: format!("wants {wanted}, got {}", other.kind()) }
            }
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl<T: Into<Value>> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

/// The names a template may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables {
    values: BTreeMap<String, Value>,
}

impl Variables {
    /// No names yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a known value.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.values.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a hole: the module supplies the value at apply, of at most `max_bytes` bytes.
    #[must_use]
    pub fn with_hole(self, name: &str, max_bytes: u32) -> Self {
        let hole = Value::Hole { name: name.to_owned(), max_bytes };
        self.with(name, hole)
    }

    /// The values as JSON, each hole filled by what `hole` gives for its name. For tests against `templatefile()`.
    pub fn to_json(&self, hole: impl Fn(&str) -> String) -> serde_json::Value {
        fn convert(value: &Value, hole: &dyn Fn(&str) -> String) -> serde_json::Value {
            match value {
                Value::Null => serde_json::Value::Null,
                Value::Bool(value) => (*value).into(),
                Value::Int(value) => (*value).into(),
                Value::Text(text) => text.as_str().into(),
                Value::List(items) => items.iter().map(|item| convert(item, hole)).collect(),
                Value::Map(items) => items.iter().map(|(key, item)| (key.clone(), convert(item, hole))).collect(),
                Value::Hole { name, .. } => hole(name).into(),
            }
        }
        self.values.iter().map(|(name, value)| (name.clone(), convert(value, &hole))).collect()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }
}

/// Normal form C. OpenTofu normalises every string it makes, so functions must see the same bytes here.
pub(super) fn normalised(text: String) -> String {
    // The first look takes a word at a time, and user data is nearly all ASCII.
    if text.is_ascii() || text.bytes().all(|byte| byte < FIRST_MARK) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(marked) = rest.bytes().position(|byte| byte >= FIRST_MARK) {
        // The character before may take a mark; nothing composes across one that is below the first mark.
        let (before, _) = rest.split_at(marked);
        let from = before.char_indices().next_back().map_or(0, |(at, _)| at);
        let plain = rest[marked..].char_indices().find(|(_, c)| *c < '\u{300}');
        let to = plain.map_or(rest.len(), |(at, _)| marked + at);
        out.push_str(&rest[..from]);
        out.extend(rest[from..to].nfc());
        rest = &rest[to..];
    }
    out.push_str(rest);
    out
}

/// First byte of U+0300, the first combining mark: whatever is below is its own normal form.
const FIRST_MARK: u8 = 0xcc;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hostile_text;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn piece_by_piece_is_the_normal_form_of_the_whole(
            pieces in prop::collection::vec(
                prop_oneof![
                    hostile_text(),
                    Just("e\u{323}\u{301}".to_owned()),
                    Just("\u{1100}\u{1161}\u{11a8}".to_owned()),
                    Just("\u{301}\u{323}é\u{212b}".to_owned()),
                ],
                0..6,
            ),
        ) {
            let text = pieces.concat();
            let whole: String = text.nfc().collect();
            prop_assert_eq!(normalised(text), whole);
        }
    }
}
