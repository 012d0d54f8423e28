//! The desk where names are asked for: which pools are ours, whether a name is free, and the clients behind that. It must not
//! know deployments or what our own API answers.

use super::lookup::{HostLookup, Label, Presence};
use super::managed::ManagedDomains;
use super::pdm::{Availability, PdmClient, PoolName};
use super::registrar::{Action, ForwardError, PassedOn, Registrar, forward};
use crate::outbound::{Outbound, Url};
use std::sync::Arc;

/// What is long-lived about names.
#[derive(Clone)]
pub struct Names {
    /// The pool-domain manager.
    pub pdm: PdmClient,
    /// Domains whose names are given out.
    pub managed: ManagedDomains,
    http: Outbound,
    base: Url,
    /// None where the system names no resolver; then every look-up says so.
    lookup: Option<HostLookup>,
}

impl Names {
    /// The desk of the manager at `base`, for these domains. Asks the system's resolvers for all others.
    pub fn new(http: &Outbound, base: Url, managed: ManagedDomains) -> Arc<Self> {
        let lookup = HostLookup::system();
        if let Err(error) = &lookup {
            tracing::warn!(%error, "names of unmanaged domains cannot be looked up");
        }
        let pdm = PdmClient::new(http.clone(), base.clone());
        Arc::new(Self { pdm, managed, http: http.clone(), base, lookup: lookup.ok() })
    }

    /// Whether `label` below `domain` is free (contract 1.4). A managed domain is asked of its manager and never of DNS,
    /// where a parked wildcard makes every name look taken. Takes 5 s at most.
    pub async fn check(&self, label: &str, domain: &str) -> Availability {
        let label = match Label::parse(label) {
            Ok(label) => label,
            Err(fault) => return taken("invalid-format", fault.to_string(), String::new()),
        };
        let name = PoolName::new(domain, label.as_str());
        if name.domain.is_empty() {
            return taken("invalid-format", "a pool domain is required".to_owned(), String::new());
        }
        if !self.managed.contains(&name.domain) {
            return self.look_up(name.fqdn()).await;
        }
        self.pdm.check(&name).await.unwrap_or_else(|error| {
            tracing::warn!(dns.name = %name.fqdn(), %error, "a name could not be checked");
            let detail = "the pool-domain manager could not say whether the name is free; try again shortly";
            taken("pdm-unavailable", detail.to_owned(), name.fqdn())
        })
    }

    /// Passes a registrar call on to the manager.
    ///
    /// # Errors
    /// As [`forward`].
    pub async fn registrar(
        &self,
        registrar: Registrar,
        action: Action,
        body: Vec<u8>,
    ) -> Result<PassedOn, ForwardError> {
        forward(&self.http, &self.base, registrar, action, body).await
    }

    async fn look_up(&self, fqdn: String) -> Availability {
        let presence = match &self.lookup {
            Some(lookup) => lookup.presence(&fqdn).await,
            None => Presence::Unknown("this host has no resolver".to_owned()),
        };
        match presence {
            Presence::Absent => Availability { available: true, fqdn, ..Availability::default() },
            Presence::Present => taken("exists", format!("{fqdn} has an address already"), fqdn),
            Presence::Unknown(why) => taken("lookup-error", format!("DNS could not say: {why}"), fqdn),
        }
    }
}

fn taken(reason: &str, detail: String, fqdn: String) -> Availability {
    Availability { available: false, reason: reason.to_owned(), detail, fqdn }
}
