//! `Last-Event-ID`: where a viewer goes on.

use crate::fuzz::{Pure, Random, Target, Verdict};
use catalyst::http::last_event_id;
use http::{HeaderMap, HeaderValue};

const PIECES: &[&str] = &[
    "0",
    "1",
    "9",
    "18446744073709551615",
    "18446744073709551616",
    "-",
    "+",
    " ",
    "\t",
    "x",
    "1e3",
    "0x",
    "\u{661}",
    ".",
    ",",
];

pub(super) fn target() -> anyhow::Result<Box<dyn Target>> {
    Ok(Box::new(Pure { name: "last-event-id", dictionary: PIECES, generate, check }))
}

fn generate(random: &mut Random) -> Vec<u8> {
    random.pieces(PIECES, 4).into_bytes()
}

/// Decimal digits, perhaps with a plus; nothing else, and nothing that is too large.
fn reference(text: &[u8]) -> u64 {
    let text = text.trim_ascii();
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let digit = |sum: Option<u64>, digit: &u8| sum?.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    digits.iter().fold(Some(0), digit).unwrap_or(0)
}

fn check(input: &[u8]) -> Verdict {
    let Ok(value) = HeaderValue::from_bytes(input) else { return Verdict::Holds("no header".to_owned()) };
    let ours = last_event_id(&HeaderMap::from_iter([(http::HeaderName::from_static("last-event-id"), value)]));
    match reference(input) {
        other if other != ours => Verdict::Broken(format!("{ours} to us, {other} to another reader")),
        0 => Verdict::Holds("the beginning".to_owned()),
        _ => Verdict::Holds("a number".to_owned()),
    }
}
