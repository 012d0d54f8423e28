//! Which characters a request may hold.
//!
//! Everything that reaches a node travels through JSON, OpenTofu, YAML and a shell script's data files. Characters that
//! one of them drops, refuses or shows as another order are refused here, by name, before anything is made of them.

use serde_json::Value;
use unicode_normalization::char::is_combining_mark;

use crate::{DeploymentRequest, Findings, Pointer, Settings};

/// Longest text in a request in bytes. The longest honest one is a 16,384-bit RSA key of about 2,800.
pub const MAX_TEXT_BYTES: usize = 4096;

/// Longest text in an answer in bytes. The host takes 8 KiB and refuses the whole answer beyond that; nobody reads so much.
const MAX_ANSWER_BYTES: usize = 4096;

/// A text that a person is to read, without what is too much of it.
pub(crate) fn cut(mut text: String) -> String {
    if text.len() > MAX_ANSWER_BYTES {
        text.truncate(text.floor_char_boundary(MAX_ANSWER_BYTES - '…'.len_utf8()));
        text.push('…');
    }
    text
}

/// Adds a finding for each text of the request with a forbidden character, or that is too long.
pub fn check_request(request: &DeploymentRequest, findings: &mut Findings) {
    let texts = [
        ("orgName", request.org_name.as_str()),
        ("orgEmail", request.org_email.as_str()),
        ("sovereignFQDN", request.sovereign_fqdn.as_str()),
        ("sovereignPoolDomain", request.pool_domain.as_str()),
        ("sovereignSubdomain", request.subdomain.as_str()),
        // A key is often pasted with its line break.
        ("sshPublicKey", request.ssh_public_key.trim()),
    ];
    for (key, text) in texts {
        check_text(&Pointer::to(key), text, findings);
    }
    if request.regions.is_empty() {
        let texts = [
            ("region", &request.region),
            ("controlPlaneSize", &request.control_plane_size),
            ("workerSize", &request.worker_size),
        ];
        for (key, text) in texts {
            check_text(&Pointer::to(key), text, findings);
        }
    }
    for (index, slot) in request.regions.iter().enumerate() {
        let texts = [
            ("provider", &slot.provider),
            ("cloudRegion", &slot.cloud_region),
            ("controlPlaneSize", &slot.control_plane_size),
            ("workerSize", &slot.worker_size),
        ];
        for (key, text) in texts {
            check_text(&Pointer::to("regions").index(index).key(key), text, findings);
        }
    }
    for (key, value) in Settings::parse(&request.extra).entries() {
        check_json(Pointer::to(key), value, findings);
    }
}

fn check_json(at: Pointer, value: &Value, findings: &mut Findings) {
    match value {
        Value::String(text) => check_text(&at, text, findings),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                check_json(at.clone().index(index), item, findings);
            }
        }
        Value::Object(items) => {
            for (key, item) in items {
                check_json(at.clone().key(key), item, findings);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn check_text(at: &Pointer, text: &str, findings: &mut Findings) {
    let fits = text.len() <= MAX_TEXT_BYTES;
    if fits && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return;
    }
    let name = at.to_string();
    let name = name.trim_start_matches('/');
    if !fits {
        let message = format!("{name} has {} bytes; at most {MAX_TEXT_BYTES} are taken", text.len());
        findings.error(at, "too-long", message);
    }
    if let Some(character) = text.chars().find(|c| is_forbidden(*c)) {
        let code_point = u32::from(character);
        let message = format!(
            "{name} has the character U+{code_point:04X}; line breaks, control, private-use and direction marks are not taken"
        );
        findings.error(at, "forbidden-character", message);
    } else if has_mark_on_a_bracket(text) {
        let message = format!("{name} has an accent on `<` or `>`; write the accent on a letter");
        findings.error(at, "forbidden-character", message);
    }
}

/// Whether a combining mark follows `<` or `>`. OpenTofu's `jsonencode()` writes these two as `\u003c` and `\u003e` and
/// composes the text afterwards, so the mark lands on the last digit and what comes out is no JSON.
pub fn has_mark_on_a_bracket(text: &str) -> bool {
    let mut before = ' ';
    text.chars().any(|character| {
        let bracket = matches!(std::mem::replace(&mut before, character), '<' | '>');
        bracket && is_combining_mark(character)
    })
}

/// Control, private-use, direction marks, line separators, byte order marks and code points that are no characters.
pub fn is_forbidden(character: char) -> bool {
    let code_point = u32::from(character);
    character.is_control()
        || matches!(character,
            '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}'
            | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fdd0}'..='\u{fdef}')
        || code_point & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("é".repeat(2048)), "é".repeat(2048));
        let long = cut("é".repeat(2049));
        assert!(long.len() <= MAX_ANSWER_BYTES && long.ends_with("é…"), "{}", long.len());
    }

    #[test]
    fn what_a_later_reader_would_drop_or_show_otherwise_is_forbidden() {
        for bad in [
            '\0',
            '\n',
            '\r',
            '\u{7f}',
            '\u{85}',
            '\u{e000}',
            '\u{10fffd}',
            '\u{202e}',
            '\u{2028}',
            '\u{feff}',
            '\u{ffff}',
        ] {
            assert!(is_forbidden(bad), "{bad:?}");
        }
        for good in ['a', ' ', 'é', '\u{301}', '日', '👩', '\u{200d}', '$', '\u{a0}'] {
            assert!(!is_forbidden(good), "{good:?}");
        }
    }

    #[test]
    fn an_accent_on_a_bracket_is_refused_before_it_breaks_the_json_on_a_node() {
        for bad in ["<\u{301}", "a>\u{323}\u{301}b", "<>\u{300}"] {
            let mut findings = Findings::new();
            check_text(&Pointer::to("orgName"), bad, &mut findings);
            assert!(findings.has_errors(), "{bad:?}");
        }
        assert!(!has_mark_on_a_bracket("<e\u{301}>") && !has_mark_on_a_bracket("\u{301}<"));
    }

    #[test]
    fn a_line_break_is_taken_at_the_end_of_a_key_only() {
        let mut findings = Findings::new();
        check_text(&Pointer::to("orgName"), "Example\n", &mut findings);
        check_text(&Pointer::to("x"), &"a".repeat(MAX_TEXT_BYTES + 1), &mut findings);
        let codes: Vec<&str> = findings.iter().map(|finding| finding.code.as_str()).collect();
        assert_eq!(codes, ["forbidden-character", "too-long"]);
        check_json(Pointer::to("extra"), &serde_json::json!({"a/b": ["ok", "no\u{1}"]}), &mut findings);
        assert_eq!(findings.iter().last().map(|finding| finding.pointer.as_str()), Some("/extra/a~1b/1"));
    }
}
