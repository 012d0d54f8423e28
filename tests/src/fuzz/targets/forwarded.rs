//! Whom a trusted proxy speaks for: against a reading of the headers by the grammar of RFC 7239, and with whatever a client may
//! have written before its proxy did.

use crate::fuzz::{Pure, Random, Target, Verdict};
use catalyst::http::TrustedProxies;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::net::{IpAddr, SocketAddr};

/// Networks of the proxies, and the one that every request comes from.
const TRUSTED: &str = "10.0.0.0/8 fd00::/8";
const PROXY: &str = "10.1.1.1";
/// The client of the nearest proxy.
const CLIENT: &str = "203.0.113.9";

const PIECES: &[&str] = &[
    "for=",
    "For=",
    "for =",
    "by=",
    "host=",
    "proto=https",
    ";",
    ",",
    ", ",
    "\"",
    "\\\"",
    "\\",
    "[",
    "]",
    ":",
    "198.51.100.66",
    "198.51.100.66:80",
    "\"[2001:db8::66]:80\"",
    "10.2.2.2",
    "fd00::2",
    "unknown",
    "_hidden",
    "::ffff:198.51.100.66",
    " ",
    "\t",
    "=",
    "for=198.51.100.66",
    "for=\"198.51.100.66\"",
    "host=\"a, for=198.51.100.66\"",
    "\u{e9}",
    "for=10.2.2.2",
];

pub(super) fn target() -> anyhow::Result<Box<dyn Target>> {
    Ok(Box::new(Pure { name: "forwarded", dictionary: PIECES, generate, check }))
}

/// A value of one of the headers; its first byte says which.
fn generate(random: &mut Random) -> Vec<u8> {
    let kind = random.pick(&["F", "X"]);
    let elements: Vec<String> = (0..random.below(4)).map(|_| element(kind, random)).collect();
    let text =
        if random.one_in(3) { random.pieces(PIECES, 10) } else { elements.join(random.pick(&[",", ", ", " ,\t"])) };
    format!("{kind}{text}").into_bytes()
}

fn element(kind: &str, random: &mut Random) -> String {
    let address = random.pick(&[
        "198.51.100.66",
        "10.2.2.2",
        "203.0.113.9",
        "unknown",
        "_x",
        "198.51.100.66:80",
        "\"[2001:db8::66]:80\"",
        "\"[fd00::2]\"",
        "\"10.2.2.2:1\"",
    ]);
    if kind == "X" {
        return address.trim_matches('"').to_owned();
    }
    let mut pairs = vec![format!("{}={address}", random.pick(&["for", "For", "FOR"]))];
    if random.one_in(2) {
        pairs.push(
            random
                .pick(&[
                    "proto=https",
                    "host=a.example",
                    "by=_p",
                    "host=\"a, b\"",
                    "host=\"a;for=198.51.100.66\"",
                    "host=\"a, for=198.51.100.66\"",
                    "x=\"\\\"\"",
                ])
                .to_owned(),
        );
    }
    random.shuffle(&mut pairs);
    pairs.join(";")
}

fn check(input: &[u8]) -> Verdict {
    let Some((kind, value)) = input.split_first() else { return Verdict::Holds("empty".to_owned()) };
    let standard = *kind == b'F';
    let name = HeaderName::from_static(if standard { "forwarded" } else { "x-forwarded-for" });
    let Ok(header) = HeaderValue::from_bytes(value) else { return Verdict::Holds("no header".to_owned()) };
    let Ok(proxies) = TrustedProxies::parse(TRUSTED) else {
        return Verdict::Broken("the networks are refused".to_owned());
    };
    let sender = |values: &[HeaderValue]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), value.clone());
        }
        proxies.sender(peer(), &headers).client
    };
    let ours = sender(std::slice::from_ref(&header));
    let text = String::from_utf8_lossy(value);
    let reference = elements(&text, standard).map(|hops| nearest(&hops));
    if let (Some(reference), Some(named)) = (reference, ours)
        && !trusted(named)
        && reference != Some(named)
    {
        return Verdict::Broken(format!("{named} is named where the grammar gives {reference:?}"));
    }
    // What a client wrote, and behind it what its proxy did: in the same line, and in one of its own.
    for own in proxy_wrote(standard) {
        let own_header = HeaderValue::from_str(own).unwrap_or_else(|_| HeaderValue::from_static(""));
        let joined =
            HeaderValue::from_bytes(&[value, b", ", own.as_bytes()].concat()).unwrap_or_else(|_| own_header.clone());
        for named in [sender(&[joined]), sender(&[header.clone(), own_header])].into_iter().flatten() {
            if named.to_string() != CLIENT {
                return Verdict::Broken(format!("a client is taken for {named}: its proxy wrote {own}"));
            }
        }
    }
    Verdict::Holds(
        match (reference, ours) {
            (None, None) => "not by the grammar, nobody named",
            (None, Some(_)) => "not by the grammar, somebody named",
            (Some(_), None) => "nobody named",
            (Some(_), Some(named)) if trusted(named) => "a proxy named",
            (Some(_), Some(_)) => "a client named",
        }
        .to_owned(),
    )
}

/// What proxies append: bare, with what they tell besides, and with a text of the client's within quotes.
fn proxy_wrote(standard: bool) -> &'static [&'static str] {
    if standard {
        &[
            "for=203.0.113.9",
            "for=203.0.113.9;proto=https;host=a.example",
            "for=203.0.113.9;host=\"a, for=198.51.100.66\"",
            "host=\"\\\", for=198.51.100.66\";for=\"203.0.113.9:47\"",
        ]
    } else {
        &["203.0.113.9"]
    }
}

fn peer() -> SocketAddr {
    SocketAddr::new(PROXY.parse().unwrap_or(IpAddr::from([10, 1, 1, 1])), 7)
}

fn trusted(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(address) => address.octets()[0] == 0xfd,
    }
}

/// From the nearest hop outward, the first that is no proxy of ours; what cannot be read ends the walk.
fn nearest(hops: &[Option<IpAddr>]) -> Option<IpAddr> {
    let mut last = None;
    for hop in hops.iter().rev() {
        let Some(address) = hop else { break };
        last = Some(*address);
        if !trusted(*address) {
            break;
        }
    }
    last
}

/// The hops of a header; `None` where it is not of its grammar.
fn elements(text: &str, standard: bool) -> Option<Vec<Option<IpAddr>>> {
    if !standard {
        return Some(text.split(',').map(|hop| node(hop.trim_matches([' ', '\t']))).collect());
    }
    let mut rest = text;
    let mut hops = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        let mut hop = None;
        loop {
            let (name, after) = token(rest)?;
            let after = after.strip_prefix('=')?;
            let (value, after) =
                quoted(after).or_else(|| token(after).map(|(value, after)| (value.to_owned(), after)))?;
            if name.eq_ignore_ascii_case("for") && hop.is_none() {
                hop = Some(node(&value));
            }
            rest = after;
            match rest.strip_prefix(';') {
                Some(after) => rest = after,
                None => break,
            }
        }
        hops.push(hop.flatten());
        rest = rest.trim_start_matches([' ', '\t']);
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None if rest.is_empty() => return Some(hops),
            None => return None,
        }
    }
}

fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut letters = inner.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &inner[at + 1..])),
            '\\' => value.push(letters.next()?.1),
            letter => value.push(letter),
        }
    }
    None
}

/// An address with or without brackets and port; anything else names nobody.
fn node(text: &str) -> Option<IpAddr> {
    let is_port = |port: &str| !port.is_empty() && port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
    let address: IpAddr = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(())?;
            IpAddr::V6(address.parse().ok()?)
        }
        None => match text.parse() {
            Ok(address) => address,
            Err(_) => {
                let (address, port) = text.split_once(':')?;
                is_port(port).then_some(())?;
                IpAddr::V4(address.parse().ok()?)
            }
        },
    };
    Some(address.to_canonical())
}
