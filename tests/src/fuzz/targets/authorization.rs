//! The `Authorization` header of a node, against a second reading of it.

use crate::fuzz::{Pure, Random, Target, Verdict};
use catalyst::http::bearer_token;

const PIECES: &[&str] = &[
    "Bearer", "bearer", "BEARER", "Bear", "Basic", " ", "  ", "\t", "\u{a0}", "\u{e9}", "token", "=", ",", ":", "\0",
    "\r\n", "a", "0", "-", "\u{2028}",
];

pub(super) fn target() -> anyhow::Result<Box<dyn Target>> {
    Ok(Box::new(Pure { name: "authorization", dictionary: PIECES, generate, check }))
}

fn generate(random: &mut Random) -> Vec<u8> {
    let lead = random.pick(&["Bearer ", "bearer ", ""]);
    format!("{lead}{}", random.pieces(PIECES, 6)).into_bytes()
}

/// Word by word: a scheme of six letters, one space, and what is left of the rest.
fn reference(header: &str) -> Option<&str> {
    let header = header.trim();
    let end = header.char_indices().nth(6).map(|(at, _)| at)?;
    let (scheme, rest) = header.split_at(end);
    let token = rest.strip_prefix(' ')?.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn check(input: &[u8]) -> Verdict {
    let Ok(header) = std::str::from_utf8(input) else { return Verdict::Holds("no text".to_owned()) };
    match (bearer_token(header), reference(header)) {
        (ours, other) if ours != other => Verdict::Broken(format!("{ours:?} to us, {other:?} to another reader")),
        (Some(token), _) if token.trim() != token => Verdict::Broken("a token with blanks around it".to_owned()),
        (Some(_), _) => Verdict::Holds("a token".to_owned()),
        (None, _) => Verdict::Holds("none".to_owned()),
    }
}
