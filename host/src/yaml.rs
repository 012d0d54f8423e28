//! Reads one YAML document within bounds, for texts that a plugin rendered.
//!
//! Booleans and numbers are those of YAML 1.2, so that `yes` and `0600` stay text. It must not know what a document is for.

use serde_json::Value;
use serde_saphyr::{DuplicateKeyPolicy, Options};

/// Largest text in bytes. Clouds take user data of 16 to 64 KiB; a state holds nothing larger either.
pub const MAX_BYTES: usize = 256 * 1024;
/// Deepest nesting of lists and mappings. A cloud-config has five; each level is a call on the reader's stack.
const MAX_DEPTH: usize = 32;
/// Lists, mappings and scalars. One for every four bytes of the largest text.
const MAX_NODES: usize = MAX_BYTES / 4;
/// Aliases (`*name`). Each may stand for a copy of the whole text before it, so few bound the memory of the result; a
/// cloud-config by hand has one or two.
const MAX_ALIASES: usize = 16;
/// Nodes that aliases stand for, those within aliases included.
const MAX_REPEATED: usize = 10_000;

/// Why a text cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum YamlError {
    /// It is larger than [`MAX_BYTES`].
    #[error("it has more than {MAX_BYTES} bytes")]
    TooLong,
    /// It is not one YAML document within the bounds. The source may quote the text.
    #[error("it is not one YAML document within the bounds")]
    Refused(#[source] Box<serde_saphyr::Error>),
}

/// Reads the one document of a text. Keys that are given twice and values that no JSON has are refused.
///
/// # Errors
/// [`YamlError`], also where a bound of this module is passed.
pub fn read(text: &str) -> Result<Value, YamlError> {
    if text.len() > MAX_BYTES {
        return Err(YamlError::TooLong);
    }
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| YamlError::Refused(Box::new(error)))
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: 1,
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 3 * MAX_NODES,
            max_anchors: MAX_ALIASES,
            max_aliases: MAX_ALIASES,
            max_merge_keys: MAX_ALIASES,
            max_recorded_anchor_events: MAX_REPEATED,
            max_recorded_anchor_bytes: MAX_BYTES,
            max_total_scalar_bytes: MAX_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_REPEATED },
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        // A snippet quotes the text around an error, which may hold a secret.
        with_snippet: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_those_of_yaml_1_2() {
        let text = "{mode: 0600, yes: yes, off: off, on: true, none: ~, big: 1_000, n: 12, f: 1.5, text: 'a'}";
        let expected = json!({"mode": "0600", "yes": "yes", "off": "off", "on": true, "none": null, "big": "1_000",
                              "n": 12, "f": 1.5, "text": "a"});
        assert_eq!(read(text).unwrap_or_else(|error| panic!("{error}")), expected);
    }

    #[test]
    fn anchors_and_merge_keys_are_read_as_cloud_init_reads_them() {
        let read = read("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: [*a]\n").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read, json!({"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": [{"x": 1, "y": 2}]}));
    }

    #[test]
    fn what_is_not_one_plain_document_within_the_bounds_is_refused() {
        let bomb = (1..8).fold("a0: &a0 [x,x,x,x,x,x,x,x]\n".to_owned(), |text, n| {
            let before = format!("*a{}", n - 1);
            format!("{text}a{n}: &a{n} [{}]\n", [before.as_str(); 8].join(","))
        });
        let cases = [
            ("two documents", "a: 1\n---\nb: 2\n".to_owned()),
            ("a key twice", "a: 1\na: 2\n".to_owned()),
            ("a tag of its own", "a: !mine b\n".to_owned()),
            ("an alias without an anchor", "a: *b\n".to_owned()),
            ("no end", "a: [\n".to_owned()),
            ("no number of JSON", "a: .nan\n".to_owned()),
            ("deep lists", format!("a: {}{}", "[".repeat(MAX_DEPTH + 1), "]".repeat(MAX_DEPTH + 1))),
            ("deep blocks", (0..=MAX_DEPTH).map(|n| format!("{}a:\n", " ".repeat(n))).collect()),
            ("many nodes", format!("[{}]", "1,".repeat(MAX_NODES + 1))),
            ("many aliases", format!("- &a x\n{}", "- *a\n".repeat(MAX_ALIASES + 1))),
            ("a bomb", bomb),
            ("much text", format!("a: {}", "x".repeat(MAX_BYTES))),
        ];
        for (what, text) in cases {
            assert!(read(&text).is_err(), "{what} was read");
        }
        let longest = format!("a: {}", "x".repeat(MAX_BYTES - 3));
        assert!(read(&longest).is_ok());
    }

    #[test]
    fn an_error_does_not_quote_the_text() {
        let error = read("token: sentinel-secret: x\n").unwrap_err();
        let YamlError::Refused(source) = &error else { panic!("{error}") };
        assert!(!format!("{error} {source}").contains("sentinel"), "{source}");
    }
}
