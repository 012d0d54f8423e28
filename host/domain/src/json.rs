//! Reads the JSON that strangers send. An object that names a key twice is refused, at every level: of two readers of such a
//! text each may take another one of the values, so that one judges what the other does not use. The one parser of request
//! bodies and of the parts of a signed token.

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

/// Duplicates that are named; a body with more of them is no slip of the pen.
const MAX_DUPLICATES: usize = 20;
/// Characters of a key that an error repeats: the longest key of any contract has half of that.
const MAX_SHOWN: usize = 64;

/// Which names are the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyMatch {
    /// Equal texts, as in the parts of a JWT (RFC 7519, 4).
    Exact,
    /// Texts that differ in case only, as request bodies are read. Case is Unicode's, so that a reader who folds more than
    /// ASCII finds no second key either.
    AnyCase,
}

/// A key that stands in its object more than once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicateKey {
    /// RFC 6901 pointer to it; long keys are cut.
    pub pointer: String,
    /// The name as the later one spells it, cut to 64 characters.
    pub key: String,
}

/// Why a text is not read. Repeats no value of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Nothing but white space.
    #[error("it is empty")]
    Empty,
    /// It is not JSON, or nested more than 128 levels deep.
    #[error("malformed JSON at line {line}, column {column}")]
    Malformed {
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
    },
    /// Keys that are given more than once, at most 20.
    #[error("{}", named(.0))]
    Duplicate(Vec<DuplicateKey>),
}

fn named(duplicates: &[DuplicateKey]) -> String {
    let keys: Vec<String> = duplicates.iter().map(|duplicate| format!("{:?}", duplicate.key)).collect();
    format!("the key {} is given more than once", keys.join(", "))
}

/// Reads the first JSON value of a body; what follows it is ignored. Keys are the same in any case.
///
/// # Errors
/// [`JsonError`].
pub fn first_value(body: &[u8]) -> Result<Value, JsonError> {
    match serde_json::Deserializer::from_slice(body).into_iter::<AnyCase>().next() {
        Some(read) => finished(read.map(|AnyCase(value, duplicates)| (value, duplicates))),
        None => Err(JsonError::Empty),
    }
}

/// Reads a text that is one JSON value and nothing else. Keys are the same where their texts are.
///
/// # Errors
/// [`JsonError`].
pub fn whole(text: &[u8]) -> Result<Value, JsonError> {
    finished(serde_json::from_slice(text).map(|Exact(value, duplicates)| (value, duplicates)))
}

fn finished(read: Result<(Value, Vec<DuplicateKey>), serde_json::Error>) -> Result<Value, JsonError> {
    match read {
        Ok((value, duplicates)) if duplicates.is_empty() => Ok(value),
        Ok((_, duplicates)) => Err(JsonError::Duplicate(duplicates)),
        Err(error) => Err(JsonError::Malformed { line: error.line(), column: error.column() }),
    }
}

struct AnyCase(Value, Vec<DuplicateKey>);
struct Exact(Value, Vec<DuplicateKey>);

impl<'de> Deserialize<'de> for AnyCase {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer, KeyMatch::AnyCase).map(|(value, duplicates)| Self(value, duplicates))
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer, KeyMatch::Exact).map(|(value, duplicates)| Self(value, duplicates))
    }
}

fn read<'de, D: Deserializer<'de>>(deserializer: D, keys: KeyMatch) -> Result<(Value, Vec<DuplicateKey>), D::Error> {
    let found = RefCell::new(Vec::new());
    let value = Reader { keys, found: &found, at: Place::Root }.deserialize(deserializer)?;
    Ok((value, found.into_inner()))
}

/// Where in the text the reader is.
#[derive(Clone, Copy)]
enum Place<'a> {
    Root,
    Key(&'a Place<'a>, &'a str),
    Index(&'a Place<'a>, usize),
}

impl Place<'_> {
    fn pointer(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Key(parent, key) => {
                format!("{}/{}", parent.pointer(), shown(key).replace('~', "~0").replace('/', "~1"))
            }
            Self::Index(parent, index) => format!("{}/{index}", parent.pointer()),
        }
    }
}

fn shown(key: &str) -> String {
    key.chars().take(MAX_SHOWN).collect()
}

/// Lower case of upper case: two steps, because some letters have a lower and others an upper case alone in common with
/// ASCII (the Kelvin sign with k, the long s with s).
pub(crate) fn folded(key: &str) -> String {
    key.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

struct Reader<'a> {
    keys: KeyMatch,
    found: &'a RefCell<Vec<DuplicateKey>>,
    at: Place<'a>,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(flag.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Reader { at: Place::Index(&self.at, list.len()), ..self })? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        let mut seen = BTreeSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            let at = Place::Key(&self.at, &key);
            let same = if self.keys == KeyMatch::AnyCase { folded(&key) } else { key.clone() };
            if !seen.insert(same) && self.found.borrow().len() < MAX_DUPLICATES {
                self.found.borrow_mut().push(DuplicateKey { pointer: at.pointer(), key: shown(&key) });
            }
            let value = entries.next_value_seed(Reader { at, ..self })?;
            object.insert(key, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(read: Result<Value, JsonError>) -> Vec<String> {
        match read {
            Err(JsonError::Duplicate(found)) => found.into_iter().map(|duplicate| duplicate.pointer).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_key_is_given_once_at_every_level_in_any_case_and_however_it_is_written() {
        for (body, expect) in [
            (r#"{"a":1,"a":1}"#, vec!["/a"]),
            (r#"{"cloudToken":"x","CLOUDTOKEN":"y"}"#, vec!["/CLOUDTOKEN"]),
            (r#"{"cloudToken":"x","\u0063loudToken":"y"}"#, vec!["/cloudToken"]),
            (r#"{"a":null,"b":{"c":1,"C":2},"A":0}"#, vec!["/b/C", "/A"]),
            (r#"{"a":[{"b":1},[{"x/y~":1,"x/y~":{}}]]}"#, vec!["/a/1/0/x~1y~0"]),
            ("{\"token\":1,\"to\u{212a}en\":2}", vec!["/to\u{212a}en"]),
            ("{\"secret\":1,\"\u{17f}ecret\":2}", vec!["/\u{17f}ecret"]),
            (r#"{"":1,"":2}"#, vec!["/"]),
            (r#"{"a":{"a":1},"b":1,"b":2,"B":3} {"c":1}"#, vec!["/b", "/B"]),
        ] {
            assert_eq!(pointers(first_value(body.as_bytes())), expect, "{body}");
        }
        let same_name_elsewhere = br#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}"#;
        assert!(first_value(same_name_elsewhere).is_ok());
    }

    #[test]
    fn the_parts_of_a_token_tell_names_apart_by_their_texts() {
        assert_eq!(pointers(whole(br#"{"sub":"a","sub":"b"}"#)), ["/sub"]);
        assert_eq!(pointers(whole(br#"{"x":{"a":1,"\u0061":2}}"#)), ["/x/a"]);
        assert!(whole(br#"{"sub":"a","Sub":"b"}"#).is_ok());
        assert!(matches!(whole(br#"{"sub":"a"} "#), Ok(Value::Object(_))));
        for more in [r#"{"sub":"a"}{"sub":"b"}"#, r#"{"sub":"a"}x"#, "", "{"] {
            assert!(matches!(whole(more.as_bytes()), Err(JsonError::Malformed { .. })), "{more}");
        }
    }

    #[test]
    fn what_is_no_json_says_where_and_no_error_repeats_a_value() {
        assert_eq!(first_value(b"  "), Err(JsonError::Empty));
        assert!(matches!(first_value(b"{\n\"a\":}"), Err(JsonError::Malformed { line: 2, column: 5 })));
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(matches!(first_value(deep.as_bytes()), Err(JsonError::Malformed { .. })));
        let text = first_value(br#"{"token":"sentinel","Token":"sentinel"}"#).unwrap_err().to_string();
        assert_eq!(text, r#"the key "Token" is given more than once"#);
        let many: Vec<String> = (0..500).map(|_| format!("\"{}\":1", "k".repeat(400))).collect();
        let Err(JsonError::Duplicate(found)) = first_value(format!("{{{}}}", many.join(",")).as_bytes()) else {
            panic!("duplicates");
        };
        assert_eq!((found.len(), found[0].pointer.len()), (MAX_DUPLICATES, MAX_SHOWN + 1));
    }

    proptest::proptest! {
        #[test]
        fn what_has_no_duplicates_is_read_as_serde_json_reads_it(text in r#"[ -~\[\]{},:"a-c0-9\\]{0,40}"#) {
            let plain = serde_json::Deserializer::from_slice(text.as_bytes()).into_iter::<Value>().next();
            match (first_value(text.as_bytes()), plain) {
                (Ok(ours), Some(Ok(theirs))) => proptest::prop_assert_eq!(ours, theirs),
                (Err(JsonError::Duplicate(_)), Some(Ok(_))) => {}
                (Err(JsonError::Malformed { .. }), Some(Err(_))) | (Err(JsonError::Empty), None) => {}
                (ours, theirs) => proptest::prop_assert!(false, "{:?} {:?}", ours, theirs),
            }
        }
    }
}
