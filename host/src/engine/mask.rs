//! Takes secrets out of text before it leaves the engine.
//!
//! A value is looked for as it is and in the forms that tools give it: escaped for JSON, percent-encoded, as hex, and in
//! base64 at each of the three places where it may begin inside a longer text (user data is base64 as a whole).

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use catalyst_domain::Secrets;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// What stands in the place of a secret.
const MASK: &str = "***";

/// Shorter values are words like `eu` or `1`: masking them would make every line unreadable and hide nothing.
const SHORTEST_VALUE: usize = 4;

/// A line of a longer value (a key in PEM form) is masked by itself from this length on.
const SHORTEST_PART: usize = 8;

/// A core of base64 below this length would be found by chance.
const SHORTEST_CORE: usize = 6;

/// Finds the secrets of one run. `Debug` is left out on purpose.
pub(super) struct Masker {
    finder: Option<AhoCorasick>,
}

impl Masker {
    /// Prepares all forms of all values.
    pub(super) fn new(secrets: &Secrets) -> Result<Self, String> {
        let mut forms = BTreeSet::new();
        for value in secrets.values() {
            let value = value.expose();
            add_forms(value, SHORTEST_VALUE, &mut forms);
            add_forms(value.trim(), SHORTEST_VALUE, &mut forms);
            if value.trim().contains('\n') {
                value.lines().for_each(|line| add_forms(line.trim(), SHORTEST_PART, &mut forms));
            }
        }
        if forms.is_empty() {
            return Ok(Self { finder: None });
        }
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&forms)
            .map_err(|why| format!("cannot prepare the masking of secrets: {why}"))?;
        Ok(Self { finder: Some(finder) })
    }

    /// The text without secrets.
    pub(super) fn mask(&self, text: &str) -> String {
        self.mask_first(text, text.len())
    }

    /// The first `limit` bytes of the text without secrets. A secret that crosses the limit is masked as a whole, so no
    /// beginning of it is shown; for that `text` has to hold the whole of it.
    pub(super) fn mask_first(&self, text: &str, limit: usize) -> String {
        let limit = floor_boundary(text, limit);
        let mut shown = String::with_capacity(limit);
        let mut done = 0;
        for found in self.finder.iter().flat_map(|finder| finder.find_iter(text)) {
            if found.start() >= limit {
                break;
            }
            shown.push_str(&text[done..found.start()]);
            shown.push_str(MASK);
            done = found.end();
        }
        if done < limit {
            shown.push_str(&text[done..limit]);
        }
        shown
    }

    /// Masks every text of a JSON value, keys included; a number that reads like a secret becomes a masked text.
    pub(super) fn mask_json(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.mask(text),
            Value::Number(number) => {
                let text = number.to_string();
                if self.mask(&text) != text {
                    *value = Value::String(MASK.to_owned());
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask_json(item)),
            Value::Object(map) => {
                for (key, mut item) in std::mem::take(map) {
                    self.mask_json(&mut item);
                    map.insert(self.mask(&key), item);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }
}

/// The largest place at or below `at` where the text may be cut.
pub(super) fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn add_forms(value: &str, shortest: usize, forms: &mut BTreeSet<String>) {
    if value.chars().count() < shortest {
        return;
    }
    let json = Value::from(value).to_string();
    let json = json[1..json.len() - 1].to_owned();
    // Go's encoder also escapes these three, and OpenTofu is written in Go.
    forms.insert(json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"));
    forms.insert(json);
    let percent = percent_encoded(value);
    forms.insert(percent.replace("%20", "+"));
    forms.insert(percent);
    forms.insert(hex::encode(value));
    forms.insert(hex::encode_upper(value));
    forms.insert(STANDARD_NO_PAD.encode(value));
    forms.insert(URL_SAFE_NO_PAD.encode(value));
    for shift in 0..3 {
        let text = [&[0; 3][..shift], value.as_bytes()].concat();
        for encoded in [STANDARD_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
            let core = base64_core(&encoded, shift, text.len());
            if core.len() >= SHORTEST_CORE {
                forms.insert(core.to_owned());
            }
        }
    }
    forms.insert(value.to_owned());
}

/// The characters that depend on the value alone and not on its neighbours (RFC 4648: each holds six bits).
fn base64_core(encoded: &str, shift: usize, bytes: usize) -> &str {
    let from = (shift * 8).div_ceil(6);
    let to = if bytes.is_multiple_of(3) { encoded.len() } else { encoded.len() - 1 };
    encoded.get(from..to).unwrap_or_default()
}

/// RFC 3986: all but the unreserved characters.
fn percent_encoded(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalyst_domain::SecretValue;

    fn masker(value: &str) -> Masker {
        let mut secrets = Secrets::default();
        secrets.insert("token", SecretValue::new(value));
        Masker::new(&secrets).unwrap()
    }

    #[test]
    fn every_form_of_a_secret_is_masked() {
        let secret = "s3cr\"t <&> wörd/+";
        let masker = masker(secret);
        let check = |text: String| assert_eq!(masker.mask(&format!("a {text} b")), "a *** b", "{text}");
        check(secret.to_owned());
        check("s3cr\\\"t <&> wörd/+".to_owned());
        check("s3cr\\\"t \\u003c\\u0026\\u003e wörd/+".to_owned());
        check("s3cr%22t%20%3C%26%3E%20w%C3%B6rd%2F%2B".to_owned());
        check("s3cr%22t+%3C%26%3E+w%C3%B6rd%2F%2B".to_owned());
        check(hex::encode(secret));
    }

    #[test]
    fn base64_of_a_longer_text_does_not_show_the_secret() {
        let secret = "sentinel-of-some-length";
        let masker = masker(secret);
        for before in ["", "x", "xy", "xyz"] {
            let encoded = STANDARD_NO_PAD.encode(format!("{before}{secret}{before} and more"));
            let masked = masker.mask(&encoded);
            assert!(masked.contains(MASK), "{before}: {masked}");
            assert!(
                !String::from_utf8_lossy(&STANDARD_NO_PAD.decode(masked.replace(MASK, "")).unwrap_or_default())
                    .contains("entinel")
            );
        }
    }

    #[test]
    fn a_cut_never_shows_the_beginning_of_a_secret() {
        let masker = masker("sentinel");
        assert_eq!(masker.mask_first("1234sentinel tail", 7), "1234***");
        assert_eq!(masker.mask_first("1234sentinel tail", 4), "1234");
        assert_eq!(masker.mask_first("ärger", 1), "");
    }

    #[test]
    fn lines_of_a_key_are_masked_each_and_short_values_are_left() {
        assert_eq!(masker("first-line-1\nsecond-line-2").mask("see second-line-2"), "see ***");
        assert_eq!(masker("abc").mask("abc"), "abc");
    }

    #[test]
    fn json_stays_json() {
        let mut value = serde_json::json!({"sentinel": ["x sentinel y", 12345, true], "n": null});
        let mut secrets = Secrets::default();
        secrets.insert("a", SecretValue::new("sentinel"));
        secrets.insert("b", SecretValue::new("12345"));
        Masker::new(&secrets).unwrap().mask_json(&mut value);
        assert_eq!(value, serde_json::json!({"***": ["x *** y", "***", true], "n": null}));
    }
}
