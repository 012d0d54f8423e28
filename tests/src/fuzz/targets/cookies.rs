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
pub(super) fn target() -> anyhow::Result<Box<dyn Target>> {
    Ok(Box::new(Pure { name: "cookies", dictionary: PIECES, generate, check }))
}

fn generate(random: &mut Random) -> Vec<u8> {
    random.pieces(PIECES, 12).into_bytes()
}

/// By RFC 6265, section 5.2: what stands before the first equals sign is the name, blanks around both count for nothing.
fn reference(line: &[u8]) -> Vec<String> {
    let blanks = |byte: &u8| byte.is_ascii_whitespace();
    let trim = |text: &[u8]| {
        let from = text.iter().take_while(|byte| blanks(byte)).count();
        let end = text[from..].iter().rev().take_while(|byte| blanks(byte)).count();
        text[from..text.len() - end].to_vec()
    };
    let mut found = Vec::new();
    for pair in line.split(|byte| *byte == b';') {
        let Some(at) = pair.iter().position(|byte| *byte == b'=') else { continue };
        if trim(&pair[..at]) == b"catalyst-read" {
            found.push(String::from_utf8_lossy(&trim(&pair[at + 1..])).into_owned());
        }
    }
    found
}

/// Each line of the input is a header of its own.
fn check(input: &[u8]) -> Verdict {
    let lines = input.split(|byte| *byte == b'\n');
    let headers: Vec<HeaderValue> = lines.filter_map(|line| HeaderValue::from_bytes(line).ok()).collect();
    let expected: Vec<String> = headers.iter().flat_map(|header| reference(header.as_bytes())).collect();
    let mut map = HeaderMap::new();
    for header in headers {
        map.append(COOKIE, header);
    }
    let given: Vec<String> = read_tokens_of(&map).map(|token| token.expose().to_owned()).collect();
    if given != expected {
        return Verdict::Broken(format!("{given:?} to us, {expected:?} to another reader"));
    }
    Verdict::Holds(format!("{} tokens", given.len().min(4)))
}
