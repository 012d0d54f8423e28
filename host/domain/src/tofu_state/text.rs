//! The text of a state, read within bounds. A state of some MiB may name millions of things, and as general JSON values they would
//! take a hundred times its size in memory. So it is counted first, which takes next to none, and only what is needed is kept.

mod lenient;

use super::StateFault;
pub(super) use lenient::Scalar;
use lenient::hides_id;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Resources and their instances that are read out of one state. A large cluster has some hundred.
pub(super) const MOST_INSTANCES: usize = 100_000;
/// Bytes of the addresses of all instances together: each repeats the name of its resource.
const MOST_ADDRESS_BYTES: usize = 64 * 1024 * 1024;
/// Mode of what a module reads and does not make.
const DATA: &str = "data";

/// A resource of the state, with all of its instances.
#[derive(Deserialize)]
pub(super) struct Resource {
    /// Address of its module; `None` in the root module.
    #[serde(default)]
    pub(super) module: Option<String>,
    #[serde(default)]
    mode: String,
    /// Its type, such as `some_server`.
    #[serde(default, rename = "type")]
    pub(super) kind: String,
    /// Its name in the module.
    #[serde(default)]
    pub(super) name: String,
    /// What there is of it: one without `count` or `for_each`, else any number.
    #[serde(default)]
    pub(super) instances: Vec<Instance>,
}

/// An instance of a resource.
#[derive(Deserialize)]
pub(super) struct Instance {
    /// A number by `count`, a text by `for_each`, else nothing.
    #[serde(default)]
    pub(super) index_key: Scalar,
    #[serde(default)]
    pub(super) status: String,
    /// Key of an object that is to go after its successor was made.
    #[serde(default)]
    pub(super) deposed: String,
    #[serde(default)]
    pub(super) attributes: Option<Attributes>,
    /// Whether a path into the attributes says that the id must not be shown.
    #[serde(default, rename = "sensitive_attributes", deserialize_with = "hides_id")]
    pub(super) hides_id: bool,
}

#[derive(Deserialize)]
pub(super) struct Attributes {
    #[serde(default)]
    pub(super) id: Scalar,
    #[serde(default)]
    pub(super) name: Scalar,
}

/// The resources of a state, but for data sources. An empty text has none.
///
/// # Errors
/// [`StateFault`]
pub(super) fn resources(state: &[u8]) -> Result<Vec<Resource>, StateFault> {
    #[derive(Deserialize)]
    struct Text {
        resources: Vec<Resource>,
    }
    if state.is_empty() {
        return Ok(Vec::new());
    }
    let counts = counts(state)?;
    if counts.instances > MOST_INSTANCES || counts.address_bytes > MOST_ADDRESS_BYTES {
        return Err(StateFault::TooMany);
    }
    let Text { mut resources } = serde_json::from_slice(state).map_err(|_| StateFault::Unread)?;
    resources.retain(|resource| resource.mode != DATA);
    Ok(resources)
}

/// Whether a state names a resource that is no data source, however many there are.
///
/// # Errors
/// It cannot be read.
pub(super) fn names_any(state: &[u8]) -> Result<bool, StateFault> {
    Ok(!state.is_empty() && counts(state)?.has_managed)
}

fn counts(state: &[u8]) -> Result<Counts, StateFault> {
    #[derive(Deserialize)]
    struct Text {
        resources: Counts,
    }
    let Text { resources } = serde_json::from_slice(state).map_err(|_| StateFault::Unread)?;
    Ok(resources)
}

/// What is in a list of resources.
#[derive(Default)]
struct Counts {
    has_managed: bool,
    /// Resources and their instances.
    instances: usize,
    address_bytes: usize,
}

#[derive(Deserialize)]
struct CountedResource<'a> {
    #[serde(default, borrow)]
    module: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    mode: Cow<'a, str>,
    #[serde(default, borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(default, borrow)]
    name: Cow<'a, str>,
    #[serde(default)]
    instances: Count,
}

#[derive(Default)]
struct Count(usize);

impl Counts {
    fn add(&mut self, resource: &CountedResource<'_>) {
        let CountedResource { module, mode, kind, name, instances } = resource;
        let address = module.as_ref().map_or(0, |module| module.len()) + kind.len() + name.len();
        self.has_managed |= mode != DATA;
        self.instances = self.instances.saturating_add(instances.0).saturating_add(1);
        self.address_bytes = self.address_bytes.saturating_add(address.saturating_mul(instances.0));
    }
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Resources;
        impl<'de> Visitor<'de> for Resources {
            type Value = Counts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of resources")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Counts, A::Error> {
                let mut counts = Counts::default();
                while let Some(resource) = all.next_element::<CountedResource<'de>>()? {
                    counts.add(&resource);
                }
                Ok(counts)
            }
        }
        deserializer.deserialize_seq(Resources)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of instances")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Count, A::Error> {
                let mut count = 0;
                while all.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Count(count))
            }
        }
        deserializer.deserialize_seq(Elements)
    }
}
