//! The name of a deployment.

use std::fmt;

/// Eight random bytes as sixteen lower-case hex characters.
///
/// The type is also the guard of file names: only this shape ever reaches a path.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeploymentId(String);

/// The text is not sixteen lower-case hex characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a deployment id is 16 lower-case hex characters")]
pub struct InvalidId;

impl DeploymentId {
    /// From eight bytes of the caller's randomness.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(hex::encode(bytes))
    }

    /// Reads an id.
    ///
    /// # Errors
    /// [`InvalidId`] when the text has any other shape.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 16 && text.bytes().all(hex) { Ok(Self(text.to_owned())) } else { Err(InvalidId) }
    }

    /// The sixteen characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for DeploymentId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for DeploymentId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sixteen_lower_case_hex_characters_are_an_id() {
        assert!(DeploymentId::parse("0123456789abcdef").is_ok());
        for bad in
            ["", "../x", "0123456789ABCDEF", "0123456789abcde", "0123456789abcdef0", "0123456789abcde/", "%2e%2e"]
        {
            assert_eq!(DeploymentId::parse(bad), Err(InvalidId), "{bad}");
        }
        assert_eq!(DeploymentId::from_bytes([0xab; 8]).as_str(), "abababababababab");
    }
}
