//! The request keys that only one cloud knows, read with findings for what does not fit.

use serde_json::{Map, Value};

use crate::{Findings, Pointer};

/// Extra keys of a request. A key that is absent or `null` is not given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings(Map<String, Value>);

impl Settings {
    /// Reads the `extra` text of a request. The host guarantees a JSON object; anything else reads as no settings.
    pub fn parse(extra: &str) -> Self {
        match serde_json::from_str(extra) {
            Ok(Value::Object(settings)) => Self(settings),
            _ => Self::default(),
        }
    }

    /// All keys and values.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// A trimmed text; blank is "not given".
    pub fn text(&self, key: &str, findings: &mut Findings) -> Option<String> {
        match self.given(key)? {
            Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            _ => Self::misfit(key, "text", findings),
        }
    }

    /// A truth value.
    pub fn flag(&self, key: &str, findings: &mut Findings) -> Option<bool> {
        match self.given(key)? {
            Value::Bool(value) => Some(*value),
            _ => Self::misfit(key, "true or false", findings),
        }
    }

    /// A whole number.
    pub fn integer(&self, key: &str, findings: &mut Findings) -> Option<i64> {
        match self.given(key)?.as_i64() {
            Some(value) => Some(value),
            None => Self::misfit(key, "a whole number", findings),
        }
    }

    /// A list of texts, trimmed, each kept at its index.
    pub fn texts(&self, key: &str, findings: &mut Findings) -> Option<Vec<String>> {
        let items = match self.given(key)? {
            Value::Array(items) => items,
            _ => return Self::misfit(key, "a list of texts", findings),
        };
        let texts: Option<Vec<String>> = items.iter().map(|item| Some(item.as_str()?.trim().to_owned())).collect();
        texts.or_else(|| Self::misfit(key, "a list of texts", findings))
    }

    fn given(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn misfit<T>(key: &str, wanted: &str, findings: &mut Findings) -> Option<T> {
        findings.error(&Pointer::to(key), "wrong-type", format!("{key} must be {wanted}"));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_type_is_a_finding_at_its_key() {
        let settings = Settings::parse(r#"{"a":1,"b":"x","c":["y",2],"d":null,"e":" z ","f":1.5}"#);
        let mut findings = Findings::new();
        assert_eq!(settings.text("a", &mut findings), None);
        assert_eq!(settings.flag("b", &mut findings), None);
        assert_eq!(settings.texts("c", &mut findings), None);
        assert_eq!(settings.integer("f", &mut findings), None);
        assert_eq!(findings.iter().map(|f| f.pointer.as_str()).collect::<Vec<_>>(), ["/a", "/b", "/c", "/f"]);
        assert_eq!(settings.text("d", &mut findings), None);
        assert_eq!(settings.text("e", &mut findings).as_deref(), Some("z"));
        assert_eq!(findings.iter().count(), 4);
    }
}
