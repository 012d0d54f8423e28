//! Names to addresses, for connections that a stranger asks for: the addresses that were judged are the very ones that are
//! connected to, so a name that leads elsewhere a moment later gains nothing.

use super::destination::{AllowedClouds, Host};
use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Look-ups at once. Each holds a thread for as long as the system's resolver takes, which for a name whose servers do not
/// answer is many seconds, and strangers choose the names.
const MAX_LOOKUPS: usize = 16;

/// Longest look-up of a stranger's call: a little less than a connection may take with it, so that a resolver that does not answer is
/// told from an address that does not.
const LOOKUP_TIME: Duration = Duration::from_secs(4);

/// Resolves names.
#[async_trait]
pub(super) trait Lookup: Send + Sync {
    /// The addresses of a name; a port other than 0 replaces the scheme's own.
    async fn lookup(&self, name: &str) -> std::io::Result<Vec<SocketAddr>>;
}

/// The system's resolver, with search domains and the hosts file, as every program on this machine resolves names.
pub(super) struct SystemLookup {
    free: Arc<Semaphore>,
}

impl Default for SystemLookup {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(MAX_LOOKUPS)) }
    }
}

#[async_trait]
impl Lookup for SystemLookup {
    async fn lookup(&self, name: &str) -> std::io::Result<Vec<SocketAddr>> {
        let place = self.free.clone().acquire_owned().await.map_err(std::io::Error::other)?;
        let name = name.to_owned();
        let found = tokio::task::spawn_blocking(move || {
            // Held until the thread is free again, also when nobody waits for it any more.
            let _place = place;
            (name.as_str(), 0).to_socket_addrs().map(Iterator::collect)
        });
        found.await.map_err(std::io::Error::other)?
    }
}

/// Addresses that stand in for those of some names.
pub(super) struct Overridden {
    addresses: HashMap<String, Vec<SocketAddr>>,
    others: Arc<dyn Lookup>,
}

impl Overridden {
    pub(super) fn new(addresses: &[(String, SocketAddr)], others: Arc<dyn Lookup>) -> Self {
        let addresses = addresses.iter().map(|(name, address)| (name.to_ascii_lowercase(), vec![*address])).collect();
        Self { addresses, others }
    }
}

#[async_trait]
impl Lookup for Overridden {
    async fn lookup(&self, name: &str) -> std::io::Result<Vec<SocketAddr>> {
        match self.addresses.get(name) {
            Some(addresses) => Ok(addresses.clone()),
            None => self.others.lookup(name).await,
        }
    }
}

/// What the client of strangers' calls resolves by.
pub(super) struct JudgedResolver {
    pub(super) allowed: Arc<AllowedClouds>,
    pub(super) lookup: Arc<dyn Lookup>,
    /// The proxy's name: the operator's word, and connected to in place of every name that it resolves itself.
    pub(super) proxy: Option<Host>,
}

impl Resolve for JudgedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (allowed, lookup) = (self.allowed.clone(), self.lookup.clone());
        let host = Host::named(name.as_str());
        let is_proxy = self.proxy.as_ref() == Some(&host);
        Box::pin(async move {
            let late =
                |_| std::io::Error::other(format!("the resolver gave no answer within {} s", LOOKUP_TIME.as_secs()));
            let found = timeout(LOOKUP_TIME, lookup.lookup(name.as_str())).await.map_err(late)??;
            if !is_proxy {
                let addresses: Vec<_> = found.iter().map(SocketAddr::ip).collect();
                allowed.judge_resolved(name.as_str(), &addresses)?;
            }
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}
