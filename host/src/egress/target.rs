//! What a CONNECT asks for, read strictly: a form that two readers could take for two hosts is refused.

use super::grant::port;
use crate::outbound::Host;
use catalyst_domain::host_name::is_name;
use http::Uri;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Host and port of a CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) host: Host,
    pub(super) port: u16,
}

impl Target {
    /// Reads the authority form (RFC 9112, 3.2.3): `host:port`, where the host is a name, an IPv4 address of four decimal numbers
    /// or an IPv6 address in brackets.
    ///
    /// # Errors
    /// The rule that it breaks, as the rest of a sentence.
    pub(super) fn read(uri: &Uri) -> Result<Self, &'static str> {
        if uri.scheme().is_some() || uri.path_and_query().is_some() {
            return Err("is no host and port");
        }
        let text = uri.authority().ok_or("is no host and port")?.as_str();
        if text.contains('@') {
            return Err("has a user name before its host");
        }
        let (host, port_text) = text.rsplit_once(':').ok_or("names no port")?;
        let port = port(port_text).ok_or("names no port from 1 to 65535")?;
        let host = match host.strip_prefix('[') {
            Some(rest) => {
                let inside = rest.strip_suffix(']').ok_or("has a bracket that is not closed")?;
                Host::Address(inside.parse::<Ipv6Addr>().map_err(|_| "has no IPv6 address in its brackets")?.into())
            }
            None => match host.parse::<IpAddr>() {
                // The parser takes four decimal numbers only, without zeros before them.
                Ok(address @ IpAddr::V4(_)) => Host::Address(address),
                Ok(IpAddr::V6(_)) => return Err("has an IPv6 address without brackets"),
                Err(_) if is_name(host.strip_suffix('.').unwrap_or(host)) => Host::named(host),
                Err(_) => return Err("has a host that is no plain name and no address"),
            },
        };
        Ok(Self { host, port })
    }

    /// As it is written in a CONNECT.
    pub(super) fn authority(&self) -> String {
        match &self.host {
            Host::Address(IpAddr::V6(address)) => format!("[{address}]:{}", self.port),
            Host::Address(address) => format!("{address}:{}", self.port),
            Host::Name(name) => format!("{name}:{}", self.port),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
        Target::read(&uri).map(|target| target.authority()).map_err(str::to_owned)
    }

    #[test]
    fn names_and_addresses_are_read_in_one_spelling() {
        for (text, read_as) in [
            ("Api.Cloud.example:443", "api.cloud.example:443"),
            ("api.cloud.example.:443", "api.cloud.example:443"),
            ("192.0.2.7:5000", "192.0.2.7:5000"),
            ("[2001:DB8:0::1]:443", "[2001:db8::1]:443"),
            ("single:443", "single:443"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(read_as), "{text}");
        }
    }

    #[test]
    fn every_other_form_is_refused() {
        for text in [
            "api.cloud.example",
            "api.cloud.example:",
            "api.cloud.example:0",
            "api.cloud.example:65536",
            "api.cloud.example:0443",
            "api.cloud.example:+443",
            "user@api.cloud.example:443",
            "a:b@api.cloud.example:443",
            "127.1:443",
            "0x7f000001:443",
            "2130706433:443",
            "0177.0.0.1:443",
            "::1:443",
            "[::1:443",
            "[127.0.0.1]:443",
            "[fe80::1%25eth0]:443",
            "api..example:443",
            "-a.example:443",
            "http://api.cloud.example:443/",
            "https://api.cloud.example",
            "/x",
            "*",
            "api.cloud.example:443/x",
            "api.cloud.example:443?x",
        ] {
            assert!(read(text).is_err(), "{text:?} was read as {:?}", read(text));
        }
    }
}
