//! Where a stranger may make the host connect to: public addresses, and what the operator allowed (`CATALYST_ALLOWED_CLOUDS`).
//! Pure: names are judged here, and the addresses that somebody else resolved them to.

use catalyst_domain::host_name::{HostEntry, LocalName, local};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Entries of the list; nobody has so many clouds.
const MAX_ENTRIES: usize = 256;

/// Where clouds tell an instance its credentials. A network that holds one of them does not allow it; its own address does.
/// Link-local: nearly every cloud; AWS for tasks and pods. Then Tencent, Alibaba, Oracle, Azure's wire server, which is
/// a public address, and AWS' and Google's on IPv6.
const METADATA: [IpAddr; 10] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 0, 23)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// What is not public of IPv4 (IANA's registry of special-purpose addresses, RFC 6890).
const SPECIAL_V4: [(Ipv4Addr, u8, &str); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "an address of this network itself (RFC 1122)"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "a private address (RFC 1918)"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "an address behind a carrier's NAT (RFC 6598)"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "a loopback address (RFC 1122)"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "a link-local address (RFC 3927)"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "a private address (RFC 1918)"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "an address of IETF protocols (RFC 6890)"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "an address for documentation (RFC 5737)"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "an address of 6to4 relays (RFC 7526)"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "a private address (RFC 1918)"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "an address for benchmarks (RFC 2544)"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "an address for documentation (RFC 5737)"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "an address for documentation (RFC 5737)"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "a multicast address (RFC 5771)"),
    (Ipv4Addr::new(255, 255, 255, 255), 32, "the broadcast address (RFC 919)"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "a reserved address (RFC 1112)"),
];

/// What is not public of IPv6: what lies outside of 2000::/3 (RFC 4291), with a word for what has one, and what inside of it
/// leads elsewhere than it says.
const SPECIAL_V6: [(Ipv6Addr, u8, &str); 15] = [
    (Ipv6Addr::LOCALHOST, 128, "a loopback address (RFC 4291)"),
    (Ipv6Addr::UNSPECIFIED, 128, "the unspecified address (RFC 4291)"),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, "an IPv4-mapped address (RFC 4291)"),
    (Ipv6Addr::UNSPECIFIED, 96, "an IPv4-compatible address (RFC 4291)"),
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, "an address of a NAT64 (RFC 6052)"),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, "an address of a local NAT64 (RFC 8215)"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "a unique local address (RFC 4193)"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "a link-local address (RFC 4291)"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "a site-local address (RFC 3879)"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "a multicast address (RFC 4291)"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, "a Teredo address (RFC 4380)"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "an address of IETF protocols (RFC 2928)"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "an address for documentation (RFC 3849)"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "a 6to4 address (RFC 3056)"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "an address for documentation (RFC 9637)"),
];

/// The host of a URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// An address, however it was written.
    Address(IpAddr),
    /// A name in lower case, without a dot at its end.
    Name(String),
}

impl Host {
    /// Of a URL that was parsed; `None` where it has none.
    pub fn of(url: &url::Url) -> Option<Self> {
        Some(match url.host()? {
            url::Host::Ipv4(address) => Self::Address(address.into()),
            url::Host::Ipv6(address) => Self::Address(address.into()),
            url::Host::Domain(name) => Self::named(name),
        })
    }

    /// A name, or an address that is written as one.
    pub fn named(name: &str) -> Self {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        name.parse().map_or(Self::Name(name), Self::Address)
    }
}

/// Why the host does not connect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host} {rule}; allowed are public addresses, and what CATALYST_ALLOWED_CLOUDS names")]
pub struct NotAllowed {
    /// The host as it was asked for.
    pub host: String,
    /// What it is, as the rest of a sentence.
    pub rule: String,
}

/// What a host that was not resolved yet still has to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is allowed wherever it leads.
    Allowed,
    /// A name that could be public: each of its addresses must be allowed.
    ByAddresses,
    /// A name that only the host's surroundings know: each of its addresses must lie in a network of the list.
    ByNetworks(LocalName),
}

/// What the operator allows beside public addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedClouds {
    names: Vec<String>,
    suffixes: Vec<String>,
    networks: Vec<IpNet>,
}

impl AllowedClouds {
    /// Reads host names, suffixes (`.example.org` or `*.example.org`: the names below it), networks and addresses between
    /// commas or spaces.
    ///
    /// # Errors
    /// Names the first entry that is none of these.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split([',', ' ']).filter(|word| !word.is_empty()).collect();
        if words.len() > MAX_ENTRIES {
            return Err(format!("must have at most {MAX_ENTRIES} entries"));
        }
        let mut allowed = Self::default();
        for word in words {
            match (word.parse::<IpNet>(), HostEntry::parse(word)) {
                (Ok(network), _) => allowed.networks.push(network.trunc()),
                (Err(_), Some(HostEntry::Address(address))) => allowed.networks.push(address.into()),
                (Err(_), Some(HostEntry::Below(zone))) => allowed.suffixes.push(format!(".{}", zone.to_lowercase())),
                (Err(_), Some(HostEntry::Name(name))) => allowed.names.push(name.to_lowercase()),
                (Err(_), None) => {
                    return Err(format!(
                        "{word:?} must be a host name, a suffix such as .example.org, an address, or a network such as \
                         10.0.0.0/8; without scheme, port and path"
                    ));
                }
            }
        }
        Ok(allowed)
    }

    /// Whether nothing but public addresses is allowed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Judges a host as far as that can be done without resolving it.
    ///
    /// # Errors
    /// [`NotAllowed`] for an address that is not.
    pub fn judge(&self, host: &Host) -> Result<Standing, NotAllowed> {
        let name = match host {
            Host::Address(address) => return self.judge_address(*address).map(|()| Standing::Allowed),
            Host::Name(name) => name,
        };
        if self.names.contains(name) || self.suffixes.iter().any(|suffix| name.ends_with(suffix.as_str())) {
            return Ok(Standing::Allowed);
        }
        Ok(local(name).map_or(Standing::ByAddresses, Standing::ByNetworks))
    }

    /// Judges a host that nobody resolves here, as where a proxy does: a name that only the surroundings know is refused.
    ///
    /// # Errors
    /// [`NotAllowed`].
    pub fn judge_unresolved(&self, host: &Host) -> Result<(), NotAllowed> {
        match (self.judge(host)?, host) {
            (Standing::ByNetworks(why), Host::Name(name)) => Err(surroundings(name, why)),
            _ => Ok(()),
        }
    }

    /// Judges a name with the addresses that it was resolved to. One that is not allowed refuses all: which of them would be
    /// connected to is not known.
    ///
    /// # Errors
    /// [`NotAllowed`].
    pub fn judge_resolved(&self, name: &str, addresses: &[IpAddr]) -> Result<(), NotAllowed> {
        let leads_to = |address: &IpAddr, refused: NotAllowed| NotAllowed {
            host: name.to_owned(),
            rule: format!("leads to {address}, which {}", refused.rule),
        };
        let standing = self.judge(&Host::named(name))?;
        if let Standing::ByNetworks(why) = standing
            && (addresses.is_empty() || !addresses.iter().all(|address| self.lists(*address)))
        {
            return Err(surroundings(name, why));
        }
        let judged = match standing {
            Standing::Allowed => &[],
            Standing::ByAddresses | Standing::ByNetworks(_) => addresses,
        };
        judged.iter().try_for_each(|address| self.judge_address(*address).map_err(|refused| leads_to(address, refused)))
    }

    fn judge_address(&self, address: IpAddr) -> Result<(), NotAllowed> {
        let refused = |rule: String| NotAllowed { host: address.to_string(), rule };
        let carried = carried(address);
        let named = |one: IpAddr| self.networks.contains(&IpNet::from(one));
        if let Some(metadata) = METADATA.iter().find(|metadata| **metadata == address || Some(**metadata) == carried) {
            let rule = "is an address of a cloud's metadata service".to_owned();
            return if named(*metadata) { Ok(()) } else { Err(refused(rule)) };
        }
        match (self.lists(address), carried, special(address)) {
            // What is translated leads to the address that it carries.
            (true, Some(carried), Some(_)) if address.to_canonical() != carried => {
                self.judge_address(carried).map_err(|inner| refused(format!("carries {carried}, which {}", inner.rule)))
            }
            (true, ..) | (false, _, None) => Ok(()),
            (false, _, Some(what)) => Err(refused(format!("is {what}"))),
        }
    }

    /// Whether a network of the list holds an address, in either way of writing an IPv4 one.
    fn lists(&self, address: IpAddr) -> bool {
        let canonical = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address) || network.contains(&canonical))
    }
}

/// Whether an address is of the link itself or of a cloud's metadata service, where nothing of a new cluster ever is.
pub fn is_metadata_or_link_local(address: IpAddr) -> bool {
    let canonical = address.to_canonical();
    let link_local = match canonical {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    link_local || METADATA.contains(&canonical)
}

fn surroundings(name: &str, why: LocalName) -> NotAllowed {
    let rule = match why {
        LocalName::SingleLabel => "is a single label, which means something else on each network".to_owned(),
        LocalName::OwnZone(zone) | LocalName::PrivateZone(zone) => {
            format!("is a name of .{zone}, which only this host's own surroundings know")
        }
    };
    NotAllowed { host: name.to_owned(), rule }
}

/// What an address is when it is not public.
fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => {
            let inside = |(network, length, _): &&(Ipv4Addr, u8, _)| {
                let bits = |address: Ipv4Addr| u64::from(u32::from(address)) >> (32 - length);
                bits(address) == bits(*network)
            };
            SPECIAL_V4.iter().find(inside).map(|(.., what)| *what)
        }
        IpAddr::V6(address) => {
            let bits = |address: Ipv6Addr, length: u8| u128::from(address) >> (128 - length);
            let inside = |(network, length, _): &&(Ipv6Addr, u8, _)| bits(address, *length) == bits(*network, *length);
            let is_global = bits(address, 3) == 1;
            let known = SPECIAL_V6.iter().find(inside).map(|(.., what)| *what);
            known.or((!is_global).then_some("no global unicast address (RFC 4291)"))
        }
    }
}

/// The IPv4 address that an IPv6 one carries: mapped, compatible, of the well-known NAT64, of 6to4.
fn carried(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(address) = address else { return None };
    let last = |a: u16, b: u16| {
        let ([a, b], [c, d]) = (a.to_be_bytes(), b.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d).into())
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, a, b] | [0x64, 0xff9b, 0, 0, 0, 0, a, b] | [0x2002, a, b, ..] => last(a, b),
        _ => None,
    }
}
