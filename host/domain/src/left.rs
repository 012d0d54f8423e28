//! What a run of OpenTofu that failed, or was interrupted, left in the cloud.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Resources that a record names: more than a large cluster has. The rest is counted.
const NAMED: usize = 250;
/// Longest address or id that a record keeps, in bytes. Those of clouds have some dozens.
const TEXT_BYTES: usize = 256;

/// A resource that is there, as far as the host knows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeftResource {
    /// Whether OpenTofu's kept state has it: a retry goes on from it, and a destroy removes it. One that is in no state has to be
    /// looked for in the cloud.
    pub in_state: bool,
    /// Address in the module, such as `server.control_plane[0]`.
    pub address: String,
    /// Id in the cloud; blank where none is known.
    pub id: String,
}

impl LeftResource {
    /// One with these texts, cut to 256 bytes each.
    pub fn new(address: &str, id: &str, in_state: bool) -> Self {
        Self { in_state, address: cut(address), id: cut(id) }
    }
}

/// The first of these resources, those that are in no state before the others, and how many more there are.
pub(crate) fn bounded(resources: &[LeftResource]) -> (Vec<LeftResource>, u64) {
    let mut named = resources.to_vec();
    named.sort();
    named.dedup();
    let more = named.len().saturating_sub(NAMED) as u64;
    named.truncate(NAMED);
    named.shrink_to_fit();
    (named, more)
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_BYTES)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_no_state_is_named_first_and_the_rest_is_counted() {
        let mut all: Vec<_> = (0..NAMED + 2).map(|n| LeftResource::new(&format!("t.x[{n}]"), "7", true)).collect();
        all.push(LeftResource::new("t.lost", &"ü".repeat(TEXT_BYTES), false));
        all.push(LeftResource::new("t.x[0]", "7", true));
        let (named, more) = bounded(&all);
        assert_eq!((named.len(), more), (NAMED, 3));
        assert_eq!((named[0].address.as_str(), named[0].id.len(), named[0].in_state), ("t.lost", TEXT_BYTES, false));
        assert_eq!(bounded(&[]), (Vec::new(), 0));
    }
}
