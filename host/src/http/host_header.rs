//! The host and port that a request names: in `Host`, or in its target where that is a whole URL (RFC 9112, section 3.2).

use super::error::ApiError;
use super::header_fault::HeaderFault;
use axum::extract::Request;
use axum::http::header::HOST;
use axum::http::{HeaderMap, HeaderValue, Uri, Version};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Digits of the largest port.
const PORT_DIGITS: usize = 5;

/// A host, and a port where one is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// The host.
    pub host: HostName,
    /// The port; none where it is the default one of whatever scheme.
    pub port: Option<u16>,
}

/// A host by its name or address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostName {
    /// A name in lower case.
    Name(String),
    /// An address. An IPv4 address inside IPv6 is that IPv4 address.
    Address(IpAddr),
}

impl HostPort {
    /// Reads `host`, `host:port`, `[address]` or `[address]:port` (RFC 3986, section 3.2, without user information); `None`
    /// for anything else, an empty host included.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('[') {
            let (address, after) = rest.split_once(']')?;
            let port = if after.is_empty() { after } else { after.strip_prefix(':')? };
            let address: Ipv6Addr = address.parse().ok()?;
            return Some(Self { host: HostName::of_address(address.into()), port: port_number(port).ok()? });
        }
        let (name, port) = text.split_once(':').unwrap_or((text, ""));
        if let Ok(address) = name.parse::<Ipv4Addr>() {
            return Some(Self { host: HostName::of_address(address.into()), port: port_number(port).ok()? });
        }
        let host = is_registered_name(name).then(|| HostName::Name(name.to_ascii_lowercase()))?;
        Some(Self { host, port: port_number(port).ok()? })
    }
}

impl HostName {
    /// An address, in the form in which it is compared.
    pub const fn of_address(address: IpAddr) -> Self {
        Self::Address(address.to_canonical())
    }

    /// Whether no name server outside can make this host lead elsewhere: an address, `localhost`, or a plain name below it
    /// (RFC 6761, section 6.3).
    pub fn is_fixed(&self) -> bool {
        match self {
            Self::Address(_) => true,
            Self::Name(name) => name == "localhost" || name.strip_suffix(".localhost").is_some_and(is_dns_name),
        }
    }
}

/// Whether it is made of labels with letters, digits, `-` and `_`, none of them empty.
pub fn is_dns_name(text: &str) -> bool {
    let plain =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    text.split('.').all(plain)
}

/// `reg-name` of RFC 3986, but not an empty one, which names no host in an http URL (RFC 9110, section 4.2.1).
fn is_registered_name(text: &str) -> bool {
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let fits = match byte {
            b'%' => rest.by_ref().take(2).filter(u8::is_ascii_hexdigit).count() == 2,
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte),
        };
        if !fits {
            return false;
        }
    }
    !text.is_empty()
}

/// The number of a port, which may be left out.
fn port_number(text: &str) -> Result<Option<u16>, NotAPort> {
    if text.is_empty() {
        return Ok(None);
    }
    let digits = text.len() <= PORT_DIGITS && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().map(Some).ok_or(NotAPort)
}

struct NotAPort;

/// In a request: the host that it names; none in HTTP/1.0 without `Host`.
#[derive(Debug, Clone)]
pub struct RequestHost(pub Option<HostPort>);

/// Lets a request on that names exactly one valid host.
///
/// # Errors
/// It names none, several, or one that cannot be read.
pub async fn require(mut request: Request) -> Result<Request, ApiError> {
    check(&mut request)?;
    Ok(request)
}

/// Keeps the host that a request names in its extensions.
///
/// # Errors
/// It does not name exactly one valid host.
pub fn check(request: &mut Request) -> Result<(), ApiError> {
    let host = named(request.version(), request.uri(), request.headers()).map_err(ApiError::Header)?;
    request.extensions_mut().insert(RequestHost(host));
    Ok(())
}

/// The host of a request. Where the target is a whole URL, its host counts and `Host` only has to be valid (RFC 9112,
/// section 3.2.2).
fn named(version: Version, target: &Uri, headers: &HeaderMap) -> Result<Option<HostPort>, HeaderFault> {
    let read = |value: &HeaderValue| value.to_str().ok().and_then(HostPort::parse).ok_or(HeaderFault::InvalidHost);
    let mut given = headers.get_all(HOST).iter();
    let host = match (given.next(), given.next()) {
        (Some(value), None) => Some(read(value)?),
        (None, _) if version < Version::HTTP_11 => None,
        _ => return Err(HeaderFault::InvalidHost),
    };
    match target.authority() {
        Some(authority) => HostPort::parse(authority.as_str()).map(Some).ok_or(HeaderFault::InvalidHost),
        None => Ok(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(text: &str) -> Option<bool> {
        HostPort::parse(text).map(|named| named.host.is_fixed())
    }

    #[test]
    fn an_address_and_localhost_are_fixed_and_every_other_name_is_not() {
        for text in [
            "localhost",
            "LOCALHOST:8080",
            "a.localhost",
            "a-b.c_d.localhost:1",
            "127.0.0.1",
            "127.0.0.1:8080",
            "127.0.0.1:",
            "10.1.2.3:65535",
            "[::1]",
            "[::1]:8080",
            "[2001:DB8::7]:",
            "[::ffff:127.0.0.1]:8080",
        ] {
            assert_eq!(fixed(text), Some(true), "{text}");
        }
        for text in [
            "evil.example",
            "evil.example:8080",
            "localhost.",
            "localhost.:8080",
            "localhost.evil.example",
            "notlocalhost",
            ".localhost",
            "a..localhost",
            "a!b.localhost",
            "%6cocalhost",
            "127.0.0.1.evil.example",
            "127.0.0.1.",
            "127.1",
            "0x7f.1",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "2130706433",
            "127.0.0.01",
            "x",
        ] {
            assert_eq!(fixed(text), Some(false), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_and_port_is_not_read() {
        for text in [
            "",
            ":",
            ":8080",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "me@localhost",
            "me:x@localhost",
            "localhost:8080:1",
            "localhost:80a",
            "localhost:+80",
            "localhost:-1",
            "localhost:65536",
            "localhost:000080",
            "::1",
            "[::1",
            "::1]",
            "[::1]8080",
            "[::1]:x",
            "[127.0.0.1]",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "[]",
            "a%zz",
            "a%2",
            "ä.example",
            "a\"b",
            "http://localhost",
        ] {
            assert_eq!(HostPort::parse(text), None, "{text:?}");
        }
        let same = |one: &str, other: &str| assert_eq!(HostPort::parse(one), HostPort::parse(other), "{one} {other}");
        same("A.Example:80", "a.example:80");
        same("[0:0::1]", "[::1]");
        same("[::ffff:10.0.0.1]:9", "10.0.0.1:9");
        same("a.example:", "a.example");
    }

    #[test]
    fn exactly_one_valid_host_is_wanted_and_the_targets_own_wins() {
        let host = |version, target: &str, given: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in given {
                headers.append(HOST, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            named(version, &target.parse().unwrap(), &headers)
        };
        let (old, new) = (Version::HTTP_10, Version::HTTP_11);
        let is = |text: &str| Ok(HostPort::parse(text));
        assert_eq!(host(new, "/x", &["a.example:1"]), is("a.example:1"));
        assert_eq!(host(old, "/x", &["a.example"]), is("a.example"));
        assert_eq!(host(old, "/x", &[]), Ok(None));
        assert_eq!(host(new, "http://b.example/x", &["a.example"]), is("b.example"));
        assert_eq!(host(old, "http://b.example/x", &[]), is("b.example"));
        for (version, target, given) in [
            (new, "/x", &[] as &[&str]),
            (new, "/x", &[""]),
            (new, "/x", &["a", "a"]),
            (new, "/x", &["a", "b"]),
            (new, "/x", &["a, b c"]),
            (new, "/x", &["me@a"]),
            (old, "/x", &["a", "b"]),
            (old, "/x", &["a b"]),
            (new, "http://b.example/x", &[]),
            (new, "http://me@b.example/x", &["b.example"]),
        ] {
            assert_eq!(host(version, target, given), Err(HeaderFault::InvalidHost), "{target} {given:?}");
        }
    }
}
