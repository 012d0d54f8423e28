//! Answers that are remembered.
//!
//! A plugin is pure: the same component, function and input give the same answer, so it is computed once. The digest of the
//! component is part of the key, so an answer never outlives the bytes that gave it. Answers that passed every check are kept, and
//! failures that depend on nothing else either ([`crate::call`] says which). No secret is among them: no plugin gets one. Two equal calls at once are both made, which keeps a call that fails from
//! holding up those behind it.

use std::any::Any;
use std::mem::size_of;
use std::sync::Arc;

use catalyst_domain::Finding;
use catalyst_domain::provider::{Advice, Bundle, Endpoints, Estimate, LeftoverSearch, Probe, Verdict};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::error::{CallFailure, Function};

/// What the cache is told to expect of one answer; it only sizes its table.
const USUAL_BYTES: u64 = 16 * 1024;

/// What an entry takes beside its answer.
const ENTRY_BYTES: usize = 128;

/// What a pair of a map takes beside its value and the letters of its name. A tree's nodes are half empty at worst.
const PAIR_BYTES: usize = 2 * size_of::<String>() + size_of::<serde_json::Value>();

/// Parts of the cache with a lock and a share of its bytes each. An answer that is larger than a share is not kept, so there
/// are few: a bundle is some hundred KiB.
const SHARDS: usize = 4;

/// Component, function and input of a call, as a SHA-256: who sends requests must not be able to make two of them equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// The key of a call. An input that has no JSON form has none.
    pub fn of(component: &str, function: Function, input: &impl Serialize) -> Option<Self> {
        let input = serde_json::to_vec(input).ok()?;
        let mut hash = Sha256::new();
        // Neither of the two holds a NUL.
        for part in [component, function.name()] {
            hash.update(part);
            hash.update([0]);
        }
        hash.update(input);
        Some(Self(hash.finalize().into()))
    }

    #[cfg(test)]
    pub fn of_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

#[derive(Clone)]
struct Kept {
    answer: Arc<dyn Any + Send + Sync>,
    bytes: u64,
}

#[derive(Clone)]
struct Weights;

impl Weighter<Key, Kept> for Weights {
    fn weight(&self, _: &Key, kept: &Kept) -> u64 {
        kept.bytes
    }
}

/// Answers of all plugins, bounded in bytes; those that nobody asks for go first.
pub(crate) struct Memo(Cache<Key, Kept, Weights>);

impl Memo {
    /// Room for so many bytes; none at all for 0.
    pub fn new(bytes: u64) -> Option<Self> {
        let items = usize::try_from(bytes / USUAL_BYTES).unwrap_or(usize::MAX);
        let mut options = OptionsBuilder::new();
        options.shards(SHARDS).estimated_items_capacity(items).weight_capacity(bytes);
        // What is not given has a usual value, so this is whole.
        let options = options.build().ok().filter(|_| bytes > 0)?;
        Some(Self(Cache::with_options(options, Weights, DefaultHashBuilder::default(), DefaultLifecycle::default())))
    }

    /// The answer to a call that was made before.
    pub fn recall<T: Answer>(&self, key: &Key) -> Option<T> {
        self.0.get(key)?.answer.downcast_ref::<T>().cloned()
    }

    /// Keeps an answer.
    pub fn keep<T: Answer>(&self, key: Key, answer: &T) {
        let bytes = (ENTRY_BYTES + answer.bytes()) as u64;
        self.0.insert(key, Kept { answer: Arc::new(answer.clone()), bytes });
    }

    /// Bytes and answers that are kept.
    pub fn size(&self) -> (u64, usize) {
        (self.0.weight(), self.0.len())
    }
}

/// What a plugin answers, with its size in memory as near as it matters.
pub(crate) trait Answer: Clone + Send + Sync + 'static {
    /// Bytes of its texts and files, with something for each list entry.
    fn bytes(&self) -> usize;
}

impl Answer for String {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.len()
    }
}

/// A failure that would come again, in the place of an answer.
impl Answer for CallFailure {
    fn bytes(&self) -> usize {
        let text = match self {
            Self::Trap(text) | Self::BadOutput(text) | Self::Host(text) => text.len(),
            _ => 0,
        };
        size_of::<Self>() + text
    }
}

impl<T: Answer, E: Answer> Answer for Result<T, E> {
    fn bytes(&self) -> usize {
        match self {
            Ok(value) => value.bytes(),
            Err(refusal) => refusal.bytes(),
        }
    }
}

impl<T: Answer> Answer for Vec<T> {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.iter().map(Answer::bytes).sum::<usize>()
    }
}

impl Answer for Finding {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.pointer.len() + self.code.len() + self.message.len()
    }
}

impl Answer for Bundle {
    fn bytes(&self) -> usize {
        let files = self.files.iter().map(|file| size_of_val(file) + file.path.len() + file.content.len());
        let variables = self.variables.iter().map(|(name, value)| PAIR_BYTES + name.len() + value_bytes(value));
        let secrets = self.secret_variables.iter().map(|s| size_of_val(s) + s.secret.len() + s.variable.len());
        let sizes = self.user_data.iter().map(|size| size_of_val(size) + size.node.len());
        let nodes = self.nodes.iter().map(|node| size_of_val(node) + node.name.len() + node.address.len());
        let sum = files.chain(variables).chain(secrets).chain(sizes).chain(nodes).sum::<usize>();
        let names = [&self.deployment_id_variable, &self.cluster_exists_variable].into_iter().flatten();
        size_of::<Self>() + sum + names.map(String::len).sum::<usize>() + self.warnings.bytes()
    }
}

fn value_bytes(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    let inside = match value {
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(value_bytes).sum(),
        Value::Object(values) => values.iter().map(|(name, value)| PAIR_BYTES + name.len() + value_bytes(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    size_of::<Value>() + inside
}

impl Answer for Endpoints {
    fn bytes(&self) -> usize {
        let texts = [&self.control_plane_ip, &self.load_balancer_ip, &self.console_url];
        size_of::<Self>() + texts.iter().map(|text| text.len()).sum::<usize>() + self.kubeconfig_hosts.bytes()
    }
}

impl Answer for Advice {
    fn bytes(&self) -> usize {
        let others = self.alternatives.iter().map(|other| {
            let places = [&other.region, &other.machine_type].map(|place| place.as_ref().map_or(0, String::len));
            size_of_val(other) + places.iter().sum::<usize>() + other.reason.len()
        });
        size_of::<Self>() + self.what_happened.len() + self.what_to_do.len() + others.sum::<usize>()
    }
}

impl Answer for Estimate {
    fn bytes(&self) -> usize {
        let lines = self.lines.iter().map(|line| size_of_val(line) + line.label.len());
        size_of::<Self>() + self.currency.len() + self.as_of.len() + lines.sum::<usize>() + self.unknown.bytes()
    }
}

impl Answer for Probe {
    fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(|header| size_of_val(header) + header.0.len() + header.1.len());
        let body = self.body.as_ref().map_or(0, Vec::len);
        size_of::<Self>() + self.method.len() + self.url.len() + headers.sum::<usize>() + body
    }
}

impl Answer for Verdict {
    fn bytes(&self) -> usize {
        let (Self::Accepted(text) | Self::Rejected(text) | Self::Unreachable(text)) = self;
        size_of::<Self>() + text.len()
    }
}

impl Answer for LeftoverSearch {
    fn bytes(&self) -> usize {
        let found = self.found.iter().map(|found| {
            size_of_val(found) + found.kind.len() + found.name.len() + found.id.len() + found.reason.len()
        });
        size_of::<Self>() + found.sum::<usize>() + self.not_searched.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn component_function_and_input_each_make_another_key() {
        let key = |component, function, input: &str| Key::of(component, function, &input).unwrap();
        let one = key("a", Function::Validate, "x");
        assert_eq!(one, key("a", Function::Validate, "x"));
        for other in
            [key("b", Function::Validate, "x"), key("a", Function::Estimate, "x"), key("a", Function::Validate, "y")]
        {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn an_answer_comes_back_as_its_own_type_only() {
        let memo = Memo::new(1024 * 1024).unwrap();
        let key = Key::of("a", Function::Validate, &1).unwrap();
        assert_eq!(memo.recall::<String>(&key), None);
        memo.keep(key, &"kept".to_owned());
        assert_eq!(memo.recall::<String>(&key).as_deref(), Some("kept"));
        assert_eq!(memo.recall::<Vec<Finding>>(&key), None);
        assert!(Memo::new(0).is_none(), "0 is off");
    }

    #[test]
    fn a_large_bundle_is_kept_on_a_machine_of_any_size() {
        let memo = Memo::new(crate::limits::MEMO_BYTES).unwrap();
        let key = Key::of("a", Function::Render, &1).unwrap();
        memo.keep(key, &"x".repeat(4 * 1024 * 1024));
        assert!(memo.recall::<String>(&key).is_some());
    }

    #[test]
    fn small_maps_weigh_what_they_take() {
        let entries = (0..10_000).map(|number| (number.to_string(), serde_json::Value::Null));
        let map = serde_json::Value::Object(entries.collect());
        // A name and a value are 24 and 32 bytes, and the nodes of a tree are half full where names came in order.
        assert!(value_bytes(&map) > 10_000 * (24 + 32) * 3 / 2, "{}", value_bytes(&map));
    }

    #[test]
    fn it_is_bounded_in_bytes() {
        let limit = 1024 * 1024;
        let memo = Memo::new(limit).unwrap();
        for number in 0..1000 {
            let key = Key::of("a", Function::Render, &number).unwrap();
            memo.keep(key, &"x".repeat(10_000));
            assert!(memo.size().0 <= limit, "{:?}", memo.size());
        }
        assert!(memo.size().1 > 50, "{:?}", memo.size());
        memo.keep(Key::of("a", Function::Render, &"huge").unwrap(), &"x".repeat(2_000_000));
        assert!(memo.size().0 <= limit, "what does not fit is not kept");
    }
}
