//! Small bodies of a few strings, read as the contract says (API.md 1.0): any content type, keys in any case, unknown keys and
//! bytes after the first value ignored, `null` for all defaults.

use serde_json::{Map, Value};

/// The body is not of that form. Its text repeats nothing of it: it may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotFields;

/// The keys of a small body.
pub struct Fields(Map<String, Value>);

impl Fields {
    /// Reads the first JSON value.
    ///
    /// # Errors
    /// [`NotFields`] for anything but an object or `null`.
    pub fn parse(body: &[u8]) -> Result<Self, NotFields> {
        match serde_json::Deserializer::from_slice(body).into_iter::<Value>().next() {
            Some(Ok(Value::Object(fields))) => Ok(Self(fields)),
            Some(Ok(Value::Null)) => Ok(Self(Map::new())),
            _ => Err(NotFields),
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
            Some(_) => Err(NotFields),
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
            assert_eq!(got.as_deref(), expect.as_ref().copied(), "{body}");
        };
        check(r#"{"FQDN":"a","x":[1]} trailing"#, Ok("a"));
        check("null", Ok(""));
        check("{}", Ok(""));
        check(r#"{"fqdn":null}"#, Ok(""));
        check(r#"{"fqdn":1}"#, Err(NotFields));
        check("[]", Err(NotFields));
        check("", Err(NotFields));
        check("{", Err(NotFields));
    }

    #[test]
    fn what_is_taken_is_taken_in_any_case() {
        let fields = Fields::parse(br#"{"Token":"x","TOKEN":"y","provider":"z","region":"r"}"#).ok().unwrap();
        assert_eq!(fields.others(&["token", "provider"]).keys().collect::<Vec<_>>(), ["region"]);
    }
}
