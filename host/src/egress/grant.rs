//! One entry of what a run may reach: hosts and a port.

use crate::outbound::{Host, NamedBy, Url};
use catalyst_domain::host_name::HostEntry;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;

/// Port of an entry that names none.
const HTTPS: u16 = 443;

/// Which hosts an entry means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostPattern {
    /// One name, in lower case.
    Name(String),
    /// Every name below a domain; begins with a dot.
    Suffix(String),
    /// Addresses. They count only where an address is asked for, never for what a name leads to.
    Network(IpNet),
}

/// Hosts that a run may reach, on one port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostGrant {
    /// The hosts.
    pub hosts: HostPattern,
    /// Port.
    pub port: u16,
    /// Whose word the entry is. A stranger's leads to public addresses and to `CATALYST_ALLOWED_CLOUDS`, the operator's anywhere
    /// but to metadata services.
    pub named_by: NamedBy,
    /// Connects here in place of where the name leads. The operator's word.
    pub address: Option<SocketAddr>,
}

impl HostGrant {
    /// Reads `host`, `host:port`, `.suffix:port`, `*.suffix`, `192.0.2.7:5000`, `10.0.0.0/8:5000`, `[2001:db8::1]:443` and
    /// `[2001:db8::/32]:443`. Without a port it is 443.
    ///
    /// # Errors
    /// Says what is wrong with the text, as the rest of a sentence.
    pub fn parse(text: &str, named_by: NamedBy) -> Result<Self, String> {
        let refused = || {
            format!(
                "{text:?} must be a host name, a suffix such as .example.org, an address or a network, with a port where it \
                 is not 443; without scheme and path"
            )
        };
        let (hosts, port) = split_port(text).ok_or_else(refused)?;
        let hosts = match (hosts.parse::<IpNet>(), HostEntry::parse(hosts)) {
            (Ok(network), _) => HostPattern::Network(network.trunc()),
            (Err(_), Some(HostEntry::Address(address))) => HostPattern::Network(address.into()),
            (Err(_), Some(HostEntry::Below(zone))) => HostPattern::Suffix(format!(".{}", zone.to_ascii_lowercase())),
            (Err(_), Some(HostEntry::Name(name))) => HostPattern::Name(name.to_ascii_lowercase()),
            (Err(_), None) => return Err(refused()),
        };
        Ok(Self { hosts, port, named_by, address: None })
    }

    /// Host and port of a URL; `None` where it has none.
    pub fn of_url(url: &Url, named_by: NamedBy) -> Option<Self> {
        let hosts = match Host::of(url)? {
            Host::Name(name) => HostPattern::Name(name),
            Host::Address(address) => HostPattern::Network(IpNet::from(address)),
        };
        Some(Self { hosts, port: url.port_or_known_default()?, named_by, address: None })
    }

    /// Whether it means this host, on whichever port.
    pub(super) fn covers(&self, host: &Host) -> bool {
        match (&self.hosts, host) {
            (HostPattern::Name(granted), Host::Name(name)) => granted == name,
            (HostPattern::Suffix(suffix), Host::Name(name)) => name.ends_with(suffix.as_str()),
            (HostPattern::Network(network), Host::Address(address)) => {
                network.contains(address) || network.contains(&address.to_canonical())
            }
            _ => false,
        }
    }
}

impl fmt::Display for HostGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hosts {
            HostPattern::Name(name) | HostPattern::Suffix(name) => write!(f, "{name}:{}", self.port),
            HostPattern::Network(network) if network.prefix_len() == network.max_prefix_len() => {
                write!(f, "{}", SocketAddr::new(network.addr(), self.port))
            }
            HostPattern::Network(network @ IpNet::V6(_)) => write!(f, "[{network}]:{}", self.port),
            HostPattern::Network(network) => write!(f, "{network}:{}", self.port),
        }
    }
}

/// The hosts of an entry without brackets, and its port.
fn split_port(text: &str) -> Option<(&str, u16)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = rest.split_once(']')?;
        let port = if after.is_empty() { HTTPS } else { port(after.strip_prefix(':')?)? };
        return inside.contains(':').then_some((inside, port));
    }
    match text.split_once(':') {
        None => Some((text, HTTPS)),
        // An IPv6 address or network without brackets has no port.
        Some((_, rest)) if rest.contains(':') => Some((text, HTTPS)),
        Some((hosts, rest)) => Some((hosts, port(rest)?)),
    }
}

/// A port as it is written by itself: digits without a sign or zeros before them.
pub(super) fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, String> {
        HostGrant::parse(text, NamedBy::Operator).map(|grant| grant.to_string())
    }

    #[test]
    fn entries_are_read_and_shown_alike() {
        for (text, shown) in [
            ("API.cloud.example", "api.cloud.example:443"),
            ("api.cloud.example:8443", "api.cloud.example:8443"),
            ("*.cloud.example", ".cloud.example:443"),
            (".cloud.example:5000", ".cloud.example:5000"),
            ("192.0.2.7:5000", "192.0.2.7:5000"),
            ("10.1.2.3/8:5000", "10.0.0.0/8:5000"),
            ("2001:db8::1", "[2001:db8::1]:443"),
            ("[2001:db8::1]:5000", "[2001:db8::1]:5000"),
            ("[2001:db8::/32]:5000", "[2001:db8::/32]:5000"),
        ] {
            assert_eq!(parsed(text).as_deref(), Ok(shown), "{text}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for text in [
            "",
            "https://a.example",
            "a.example/x",
            "a.example:",
            "a.example:0",
            "a.example:+1",
            "a.example:65536",
            "a.example:0443",
            "0x7f.1",
            "127.1",
            "[a.example]:1",
            "a_b..c",
            "user@a.example",
            "*",
            ".",
            "a b",
        ] {
            assert!(parsed(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_suffix_is_not_the_domain_itself_and_a_network_holds_no_name() {
        let covers =
            |text: &str, host: &str| HostGrant::parse(text, NamedBy::Operator).unwrap().covers(&Host::named(host));
        assert!(covers(".example.org", "a.b.example.org") && !covers(".example.org", "example.org"));
        assert!(!covers(".example.org", "evilexample.org") && covers("a.example", "A.EXAMPLE."));
        assert!(
            covers("10.0.0.0/8", "10.2.3.4") && !covers("10.0.0.0/8", "11.0.0.1") && !covers("0.0.0.0/0", "a.example")
        );
        assert!(covers("10.0.0.0/8", "::ffff:10.2.3.4"));
    }
}
