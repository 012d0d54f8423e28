//! JSON with the places of its parts.
//!
//! HCL takes both of two equal keys where most readers take the last, so a key may stand once only.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A value and where it begins, in bytes.
pub(in crate::policy) struct Node {
    pub at: usize,
    pub kind: Kind,
}

pub(in crate::policy) enum Kind {
    Text(String),
    List(Vec<Node>),
    /// Keys in their order, each with its value.
    Object(Vec<(String, Node)>),
    /// Numbers, booleans, null.
    Other,
}

impl Node {
    /// Every key below.
    pub(in crate::policy) fn keys(&self) -> Vec<String> {
        match &self.kind {
            Kind::List(list) => list.iter().flat_map(Self::keys).collect(),
            Kind::Object(entries) => {
                entries.iter().flat_map(|(key, value)| [key.clone()].into_iter().chain(value.keys())).collect()
            }
            Kind::Text(_) | Kind::Other => Vec::new(),
        }
    }

    /// Every text below, keys included, with its place.
    pub(in crate::policy) fn texts(&self, see: &mut impl FnMut(usize, &str)) {
        match &self.kind {
            Kind::Text(text) => see(self.at, text),
            Kind::List(list) => list.iter().for_each(|one| one.texts(see)),
            Kind::Object(entries) => entries.iter().for_each(|(key, value)| {
                see(value.at, key);
                value.texts(see);
            }),
            Kind::Other => {}
        }
    }
}

/// Reads a whole text. The first pass over it bounds its depth, as serde_json does (128).
pub(super) fn parse(text: &str) -> serde_json::Result<Node> {
    let whole: &RawValue = serde_json::from_str(text)?;
    node(text, whole).map_err(|(_, error)| error)
}

/// The line of an error; those of inner parts are counted from their own beginning.
pub(super) fn error_at(text: &str) -> Option<usize> {
    let whole: &RawValue = match serde_json::from_str(text) {
        Ok(whole) => whole,
        Err(error) => return Some(error.line()),
    };
    node(text, whole).err().map(|(at, error)| super::line_of(text, at) + error.line().saturating_sub(1))
}

fn node(text: &str, raw: &RawValue) -> Result<Node, (usize, serde_json::Error)> {
    let at = raw.get().as_ptr().addr() - text.as_ptr().addr();
    let mut reader = serde_json::Deserializer::from_str(raw.get());
    let shallow = reader.deserialize_any(Shallow).map_err(|error| (at, error))?;
    let kind = match shallow {
        Parts::Text(text) => Kind::Text(text),
        Parts::Other => Kind::Other,
        Parts::List(list) => Kind::List(list.into_iter().map(|one| node(text, one)).collect::<Result<_, _>>()?),
        Parts::Object(entries) => {
            let entry = |(key, value)| Ok((key, node(text, value)?));
            Kind::Object(entries.into_iter().map(entry).collect::<Result<_, _>>()?)
        }
    };
    Ok(Node { at, kind })
}

/// One level of a value.
enum Parts<'de> {
    Text(String),
    List(Vec<&'de RawValue>),
    Object(Vec<(String, &'de RawValue)>),
    Other,
}

struct Shallow;

impl<'de> Visitor<'de> for Shallow {
    type Value = Parts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Parts<'de>, E> {
        Ok(Parts::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Parts<'de>, E> {
        Ok(Parts::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Parts<'de>, E> {
        Ok(Parts::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Parts<'de>, E> {
        Ok(Parts::Other)
    }

    fn visit_unit<E>(self) -> Result<Parts<'de>, E> {
        Ok(Parts::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Parts<'de>, E> {
        Ok(Parts::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Parts<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(one) = seq.next_element()? {
            list.push(one);
        }
        Ok(Parts::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parts<'de>, A::Error> {
        let (mut entries, mut keys) = (Vec::new(), BTreeSet::new());
        while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
            if !keys.insert(key.clone()) {
                return Err(A::Error::custom("a key stands twice"));
            }
            entries.push((key, value));
        }
        Ok(Parts::Object(entries))
    }
}
