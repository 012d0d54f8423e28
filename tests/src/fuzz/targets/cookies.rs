//! The `Cookie` header: read tokens are what stands in it under the name, and nothing else.

use crate::fuzz::{Pure, Random, Target, Verdict};
use catalyst::http::read_tokens_of;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

const PIECES: &[&str] = &[
    "catalyst-read=",
    "catalyst-read",
    "Catalyst-Read=",
    "xcatalyst-read=",
    "catalyst-read2=",
    "=",
    ";",
    "; ",
    ",",
    " ",
    "\t",
    "\"",
    "a",
    "token",
    "\u{e9}",
    "\n",
    "__Host-catalyst-read=",
];
/// Fewer than any header's limit; more than any browser sends of one name.
const MOST: usize = 1_000;

pub(super) fn target() -> anyhow::Result<Box<dyn Target>> {
    Ok(Box::new(Pure { name: "cookies", dictionary: PIECES, generate, check }))
}

fn generate(random: &mut Random) -> Vec<u8> {
    random.pieces(PIECES, 12).into_bytes()
}

/// Each line of the input is a header of its own.
fn check(input: &[u8]) -> Verdict {
    let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let values = lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok());
    let headers = HeaderMap::from_iter(values.map(|value| (COOKIE, value)).take(1));
    let mut all = headers;
    for line in lines.iter().skip(1) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            all.append(COOKIE, value);
        }
    }
    let given: Vec<String> = read_tokens_of(&all).map(|token| token.expose().to_owned()).collect();
    if given.len() > MOST {
        return Verdict::Broken(format!("{} tokens", given.len()));
    }
    for token in &given {
        let pair = format!("catalyst-read={token}");
        let stands = |line: &&[u8]| line.split(|byte| *byte == b';').any(|part| part.trim_ascii() == pair.as_bytes());
        if !lines.iter().any(|line| stands(&line)) {
            return Verdict::Broken(format!("{token:?} stands nowhere under the name"));
        }
    }
    Verdict::Holds(format!("{} tokens", given.len().min(4)))
}
