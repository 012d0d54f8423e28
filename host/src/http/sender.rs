//! Where a request comes from. Behind a proxy every connection is the proxy's, so limits by address would hit everybody at
//! once; what a proxy says of its client is believed where the operator named that proxy, and nowhere else, because anybody
//! can write such a header.

use super::host_header::HostPort;
use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// The usual header (not of any standard), and the one of RFC 7239.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
/// The host that a proxy was asked for (not of any standard).
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// Hops that are looked at, from ours outward: more proxies in a row than anybody has.
const HOPS: usize = 32;
/// Networks that may be named.
const MOST: usize = 256;

/// Proxies whose word on their client counts. None unless they are named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// Whom a trusted proxy speaks for.
    pub client: Option<IpAddr>,
    /// A trusted proxy's headers speak of a client and name none: they contradict each other, or cannot be read.
    pub is_unnamed: bool,
}

impl Sender {
    /// By which it is counted and limited.
    pub fn address(&self) -> IpAddr {
        self.client.unwrap_or(self.peer.ip())
    }
}

impl TrustedProxies {
    /// Reads networks between commas or spaces; an address alone is a network of its own.
    ///
    /// # Errors
    /// What is no network, or would make everybody a proxy.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split([',', ' ']).filter(|word| !word.is_empty()).collect();
        if words.len() > MOST {
            return Err(format!("must be at most {MOST} networks"));
        }
        let network = |word: &&str| {
            let parsed = word.parse().or_else(|_| word.parse().map(|address: IpAddr| IpNet::from(address)));
            let network: IpNet =
                parsed.map_err(|_| format!("{word:?} must be a network such as 10.0.0.0/8, 192.0.2.7 or fd00::/8"))?;
            if network.prefix_len() == 0 {
                return Err(format!("{word:?} must not be every address: anybody could then name another one"));
            }
            Ok(network.trunc())
        };
        words.iter().map(network).collect::<Result<_, _>>().map(Self)
    }

    /// Where a request of these headers comes from.
    pub fn sender(&self, peer: SocketAddr, headers: &HeaderMap) -> Sender {
        let is_trusted = self.trusts(peer.ip());
        let client = if is_trusted { self.client(headers) } else { None };
        let speaks = headers.contains_key(X_FORWARDED_FOR) || headers.contains_key(FORWARDED);
        Sender { peer, client, is_unnamed: is_trusted && speaks && client.is_none() }
    }

    /// The host that a trusted proxy was asked for, as the nearest one says.
    pub fn forwarded_host(&self, peer: IpAddr, headers: &HeaderMap) -> Option<HostPort> {
        let nearest = values(headers, &X_FORWARDED_HOST).next().filter(|_| self.trusts(peer))?;
        HostPort::parse(nearest.trim())
    }

    /// Whether an address is one of these.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// A proxy keeps one of the headers and lets the other pass as its client wrote it, so where they differ neither counts.
    fn client(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let usual = self.outermost(values(headers, &X_FORWARDED_FOR).map(str::trim));
        let standard = self.outermost(lines(headers, &FORWARDED).flat_map(|line| from_end(line, b',')).map(said_for));
        match (headers.contains_key(X_FORWARDED_FOR), headers.contains_key(FORWARDED)) {
            (true, true) => usual.filter(|client| standard == Some(*client)),
            (true, false) => usual,
            (false, _) => standard,
        }
    }

    /// From the nearest hop outward: the first that is no trusted proxy. What stands beyond it, or beyond what cannot be read,
    /// may be made up.
    fn outermost<'a>(&self, hops: impl Iterator<Item = &'a str>) -> Option<IpAddr> {
        let mut last = None;
        for hop in hops.take(HOPS) {
            let Some(address) = address(hop) else { break };
            last = Some(address);
            if !self.trusts(address) {
                break;
            }
        }
        last
    }
}

/// All headers of a name, the last one first.
fn lines<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> + use<'a> {
    // One that is no text is an element that cannot be read.
    headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?")).rev()
}

/// The elements of a list over all headers of a name, the last one first.
fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> + use<'a> {
    lines(headers, name).flat_map(|line| line.rsplit(','))
}

/// The parts of a header between separators, the last one first. A separator within quotes is none (RFC 7239, section 4): there
/// stands what a proxy repeats of its client, such as the host that it asked for. Read from the end, so that an open quote of a
/// client cannot take in what its proxy wrote behind it.
fn from_end(header: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut left = Some(header);
    std::iter::from_fn(move || {
        let text = left?;
        let mut quoted = false;
        for (at, byte) in text.bytes().enumerate().rev() {
            let escaped = || text.as_bytes()[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
            match byte {
                b'"' if !(quoted && escaped()) => quoted = !quoted,
                byte if byte == separator && !quoted => {
                    left = Some(&text[..at]);
                    return Some(&text[at + 1..]);
                }
                _ => {}
            }
        }
        left = None;
        Some(text)
    })
}

/// `for` of an element of `Forwarded`; blank where it stands there not exactly once.
fn said_for(element: &str) -> &str {
    let pairs = from_end(element, b';').filter_map(|pair| pair.split_once('='));
    let mut said = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for")).map(|(_, value)| value.trim());
    match (said.next(), said.next()) {
        (Some(value), None) => value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value),
        _ => "",
    }
}

/// An address, with or without a port; brackets are those of IPv6.
fn address(text: &str) -> Option<IpAddr> {
    let parsed = match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(bare) => bare.parse().map(IpAddr::V6).ok(),
        None => text.parse().ok().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip())),
    };
    parsed.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn client(trusted: &str, peer: &str, headers: &[(&HeaderName, &str)]) -> String {
        let proxies = TrustedProxies::parse(trusted).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        proxies.sender(SocketAddr::new(peer.parse().unwrap(), 7), &map).address().to_string()
    }

    #[test]
    fn a_forwarded_address_counts_from_trusted_proxies_alone_and_up_to_the_first_that_is_none() {
        let ours = "10.0.0.0/8, fd00::/8";
        let usual = |peer: &str, value: &str| client(ours, peer, &[(&X_FORWARDED_FOR, value)]);
        for (peer, value, expect) in [
            ("192.0.2.1", "203.0.113.9", "192.0.2.1"),
            ("10.1.1.1", "203.0.113.9", "203.0.113.9"),
            ("::ffff:10.1.1.1", "203.0.113.9", "203.0.113.9"),
            ("fd00::1", "2001:db8::9", "2001:db8::9"),
            ("10.1.1.1", "198.51.100.66, 203.0.113.9, 10.2.2.2", "203.0.113.9"),
            ("10.1.1.1", "198.51.100.66,203.0.113.9:4711", "203.0.113.9"),
            ("10.1.1.1", "[2001:db8::9]:4711", "2001:db8::9"),
            ("10.1.1.1", "10.3.3.3, 10.2.2.2", "10.3.3.3"),
            ("10.1.1.1", "198.51.100.66, unknown, 10.2.2.2", "10.2.2.2"),
            ("10.1.1.1", "[203.0.113.9]", "10.1.1.1"),
            ("10.1.1.1", "203.0.113.9, ", "10.1.1.1"),
            ("10.1.1.1", "", "10.1.1.1"),
        ] {
            assert_eq!(usual(peer, value), expect, "{peer}: {value:?}");
        }
        assert_eq!(
            client("", "10.1.1.1", &[(&X_FORWARDED_FOR, "203.0.113.9")]),
            "10.1.1.1",
            "nobody is trusted unasked"
        );
        let twice = [(&X_FORWARDED_FOR, "198.51.100.66"), (&X_FORWARDED_FOR, "203.0.113.9")];
        assert_eq!(client(ours, "10.1.1.1", &twice), "203.0.113.9", "the last header was written last");
    }

    #[test]
    fn the_standards_header_is_read_and_two_that_differ_count_for_nothing() {
        let one = |value: &str| client("10.0.0.0/8", "10.1.1.1", &[(&FORWARDED, value)]);
        for (value, expect) in [
            ("for=203.0.113.9;proto=https", "203.0.113.9"),
            ("for=198.51.100.66, proto=https; For=\"[2001:db8::9]:47\", for=10.2.2.2", "2001:db8::9"),
            ("for=_hidden", "10.1.1.1"),
            ("by=203.0.113.9", "10.1.1.1"),
            // What a client asked for, as its proxy repeats it.
            ("for=203.0.113.9;host=\"a, for=198.51.100.66\"", "203.0.113.9"),
            ("host=\"a;for=198.51.100.66\";for=203.0.113.9", "203.0.113.9"),
            ("host=\"\\\", for=198.51.100.66\";for=203.0.113.9", "203.0.113.9"),
            ("host=\"a\\\\\", for=203.0.113.9", "203.0.113.9"),
            // An open quote of a client before what its proxy wrote.
            ("for=\"198.51.100.66, for=203.0.113.9", "203.0.113.9"),
            ("for=198.51.100.66;for=203.0.113.9", "10.1.1.1"),
        ] {
            assert_eq!(one(value), expect, "{value}");
        }
        let both =
            |usual, standard| client("10.0.0.0/8", "10.1.1.1", &[(&X_FORWARDED_FOR, usual), (&FORWARDED, standard)]);
        assert_eq!(both("203.0.113.9", "for=203.0.113.9"), "203.0.113.9");
        assert_eq!(both("203.0.113.9", "for=198.51.100.66"), "10.1.1.1");
        assert_eq!(both("", "for=198.51.100.66"), "10.1.1.1");
    }

    #[test]
    fn what_is_no_network_or_every_address_is_refused_by_its_text() {
        for bad in ["10.0.0.0/33", "ten", "10.0.0", "fd00::/8/8", "0.0.0.0/0", "::/0"] {
            let error = TrustedProxies::parse(&format!("10.0.0.0/8 {bad}")).unwrap_err();
            assert!(error.contains(bad) && error.contains("must"), "{error}");
        }
        assert!(TrustedProxies::parse(&"10.0.0.0/8 ".repeat(MOST + 1)).is_err());
        assert_eq!(TrustedProxies::parse(" , ").unwrap(), TrustedProxies::default());
    }
}
