//! Small bodies of a few strings, read as the contract says: any content type, keys in any case, unknown keys and
//! bytes after the first value ignored, `null` for all defaults.

use catalyst_domain::json::{DuplicateKey, JsonError, first_value};
use serde_json::{Map, Value};

/// Why a body is not of that form. Repeats no value of it: one may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotFields {
    /// It is no JSON object of strings.
    Malformed,
    /// It gives these keys more than once.
    Duplicate(Vec<DuplicateKey>),
}

impl NotFields {
    /// A sentence for a person; `form` says what the body must be.
    pub fn said(self, form: &str) -> String {
        match self {
            Self::Malformed => form.to_owned(),
            Self::Duplicate(keys) => format!("invalid request body: {}", JsonError::Duplicate(keys)),
        }
    }
}

/// The keys of a small body.
pub struct Fields(Map<String, Value>);

impl Fields {
    /// Reads the first JSON value.
    ///
    /// # Errors
    /// [`NotFields`] for anything but an object or `null`, and for a key that is given more than once at any level.
    pub fn parse(body: &[u8]) -> Result<Self, NotFields> {
        match first_value(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(Value::Null) => Ok(Self(Map::new())),
            Err(JsonError::Duplicate(keys)) => Err(NotFields::Duplicate(keys)),
            Ok(_) | Err(JsonError::Empty | JsonError::Malformed { .. }) => Err(NotFields::Malformed),
        }
    }

    /// The text of a key; blank when it is absent.
    ///
    /// # Errors
    /// [`NotFields`] when it is no string.
    pub fn text(&self, key: &str) -> Result<String, NotFields> {
        match self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Null) | None => Ok(String::new()),
            Some(_) => Err(NotFields::Malformed),
        }
    }

    /// The keys that are none of `taken`, as they came.
    pub fn others(&self, taken: &[&str]) -> Map<String, Value> {
        let is_taken = |name: &str| taken.iter().any(|taken| taken.eq_ignore_ascii_case(name));
        self.0.iter().filter(|(name, _)| !is_taken(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_as_leniently_as_the_contract_says() {
        let check = |body: &str, expect: Result<&str, NotFields>| {
            let got = Fields::parse(body.as_bytes()).and_then(|fields| fields.text("fqdn"));
            assert_eq!(got, expect.map(str::to_owned), "{body}");
        };
        check(r#"{"FQDN":"a","x":[1]} trailing"#, Ok("a"));
        check("null", Ok(""));
        check("{}", Ok(""));
        check(r#"{"fqdn":null}"#, Ok(""));
        check(r#"{"fqdn":1}"#, Err(NotFields::Malformed));
        check("[]", Err(NotFields::Malformed));
        check("", Err(NotFields::Malformed));
        check("{", Err(NotFields::Malformed));
    }

    #[test]
    fn a_key_that_is_given_twice_is_named() {
        for body in [r#"{"token":"x","TOKEN":"y"}"#, r#"{"token":"x","\u0074oken":"y"} more"#, r#"{"o":{"a":1,"A":2}}"#]
        {
            let Err(NotFields::Duplicate(keys)) = Fields::parse(body.as_bytes()) else { panic!("{body}") };
            assert_eq!(keys.len(), 1, "{body}");
        }
    }

    #[test]
    fn what_is_taken_is_taken_in_any_case() {
        let fields = Fields::parse(br#"{"TOKEN":"y","provider":"z","region":"r"}"#).ok().unwrap();
        assert_eq!(fields.others(&["token", "provider"]).keys().collect::<Vec<_>>(), ["region"]);
    }
}
