//! What a destroy did not remove from the cloud: what the cluster made there by itself, and what no state of OpenTofu has.

use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// Key of a destroy's body with which a person agrees that the volumes that the cluster made in its cloud are deleted.
pub const DELETE_VOLUMES: &str = "deleteVolumes";

/// Resources that a record names; the log names all.
const NAMED: usize = 100;
/// Resources of a list that are merged with those of another: each is held against all.
const MERGED: usize = 1_000;
/// Longest text of one in bytes. Names and ids of clouds have some dozens, a reason is a sentence.
const TEXT_BYTES: usize = 256;

/// A resource that was in the cloud when it was looked for last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemainingResource {
    /// What it is, such as `load balancer`, `volume`, `server` or `network`.
    pub kind: String,
    /// Its name, in the cluster or in the cloud.
    pub name: String,
    /// Its id or address in the cloud; blank where none is known.
    pub id: String,
    /// Why it belongs to the deployment, or why it was not removed.
    pub reason: String,
}

impl RemainingResource {
    /// One with these texts, cut to 256 bytes each.
    /// Control characters, and such as change the direction of a text, are left out: they come from strangers.
    pub fn new(kind: &str, name: &str, id: &str, reason: &str) -> Self {
        Self { kind: cut(kind), name: cut(name), id: cut(id), reason: cut(reason) }
    }

    /// Whether both are one thing in the cloud, whatever is said of it.
    fn is(&self, other: &Self) -> bool {
        self.kind == other.kind && if self.id.is_empty() { self.name == other.name } else { self.id == other.id }
    }
}

impl fmt::Display for RemainingResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)?;
        if !self.id.is_empty() {
            write!(f, " ({})", self.id)?;
        }
        if !self.reason.is_empty() {
            write!(f, ": {}", self.reason)?;
        }
        Ok(())
    }
}

/// Both lists as one. Of what stands in both, the first list's words count.
pub fn merged(first: &[RemainingResource], second: &[RemainingResource]) -> Vec<RemainingResource> {
    let mut all: Vec<RemainingResource> = first.iter().take(MERGED).cloned().collect();
    for resource in second.iter().take(MERGED) {
        if !all.iter().any(|known| known.is(resource)) {
            all.push(resource.clone());
        }
    }
    all
}

/// The first of them, each once.
pub(crate) fn bounded(resources: &[RemainingResource]) -> Vec<RemainingResource> {
    let mut named = merged(&[], resources);
    named.truncate(NAMED);
    named.shrink_to_fit();
    named
}

fn cut(text: &str) -> String {
    let is_plain = |c: &char| {
        !c.is_control() && !matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let text = &text[..text.floor_char_boundary(TEXT_BYTES)];
    text.chars().filter(is_plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(kind: &str, name: &str, id: &str, reason: &str) -> RemainingResource {
        RemainingResource::new(kind, name, id, reason)
    }

    #[test]
    fn t6_what_remains_is_named_with_its_id_and_reason_within_bounds() {
        assert_eq!(one("volume", "pvc-1", "42", "no yes").to_string(), "volume pvc-1 (42): no yes");
        assert_eq!(one("server", "a", "", "").to_string(), "server a");
        assert_eq!(one("server", "a\n2026 INFO\u{202e}b\u{1b}[2J", "", "").to_string(), "server a2026 INFOb[2J");
        assert_eq!(one("volume", &"ü".repeat(TEXT_BYTES), "", "").name.len(), TEXT_BYTES);
        let many: Vec<_> = (0..NAMED + 5).map(|n| one("volume", "v", &n.to_string(), "")).collect();
        assert_eq!(bounded(&many).len(), NAMED);
    }

    #[test]
    fn t6_what_two_looks_found_is_one_thing_where_kind_and_id_agree() {
        let cluster = [one("volume", "pvc-1", "42", "no yes"), one("load balancer", "Service a/b", "", "late")];
        let cloud = [
            one("volume", "a-volume", "42", "label"),
            one("server", "x", "42", "label"),
            one("load balancer", "Service a/b", "", "label"),
        ];
        let all = merged(&cluster, &cloud);
        let all: Vec<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(all, ["volume pvc-1 (42): no yes", "load balancer Service a/b: late", "server x (42): label"]);
    }
}
