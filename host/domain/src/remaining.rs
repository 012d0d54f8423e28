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

/// Behind the reason of what the cluster alone named: anybody may have taken the cluster over, and it names things by their ids.
const UNPROVEN: &str = "; only the cluster named it, so look at it before it is removed";

/// Kind of a volume.
pub const VOLUME: &str = "volume";
/// Kind of a load balancer.
pub const LOAD_BALANCER: &str = "load balancer";
/// Name of what a cluster may have and could not be asked for.
const NOT_LISTED: &str = "of the cluster";

/// Who named a resource that remains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamedBy {
    /// The cluster, of what it made in its cloud.
    Cluster,
    /// A search of the cloud.
    Cloud,
}

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
    /// Who named it; absent in records of releases before, and in answers.
    #[schema(ignore)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named_by: Option<NamedBy>,
}

impl RemainingResource {
    /// One with these texts, cut to 256 bytes each.
    /// Control characters, and such as change the direction of a text, are left out: they come from strangers.
    pub fn new(kind: &str, name: &str, id: &str, reason: &str) -> Self {
        Self { kind: cut(kind), name: cut(name), id: cut(id), reason: cut(reason), named_by: None }
    }

    /// All of a kind that the cluster may have, which could not be listed for this reason.
    pub fn not_listed(kind: &str, reason: &str) -> Self {
        Self::new(kind, NOT_LISTED, "", reason).by(NamedBy::Cluster)
    }

    /// The same, with who named it.
    #[must_use]
    pub fn by(self, named_by: NamedBy) -> Self {
        Self { named_by: Some(named_by), ..self }
    }

    /// The same; where the cluster alone named it, the reason says so, still within its bound.
    #[must_use]
    pub fn marked(&self) -> Self {
        if self.named_by != Some(NamedBy::Cluster) {
            return self.clone();
        }
        let reason = &self.reason[..self.reason.floor_char_boundary(TEXT_BYTES - UNPROVEN.len())];
        Self { reason: format!("{reason}{UNPROVEN}"), ..self.clone() }
    }

    /// As an answer has it.
    #[must_use]
    pub fn shown(&self) -> Self {
        Self { named_by: None, ..self.clone() }
    }

    fn is_not_listed(&self) -> bool {
        self.named_by == Some(NamedBy::Cluster) && self.name == NOT_LISTED
    }

    /// Whether both are one thing in the cloud, whatever is said of it.
    pub fn is(&self, other: &Self) -> bool {
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

/// What remains after a cluster named what it has now. Of what it named before, the rest is gone, where its kind could be listed. What
/// another look found may still be there.
pub fn after_cluster(before: &[RemainingResource], listed: &[RemainingResource]) -> Vec<RemainingResource> {
    let could_be_listed = |kind: &str| !listed.iter().any(|now| now.is_not_listed() && now.kind == kind);
    let is_gone = |known: &RemainingResource| {
        known.named_by == Some(NamedBy::Cluster) && (could_be_listed(&known.kind) || known.is_not_listed())
    };
    let kept: Vec<RemainingResource> = before.iter().filter(|known| !is_gone(known)).cloned().collect();
    merged(listed, &kept)
}

/// What remains after a search found this. What the cluster named and the search found as well keeps its name, has the search's reason,
/// and counts as named by a search from then on.
pub fn after_search(known: &[RemainingResource], found: &[RemainingResource]) -> Vec<RemainingResource> {
    let mut all = merged(known, found);
    for one in all.iter_mut().filter(|one| one.named_by == Some(NamedBy::Cluster)) {
        if let Some(seen) = found.iter().find(|seen| one.is(seen)) {
            one.reason.clone_from(&seen.reason);
            one.named_by = seen.named_by;
        }
    }
    all
}

/// The same, where the search was of the whole cloud: of what a search named before, the rest is gone. What the cluster alone named stays:
/// no search found it yet, so it may be what no search looks for, such as a share of a file system, or a load balancer of which only the
/// address is known.
pub fn after_whole_search(known: &[RemainingResource], found: &[RemainingResource]) -> Vec<RemainingResource> {
    let of_cluster = known.iter().filter(|known| known.named_by == Some(NamedBy::Cluster));
    after_search(&of_cluster.cloned().collect::<Vec<_>>(), found)
}

/// What the cloud showed before what the cluster alone named: who has taken it over may name as much as it likes.
pub fn in_order(mut resources: Vec<RemainingResource>) -> Vec<RemainingResource> {
    resources.sort_by_key(|resource| resource.named_by == Some(NamedBy::Cluster));
    resources
}

/// The first of them, each once.
pub(crate) fn bounded(resources: &[RemainingResource]) -> Vec<RemainingResource> {
    let mut named = in_order(merged(&[], resources));
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
        let invented = (0..NAMED).map(|n| one("volume", "v", &n.to_string(), "").by(NamedBy::Cluster));
        let found = one("server", "lost", "29", "label").by(NamedBy::Cloud);
        let all: Vec<_> = invented.chain([found.clone()]).collect();
        assert_eq!(bounded(&all)[0], found, "and what the cloud shows comes first");
    }

    fn by_cluster(kind: &str, id: &str) -> RemainingResource {
        one(kind, &format!("{kind} {id}"), id, "late").by(NamedBy::Cluster)
    }

    #[test]
    fn t6_what_the_cluster_named_is_struck_out_once_it_names_it_no_more_and_nothing_else_is() {
        let (balancer, volume) = (by_cluster(LOAD_BALANCER, "203.0.113.7"), by_cluster(VOLUME, "42"));
        let of_cloud = one("server", "lost", "29", "label").by(NamedBy::Cloud);
        let of_old_release = one(VOLUME, "x", "7", "");
        let before = [balancer.clone(), volume.clone(), of_cloud.clone(), of_old_release.clone()];
        let others = [of_cloud, of_old_release];
        assert_eq!(after_cluster(&before, &[]), others);
        let seen = after_cluster(&before, std::slice::from_ref(&volume));
        assert_eq!(seen, merged(std::slice::from_ref(&volume), &others), "a volume stays that is named again");
        // It fell silent when its Services were looked for: that shows nothing of them.
        let silent = RemainingResource::not_listed(LOAD_BALANCER, "no answer");
        let half = after_cluster(&before, std::slice::from_ref(&silent));
        assert_eq!(half, merged(&[silent.clone(), balancer], &others));
        assert_eq!(after_cluster(&half, &[]), others, "and is no word for ever");
    }

    #[test]
    fn t6_a_search_of_the_whole_cloud_strikes_out_what_it_shows_to_be_gone() {
        let known = [
            by_cluster(LOAD_BALANCER, "203.0.113.7"),
            by_cluster("volume", "share-of-a-file-system"),
            RemainingResource::not_listed(VOLUME, "no answer"),
            one(VOLUME, "of a release before", "40", ""),
            one(VOLUME, "found before", "41", "").by(NamedBy::Cloud),
        ];
        let found = [one("server", "lost", "29", "label").by(NamedBy::Cloud)];
        let of_cluster = &known[..3];
        assert_eq!(after_whole_search(&known, &found), merged(of_cluster, &found), "none of them was ever found");
        assert_eq!(
            after_search(&known, &found),
            merged(&known, &found),
            "a part of the cloud shows nothing to be gone"
        );
    }

    #[test]
    fn what_the_cluster_named_is_struck_out_by_a_search_once_one_has_found_it() {
        let known = [by_cluster(VOLUME, "42"), by_cluster(VOLUME, "43")];
        let found = [one(VOLUME, "pvc-1", "42", "attached").by(NamedBy::Cloud)];
        let seen = after_whole_search(&known, &found);
        assert_eq!(
            seen,
            [one(VOLUME, "volume 42", "42", "attached").by(NamedBy::Cloud), known[1].clone()],
            "it has the cluster's name and the search's reason"
        );
        assert_eq!(after_search(&known, &found), seen);
        assert_eq!(after_whole_search(&seen, &[]), [known[1].clone()], "it was found, and is not any more");
        // A search that did not take place gives back what was known.
        assert_eq!(after_search(&known, &known), known);
    }

    #[test]
    fn only_what_the_cluster_alone_named_says_so() {
        let marked = by_cluster(VOLUME, "42").marked();
        assert_eq!(marked.reason, format!("late{UNPROVEN}"));
        let of_search = one(VOLUME, "a", "41", "attached").by(NamedBy::Cloud);
        assert_eq!(of_search.marked(), of_search);
        let long = one(VOLUME, "a", "42", &"ü".repeat(TEXT_BYTES)).by(NamedBy::Cluster).marked().reason;
        assert!(long.len() <= TEXT_BYTES && long.ends_with(UNPROVEN), "{long}");
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
