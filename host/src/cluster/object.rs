//! Objects of a cluster as far as they are used: what else an answer holds is read over and takes no memory.
//!
//! A cluster may answer whatever it likes. 8 MiB of small values would be a gigabyte of parsed ones, so each reader names the keys that
//! it uses, and what is kept of an answer is bounded. Read leniently: of a value of another type than was expected less is known.

use catalyst_domain::Timestamp;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::cell::Cell;
use std::fmt;

/// Bytes that are kept of one text: more than is shown of a message.
const MAX_KEPT_TEXT: usize = 8 * 1024;
/// Values that are kept of one list or event, of which each takes some hundred bytes. An object of Flux has some 50, a Pod some 15.
const MAX_VALUES: usize = 60_000;
/// Longest text that names something, in bytes: the name of an object has 253 at most.
const MAX_NAME: usize = 256;
/// Bytes of all such texts that are kept of one list or event. The names in the inventory of a large kit are some 100 KiB.
const MAX_NAMES: usize = 4 * 1024 * 1024;
/// Bytes of all longer texts that are kept of one list or event: messages, for a person.
const MAX_TEXTS: usize = 4 * 1024 * 1024;

/// What is kept of a value.
#[derive(Debug)]
pub(super) enum Shape {
    /// A text, a number or a truth value.
    Plain,
    /// The same, or what the other shape says.
    PlainOr(&'static Self),
    /// An object, of which these keys are kept.
    Keys(&'static [(&'static str, Self)]),
    /// A list, of which so many elements are kept.
    Each(usize, &'static Self),
    /// A list, of which so many of those elements are kept that pass. The others take no room.
    EachThat(usize, &'static Self, fn(&Value) -> bool),
}

impl Shape {
    /// The shape of a list or an object in this place.
    fn of_compound(&'static self) -> &'static Self {
        match self {
            Self::PlainOr(shape) => shape,
            other => other,
        }
    }
}

/// What may still be kept of an answer.
#[derive(Debug)]
pub(super) struct Room {
    values: Cell<usize>,
    names: Cell<usize>,
    texts: Cell<usize>,
    is_short: Cell<bool>,
}

impl Room {
    pub(super) fn new() -> Self {
        Self {
            values: Cell::new(MAX_VALUES),
            names: Cell::new(MAX_NAMES),
            texts: Cell::new(MAX_TEXTS),
            is_short: Cell::new(false),
        }
    }

    /// Whether a value or a name was left out for want of room: what was read is not to be used then, since an object without its name, or a
    /// list without its end, says something else. Messages are left blank instead, and that is no want.
    pub(super) fn is_short(&self) -> bool {
        self.is_short.get()
    }

    /// Takes room for a value without a text.
    fn take(&self) -> bool {
        self.take_of(&self.values, 1)
    }

    /// Takes room for a text, and gives what is kept of it: a message is left blank where there is no more room for messages.
    fn take_text<'t>(&self, text: &'t str) -> Option<&'t str> {
        if !self.take() {
            return None;
        }
        if text.len() <= MAX_NAME {
            return self.take_of(&self.names, text.len()).then_some(text);
        }
        let Some(left) = self.texts.get().checked_sub(text.len()) else { return Some("") };
        self.texts.set(left);
        Some(text)
    }

    fn take_of(&self, room: &Cell<usize>, wanted: usize) -> bool {
        let left = room.get().checked_sub(wanted);
        match left {
            Some(left) => room.set(left),
            None => self.is_short.set(true),
        }
        left.is_some()
    }

    /// How much there is, for [`Self::give_back`].
    fn left(&self) -> [usize; 3] {
        [self.values.get(), self.names.get(), self.texts.get()]
    }

    /// Gives back what was taken since there was so much.
    fn give_back(&self, [values, names, texts]: [usize; 3]) {
        self.values.set(values);
        self.names.set(names);
        self.texts.set(texts);
    }
}

/// Reads a value as far as its shape says and while there is room.
#[derive(Clone, Copy)]
pub(super) struct Kept<'a> {
    pub(super) shape: &'static Shape,
    pub(super) room: &'a Room,
}

impl Kept<'_> {
    /// A value without a text. One of another type takes room as well: it may be an element of a list.
    fn plain<E>(self, value: impl Into<Value>) -> Result<Value, E> {
        let is_plain = matches!(self.shape, Shape::Plain | Shape::PlainOr(_));
        Ok(if self.room.take() && is_plain { value.into() } else { Value::Null })
    }
}

impl<'de> DeserializeSeed<'de> for Kept<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Kept<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        self.plain(value)
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        self.plain(value)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        self.plain(value)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        self.plain(value)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        self.plain(Value::Null)
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        let text = text.get(..text.floor_char_boundary(MAX_KEPT_TEXT)).unwrap_or_default();
        match self.shape {
            Shape::Plain | Shape::PlainOr(_) => Ok(self.room.take_text(text).map_or(Value::Null, Value::from)),
            _ => self.plain(Value::Null),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        let has_room = self.room.take();
        let any: fn(&Value) -> bool = |_| true;
        let kept = match self.shape.of_compound() {
            Shape::Each(most, shape) if has_room => Some((*most, *shape, any)),
            Shape::EachThat(most, shape, passes) if has_room => Some((*most, *shape, *passes)),
            _ => None,
        };
        if let Some((most, shape, passes)) = kept {
            let mut left = self.room.left();
            while list.len() < most
                && !self.room.is_short()
                && let Some(value) = seq.next_element_seed(Kept { shape, room: self.room })?
            {
                if passes(&value) {
                    list.push(value);
                    left = self.room.left();
                } else {
                    self.room.give_back(left);
                }
            }
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(kept.map_or(Value::Null, |_| Value::Array(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let has_room = self.room.take();
        let keys = match self.shape.of_compound() {
            Shape::Keys(keys) if has_room => Some(*keys),
            _ => None,
        };
        let mut object = Map::new();
        while let Some(key) = map.next_key_seed(KeyOf(keys.unwrap_or_default()))? {
            match key {
                Some((name, shape)) => {
                    let value = map.next_value_seed(Kept { shape, room: self.room })?;
                    object.insert((*name).to_owned(), value);
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(keys.map_or(Value::Null, |_| Value::Object(object)))
    }
}

type KeptKey = (&'static str, Shape);

/// Finds a key among those that are kept.
struct KeyOf(&'static [KeptKey]);

impl<'de> DeserializeSeed<'de> for KeyOf {
    type Value = Option<&'static KeptKey>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyOf {
    type Value = Option<&'static KeptKey>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|(name, _)| *name == key))
    }
}

/// What is kept of the metadata of each object.
pub(super) const METADATA: (&str, Shape) = (
    "metadata",
    Shape::Keys(&[
        ("name", Shape::Plain),
        ("namespace", Shape::Plain),
        ("uid", Shape::Plain),
        ("generation", Shape::Plain),
        ("creationTimestamp", Shape::Plain),
        ("deletionTimestamp", Shape::Plain),
        ("finalizers", Shape::Each(32, &Shape::Plain)),
        // One for each writer of the object.
        ("managedFields", Shape::Each(32, &Shape::Keys(&[("time", Shape::Plain)]))),
    ]),
);

/// An object of a cluster, as far as its reader uses it.
#[derive(Debug, Clone, Default)]
pub(super) struct ClusterObject(pub(super) Value);

impl ClusterObject {
    /// What is kept of an object of this shape.
    #[cfg(test)]
    pub(super) fn of(object: &Value, shape: &'static Shape) -> Self {
        Self(read(object.to_string().as_bytes(), shape, &Room::new()).unwrap())
    }

    /// Everything that is kept, metadata included.
    pub(super) fn body(&self) -> &Value {
        &self.0
    }

    /// Its name; blank where it has none.
    pub(super) fn name(&self) -> &str {
        self.metadata("name").unwrap_or_default()
    }

    pub(super) fn namespace(&self) -> Option<&str> {
        self.metadata("namespace")
    }

    pub(super) fn uid(&self) -> Option<&str> {
        self.metadata("uid").filter(|uid| !uid.is_empty())
    }

    pub(super) fn generation(&self) -> Option<i64> {
        self.0["metadata"]["generation"].as_i64()
    }

    /// Whether its deletion was asked for.
    pub(super) fn is_leaving(&self) -> bool {
        self.metadata("deletionTimestamp").is_some()
    }

    pub(super) fn has_finalizer(&self, name: &str) -> bool {
        self.0["metadata"]["finalizers"].as_array().into_iter().flatten().any(|finalizer| finalizer == name)
    }

    /// When it was created, and when its fields were written, by the cluster's clock.
    pub(super) fn times(&self) -> impl Iterator<Item = Timestamp> + '_ {
        let written = self.0["metadata"]["managedFields"].as_array().into_iter().flatten();
        let written = written.filter_map(|entry| entry["time"].as_str());
        self.metadata("creationTimestamp").into_iter().chain(written).filter_map(|time| time.parse().ok())
    }

    fn metadata(&self, key: &str) -> Option<&str> {
        self.0["metadata"][key].as_str()
    }
}

/// Reads a text as far as the shape says.
///
/// # Errors
/// It is no JSON.
pub(super) fn read(text: &[u8], shape: &'static Shape, room: &Room) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Kept { shape, room }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

#[cfg(test)]
#[path = "object_tests.rs"]
mod tests;
