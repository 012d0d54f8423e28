//! What an operator lets a plugin's bundles do, beyond being loaded: lines of `plugins.lock`, each of one right of one file.
//!
//! A component says what it wants in its descriptor ([`wanted`]); a component of contract 1.0 cannot say which arguments its module
//! sets, so there the lines alone say it. What is wanted and not granted keeps a component out (`missing`). What holds for one
//! that serves is its [`Rights`], which the policy for bundles asks.

mod line;
mod rights;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use catalyst_domain::host_name::covers;
use catalyst_domain::provider::{Descriptor, ProviderSetting, SecretSource, SettingSource};

pub(crate) use line::is_file_name;
pub use line::{GrantLine, NotAGrant, kept_bundle_needs};
pub use rights::{Basis, Rights};

use crate::policy::provider_address;

/// Where the value of an argument may come from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ArgumentSource {
    /// The variable that the plugin's secret of this name fills.
    Secret(String),
    /// A variable with the value of this key of the request.
    Request(String),
    /// A literal, or a variable that no secret fills.
    Fixed,
    /// An address at one of the granted hosts.
    Address,
    /// The address that this key of the request has.
    AddressOf(String),
}

/// A host that a plugin's probes and the runs of its deployments may reach.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostGrant {
    /// A name in lower case, or `.example.org` for every name below it.
    pub pattern: String,
    /// The address that the name leads to, whatever a resolver says: a double of a cloud in a test.
    pub at: Option<SocketAddr>,
}

/// One right.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// The bundle may set this argument in the block of this OpenTofu provider.
    Argument {
        /// Full address of the provider.
        provider: String,
        /// Name of the argument, with the names of its enclosing blocks before it, as in `endpoints.compute`.
        argument: String,
        /// Where its value comes from.
        from: ArgumentSource,
    },
    /// The bundle gets this secret of the host.
    Secret(String),
    /// This host may be reached.
    Host(HostGrant),
}

/// What a component wants, as far as its contract lets it say so.
pub fn wanted(descriptor: &Descriptor) -> BTreeSet<Grant> {
    let mut wanted = BTreeSet::new();
    for provider in &descriptor.tofu_providers {
        let Some(address) = provider_address(&provider.source) else { continue };
        let of = |setting: &ProviderSetting| Grant::Argument {
            provider: address.clone(),
            argument: setting.argument.clone(),
            from: source(setting),
        };
        wanted.extend(provider.settings.iter().flatten().map(of));
    }
    wanted.extend(descriptor.secrets.iter().filter_map(|secret| match &secret.source {
        SecretSource::Host(name) => Some(Grant::Secret(name.clone())),
        SecretSource::Request(_) | SecretSource::Minted => None,
    }));
    wanted.extend(descriptor.api_hosts.iter().map(|host| Grant::Host(HostGrant { pattern: host.clone(), at: None })));
    wanted
}

/// Whether a component can say which arguments its module sets, for every provider that it declares.
pub(crate) fn says_arguments(descriptor: &Descriptor) -> bool {
    descriptor.tofu_providers.iter().all(|provider| provider.settings.is_some())
}

fn source(setting: &ProviderSetting) -> ArgumentSource {
    match (&setting.source, setting.address) {
        (SettingSource::Request(key), true) => ArgumentSource::AddressOf(key.clone()),
        (SettingSource::Fixed, true) => ArgumentSource::Address,
        (SettingSource::Secret(name), _) => ArgumentSource::Secret(name.clone()),
        (SettingSource::Request(key), false) => ArgumentSource::Request(key.clone()),
        (SettingSource::Fixed, false) => ArgumentSource::Fixed,
    }
}

/// What a component wants beyond these grants.
pub(crate) fn missing(descriptor: &Descriptor, granted: &BTreeSet<Grant>) -> Vec<Grant> {
    let is_granted = |wanted: &Grant| granted.iter().any(|grant| grant.gives(wanted));
    wanted(descriptor).into_iter().filter(|wanted| !is_granted(wanted)).collect()
}

impl Grant {
    /// Whether it gives this right: the same one, or a host by a suffix that covers it.
    pub(crate) fn gives(&self, right: &Self) -> bool {
        match right {
            Self::Host(host) => self.covers_host(&host.pattern),
            other => self == other,
        }
    }

    /// Whether what it allows stands in the text of a bundle, so that a kept one must not be run without it.
    fn is_in_bundle(&self) -> bool {
        match self {
            Self::Argument { .. } => true,
            // A secret is filled in, and a host reached, by each run anew.
            Self::Secret(_) | Self::Host(_) => false,
        }
    }

    /// Whether it is a grant of this host, or of every name that this suffix covers.
    fn covers_host(&self, host: &str) -> bool {
        matches!(self, Self::Host(grant) if grant.pattern == host || covers(&grant.pattern, host))
    }
}

#[cfg(test)]
mod tests;
