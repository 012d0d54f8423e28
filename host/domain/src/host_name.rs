//! Names that no public zone owns: each machine, network or cluster gives them a meaning of its own. Whoever may name one
//! makes the host speak to its own surroundings, so plugins and requests may not.

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
