//! The hosts that a request may name, as an operator lists them.

use super::host_header::{HostName, HostPort, is_dns_name};
use std::net::IpAddr;

/// Hosts that may be listed: more than anybody has names.
const MOST: usize = 256;
/// Ports that a URL leaves out.
const DEFAULT_PORTS: [u16; 2] = [80, 443];

/// Listed hosts. Empty where none was listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    /// Names below it, instead of itself.
    subdomains: bool,
    /// Where it names a port, that port only.
    host: HostPort,
}

impl AllowedHosts {
    /// Reads names and addresses between commas or spaces. `.example.org` and `*.example.org` are all names below
    /// `example.org`. A port is optional; without one every port will do.
    ///
    /// # Errors
    /// The rule that an entry breaks.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split([',', ' ']).filter(|word| !word.is_empty()).collect();
        if words.is_empty() || words.len() > MOST {
            return Err(format!("must list 1 to {MOST} hosts"));
        }
        words.into_iter().map(Pattern::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether none was listed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a host is listed.
    pub fn allow(&self, host: &HostPort) -> bool {
        self.0.iter().any(|pattern| pattern.matches(host))
    }
}

impl Pattern {
    fn parse(word: &str) -> Result<Self, String> {
        let below = word.strip_prefix("*.").or_else(|| word.strip_prefix('.'));
        let whole = HostPort::parse(below.unwrap_or(word)).or_else(|| {
            let address: IpAddr = word.parse().ok()?;
            Some(HostPort { host: HostName::of_address(address), port: None })
        });
        let plain = |host: &HostPort| match &host.host {
            HostName::Name(name) => is_dns_name(name),
            HostName::Address(_) => below.is_none(),
        };
        let host = whole.filter(plain).ok_or_else(|| {
            format!(
                "{word:?} must be a host such as console.example.org, .example.org, 192.0.2.7 or [2001:db8::7], with or \
                 without a port"
            )
        })?;
        Ok(Self { subdomains: below.is_some(), host })
    }

    fn matches(&self, given: &HostPort) -> bool {
        let port = match (self.host.port, given.port) {
            (None, _) => true,
            (Some(port), None) => DEFAULT_PORTS.contains(&port),
            (Some(port), Some(given)) => port == given,
        };
        let host = match (&self.host.host, &given.host) {
            (HostName::Name(name), HostName::Name(given)) if self.subdomains => {
                let labels = given.strip_suffix(name.as_str()).and_then(|rest| rest.strip_suffix('.'));
                labels.is_some_and(is_dns_name)
            }
            (host, given) => host == given,
        };
        port && host
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_host_is_allowed_and_its_neighbours_are_not() {
        let list = "console.example.org, *.apps.example.org .sub.example.org:8443,192.0.2.7 [2001:db8::7]:9,::2 tls.example:443";
        let hosts = AllowedHosts::parse(list).unwrap();
        let allows = |text: &str| hosts.allow(&HostPort::parse(text).unwrap());
        for text in [
            "console.example.org",
            "CONSOLE.example.org:1",
            "a.apps.example.org",
            "b.a.apps.example.org:8080",
            "a.sub.example.org:8443",
            "192.0.2.7:80",
            "[::ffff:192.0.2.7]",
            "[2001:db8::7]:9",
            "[::2]:1",
            "tls.example",
            "tls.example:443",
        ] {
            assert!(allows(text), "{text}");
        }
        for text in [
            "example.org",
            "apps.example.org",
            "xapps.example.org",
            ".apps.example.org",
            "a..apps.example.org",
            "a.apps.example.org.",
            "console.example.org.",
            "console.example.org.evil.example",
            "x.console.example.org",
            "a.sub.example.org",
            "a.sub.example.org:443",
            "192.0.2.70",
            "[2001:db8::7]",
            "tls.example:80",
            "localhost",
            "127.0.0.1",
        ] {
            assert!(!allows(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused_by_its_text() {
        for bad in
            ["*", "*.", ".", "https://a.example", "a.example/", "me@a", "a.", "*.10.0.0.1", "a:b", "*a.example", "a..b"]
        {
            let error = AllowedHosts::parse(&format!("ok.example {bad}")).unwrap_err();
            assert!(error.contains(bad) && error.contains("must"), "{error}");
        }
        assert!(AllowedHosts::parse(" , ").is_err());
        assert!(AllowedHosts::parse(&"a.example ".repeat(MOST + 1)).is_err());
    }
}
