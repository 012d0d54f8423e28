//! Judges addresses that a request names, with a look at where they lead.

use super::NamedBy;
use super::destination::{AllowedClouds, Host, NotAllowed, Standing, is_metadata_or_link_local};
use super::named::{NamedAddress, addresses, takes_address};
use super::resolver::{Lookup, SystemLookup};
use super::unreachable::{Unreachable, UnreachableCause};
use catalyst_domain::Finding;
use catalyst_domain::provider::Descriptor;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// A person waits for findings; as long as the look-up of a pool name may take.
const BUDGET: Duration = Duration::from_secs(2);
/// Different names of one request that are resolved: a cloud has one or a few.
const MAX_NAMES: usize = 8;
/// Code of the findings.
const CODE: &str = "address-not-allowed";

/// Where requests may lead. Cheap to clone.
#[derive(Clone)]
pub struct Destinations {
    pub(super) allowed: Arc<AllowedClouds>,
    pub(super) lookup: Arc<dyn Lookup>,
    /// Where the operator says that hosts are.
    pub(super) fixed: Arc<BTreeMap<String, SocketAddr>>,
}

impl std::fmt::Debug for Destinations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Destinations").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

/// Why a name is not connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// It leads where strangers may not lead.
    #[error(transparent)]
    NotAllowed(NotAllowed),
    /// It leads nowhere now; it may later.
    #[error("it cannot be resolved: {0}")]
    Unresolved(Unreachable),
}

/// Whether a plugin has a setting that is an address.
pub fn has_address(descriptor: &Descriptor) -> bool {
    takes_address(&descriptor.settings_schema)
}

/// A finding for each address in a provider's settings that is not allowed, as far as that can be said without a look at the
/// network.
pub fn judge_offline(allowed: &AllowedClouds, settings: &Map<String, Value>, descriptor: &Descriptor) -> Vec<Finding> {
    let judge = |address: NamedAddress| {
        let judged = address.host.map_err(unreadable).and_then(|host| allowed.judge_unresolved(&host));
        judged.err().map(|refused| finding(&address.pointer, &refused))
    };
    addresses(settings, &descriptor.settings_schema).into_iter().filter_map(judge).collect()
}

impl Destinations {
    /// By the system's resolver.
    pub fn new(allowed: AllowedClouds) -> Self {
        Self { allowed: Arc::new(allowed), lookup: Arc::new(SystemLookup::default()), fixed: Arc::default() }
    }

    /// The same where the operator says of these hosts at which address they are: a request may name them.
    pub fn with_fixed(&self, addresses: impl IntoIterator<Item = (String, SocketAddr)>) -> Self {
        Self { fixed: Arc::new(addresses.into_iter().collect()), ..self.clone() }
    }

    /// The address that the operator says of a URL's host.
    pub(super) fn fixed_address(&self, url: &url::Url) -> Option<SocketAddr> {
        match Host::of(url)? {
            Host::Name(name) => self.fixed.get(&name).copied(),
            Host::Address(_) => None,
        }
    }

    /// The addresses of a host, all of them judged: who connects takes these and no others. The operator's word leads anywhere,
    /// but a name of theirs to no metadata service.
    ///
    /// # Errors
    /// [`NameFault`].
    pub async fn addresses(&self, host: &Host, named_by: NamedBy) -> Result<Vec<IpAddr>, NameFault> {
        let name = match host {
            Host::Address(address) => {
                if named_by == NamedBy::Stranger {
                    self.allowed.judge(host).map_err(NameFault::NotAllowed)?;
                }
                return Ok(vec![*address]);
            }
            Host::Name(name) => name,
        };
        let found = self.lookup.lookup(name).await.map_err(|error| unresolved(&error))?;
        let addresses: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
        match named_by {
            NamedBy::Stranger => self.allowed.judge_resolved(name, &addresses).map_err(NameFault::NotAllowed)?,
            NamedBy::Operator => {
                if let Some(address) = addresses.iter().find(|address| is_metadata_or_link_local(**address)) {
                    let rule = format!("leads to {address}, a link-local address or one of a metadata service");
                    return Err(NameFault::NotAllowed(NotAllowed { host: name.clone(), rule }));
                }
            }
        }
        Ok(addresses)
    }

    /// Judges a host that somebody else resolves.
    ///
    /// # Errors
    /// [`NotAllowed`].
    pub fn judge_unresolved(&self, host: &Host) -> Result<(), NotAllowed> {
        self.allowed.judge_unresolved(host)
    }

    /// A finding for each address in a provider's settings that is not allowed. Addresses and names of the surroundings are
    /// judged always; other names by where they lead now. One that cannot be resolved within 2 seconds passes: it may be
    /// known where a proxy or OpenTofu runs, and leads nowhere from here.
    pub async fn judge(&self, settings: &Map<String, Value>, descriptor: &Descriptor) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for NamedAddress { pointer, host } in addresses(settings, &descriptor.settings_schema) {
            if matches!(&host, Ok(Host::Name(name)) if self.fixed.contains_key(name)) {
                continue;
            }
            let judged = host.map_err(unreadable).and_then(|host| Ok((self.allowed.judge(&host)?, host)));
            match judged {
                Ok((Standing::ByAddresses | Standing::ByNetworks(_), Host::Name(name))) => {
                    by_name.entry(name).or_default().push(pointer);
                }
                Ok(_) => {}
                Err(refused) => findings.push(finding(&pointer, &refused)),
            }
        }
        if let Some((_, pointers)) = by_name.iter().nth(MAX_NAMES) {
            let message = format!("the settings name more than {MAX_NAMES} different hosts");
            findings.extend(pointers.first().map(|pointer| Finding::error(pointer, "too-many-addresses", message)));
            return findings;
        }
        let looked = by_name.into_iter().map(async |(name, pointers)| (self.leads(&name).await, pointers));
        for (judged, pointers) in futures::future::join_all(looked).await {
            if let Err(refused) = judged {
                findings.extend(pointers.iter().map(|pointer| finding(pointer, &refused)));
            }
        }
        findings
    }

    /// Where a name leads that a request chose for its cluster. Its own addresses are those that OpenTofu's outputs told; every
    /// other one must be allowed.
    ///
    /// # Errors
    /// [`NameFault`].
    pub async fn address_of(&self, name: &str, own: &[IpAddr]) -> Result<IpAddr, NameFault> {
        let found = self.lookup.lookup(name).await.map_err(|error| unresolved(&error))?;
        let addresses: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
        let refused = |rule: String| NameFault::NotAllowed(NotAllowed { host: name.to_owned(), rule });
        for address in &addresses {
            if is_metadata_or_link_local(*address) {
                return Err(refused(format!("leads to {address}, where no cluster is")));
            }
            if !own.contains(address) {
                self.allowed.judge_resolved(name, &[*address]).map_err(NameFault::NotAllowed)?;
            }
        }
        let none = || NameFault::Unresolved(Unreachable::new(UnreachableCause::UnknownName, "it has no address"));
        addresses.first().copied().ok_or_else(none)
    }

    /// Judges a name that a proxy will resolve.
    ///
    /// # Errors
    /// [`NameFault::NotAllowed`].
    pub fn judge_for_proxy(&self, name: &str) -> Result<(), NameFault> {
        self.allowed.judge_unresolved(&Host::named(name)).map_err(NameFault::NotAllowed)
    }

    async fn leads(&self, name: &str) -> Result<(), NotAllowed> {
        match timeout(BUDGET, self.lookup.lookup(name)).await {
            Ok(Ok(found)) => {
                let addresses: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
                self.allowed.judge_resolved(name, &addresses)
            }
            Ok(Err(_)) | Err(_) => self.allowed.judge_unresolved(&Host::Name(name.to_owned())),
        }
    }
}

fn unresolved(error: &io::Error) -> NameFault {
    NameFault::Unresolved(Unreachable::of_lookup(error))
}

fn unreadable(why: &'static str) -> NotAllowed {
    NotAllowed { host: "the address".to_owned(), rule: format!("{why}: write it as a plain URL") }
}

fn finding(pointer: &str, refused: &NotAllowed) -> Finding {
    let key = pointer.split('/').nth(1).unwrap_or_default().replace("~1", "/").replace("~0", "~");
    Finding::error(pointer, CODE, format!("{key}: {refused}"))
}

#[cfg(test)]
#[path = "destinations_tests.rs"]
mod tests;
