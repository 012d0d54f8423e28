//! The origin of a page as a browser writes it (RFC 6454, section 6.1): a scheme, a host and a port.

use super::host_header::{HostName, HostPort};

/// An origin of the web.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebOrigin {
    scheme: Scheme,
    host: HostName,
    /// The scheme's own where none is written.
    port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl WebOrigin {
    /// Reads `http://host`, `https://host`, each with an optional port and nothing behind it; `None` for anything else, as
    /// for `null`.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        let HostPort { host, port } = HostPort::parse(rest)?;
        Some(Self { scheme, host, port: port.unwrap_or(scheme.default_port()) })
    }

    /// The origin of a URL's pages.
    pub fn of_url(url: &str) -> Option<Self> {
        let authority = url.find("://").map(|at| at + 3)?;
        let end = url.get(authority..)?.find(['/', '?', '#']).map_or(url.len(), |length| authority + length);
        Self::parse(url.get(..end)?)
    }

    /// Its host.
    pub const fn host(&self) -> &HostName {
        &self.host
    }

    /// Whether a request that names this host goes to the origin. The scheme is not compared: TLS may end before the host.
    pub fn is_at(&self, named: &HostPort) -> bool {
        self.host == named.host && self.port == named.port.unwrap_or(self.scheme.default_port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_compared_by_host_and_port_with_default_ports_filled_in() {
        let at = |origin: &str, host: &str| WebOrigin::parse(origin).unwrap().is_at(&HostPort::parse(host).unwrap());
        for (origin, host) in [
            ("https://console.example", "console.example"),
            ("http://console.example", "console.example"),
            ("https://console.example", "console.example:443"),
            ("https://console.example:443", "console.example"),
            ("http://console.example", "CONSOLE.EXAMPLE:80"),
            ("HTTPS://Console.Example:8443", "console.example:8443"),
            ("https://localhost:8080", "localhost:8080"),
            ("http://[::1]:8080", "[0:0::1]:8080"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ] {
            assert!(at(origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("https://console.example", "console.example:80"),
            ("http://console.example:443", "console.example"),
            ("http://localhost:3000", "localhost:8080"),
            ("http://localhost", "localhost:8080"),
            ("http://localhost:8080", "127.0.0.1:8080"),
            ("http://localhost.:8080", "localhost:8080"),
            ("https://a.console.example", "console.example"),
            ("https://console.example.evil.example", "console.example"),
        ] {
            assert!(!at(origin, host), "{origin} {host}");
        }
    }

    #[test]
    fn what_is_no_origin_is_not_read() {
        for text in [
            "",
            "null",
            "console.example",
            "https://",
            "https:///",
            "https://a/",
            "https://a/b",
            "https://a b",
            "https://me@a",
            "https://a:b",
            "https://a, https://b",
            "https://a https://b",
            "file://",
            "ftp://a",
            "chrome-extension://abcdef",
            "//a",
            "https:a",
            "https://ä.example",
        ] {
            assert_eq!(WebOrigin::parse(text), None, "{text:?}");
        }
        for url in ["https://a.example", "https://a.example/", "https://A.example:443/sovereign", "https://a.example?x"]
        {
            assert_eq!(WebOrigin::of_url(url), WebOrigin::parse("https://a.example"), "{url}");
        }
        assert_eq!(WebOrigin::of_url("mailto:a"), None);
    }
}
