//! The address of the API server that a kubeconfig names.

use super::BodyFault;
use super::fault::unsafe_body;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest DNS name in bytes (RFC 1035, section 2.3.4).
const NAME_BYTES: usize = 253;
/// Longest URL in bytes: a name, a port, and the path of a proxy that serves many clusters.
const URL_BYTES: usize = 1024;

/// The URL of an API server: `https`, a plain host, perhaps a port and a path, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    url: String,
    host: String,
}

impl Server {
    /// Reads the URL. It is held to what each client reads alike: no user, query, fragment, escape or odd spelling of an
    /// address.
    ///
    /// # Errors
    /// [`BodyFault::Unsafe`].
    pub fn parse(url: &str) -> Result<Self, BodyFault> {
        parts(url).map(|host| Self { url: url.to_owned(), host: host.to_owned() }).ok_or_else(|| {
            unsafe_body("its server is not an https URL of a plain host name or address, with a port or a path at most")
        })
    }

    /// The URL as it was written.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The host without port and brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Checks that the host is one of `hosts`. Addresses are compared as addresses, names without regard to case.
    ///
    /// # Errors
    /// [`BodyFault::ForeignServer`].
    pub fn check(&self, hosts: &[String]) -> Result<(), BodyFault> {
        if hosts.iter().any(|host| same_host(&self.host, host.trim_matches(['[', ']']))) {
            return Ok(());
        }
        Err(BodyFault::ForeignServer { found: self.host.clone(), expected: hosts.to_vec() })
    }
}

fn same_host(one: &str, other: &str) -> bool {
    match (one.parse::<IpAddr>(), other.parse::<IpAddr>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one.eq_ignore_ascii_case(other),
    }
}

/// The host of a URL that is of the allowed form.
fn parts(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").filter(|_| url.len() <= URL_BYTES)?;
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, after)
        }
        None => {
            let at = authority.find(':').unwrap_or(authority.len());
            let (host, after) = authority.split_at(at);
            (is_host(host).then_some(host)?, after)
        }
    };
    let port_is_right = match port.strip_prefix(':') {
        Some(port) => !port.starts_with(['+', '0']) && port.parse::<u16>().is_ok(),
        None => port.is_empty(),
    };
    let plain_path = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._~-".contains(&b));
    let no_way_up = !path.split('/').any(|part| part == "." || part == "..");
    (port_is_right && plain_path && no_way_up).then_some(host)
}

/// Whether it is a DNS name, or an IPv4 address in its usual form. A last label of digits or of `0x…` would be an address to
/// some readers (WHATWG URL, section 3.5).
pub(super) fn is_host(host: &str) -> bool {
    if host.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    let label = |label: &str| {
        let inner = !label.starts_with('-') && !label.ends_with('-');
        inner && (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = last.starts_with(|c: char| c.is_ascii_digit())
        && (last.bytes().all(|b| b.is_ascii_digit()) || last[1..].starts_with(['x', 'X']));
    host.len() <= NAME_BYTES && host.split('.').all(label) && !is_number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_https_and_a_plain_host() {
        let host = |url: &str| Server::parse(url).ok().map(|server| server.host);
        for (url, expect) in [
            ("https://[2001:db8::1]:6443", "2001:db8::1"),
            ("https://a.example", "a.example"),
            ("https://192.0.2.7:6443/", "192.0.2.7"),
            ("https://a.example/k8s/clusters/c-1", "a.example"),
            ("https://localhost:6443", "localhost"),
        ] {
            assert_eq!(host(url).as_deref(), Some(expect), "{url}");
        }
        for bad in [
            "https://",
            "https://a:b",
            "https://a b",
            "ftp://a",
            "http://a",
            "HTTPS://a",
            "https:/a",
            "https://a@b",
            "https://a:1@b",
            "https://a?x",
            "https://a#x",
            "https://a/?x",
            "https://a/%2e",
            "https://a/../b",
            "https://a:0",
            "https://a:65536",
            "https://a:+1",
            "https://a:06443",
            "https://a:",
            "https://[::1",
            "https://[a]:1",
            "https://[::1]x",
            "https://[fe80::1%25eth0]",
            "https://[fe80::1%eth0]",
            "https://0x7f.1",
            "https://127.1",
            "https://2130706433",
            "https://0x7f000001",
            "https://017700000001",
            "https://1.2.3.4.5",
            "https://a.example.",
            "https://a..b",
            "https://.a",
            "https://-a",
            "https://a_b",
            "https://\u{e4}",
            "https://a\\@b",
            "https://a\n",
            " https://a",
            "https://a ",
            "https://a\t",
            "",
            "https:///a",
            "https://010.0.0.1",
            "//a",
            "https://a:1:2",
        ] {
            assert_eq!(host(bad), None, "{bad:?}");
        }
        assert!(Server::parse(&format!("https://a/{}", "x".repeat(URL_BYTES))).is_err());
    }

    #[test]
    fn hosts_are_compared_as_what_they_are() {
        let check = |url: &str, host: &str| Server::parse(url).unwrap().check(&[host.to_owned()]).is_ok();
        assert!(check("https://[2001:DB8:0::1]:6443", "2001:db8::1"));
        assert!(check("https://[2001:db8::1]:6443", "[2001:db8::1]"));
        assert!(check("https://A.example", "a.Example"));
        assert!(!check("https://a.example.org", "a.example"));
        assert!(!check("https://192.0.2.7", "192.0.2.70"));
        let error = Server::parse("https://192.0.2.7:6443").unwrap().check(&["192.0.2.8".into()]).unwrap_err();
        assert!(error.to_string().contains("192.0.2.7") && error.to_string().contains("192.0.2.8"), "{error}");
    }
}
