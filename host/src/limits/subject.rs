//! Whose limit a request counts against.

use crate::auth::{Caller, Mode};
use catalyst_domain::Creator;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, LazyLock};

/// Who asks, as limits and the order of runs see it: a known caller by mode and name, else the network that the request comes
/// from. Kept in memory only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject(Arc<str>);

impl Subject {
    /// The caller of a request from this address.
    pub fn of(caller: &Caller, from: IpAddr) -> Self {
        match caller.mode {
            Mode::None => Self(format!("network {}", network(from)).into()),
            mode => Self(format!("{} {}", mode.as_str(), caller.subject).into()),
        }
    }

    /// The caller of an earlier create, by the record.
    pub fn of_creator(creator: &Creator) -> Self {
        Self(format!("{} {}", creator.mode, creator.subject).into())
    }

    /// All that nothing is known of, as deployments of an earlier process where callers are not known.
    pub fn unknown() -> Self {
        Self("unknown".into())
    }

    /// One of so many subjects that stand for all.
    pub fn shared(&self, among: u64) -> Self {
        // A fixed digest would let anybody look for names that fall together with another's.
        static SPREAD: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(format!("shared {}", SPREAD.hash_one(&self.0) % among.max(1)).into())
    }

    /// For an order between subjects that does not know what a subject is.
    pub fn key(&self) -> Arc<str> {
        self.0.clone()
    }
}

/// Whoever has one IPv6 address has its /64.
pub fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (!0 << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Scopes;

    #[test]
    fn a_known_caller_is_one_subject_from_everywhere_and_an_unknown_one_is_its_network() {
        let ana = |mode| Caller::new("ana", mode, Scopes::ALL);
        let (here, there): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        assert_eq!(Subject::of(&ana(Mode::Oidc), here), Subject::of(&ana(Mode::Oidc), there));
        assert_ne!(Subject::of(&ana(Mode::Oidc), here), Subject::of(&ana(Mode::Token), here));
        assert_ne!(Subject::of(&Caller::anybody(), here), Subject::of(&Caller::anybody(), there));
        let creator = ana(Mode::Oidc).creator().unwrap();
        assert_eq!(Subject::of_creator(&creator), Subject::of(&ana(Mode::Oidc), here));
        let six = |text: &str| Subject::of(&Caller::anybody(), text.parse().unwrap());
        assert_eq!(six("2001:db8::1"), six("2001:db8::2"));
        assert_eq!(six("::ffff:192.0.2.1"), Subject::of(&Caller::anybody(), here));
    }
}
