//! The document of a run's variables: how it is written, and the secrets that are read back where a run was interrupted.

use catalyst_domain::provider::{Bundle, SecretVariable};
use catalyst_domain::{DeploymentId, SecretValue, Secrets};
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::io::{self, Write as _};
use zeroize::Zeroizing;

/// The document that OpenTofu reads. A secret without a value is left out, so that the module's default holds.
pub(super) fn variables(
    id: &DeploymentId,
    bundle: &Bundle,
    secrets: &Secrets,
    cluster_exists: bool,
) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut parts: Vec<(&str, Zeroizing<String>)> = Vec::new();
    let mut add = |name, text: Zeroizing<String>| {
        parts.retain(|(known, _)| *known != name);
        parts.push((name, text));
    };
    for (name, value) in &bundle.variables {
        add(name.as_str(), Zeroizing::new(value.to_string()));
    }
    for hole in &bundle.secret_variables {
        if let Some(value) = secrets.get(&hole.secret) {
            add(hole.variable.as_str(), Zeroizing::new(serde_json::to_string(value.expose())?));
        }
    }
    if let Some(name) = &bundle.deployment_id_variable {
        add(name, Zeroizing::new(Value::from(id.as_str()).to_string()));
    }
    if let Some(name) = &bundle.cluster_exists_variable {
        add(name, Zeroizing::new(cluster_exists.to_string()));
    }
    // One buffer of the right size: growing would leave copies of secrets in freed memory.
    let size = parts.iter().map(|(name, text)| name.len() * 6 + text.len() + 8).sum::<usize>() + 8;
    let mut document = Zeroizing::new(Vec::with_capacity(size));
    for (index, (name, text)) in parts.iter().enumerate() {
        document.write_all(if index == 0 { b"{" } else { b",\n" })?;
        write!(document, "{}:{}", Value::from(*name), text.as_str())?;
    }
    document.write_all(if parts.is_empty() { b"{}\n" } else { b"}\n" })?;
    Ok(document)
}

/// The secrets in such a document. A run may have written anything in its place, so what is not asked for is passed over.
///
/// # Errors
/// It is no such document.
pub(super) fn secrets_of(document: &[u8], filled: &[SecretVariable]) -> io::Result<Secrets> {
    let mut reader = serde_json::Deserializer::from_slice(document);
    let secrets = reader.deserialize_map(Filled(filled))?;
    reader.end()?;
    Ok(secrets)
}

struct Filled<'a>(&'a [SecretVariable]);

impl<'de> Visitor<'de> for Filled<'_> {
    type Value = Secrets;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of variables")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut variables: A) -> Result<Secrets, A::Error> {
        let mut secrets = Secrets::default();
        while let Some(name) = variables.next_key::<String>()? {
            match self.0.iter().find(|hole| hole.variable == name) {
                Some(hole) => secrets.insert(hole.secret.clone(), SecretValue::new(variables.next_value::<String>()?)),
                None => {
                    variables.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(secrets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_out_of_whatever_a_run_left() {
        let filled = [SecretVariable { secret: "cloud-token".into(), variable: "token".into() }];
        let read = |text: &str| secrets_of(text.as_bytes(), &filled).map(|secrets| secrets.names());
        let many = vec![r#""x":[{"y":0}]"#; 1_000_000].join(",");
        assert_eq!(read(&format!(r#"{{{many},"token":"a"}}"#)).unwrap(), ["cloud-token"]);
        assert_eq!(read("{}").unwrap(), Vec::<String>::new());
        for broken in ["", "{", "[]", r#"{"token":7}"#, r#"{"token":"a"} x"#] {
            assert_eq!(read(broken).unwrap_err().kind(), read_kind(broken), "{broken}");
        }
    }

    /// Half a document is told from one that is none.
    fn read_kind(text: &str) -> io::ErrorKind {
        if text.len() < 2 { io::ErrorKind::UnexpectedEof } else { io::ErrorKind::InvalidData }
    }
}
