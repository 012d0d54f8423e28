//! `tofu output -json`, read with errors in words.

use std::str::FromStr;

use serde_json::{Map, Value};

/// The outputs of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outputs(Map<String, Value>);

impl FromStr for Outputs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match serde_json::from_str(text) {
            Ok(Value::Object(outputs)) => Ok(Self(outputs)),
            Ok(_) => Err("the outputs of OpenTofu are no JSON object".to_owned()),
            Err(error) => Err(format!("the outputs of OpenTofu are no JSON: {error}")),
        }
    }
}

impl Outputs {
    /// A text output that must be there and must not be blank.
    ///
    /// # Errors
    /// A sentence that names the output.
    pub fn text(&self, name: &str) -> Result<String, String> {
        let value = self.0.get(name).and_then(|output| output.get("value"));
        match value {
            None | Some(Value::Null) => Err(format!("OpenTofu gave no output `{name}`")),
            Some(Value::String(text)) if text.trim().is_empty() => Err(format!("the output `{name}` is empty")),
            Some(Value::String(text)) => Ok(text.trim().to_owned()),
            Some(_) => Err(format!("the output `{name}` is not text")),
        }
    }

    /// A text output that must be an IP address.
    ///
    /// # Errors
    /// A sentence that names the output.
    pub fn address(&self, name: &str) -> Result<String, String> {
        let text = self.text(name)?;
        match text.parse::<std::net::IpAddr>() {
            Ok(_) => Ok(text),
            Err(_) => Err(format!("the output `{name}` is `{text}`, which is no IP address")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_empty_output_is_an_error_in_words() {
        let outputs: Outputs = r#"{"a":{"value":""},"b":{"value":3},"ip":{"value":"203.0.113.7"}}"#.parse().unwrap();
        assert!(outputs.text("a").unwrap_err().contains("`a` is empty"));
        assert!(outputs.text("b").unwrap_err().contains("not text"));
        assert!(outputs.text("c").unwrap_err().contains("no output `c`"));
        assert_eq!(outputs.address("ip").unwrap(), "203.0.113.7");
        assert!("[]".parse::<Outputs>().is_err() && "{".parse::<Outputs>().is_err());
    }
}
