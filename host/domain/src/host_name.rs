//! Names that no public zone owns: each machine, network or cluster gives them a meaning of its own. Whoever may name one
//! makes the host speak to its own surroundings, so plugins and requests may not.

/// Zones without a public owner, the longer of two that end alike first: Kubernetes' services in full and in short,
/// loopback (RFC 6761), multicast DNS (RFC 6762), private use, in which clouds keep their metadata services, home networks
/// (RFC 8375), and those that RFC 6762, appendix G, names as in common use on private networks.
const LOCAL_ZONES: [&str; 12] = [
    "cluster.local",
    "localhost",
    "localdomain",
    "local",
    "internal",
    "svc",
    "home.arpa",
    "lan",
    "intranet",
    "private",
    "corp",
    "home",
];

/// Why a name means something else in every place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalName {
    /// It has one label, which search domains and the hosts file give a meaning.
    SingleLabel,
    /// It lies in this zone, which has no public owner.
    Zone(&'static str),
}

/// Why `name` is known by its surroundings only; `None` for one that could be public. The name is in lower case and has no
/// dot at its end.
pub fn local(name: &str) -> Option<LocalName> {
    let in_zone = |zone: &&&str| name.strip_suffix(**zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    match LOCAL_ZONES.iter().find(in_zone) {
        Some(zone) => Some(LocalName::Zone(zone)),
        None => (!name.contains('.')).then_some(LocalName::SingleLabel),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_local_by_its_zone_or_because_it_has_one_label() {
        for (name, zone) in [
            ("localhost", "localhost"),
            ("a.localhost", "localhost"),
            ("printer.local", "local"),
            ("a.b.svc.cluster.local", "cluster.local"),
            ("keystone.openstack.svc", "svc"),
            ("metadata.google.internal", "internal"),
            ("router.home.arpa", "home.arpa"),
            ("nas.lan", "lan"),
            ("localhost.localdomain", "localdomain"),
        ] {
            assert_eq!(local(name), Some(LocalName::Zone(zone)), "{name}");
        }
        assert_eq!(local("keystone"), Some(LocalName::SingleLabel));
        for public in ["cloud.example", "svc.example", "notlocal.example", "xlocal.org", "arpa.example", "plan.example.org"] {
            assert_eq!(local(public), None, "{public}");
        }
    }
}
