//! Names of hosts: their form, how lists name them, and those that no public zone owns. Each machine, network or cluster gives the last
//! a meaning of its own. Whoever may name one makes the host speak to its own surroundings, so plugins and requests may not.

use std::net::IpAddr;

/// Longest name and longest label (RFC 1035, 2.3.4).
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// Zones that only one machine or one cluster knows, the longer of two that end alike first: Kubernetes' services in full
/// and in short, loopback (RFC 6761), multicast DNS (RFC 6762), private use, in which clouds keep their metadata services, and
/// home networks (RFC 8375).
const OWN_ZONES: [&str; 7] = ["cluster.local", "localhost", "localdomain", "local", "internal", "svc", "home.arpa"];

/// Zones in common use on private networks (RFC 6762, appendix G), where a company's own clouds may be.
const PRIVATE_ZONES: [&str; 5] = ["lan", "intranet", "private", "corp", "home"];

/// Why a name means something else in every place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalName {
    /// It has one label, which search domains and the hosts file give a meaning.
    SingleLabel,
    /// It lies in this zone, which only one machine or cluster knows.
    OwnZone(&'static str),
    /// It lies in this zone, which is in common use on private networks.
    PrivateZone(&'static str),
}

/// Why `name` is known by its surroundings only; `None` for one that could be public. The name is in lower case and has no
/// dot at its end.
pub fn local(name: &str) -> Option<LocalName> {
    let among = |zones: &[&'static str]| {
        let holds =
            |zone: &&'static str| name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        zones.iter().copied().find(|zone| holds(zone))
    };
    let zone = among(&OWN_ZONES).map(LocalName::OwnZone).or_else(|| among(&PRIVATE_ZONES).map(LocalName::PrivateZone));
    zone.or_else(|| (!name.contains('.')).then_some(LocalName::SingleLabel))
}

/// Whether this is a host name and no address in any spelling (WHATWG URL, "ends in a number"). Letters may be of either case; a dot at
/// the end, which names the root, is none of the name.
pub fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let number = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x");
    name.len() <= MAX_NAME && name.split('.').all(is_label) && !number
}

/// A host in a list, as an operator writes it. One reading for all lists: what one of them takes, the others can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostEntry<'a> {
    /// One name.
    Name(&'a str),
    /// Every name below this one; written `.example.org` or `*.example.org`.
    Below(&'a str),
    /// One address.
    Address(IpAddr),
}

impl<'a> HostEntry<'a> {
    /// Reads an entry; `None` for what is none, as with a scheme, a port or a path.
    pub fn parse(text: &'a str) -> Option<Self> {
        if let Ok(address) = text.parse() {
            return Some(Self::Address(address));
        }
        match text.strip_prefix("*.").or_else(|| text.strip_prefix('.')) {
            Some(zone) => is_name(zone).then_some(Self::Below(zone)),
            None => is_name(text).then_some(Self::Name(text)),
        }
    }
}

/// Whether a pattern means this name: the name itself, or `.example.org` for every name below example.org.
pub fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix('.') {
        None => pattern == name,
        Some(zone) => name.strip_suffix(zone).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_a_list_is_a_name_all_names_below_one_or_an_address() {
        let (long, label) = (format!("{}example", "a.".repeat(124)), "a".repeat(64));
        for (text, entry) in [
            ("Api.cloud_1.example", Some(HostEntry::Name("Api.cloud_1.example"))),
            (".example", Some(HostEntry::Below("example"))),
            ("*.cloud.example", Some(HostEntry::Below("cloud.example"))),
            ("192.0.2.7", Some(HostEntry::Address([192, 0, 2, 7].into()))),
            ("2001:db8::1", Some(HostEntry::Address(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1])))),
            ("", None),
            (".", None),
            ("..example", None),
            ("a..example", None),
            ("a.example.", None),
            ("-a.example", None),
            ("a-.example", None),
            (".-a.example", None),
            ("a b", None),
            ("https://a.example", None),
            ("a.example:443", None),
            ("127.1", None),
            ("a.0x7f", None),
            (".0.2.7", None),
            ("192.0.2.007", None),
            (long.as_str(), None),
            (label.as_str(), None),
        ] {
            assert_eq!(HostEntry::parse(text), entry, "{text}");
        }
    }

    #[test]
    fn a_pattern_is_a_name_or_every_name_below_one() {
        for (pattern, name) in [("a.example", "a.example"), (".example", "a.example"), (".a.example", "b.c.a.example")]
        {
            assert!(covers(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("a.example", "b.a.example"),
            (".a.example", "a.example"),
            (".a.example", ".a.example"),
            (".a.example", "ba.example"),
            (".a.example", "a.example.evil.org"),
        ] {
            assert!(!covers(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_name_is_local_by_its_zone_or_because_it_has_one_label() {
        for (name, zone) in [
            ("localhost", "localhost"),
            ("a.localhost", "localhost"),
            ("printer.local", "local"),
            ("a.b.svc.cluster.local", "cluster.local"),
            ("keystone.cloud.svc", "svc"),
            ("metadata.google.internal", "internal"),
            ("router.home.arpa", "home.arpa"),
            ("localhost.localdomain", "localdomain"),
        ] {
            assert_eq!(local(name), Some(LocalName::OwnZone(zone)), "{name}");
        }
        assert_eq!(local("nas.lan"), Some(LocalName::PrivateZone("lan")));
        assert_eq!(local("keystone"), Some(LocalName::SingleLabel));
        for public in
            ["cloud.example", "svc.example", "notlocal.example", "xlocal.org", "arpa.example", "plan.example.org"]
        {
            assert_eq!(local(public), None, "{public}");
        }
    }
}
