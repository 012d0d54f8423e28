//! What an unquoted YAML scalar is: a text to every parser, or something that some of them take for another type.

/// Whether an unquoted scalar is this very text in YAML 1.1 and 1.2, wherever it stands as a value of a block mapping.
pub(super) fn is_text(scalar: &str) -> bool {
    let safe = |b: u8| b.is_ascii_alphanumeric() || b"._/@:+=~-[]".contains(&b);
    let first = |b: u8| b.is_ascii_alphanumeric() || b"/+".contains(&b);
    let plain = scalar.bytes().all(safe) && scalar.bytes().next().is_some_and(first) && !scalar.ends_with(':');
    plain && !is_typed(scalar)
}

/// Whether a plain scalar is, to some YAML parser, a null, a boolean, a number or a time.
pub(super) fn is_typed(scalar: &str) -> bool {
    let lower = scalar.to_ascii_lowercase();
    let word =
        matches!(&*lower, "" | "~" | "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n" | "=" | "<<");
    word || is_number(&lower) || is_date(&lower)
}

/// A boolean of YAML 1.2.
pub(super) fn boolean(scalar: &str) -> Option<bool> {
    match scalar {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

// Integers of any base, floats, and YAML 1.1's numbers to the base 60.
fn is_number(lower: &str) -> bool {
    let bare: String = lower.chars().filter(|c| *c != '_').collect();
    let unsigned = bare.strip_prefix(['+', '-']).unwrap_or(&bare);
    let digits = |text: &str, radix| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    let based = [("0b", 2), ("0o", 8), ("0x", 16)];
    if based.iter().any(|(prefix, radix)| unsigned.strip_prefix(prefix).is_some_and(|rest| digits(rest, *radix))) {
        return true;
    }
    if matches!(unsigned, ".inf" | ".nan" | "inf" | "nan" | "infinity") {
        return true;
    }
    let sixty = unsigned.contains(':') && unsigned.split([':', '.']).all(|part| part.is_empty() || digits(part, 10));
    let starts = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    sixty || (starts && unsigned.parse::<f64>().is_ok())
}

// A time of YAML 1.1 begins with its day.
fn is_date(lower: &str) -> bool {
    let mut parts = lower.splitn(3, '-');
    let (Some(year), Some(month), Some(day)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    year.len() == 4
        && digits(year)
        && month.len() <= 2
        && digits(month)
        && day.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_some_parser_takes_for_another_type_is_not_plain_text() {
        for typed in [
            "",
            "~",
            "null",
            "NULL",
            "true",
            "Yes",
            "off",
            "y",
            "N",
            "=",
            "<<",
            "1",
            "-1",
            "+1",
            "1_000",
            "0x1F",
            "0b1",
            "0o7",
            "07",
            "1e3",
            "1E-3",
            "1.5",
            ".5",
            "5.",
            ".inf",
            "-.INF",
            ".NaN",
            "190:20:30",
            "1:30.5",
            "2001-12-14",
            "2001-1-1t00:00:00z",
            "123e4567",
            "_1",
            "1__2",
        ] {
            assert!(is_typed(typed) && !is_text(typed), "{typed}");
        }
        for text in [
            "default",
            "LS0tLS1CRUdJTg==",
            "https://192.0.2.7:6443",
            "https://[2001:db8::1]:6443x",
            "kubernetes-admin@kubernetes",
            "12345678-1234-1234-1234-123456789012",
            "1a",
            "K10ab::server:cd",
            "192.0.2.7",
            "0xzz",
            "e3",
            "truer",
            "2001-12x",
        ] {
            assert!(!is_typed(text), "{text}");
        }
        assert!(is_text("https://[2001:db8::1]:6443"));
        for unsafe_plain in
            ["a:", "-a", "@a", "a b", "a: b", "a #b", "\u{e4}", "a\n", "'a'", "[a", "*a", "&a", "!a", "%a", "a,b", "#a"]
        {
            assert!(!is_text(unsafe_plain), "{unsafe_plain}");
        }
    }
}
