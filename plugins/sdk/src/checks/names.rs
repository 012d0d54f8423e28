//! DNS names and mail addresses.

/// Whether a text is a lower-case DNS name of at least two labels that may stand in a certificate (RFC 1123): at most
/// `max_bytes` long, labels of 1 to 63 letters, digits and inner hyphens, the last label beginning with a letter.
pub fn is_dns_name(text: &str, max_bytes: usize) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last_begins_with_a_letter =
        text.rsplit_once('.').is_some_and(|(_, last)| last.starts_with(|c: char| c.is_ascii_lowercase()));
    text.len() <= max_bytes && text.split('.').all(label) && last_begins_with_a_letter
}

/// Whether a text has the form of a mail address: one `@`, a dot after it, no white space, at most 254 bytes (RFC 5321).
pub fn is_email(text: &str) -> bool {
    let Some((local, host)) = text.split_once('@') else { return false };
    let dotted = host.rsplit_once('.').is_some_and(|(name, last)| !name.is_empty() && !last.is_empty());
    !local.is_empty() && dotted && !host.contains('@') && !text.contains(char::is_whitespace) && text.len() <= 254
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_dns() {
        let long = format!("{}.example", "a".repeat(63));
        for good in ["a.b", "a-1.omani.works", "1a.b2", &long] {
            assert!(is_dns_name(good, 240), "{good}");
        }
        let too_long = format!("{}.example", "a".repeat(64));
        for bad in ["", "a", "a.", ".a", "A.b", "a_b.c", "-a.b", "a-.b", "a.1", "a.b c", "a.b\n", &too_long] {
            assert!(!is_dns_name(bad, 240), "{bad}");
        }
        assert!(!is_dns_name("aaaa.bbbb", 8));
        assert!(is_email("a@b.c") && is_email("a+b@c.d.e"));
        for bad in ["", "a", "a@b", "@b.c", "a@.c", "a@b.", "a@b@c.d", "a b@c.d"] {
            assert!(!is_email(bad), "{bad}");
        }
    }
}
