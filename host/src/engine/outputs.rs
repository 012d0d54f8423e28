//! What of `tofu output -json` may be known outside the engine.

use super::mask::Masker;
use serde_json::Value;

/// The outputs of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outputs {
    /// `tofu output -json` without the outputs that the module marks as sensitive, and masked for the run's secrets. This
    /// alone may be given to a plugin.
    pub public_json: String,
}

/// Leaves out what is sensitive. An output without a clear `"sensitive": false` is.
///
/// # Errors
/// A sentence without any of the text.
pub(super) fn public(text: &[u8], masker: &Masker) -> Result<Outputs, String> {
    // The parser's message would quote nothing, but its position is of no use to a reader either.
    let parsed: Value = serde_json::from_slice(text).map_err(|_| "the outputs are not valid JSON".to_owned())?;
    let Value::Object(mut outputs) = parsed else { return Err("the outputs are not a JSON object".to_owned()) };
    outputs.retain(|_, output| output.get("sensitive") == Some(&Value::Bool(false)));
    let mut outputs = Value::Object(outputs);
    masker.mask_json(&mut outputs);
    Ok(Outputs { public_json: outputs.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalyst_domain::{SecretValue, Secrets};

    fn check(text: &str, expect: Result<&str, &str>) {
        let mut secrets = Secrets::default();
        secrets.insert("token", SecretValue::new("sentinel"));
        let found = public(text.as_bytes(), &Masker::new(&secrets).unwrap()).map(|outputs| outputs.public_json);
        assert_eq!(found.as_deref().map_err(String::as_str), expect, "{text}");
    }

    #[test]
    fn only_plainly_public_outputs_leave() {
        check(
            r#"{"a":{"sensitive":false,"type":"string","value":"1"},"b":{"sensitive":true,"value":"x"},"c":{"value":"y"},"d":7}"#,
            Ok(r#"{"a":{"sensitive":false,"type":"string","value":"1"}}"#),
        );
        check(
            r#"{"a":{"sensitive":false,"value":"my sentinel"}}"#,
            Ok(r#"{"a":{"sensitive":false,"value":"my ***"}}"#),
        );
        check("{}", Ok("{}"));
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        check("", Err("the outputs are not valid JSON"));
        check(r#"{"a":"#, Err("the outputs are not valid JSON"));
        check("[]", Err("the outputs are not a JSON object"));
    }
}
