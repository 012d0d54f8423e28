//! Whether a host name exists, for pools that nobody manages (contract 1.4), and what a label may look like. DNS is asked
//! directly: the standard resolver's error does not tell "no such name" from "could not be asked".

#[cfg(test)]
mod tests;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RecordType};
use std::net::SocketAddr;
use std::time::Duration;

/// A person waits at the wizard's input field (contract 1.4).
const BUDGET: Duration = Duration::from_secs(2);

/// Longest label (RFC 1035, 2.3.4).
const MAX_LABEL: usize = 63;

/// A label that a pool takes: lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label(String);

/// The label is not of that form: `invalid-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a subdomain has 1 to 63 of a-z, 0-9 and hyphen, begins with a letter and does not end with a hyphen")]
pub struct InvalidLabel;

impl Label {
    /// Takes a label, lower-casing and trimming it.
    ///
    /// # Errors
    /// [`InvalidLabel`].
    pub fn parse(text: &str) -> Result<Self, InvalidLabel> {
        let label = text.trim().to_lowercase();
        let letters = label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let ends = label.starts_with(|c: char| c.is_ascii_lowercase()) && !label.ends_with('-');
        if letters && ends && label.len() <= MAX_LABEL { Ok(Self(label)) } else { Err(InvalidLabel) }
    }

    /// The label.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What DNS says of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// No such name, or a name without addresses.
    Absent,
    /// It has an address.
    Present,
    /// DNS could not be asked, or did not know, within 2 s: `lookup-error`.
    Unknown(String),
}

/// There is no resolver.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the resolver could not be set up: {0}")]
pub struct ResolverSetup(String);

/// Asks DNS for host names. Cheap to clone. The hosts file and search domains play no part.
#[derive(Clone)]
pub struct HostLookup {
    resolver: TokioResolver,
}

impl HostLookup {
    /// With the servers of the system (`/etc/resolv.conf`).
    ///
    /// # Errors
    /// [`ResolverSetup`] when the system names none.
    pub fn system() -> Result<Self, ResolverSetup> {
        let (config, _) = hickory_resolver::system_conf::read_system_conf().map_err(|e| setup(&e))?;
        Self::with(config)
    }

    /// With one server.
    ///
    /// # Errors
    /// [`ResolverSetup`].
    pub fn with_server(server: SocketAddr) -> Result<Self, ResolverSetup> {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = server.port();
            connection
        });
        let server = NameServerConfig::new(server.ip(), true, connections.to_vec());
        Self::with(ResolverConfig::from_name_servers(vec![server]))
    }

    fn with(config: ResolverConfig) -> Result<Self, ResolverSetup> {
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        // A lost packet is sent again within the budget.
        options.timeout = Duration::from_millis(800);
        options.attempts = 2;
        // A name that was just taken or freed must not be remembered otherwise.
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        Ok(Self { resolver: builder.build().map_err(|e| setup(&e))? })
    }

    /// Whether `fqdn` has an IPv4 or IPv6 address, within 2 s.
    pub async fn presence(&self, fqdn: &str) -> Presence {
        let Ok(mut name) = Name::from_ascii(fqdn) else {
            return Presence::Unknown("the name is not a DNS name".to_owned());
        };
        // Rooted, so that no search domain is tried.
        name.set_fqdn(true);
        let both = async { tokio::join!(self.ask(&name, RecordType::A), self.ask(&name, RecordType::AAAA)) };
        match tokio::time::timeout(BUDGET, both).await {
            Ok((Presence::Present, _) | (_, Presence::Present)) => Presence::Present,
            Ok((Presence::Absent, Presence::Absent)) => Presence::Absent,
            Ok((Presence::Unknown(why), _) | (_, Presence::Unknown(why))) => Presence::Unknown(why),
            Err(_) => Presence::Unknown(format!("no answer within {BUDGET:?}")),
        }
    }

    async fn ask(&self, name: &Name, kind: RecordType) -> Presence {
        match self.resolver.lookup(name.clone(), kind).await {
            Ok(lookup) if lookup.answers().iter().any(|r| r.record_type() == kind) => Presence::Present,
            Ok(_) => Presence::Absent,
            Err(NetError::Dns(DnsError::NoRecordsFound(none)))
                if matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError) =>
            {
                Presence::Absent
            }
            Err(error) => Presence::Unknown(error.to_string()),
        }
    }
}

fn setup(error: &dyn std::error::Error) -> ResolverSetup {
    ResolverSetup(error.to_string())
}
