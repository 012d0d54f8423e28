//! Bounds on what a cluster says of the names of its objects, and on what is remembered of them between two lists. Who has taken a
//! cluster over may answer each list with other names, as many and as long as it likes. Bounds on
//! one answer are where it is read: `client` (bytes), `answers` (pages, refusals), `object` (values, texts), `feed` and `log_tail`.

use super::object::ClusterObject;
use super::shorten;
use super::trouble::Trouble;
use std::collections::BTreeSet;

/// Longest name of an object or of its namespace, in bytes: Kubernetes takes none that is longer (a DNS subdomain name, RFC 1123).
pub(super) const MAX_NAME: usize = 253;
/// Longest uid of an object, in bytes: that of Kubernetes is a UUID of 36.
const MAX_UID: usize = 128;
/// Keys that are remembered at the most between two lists: more objects than a cluster of this kind has. A key has less than 1 KiB.
const MAX_REMEMBERED: usize = 10_000;
/// Names in one sentence.
const NAMES: usize = 20;
/// Longest name in such a sentence, in bytes.
const MAX_LISTED_NAME: usize = 128;
/// Longest list of names in such a sentence, in bytes.
const MAX_LISTED: usize = 1024;

/// Whether name, namespace and uid are no longer than Kubernetes allows. An object for which that is not so is not acted on.
pub(super) fn has_valid_lengths(object: &ClusterObject) -> bool {
    are_names(&[object.name(), object.namespace().unwrap_or_default()]) && is_uid(object.uid().unwrap_or_default())
}

/// Whether all of these are short enough for names.
pub(super) fn are_names(names: &[&str]) -> bool {
    names.iter().all(|name| name.len() <= MAX_NAME)
}

/// Whether it is short enough for a uid.
pub(super) fn is_uid(uid: &str) -> bool {
    uid.len() <= MAX_UID
}

/// A text of the cluster as a person may see it, in `limit` bytes at the most.
pub(super) fn plain(text: &str, limit: usize) -> String {
    let text: String =
        text.chars().take(limit).map(|c| if is_printable(c) { c } else { char::REPLACEMENT_CHARACTER }).collect();
    match text.len() <= limit {
        true => text,
        false => shorten(&text, limit.saturating_sub('…'.len_utf8())),
    }
}

/// Whether it neither controls a terminal nor changes the direction of a text.
fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The first names, each made plain, and how many more there are.
pub(super) fn some_names(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(NAMES).map(|name| plain(name, MAX_LISTED_NAME)).collect();
    let shown = shorten(&shown.join(", "), MAX_LISTED);
    match names.len().saturating_sub(NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// What was done to objects of a cluster, by a key of each. Bounded.
#[derive(Debug, Default)]
pub(super) struct RememberedKeys(BTreeSet<String>);

impl RememberedKeys {
    /// Whether the key is not remembered yet.
    ///
    /// # Errors
    /// It is not, and there is no room to remember it.
    pub(super) fn lacks(&self, key: &str) -> Result<bool, Trouble> {
        match self.0.contains(key) {
            true => Ok(false),
            false if self.0.len() >= MAX_REMEMBERED => Err(Trouble::unreachable(format!(
                "the cluster shows new objects again and again, by now more than {MAX_REMEMBERED}"
            ))),
            false => Ok(true),
        }
    }

    /// Remembers the key; gives whether it is new.
    ///
    /// # Errors
    /// It is new, and there is no room to remember it.
    pub(super) fn insert(&mut self, key: String) -> Result<bool, Trouble> {
        Ok(self.lacks(&key)? && self.0.insert(key))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys in the order of the alphabet.
    pub(super) fn iter(&self) -> impl Iterator<Item = &String> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::object::{METADATA, Shape};
    use serde_json::json;

    const NAMED: Shape = Shape::Keys(&[METADATA]);

    #[test]
    fn an_object_with_a_name_or_uid_that_kubernetes_does_not_allow_is_known() {
        let object = |name: usize, namespace: usize, uid: usize| {
            let metadata =
                json!({"name": "n".repeat(name), "namespace": "s".repeat(namespace), "uid": "u".repeat(uid)});
            ClusterObject::of(&json!({"metadata": metadata}), &NAMED)
        };
        assert!(has_valid_lengths(&object(253, 253, 128)) && has_valid_lengths(&object(0, 0, 0)));
        for (name, namespace, uid) in [(254, 1, 1), (1, 254, 1), (1, 1, 129)] {
            assert!(!has_valid_lengths(&object(name, namespace, uid)), "{name} {namespace} {uid}");
        }
    }

    #[test]
    fn no_more_keys_are_remembered_than_there_is_room_for() {
        let mut keys = RememberedKeys::default();
        assert!(keys.is_empty());
        for key in 0..MAX_REMEMBERED {
            assert_eq!(keys.insert(format!("{key}")), Ok(true));
        }
        assert_eq!((keys.insert("7".to_owned()), keys.lacks("7")), (Ok(false), Ok(false)), "it is there");
        let why = keys.insert("new".to_owned()).unwrap_err().why;
        assert!(why.ends_with("more than 10000"), "{why}");
        assert_eq!(keys.lacks("new").unwrap_err().why, why);
        assert_eq!(keys.iter().count(), MAX_REMEMBERED);
    }

    #[test]
    fn texts_are_made_plain_within_their_limit() {
        assert_eq!(plain("a\u{1b}[2J\n\u{202e}b", 128), "a\u{fffd}[2J\u{fffd}\u{fffd}b");
        assert_eq!(plain("", 128), "");
        for text in ["x".repeat(5_000), "\n".repeat(5_000), "ä".repeat(5_000)] {
            assert!(plain(&text, 128).len() <= 128);
        }
    }

    #[test]
    fn of_many_names_some_are_listed() {
        let names: Vec<String> = (0..NAMES).map(|at| format!("n{at}")).collect();
        assert_eq!(some_names(&names), names.join(", "));
        let many = vec!["\u{1b}".repeat(8_000); 2_000];
        let listed = some_names(&many);
        assert!(listed.len() <= MAX_LISTED + 32 && !listed.contains('\u{1b}'), "{listed}");
        assert!(listed.ends_with(" and 1980 more"), "{listed}");
    }
}
