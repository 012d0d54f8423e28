//! The functions a template may call, with OpenTofu's exact meaning. Where an exact meaning would need more than user
//! data ever does (regular expressions, locale tables, floats), the call is refused in words.

use base64::Engine as _;
use serde::{Deserialize, Serialize};

use super::{EvalError, Value, json};

/// A function known to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Function {
    Base64Encode,
    Contains,
    Format,
    Indent,
    Join,
    JsonEncode,
    Length,
    Lower,
    Replace,
    ToString,
    TrimSpace,
    Upper,
}

const TABLE: &[(&str, Function, std::ops::RangeInclusive<usize>)] = &[
    ("base64encode", Function::Base64Encode, 1..=1),
    ("contains", Function::Contains, 2..=2),
    ("format", Function::Format, 1..=usize::MAX),
    ("indent", Function::Indent, 2..=2),
    ("join", Function::Join, 2..=usize::MAX),
    ("jsonencode", Function::JsonEncode, 1..=1),
    ("length", Function::Length, 1..=1),
    ("lower", Function::Lower, 1..=1),
    ("replace", Function::Replace, 3..=3),
    ("tostring", Function::ToString, 1..=1),
    ("trimspace", Function::TrimSpace, 1..=1),
    ("upper", Function::Upper, 1..=1),
];

impl Function {
    /// The function of that name, if its number of arguments fits.
    #[cfg(feature = "compile")]
    pub(super) fn named(name: &str, arguments: usize) -> Result<Self, String> {
        let Some((_, function, arity)) = TABLE.iter().find(|(known, ..)| *known == name) else {
            let known: Vec<&str> = TABLE.iter().map(|(known, ..)| *known).collect();
            return Err(format!("the function `{name}` is not supplied; there are {}", known.join(", ")));
        };
        if arity.contains(&arguments) {
            Ok(*function)
        } else {
            Err(format!("`{name}` does not take {arguments} arguments"))
        }
    }

    fn name(self) -> &'static str {
        TABLE.iter().find(|(_, function, _)| *function == self).map_or("?", |(name, ..)| name)
    }

    pub(super) fn call(self, arguments: &[Value]) -> Result<Value, EvalError> {
        let place = self.name();
        if let Some(hole) = arguments.iter().find(|a| matches!(a, Value::Hole { .. })) {
            return Err(hole.unexpected(place, "a known value"));
        }
        match (self, arguments) {
            (Self::Base64Encode, [text]) => {
                Ok(Value::text(base64::engine::general_purpose::STANDARD.encode(text.to_text(place)?)))
            }
            (Self::Contains, [Value::List(items), wanted]) => contains(items, wanted),
            (Self::Format, [pattern, rest @ ..]) => format(&pattern.to_text(place)?, rest).map(Value::text),
            (Self::Indent, [Value::Int(spaces), text]) => {
                let width = usize::try_from(*spaces).map_err(|_| type_error(place, "wants a width of 0 or more"))?;
                Ok(Value::text(text.to_text(place)?.replace('\n', &format!("\n{}", " ".repeat(width)))))
            }
            (Self::Join, [separator, lists @ ..]) => join(&separator.to_text(place)?, lists),
            (Self::JsonEncode, [value]) => json::encode(value).map(Value::text),
            (Self::Length, [value]) => length(value),
            (Self::Lower, [text]) => Ok(Value::text(ascii(text, place)?.to_ascii_lowercase())),
            (Self::Upper, [text]) => Ok(Value::text(ascii(text, place)?.to_ascii_uppercase())),
            (Self::Replace, [text, from, to]) => replace(text, from, to),
            (Self::ToString, [Value::Null]) => Ok(Value::Null),
            (Self::ToString, [value]) => value.to_text(place).map(Value::text),
            (Self::TrimSpace, [text]) => Ok(Value::text(text.to_text(place)?.trim())),
            (_, other) => {
                let kinds: Vec<&str> = other.iter().map(Value::kind).collect();
                Err(type_error(place, &format!("cannot take {}", kinds.join(", "))))
            }
        }
    }
}

fn type_error(place: &str, reason: &str) -> EvalError {
    EvalError::Type { place: place.to_owned(), reason: reason.to_owned() }
}

fn contains(items: &[Value], wanted: &Value) -> Result<Value, EvalError> {
    // OpenTofu converts a mixed list to one type first; that is never meant in user data.
    if items.iter().any(|item| std::mem::discriminant(item) != std::mem::discriminant(wanted)) {
        return Err(type_error("contains", "wants a list of the same kind as the value"));
    }
    Ok(Value::Bool(items.contains(wanted)))
}

fn join(separator: &str, lists: &[Value]) -> Result<Value, EvalError> {
    let mut parts = Vec::new();
    for list in lists {
        let Value::List(items) = list else {
            return Err(list.unexpected("join", "a list"));
        };
        for item in items {
            parts.push(item.to_text("join")?);
        }
    }
    Ok(Value::text(parts.join(separator)))
}

fn length(value: &Value) -> Result<Value, EvalError> {
    let length = match value {
        Value::List(items) => items.len(),
        Value::Map(entries) => entries.len(),
        // OpenTofu counts grapheme clusters; of these characters each is one.
        Value::Text(text) if text.is_ascii() && !text.contains('\r') => text.len(),
        Value::Text(_) => return Err(type_error("length", "counts ASCII text only")),
        other => return Err(other.unexpected("length", "a list, a map or a string")),
    };
    i64::try_from(length).map(Value::Int).map_err(|_| type_error("length", "is too large"))
}

fn ascii(value: &Value, place: &str) -> Result<String, EvalError> {
    let text = value.to_text(place)?;
    if text.is_ascii() { Ok(text) } else { Err(type_error(place, "takes ASCII text only")) }
}

fn replace(text: &Value, from: &Value, to: &Value) -> Result<Value, EvalError> {
    let (text, from, to) = (text.to_text("replace")?, from.to_text("replace")?, to.to_text("replace")?);
    if from.len() > 1 && from.starts_with('/') && from.ends_with('/') {
        return Err(type_error("replace", "takes no regular expression"));
    }
    Ok(Value::text(text.replace(&from, &to)))
}

/// The subset `%s`, `%v`, `%d`, `%0Nd` and `%%`.
fn format(pattern: &str, arguments: &[Value]) -> Result<String, EvalError> {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let width_end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (width, after) = rest.split_at(width_end);
        let verb = after.chars().next().ok_or_else(|| type_error("format", "ends in the middle of a verb"))?;
        rest = &after[verb.len_utf8()..];
        let mut next = || arguments.next().ok_or_else(|| type_error("format", "has more verbs than arguments"));
        match (width, verb) {
            ("", '%') => out.push('%'),
            ("", 's' | 'v') => out.push_str(&next()?.to_text("format")?),
            ("", 'd') => out.push_str(&integer(next()?)?.to_string()),
            (padded, 'd') if padded.starts_with('0') && padded.len() == 2 => {
                let width = padded.parse().map_err(|_| type_error("format", "has a bad width"))?;
                out.push_str(&format!("{:0width$}", integer(next()?)?));
            }
            _ => {
                return Err(type_error("format", &format!("takes %s, %v, %d, %0Nd and %%, not %{width}{verb}")));
            }
        }
    }
    if arguments.next().is_some() {
        return Err(type_error("format", "has more arguments than verbs"));
    }
    out.push_str(rest);
    Ok(out)
}

fn integer(value: &Value) -> Result<i64, EvalError> {
    match value {
        Value::Int(value) => Ok(*value),
        other => Err(other.unexpected("format", "a whole number")),
    }
}
