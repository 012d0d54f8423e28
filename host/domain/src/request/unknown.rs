//! Keys of a request that nobody reads, each with the known key that is spelt most like it.
//!
//! A key is named, its value never: who mistypes the key of a secret has still written the secret behind it.

use crate::finding::Finding;
use crate::json::folded;
use crate::provider::Descriptor;
use std::collections::BTreeSet;

/// Code of the finding about a key that neither the host nor the provider knows.
pub const UNKNOWN_KEY: &str = "unknown-key";
/// Code of the finding about a key that only another provider knows.
const KEY_OF_OTHER: &str = "key-of-other-provider";
/// Longest key in characters that is shown whole and compared with the known ones; the longest of any contract has half of that.
const MAX_SHOWN: usize = 64;
/// Unknown keys of one object that are named; a body with more of them is no slip of the pen.
const MAX_NAMED: usize = 20;

/// Keys that the host itself reads at the top of a body.
pub(super) const HOST_KEYS: [&str; 14] = [
    "orgName",
    "orgEmail",
    "sovereignFQDN",
    "sovereignDomainMode",
    "sovereignPoolDomain",
    "sovereignSubdomain",
    "region",
    "controlPlaneSize",
    "workerSize",
    "workerCount",
    "haEnabled",
    "regions",
    "sshPublicKey",
    "expectedRenderDigest",
];
/// Keys of an entry of `regions`.
pub(super) const SLOT_KEYS: [&str; 5] = ["provider", "cloudRegion", "controlPlaneSize", "workerSize", "workerCount"];

/// The known name that is spelt most like `given`, if one is so like it that it may be meant: case and separators count for
/// nothing, and of three characters one may be wrong, missing, too many, or swapped with its neighbour.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = bare(given);
    let length = given.chars().count();
    if length > MAX_SHOWN {
        return None;
    }
    let most = (length / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for name in known {
        let other = bare(name);
        if other.chars().count().abs_diff(length) > most {
            continue;
        }
        let distance = strsim::damerau_levenshtein(&given, &other);
        if distance <= most && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name)
}

fn bare(name: &str) -> String {
    folded(name).chars().filter(|c| c.is_alphanumeric()).collect()
}

/// A key as a finding shows it: cut, and without what a terminal would act on.
pub fn shown_key(key: &str) -> String {
    let plain = |c: char| if c.is_control() || is_direction(c) { char::REPLACEMENT_CHARACTER } else { c };
    key.chars().take(MAX_SHOWN).map(plain).collect()
}

/// Marks that make a text read otherwise than it is (Unicode TR 36).
fn is_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// The JSON pointer of a key of the object at `at`.
pub fn pointer_to(at: &str, key: &str) -> String {
    format!("{at}/{}", shown_key(key).replace('~', "~0").replace('/', "~1"))
}

/// A warning for each of `keys`, which stand in the object at `at` and are none of `known`.
pub fn unknown_keys<'k>(at: &str, keys: impl IntoIterator<Item = &'k str>, known: &[&str]) -> Vec<Finding> {
    let one = |key: &str| {
        let words = unknown_words(key, known.iter().copied());
        Finding::warning(pointer_to(at, key), UNKNOWN_KEY, format!("{}{words}, so it is left out", place(at)))
    };
    keys.into_iter().take(MAX_NAMED).map(one).collect()
}

/// What is wrong with a key that is none of `known`: a clause without an end.
pub fn unknown_words<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let meant = nearest(key, known).map(|name| format!("; the nearest one is {name}"));
    format!("{} is not a known key{}", shown_key(key), meant.unwrap_or_default())
}

/// `/regions/1` as people write it.
fn place(at: &str) -> String {
    match at.strip_prefix("/regions/") {
        Some(index) => format!("region[{index}]: "),
        None if at.is_empty() => String::new(),
        None => format!("{}: ", &at[1..]),
    }
}

/// Warnings about the keys of a body that are neither the host's nor those of `chosen`, the provider that the request goes to.
/// Where there is none, a key of any provider passes: whose it would be cannot be said.
pub(super) fn of_body<'k>(
    keys: impl Iterator<Item = &'k str>,
    chosen: Option<&Descriptor>,
    all: &[&Descriptor],
) -> Vec<Finding> {
    let chosen_keys: BTreeSet<String> = match chosen {
        Some(provider) => provider_keys(provider),
        None => all.iter().flat_map(|provider| provider_keys(provider)).collect(),
    };
    let is_one_of = |key: &str, names: &BTreeSet<String>| names.iter().any(|name| folded(name) == folded(key));
    let unknown: Vec<&str> = keys.filter(|key| !is_one_of(key, &chosen_keys)).take(MAX_NAMED).collect();
    if unknown.is_empty() {
        return Vec::new();
    }
    let known: Vec<&str> = HOST_KEYS.into_iter().chain(chosen_keys.iter().map(String::as_str)).collect();
    let others: Vec<(&str, BTreeSet<String>)> =
        all.iter().map(|provider| (provider.display_name.as_str(), provider_keys(provider))).collect();
    let one = |key: &str| {
        let owner = others.iter().find(|(_, keys)| is_one_of(key, keys)).map(|(owner, _)| owner);
        let (Some(chosen), Some(owner)) = (chosen, owner) else { return unknown_keys("", [key], &known) };
        let (key_name, goes_to) = (shown_key(key), &chosen.display_name);
        let message = format!("{key_name} is a key of {owner}; this request goes to {goes_to}, so it is left out");
        vec![Finding::warning(pointer_to("", key), KEY_OF_OTHER, message)]
    };
    unknown.into_iter().flat_map(one).collect()
}

/// Keys of a body that a provider reads: its settings and its secrets.
pub(super) fn provider_keys(provider: &Descriptor) -> BTreeSet<String> {
    let secrets = provider.request_secrets().map(|(_, key)| key.to_owned());
    super::parse::settings(&provider.settings_schema).into_iter().chain(secrets).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_the_one_that_was_meant_and_none_is_made_up() {
        let near = |key: &str| nearest(key, HOST_KEYS);
        for (key, meant) in [
            ("workerCont", "workerCount"),
            ("workerConut", "workerCount"),
            ("worker_count", "workerCount"),
            ("WORKERCOUNTS", "workerCount"),
            ("orgNmae", "orgName"),
            ("sovereignFqnd", "sovereignFQDN"),
            ("regoins", "regions"),
            ("sshPubKey", "sshPublicKey"),
            ("haEnable", "haEnabled"),
        ] {
            assert_eq!(near(key), Some(meant), "{key}");
        }
        for key in ["", "x", "createdBy", "fallback", "workers", "org", &"workerCount".repeat(9)] {
            assert_eq!(near(key), None, "{key}");
        }
    }

    #[test]
    fn a_key_is_shown_cut_and_plain_and_its_pointer_is_escaped() {
        let long = "k".repeat(500);
        let found = unknown_keys("", [long.as_str(), "a\u{1b}[2J/b~", "workerCont"], &HOST_KEYS);
        assert_eq!(found[0].pointer.len(), MAX_SHOWN + 1);
        assert_eq!(found[1].pointer, "/a\u{fffd}[2J~1b~0");
        assert!(!found[1].message.contains('\u{1b}'), "{}", found[1].message);
        assert_eq!(
            found[2].message,
            "workerCont is not a known key; the nearest one is workerCount, so it is left out"
        );
        assert!(found.iter().all(|finding| !finding.is_error() && finding.code == UNKNOWN_KEY));
        let slot = unknown_keys("/regions/1", ["workerCont"], &SLOT_KEYS);
        assert_eq!((slot[0].pointer.as_str(), &slot[0].message[..11]), ("/regions/1/workerCont", "region[1]: "));
        let many: Vec<String> = (0..500).map(|n| format!("key{n}")).collect();
        assert_eq!(unknown_keys("", many.iter().map(String::as_str), &HOST_KEYS).len(), MAX_NAMED);
    }
}
