//! Values of a state that a provider decides on: whatever has another form than the usual one is passed over and not kept.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use std::borrow::Cow;
use std::fmt;

/// A single value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::tofu_state) enum Scalar {
    /// None, or null.
    #[default]
    None,
    Number(Number),
    Text(String),
    /// A list, an object, or a yes or no.
    Other,
}

impl Scalar {
    pub(in crate::tofu_state) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::None | Self::Number(_) | Self::Other => None,
        }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_unit<E: Error>(self) -> Result<Scalar, E> {
                Ok(Scalar::None)
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Scalar, E> {
                Ok(Scalar::Other)
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Scalar, E> {
                Ok(Scalar::Number(number.into()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar::Number(number.into()))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Scalar, E> {
                Ok(Number::from_f64(number).map_or(Scalar::Other, Scalar::Number))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Scalar, A::Error> {
                pass_over_list(list).map(|()| Scalar::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Scalar, A::Error> {
                pass_over_object(object).map(|()| Scalar::Other)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Whether one of these paths leads to the id: `[[{"type":"get_attr","value":"id"}]]`.
pub(super) fn hides_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    PathPart::Paths.deserialize(deserializer)
}

/// A part of sensitive paths. Its value is whether it leads to the id.
#[derive(Clone, Copy)]
enum PathPart {
    Paths,
    Path,
    Step,
    Name,
}

impl<'de> DeserializeSeed<'de> for PathPart {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for PathPart {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<bool, E> {
        Ok(matches!(self, Self::Name) && text == "id")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        let mut leads = false;
        match self {
            Self::Paths => {
                while let Some(path) = list.next_element_seed(Self::Path)? {
                    leads |= path;
                }
            }
            Self::Path => leads = list.next_element_seed(Self::Step)?.unwrap_or_default(),
            Self::Step | Self::Name => {}
        }
        pass_over_list(list).map(|()| leads)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<bool, A::Error> {
        let mut leads = false;
        if let Self::Step = self {
            while let Some(key) = object.next_key::<Cow<'de, str>>()? {
                if key == "value" {
                    leads = object.next_value_seed(Self::Name)?;
                } else {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        pass_over_object(object).map(|()| leads)
    }
}

fn pass_over_list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<(), A::Error> {
    while list.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

fn pass_over_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<(), A::Error> {
    while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}
