//! A file's content as JSON: text where it is text, else hex.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(std::borrow::Cow<'a, str>),
    Hex { hex: String },
}

pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Content::Text(text.into()),
        Err(_) => Content::Hex { hex: hex::encode(bytes) },
    }
    .serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    match Content::deserialize(deserializer)? {
        Content::Text(text) => Ok(text.into_owned().into_bytes()),
        Content::Hex { hex } => hex::decode(hex).map_err(serde::de::Error::custom),
    }
}
