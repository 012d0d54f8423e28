//! The name of a deployment.

use std::fmt;

/// Eight random bytes as sixteen lower-case hex characters.
///
/// The type is also the guard of file names: only this shape ever reaches a path. It is kept in place, for a process
/// keeps several of each deployment's.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeploymentId([u8; LENGTH]);

/// Characters of an id.
const LENGTH: usize = 16;

/// The text is not sixteen lower-case hex characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a deployment id is 16 lower-case hex characters")]
pub struct InvalidId;

impl DeploymentId {
    /// From eight bytes of the caller's randomness.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        let mut text = [b'0'; LENGTH];
        // Fails only for another length.
        let _ = hex::encode_to_slice(bytes, &mut text);
        Self(text)
    }

    /// Reads an id.
    ///
    /// # Errors
    /// [`InvalidId`] when the text has any other shape.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let text: [u8; LENGTH] = text.as_bytes().try_into().map_err(|_| InvalidId)?;
        if text.into_iter().all(hex) { Ok(Self(text)) } else { Err(InvalidId) }
    }

    /// The sixteen characters.
    pub fn as_str(&self) -> &str {
        // Hex characters are ASCII, so this is never blank.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for DeploymentId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
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
