//! The body of a destroy: credentials under the create's own keys, and a yes of its own to the loss of volumes.

use super::parse::{BodyError, given_twice, is_key, whole};
use super::unknown::{HOST_KEYS, UNKNOWN_KEY, pointer_to, provider_keys, unknown_words};
use crate::finding::Finding;
use crate::json::{self, JsonError};
use crate::provider::Descriptor;
use crate::remaining::DELETE_VOLUMES;
use serde_json::Value;

/// Unknown keys that are named; a body with more of them is no slip of the pen.
const MAX_NAMED: usize = 20;

/// What a destroy was asked to do beside what it always does. Credentials are read elsewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DestroyBody {
    /// Whether the volumes that the cluster made in its cloud are deleted, with the data in them.
    pub delete_volumes: bool,
}

impl DestroyBody {
    /// Reads a body. None at all, an empty one, `null` and `{}` ask for nothing more. Keys match in any case. Those of a create are
    /// taken, for credentials may come with the rest of it; any other is refused, since a yes that is mistyped must not pass for a no.
    /// Without a provider nobody can say which keys are its own, so all are taken.
    ///
    /// # Errors
    /// A finding for each key that is unknown, given twice, or of a wrong type.
    pub fn read(body: &[u8], provider: Option<&Descriptor>) -> Result<Self, BodyError> {
        let keys = match json::first_value(body) {
            Ok(Value::Object(keys)) => keys,
            Ok(Value::Null) | Err(JsonError::Empty) => return Ok(Self::default()),
            Ok(_) => return Err(whole("invalid request body: it must be a JSON object")),
            Err(error @ JsonError::Malformed { .. }) => return Err(whole(&format!("invalid request body: {error}"))),
            Err(JsonError::Duplicate(keys)) => return Err(BodyError(keys.iter().map(given_twice).collect())),
        };
        let mut asked = Self::default();
        let mut findings = Vec::new();
        let of_provider = provider.map(provider_keys);
        for (key, value) in &keys {
            if is_key(key, DELETE_VOLUMES) {
                match value {
                    Value::Null => {}
                    Value::Bool(agreed) => asked.delete_volumes = *agreed,
                    _ => {
                        let message = format!("{DELETE_VOLUMES} must be true or false");
                        findings.push(Finding::error(format!("/{DELETE_VOLUMES}"), "wrong-type", message));
                    }
                }
                continue;
            }
            let Some(of_provider) = &of_provider else { continue };
            let mut known = HOST_KEYS.into_iter().chain(of_provider.iter().map(String::as_str));
            if !known.any(|name| is_key(key, name)) && findings.len() < MAX_NAMED {
                findings.push(unknown(key, of_provider.iter().map(String::as_str)));
            }
        }
        if findings.is_empty() { Ok(asked) } else { Err(BodyError(findings)) }
    }
}

fn unknown<'a>(key: &str, of_provider: impl Iterator<Item = &'a str>) -> Finding {
    let words = unknown_words(key, std::iter::once(DELETE_VOLUMES).chain(of_provider));
    let rule = format!("a destroy takes {DELETE_VOLUMES}, and credentials under their keys of the create");
    Finding::error(pointer_to("", key), UNKNOWN_KEY, format!("{words}; {rule}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{Catalogue, SecretRole, SecretSource, SecretSpec};

    fn provider() -> Descriptor {
        let token = SecretSpec {
            name: "token".into(),
            source: SecretSource::Request("cloudToken".into()),
            role: SecretRole::Ordinary,
            required: true,
            min_length: 1,
            max_length: 64,
            label: "token".into(),
            refused_prefixes: Vec::new(),
        };
        let catalogue = Catalogue {
            as_of: "2026-01-01".into(),
            currency: "EUR".into(),
            regions: Vec::new(),
            machine_types: Vec::new(),
        };
        Descriptor {
            id: "cloud".into(),
            display_name: "Cloud".into(),
            version: "1.0.0".into(),
            secrets: vec![token],
            tofu_providers: Vec::new(),
            bearer_resource: None,
            catalogue,
            user_data_limit: 1,
            settings_schema: r#"{"properties": {"cloudProject": {"type": "string"}}}"#.into(),
            api_hosts: Vec::new(),
        }
    }

    fn read(body: &str) -> Result<bool, Vec<(String, String, String)>> {
        let read = DestroyBody::read(body.as_bytes(), Some(&provider()));
        let told = |finding: Finding| (finding.pointer, finding.code, finding.message);
        read.map(|asked| asked.delete_volumes).map_err(|BodyError(findings)| findings.into_iter().map(told).collect())
    }

    #[test]
    fn t6_a_destroy_without_a_body_asks_for_nothing_more() {
        for body in ["", " \n", "{}", "null", r#"{"deleteVolumes":null}"#, r#"{"deleteVolumes":false}"#] {
            assert_eq!(read(body), Ok(false), "{body}");
        }
        assert_eq!(read(r#"{"deleteVolumes":true}"#), Ok(true));
        assert_eq!(
            read(r#"{"DELETEVOLUMES":true,"cloudToken":"x","orgName":"Acme","cloudproject":"p"} more"#),
            Ok(true)
        );
    }

    #[test]
    fn t6_what_is_wrong_with_a_body_is_told_with_field_and_rule() {
        let of = |body: &str| read(body).unwrap_err().remove(0);
        for value in ["1", r#""true""#, "[true]", "{}"] {
            let (pointer, code, message) = of(&format!(r#"{{"deleteVolumes":{value}}}"#));
            assert_eq!((pointer.as_str(), code.as_str()), ("/deleteVolumes", "wrong-type"), "{value}");
            assert_eq!(message, "deleteVolumes must be true or false");
        }
        let (pointer, code, message) = of(r#"{"deleteVolume":true}"#);
        assert_eq!((pointer.as_str(), code.as_str()), ("/deleteVolume", "unknown-key"));
        assert!(
            message.starts_with("deleteVolume is not a known key; the nearest one is deleteVolumes; a destroy takes"),
            "{message}"
        );
        for body in ["[]", r#""deleteVolumes""#, "7", "{", "no"] {
            let (pointer, code, _) = of(body);
            assert_eq!((pointer.as_str(), code.as_str()), ("", "invalid-json"), "{body}");
        }
        assert_eq!(of(r#"{"deleteVolumes":true,"deletevolumes":false}"#).1, "duplicate-key");
        let both = read(r#"{"force":true,"deleteVolumes":"yes"}"#).unwrap_err();
        assert_eq!(both.len(), 2, "all at once: {both:?}");
    }

    #[test]
    fn t6_whose_plugin_is_not_loaded_may_be_given_any_key_but_no_wrong_yes() {
        let read = |body: &str| DestroyBody::read(body.as_bytes(), None);
        assert_eq!(read(r#"{"someToken":"x"}"#), Ok(DestroyBody::default()));
        assert!(read(r#"{"deleteVolumes":"x"}"#).is_err());
    }
}
