//! What holds for a plugin that serves.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use catalyst_domain::host_name::covers;
use catalyst_domain::provider::Descriptor;
use serde_json::{Map, Value};

use super::{ArgumentSource, Grant, HostGrant, says_arguments, wanted};
use crate::policy::address_host;

/// Why a plugin has the rights that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// There is no `plugins.lock`: what the plugin declares holds.
    Declared,
    /// The lock is from before grants: what the plugin declares holds.
    BeforeGrants,
    /// Lines of the lock.
    Granted,
}

impl Basis {
    /// A word in kebab case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::BeforeGrants => "before-grants",
            Self::Granted => "granted",
        }
    }
}

/// The rights of one plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    basis: Basis,
    /// What the component wants.
    wanted: BTreeSet<Grant>,
    /// What the lock grants; what is wanted where there are no grants.
    granted: BTreeSet<Grant>,
    /// Whether the component says which arguments its module sets.
    says_arguments: bool,
}

impl Rights {
    /// Those of a plugin without a word of the operator: what it declares.
    pub fn as_declared(basis: Basis, descriptor: &Descriptor) -> Self {
        let wanted = wanted(descriptor);
        Self { basis, granted: wanted.clone(), wanted, says_arguments: says_arguments(descriptor) }
    }

    /// Those that the lock grants to its file.
    pub fn granted(descriptor: &Descriptor, granted: BTreeSet<Grant>) -> Self {
        Self { granted, ..Self::as_declared(Basis::Granted, descriptor) }
    }

    /// Those that a plugin had which is loaded no more.
    pub fn kept(granted: BTreeSet<Grant>) -> Self {
        Self { basis: Basis::Granted, wanted: granted.clone(), granted, says_arguments: true }
    }

    /// Why it has them.
    pub fn basis(&self) -> Basis {
        self.basis
    }

    /// What the component declares.
    pub fn wanted(&self) -> &BTreeSet<Grant> {
        &self.wanted
    }

    /// What the operator granted, used or not; without a word of the operator what the component declares.
    pub fn grants(&self) -> &BTreeSet<Grant> {
        &self.granted
    }

    /// Whether a bundle may set any argument: the component cannot say which ones it needs (contract 1.0), and nothing was granted.
    pub fn any_argument(&self) -> bool {
        self.basis != Basis::Granted && !self.says_arguments
    }

    /// Where the value of this argument may come from, in a fresh render: what is granted and, where the component can say so,
    /// declared as well.
    pub(crate) fn sources<'a>(
        &'a self,
        provider: &'a str,
        argument: &'a str,
    ) -> impl Iterator<Item = &'a ArgumentSource> {
        let declared = move |grant: &&Grant| !self.says_arguments || self.wanted.contains(grant);
        self.granted_sources(provider, argument, declared)
    }

    /// As [`Self::sources`], for a bundle that was admitted when it was rendered: its plugin may declare less by now.
    pub(crate) fn kept_sources<'a>(
        &'a self,
        provider: &'a str,
        argument: &'a str,
    ) -> impl Iterator<Item = &'a ArgumentSource> {
        self.granted_sources(provider, argument, |_| true)
    }

    fn granted_sources<'a>(
        &'a self,
        wanted_provider: &'a str,
        wanted_argument: &'a str,
        counts: impl Fn(&&'a Grant) -> bool + 'a,
    ) -> impl Iterator<Item = &'a ArgumentSource> {
        self.granted.iter().filter(counts).filter_map(move |grant| match grant {
            Grant::Argument { provider, argument, from }
                if provider == wanted_provider && argument == wanted_argument =>
            {
                Some(from)
            }
            _ => None,
        })
    }

    /// Hosts that the plugin's probes, its fixed addresses, and the runs of its deployments may reach: those that it declares and
    /// the operator granted; those to which the operator gave an address of their own; and, of a component that cannot declare
    /// what its provider reaches, all that were granted.
    pub fn hosts(&self) -> Vec<HostGrant> {
        let granted = || self.granted.iter().filter_map(Grant::host);
        let declared = self.wanted.iter().filter_map(Grant::host);
        let both = declared.filter(|host| self.granted.iter().any(|grant| grant.covers_host(&host.pattern)));
        let own = granted().filter(|host| host.at.is_some() || !self.says_arguments);
        let led: BTreeSet<&HostGrant> = own.collect();
        // An address of the operator's takes the place of where the name leads.
        let others = both.filter(|host| !led.iter().any(|own| own.at.is_some() && own.pattern == host.pattern));
        others.chain(led.iter().copied()).cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Where the operator says that hosts are, whatever a resolver says: name and address.
    pub fn addresses(&self) -> impl Iterator<Item = (String, SocketAddr)> + '_ {
        self.granted.iter().filter_map(Grant::host).filter_map(|host| Some((host.pattern.clone(), host.at?)))
    }

    /// The addresses of a request that the plugin may connect its provider to, such as that of a cloud's identity service.
    /// `settings` are the request's keys of that cloud. An address in any but the plainest form is left out. Each is a caller's
    /// input, so the connection must be restricted to public and allowed networks.
    pub fn request_addresses<'a>(&self, settings: &'a Map<String, Value>) -> BTreeSet<&'a str> {
        let keys = self.granted.iter().filter_map(|grant| match grant {
            Grant::Argument { from: ArgumentSource::AddressOf(key), .. } => Some(key),
            _ => None,
        });
        let addresses = keys.filter_map(|key| settings.get(key)?.as_str()).map(str::trim);
        addresses.filter(|address| address_host(address).is_some()).collect()
    }

    /// Whether this host may be reached.
    pub fn covers(&self, host: &str) -> bool {
        self.hosts().iter().any(|grant| covers(&grant.pattern, host))
    }

    /// One text for everything that an answer may depend on.
    pub(crate) fn fingerprint(&self) -> String {
        let lines: Vec<String> = self.granted.iter().map(ToString::to_string).collect();
        format!("{} {}", self.basis.name(), lines.join("\n"))
    }
}

impl Grant {
    fn host(&self) -> Option<&HostGrant> {
        match self {
            Self::Host(host) => Some(host),
            Self::Argument { .. } | Self::Secret(_) => None,
        }
    }
}
