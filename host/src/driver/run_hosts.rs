//! What a run may reach: the hosts that its plugin declares and the operator granted, and those that its cloud names itself.

use super::{Driver, Hand};
use crate::egress::{
    ApplicationCredential, CatalogueError, HostGrant, HostPattern, RunHosts, Session, service_urls, session,
};
use crate::fault_origin;
use crate::outbound::{NamedBy, Url};
use catalyst_domain::{Level, Record, SecretValue, Secrets, phase};
use catalyst_sandbox::Provider;
use catalyst_sandbox::grants::{self, ArgumentSource, Grant, GrantLine, Rights};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

/// Arguments of an OpenTofu provider whose cloud tells its services by an Identity API, version 3: its address, and an application
/// credential.
const AUTH_URL: &str = "auth_url";
const CREDENTIAL_ID: &str = "application_credential_id";
const CREDENTIAL_SECRET: &str = "application_credential_secret";

impl Hand {
    /// The hosts of a run. A cloud that names its services itself is asked for them, with the run's own credential; where it does not
    /// answer, the run goes on with granted hosts and the addresses of its request, and says so.
    pub(super) async fn run_hosts(&self, secrets: &Secrets) -> RunHosts {
        if !self.driver.engine.bounds_hosts() {
            return RunHosts::default();
        }
        let Some(record) = self.record() else { return RunHosts::default() };
        let provider = self.driver.provider_of(&record);
        let (settings, rights) = (&record.request.extra, self.driver.rights(provider.as_deref(), &record));
        let mut hosts = RunHosts { install: registries(provider.as_deref(), &rights), cloud: cloud(&rights, settings) };
        let asked = identity_service(rights.grants(), settings, secrets);
        let Some((auth_url, credential)) = asked else { return led(hosts, &rights) };
        let outbound = self.driver.settings.outbound.with_fixed(rights.addresses());
        match service_urls(&outbound, &auth_url, &credential).await {
            Ok(urls) => {
                let services = urls.iter().filter_map(|url| HostGrant::of_url(url, NamedBy::Stranger));
                let new: Vec<HostGrant> = services.filter(|grant| !hosts.cloud.contains(grant)).collect();
                hosts.cloud.extend(new);
            }
            Err(error) => {
                let host = auth_url.host_str().unwrap_or_default();
                let names = names(&requested(&rights, settings));
                let fault = match &error {
                    CatalogueError::Send(error) => fault_origin::of_call(error, host, &names),
                    CatalogueError::Status(_)
                    | CatalogueError::Answer(_)
                    | CatalogueError::NoService(_)
                    | CatalogueError::TooManyServices(_)
                    | CatalogueError::Request => None,
                };
                let remedy = fault.map(|fault| format!(". {}. {}", fault.what_happened, fault.what_to_do));
                let text = format!(
                    "the services of the cloud could not be read from {host}, so the run may reach none of them: only \
                     {host}, granted hosts and those of CATALYST_TOFU_PASS_ENV: {error}{}",
                    remedy.unwrap_or_default()
                );
                self.say(phase::HOST, Level::Warn, text).await;
            }
        }
        led(hosts, &rights)
    }
}

impl Driver {
    /// A session with the services of a region of a cloud that names them itself, for the same plugins and with the same call as for the hosts of a run.
    /// None where the cloud of this plugin is another one.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn cloud_session(
        &self,
        record: &Record,
        provider: &Provider,
        secrets: &Secrets,
        region: &str,
    ) -> Option<Result<Session, String>> {
        let rights = provider.rights();
        let (auth_url, credential) = identity_service(rights.grants(), &record.request.extra, secrets)?;
        let outbound = self.settings.outbound.with_fixed(rights.addresses());
        let host = auth_url.host_str().unwrap_or_default();
        let session = session(&outbound, &auth_url, &credential, region).await;
        Some(session.map_err(|error| format!("there is no session with {host}: {error}")))
    }
}

/// Leads each name to where the operator says that it is, whoever named it: a request and the catalogue of a cloud as well.
fn led(mut hosts: RunHosts, rights: &Rights) -> RunHosts {
    let addresses: BTreeMap<String, SocketAddr> = rights.addresses().collect();
    for grant in &mut hosts.cloud {
        if let HostPattern::Name(name) = &grant.hosts {
            grant.address = addresses.get(name).copied();
        }
    }
    hosts
}

impl Driver {
    /// Host names that a request gives as addresses of its cloud.
    pub(super) fn requested_names(&self, provider: Option<&Provider>, record: &Record) -> Vec<String> {
        names(&requested(&self.rights(provider, record), &record.request.extra))
    }

    /// The rights of the plugin; where it is not loaded, those that it had when it rendered the bundle which is kept, without what was
    /// taken back since.
    fn rights(&self, provider: Option<&Provider>, record: &Record) -> Arc<Rights> {
        if let Some(provider) = provider {
            return provider.rights();
        }
        let standing = record.render_rights.iter().filter(|line| !self.sandbox.took_back(line));
        // A line that a later release wrote and this one does not know gives nothing.
        let granted = standing.filter_map(|line| line.parse::<GrantLine>().ok()?.grant);
        Arc::new(Rights::kept(granted.collect()))
    }
}

/// Registries of providers that are not OpenTofu's own.
fn registries(provider: Option<&Provider>, rights: &Rights) -> Vec<HostGrant> {
    let declared = provider.map(|provider| provider.descriptor().tofu_providers.iter().map(|one| one.source.as_str()));
    let of_arguments = rights.grants().iter().filter_map(|grant| match grant {
        Grant::Argument { provider, .. } => Some(provider.as_str()),
        _ => None,
    });
    let sources: BTreeSet<&str> = declared.into_iter().flatten().chain(of_arguments).collect();
    let registry = |source: &str| match source.split('/').collect::<Vec<_>>().as_slice() {
        [host, _, _] => HostGrant::parse(host, NamedBy::Stranger).ok(),
        _ => None,
    };
    sources.into_iter().filter_map(registry).collect()
}

/// The hosts of its cloud that a plugin declares and the operator granted, and the addresses of its request. Only a host for which the
/// operator configured an address may be on a private network.
fn cloud(rights: &Rights, settings: &Map<String, Value>) -> Vec<HostGrant> {
    let host = |grant: &grants::HostGrant| {
        let named_by = if grant.at.is_some() { NamedBy::Operator } else { NamedBy::Stranger };
        HostGrant::parse(&grant.pattern, named_by).ok()
    };
    rights.hosts().iter().filter_map(host).chain(requested(rights, settings)).collect()
}

/// The hosts of some entries that are names.
fn names(grants: &[HostGrant]) -> Vec<String> {
    let name = |grant: &HostGrant| match &grant.hosts {
        HostPattern::Name(name) => Some(name.clone()),
        HostPattern::Suffix(_) | HostPattern::Network(_) => None,
    };
    grants.iter().filter_map(name).collect()
}

/// The hosts of the addresses that a request itself has.
fn requested(rights: &Rights, settings: &Map<String, Value>) -> Vec<HostGrant> {
    let grant = |address: &str| match address.contains("://") {
        true => Url::parse(address).ok().and_then(|url| HostGrant::of_url(&url, NamedBy::Stranger)),
        false => HostGrant::parse(address, NamedBy::Stranger).ok(),
    };
    rights.request_addresses(settings).into_iter().filter_map(grant).collect()
}

/// The identity service of a run and the credential for it. The host itself sends the credential there, so a bundle has no influence on
/// either: the address is the request's own, and one provider has the right to connect there with these secrets.
fn identity_service<'a>(
    rights: &BTreeSet<Grant>,
    settings: &Map<String, Value>,
    secrets: &'a Secrets,
) -> Option<(Url, ApplicationCredential<'a>)> {
    let sources = |of: &str, name: &str| -> Vec<&ArgumentSource> {
        let from = rights.iter().filter_map(|grant| match grant {
            Grant::Argument { provider, argument, from } if provider == of && argument == name => Some(from),
            _ => None,
        });
        from.collect()
    };
    let address = |of: &str| {
        let key = sources(of, AUTH_URL).into_iter().find_map(|from| match from {
            ArgumentSource::AddressOf(key) => settings.get(key)?.as_str(),
            _ => None,
        })?;
        Url::parse(key.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
    };
    let secret = |of: &str, name: &str| -> Option<&'a SecretValue> {
        sources(of, name).into_iter().find_map(|from| match from {
            ArgumentSource::Secret(secret) => secrets.get(secret),
            _ => None,
        })
    };
    let providers = rights.iter().filter_map(|grant| match grant {
        Grant::Argument { provider, argument, .. } if argument == AUTH_URL => Some(provider.as_str()),
        _ => None,
    });
    providers.into_iter().find_map(|of| {
        let credential =
            ApplicationCredential { id: secret(of, CREDENTIAL_ID)?, secret: secret(of, CREDENTIAL_SECRET)? };
        Some((address(of)?, credential))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalyst_domain::provider::{Catalogue, Descriptor, ProviderSetting, SettingSource, TofuProvider};

    fn argument(provider: &str, argument: &str, from: ArgumentSource) -> Grant {
        Grant::Argument { provider: provider.into(), argument: argument.into(), from }
    }

    fn secret(name: &str) -> ArgumentSource {
        ArgumentSource::Secret(name.into())
    }

    #[test]
    fn the_host_sends_a_credential_only_where_the_request_says_and_one_provider_may_connect() {
        let mut secrets = Secrets::default();
        secrets.insert("cloud-id", SecretValue::new("an id"));
        secrets.insert("cloud-secret", SecretValue::new("a secret"));
        let settings = serde_json::json!({"authUrl": "https://auth.example:5000/v3", "file": "file:///etc", "n": 7});
        let settings = settings.as_object().unwrap();
        let of = |key: &str| argument("a/b", AUTH_URL, ArgumentSource::AddressOf(key.into()));
        let id = argument("a/b", CREDENTIAL_ID, secret("cloud-id"));
        let credential = argument("a/b", CREDENTIAL_SECRET, secret("cloud-secret"));
        let all = BTreeSet::from([of("authUrl"), id.clone(), credential.clone()]);
        let (found, given) = identity_service(&all, settings, &secrets).unwrap();
        assert_eq!((found.as_str(), given.id.expose()), ("https://auth.example:5000/v3", "an id"));
        assert_eq!(given.secret.expose(), "a secret");
        assert!(identity_service(&all, settings, &Secrets::default()).is_none());
        for rights in [
            vec![id.clone(), credential.clone()],
            vec![of("authUrl"), id.clone()],
            vec![of("other"), id.clone(), credential.clone()],
            vec![of("file"), id.clone(), credential.clone()],
            vec![of("n"), id.clone(), credential.clone()],
            vec![argument("a/b", AUTH_URL, ArgumentSource::Fixed), id.clone(), credential.clone()],
            vec![of("authUrl"), id.clone(), argument("a/c", CREDENTIAL_SECRET, secret("cloud-secret"))],
            vec![of("authUrl"), id.clone(), argument("a/b", CREDENTIAL_SECRET, ArgumentSource::Fixed)],
        ] {
            let rights = BTreeSet::from_iter(rights);
            assert!(identity_service(&rights, settings, &secrets).is_none(), "{rights:?}");
        }
    }

    #[test]
    fn what_the_lock_takes_as_a_host_a_run_can_reach() {
        let reached = |host: &str| {
            let grant: Grant = format!("host {host}").parse().ok()?;
            let hosts = cloud(&Rights::kept([grant].into()), &Map::new());
            Some(hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        let (label, name) = ("a".repeat(64), format!("{}example", "a.".repeat(124)));
        for (host, shown) in [
            ("api.cloud.example", Some("api.cloud.example:443")),
            (".cloud.example", Some(".cloud.example:443")),
            ("192.0.2.7", Some("192.0.2.7:443")),
            ("api.cloud.example=127.0.0.1:8443", Some("api.cloud.example:443")),
            ("-a.example", None),
            ("a-.example", None),
            ("127.1", None),
            ("a.0x7f", None),
            (label.as_str(), None),
            (name.as_str(), None),
        ] {
            assert_eq!(reached(host).as_deref(), shown, "{host}");
        }
    }

    #[test]
    fn a_run_reaches_the_address_of_its_request_where_an_argument_may_have_it() {
        let setting = |address| ProviderSetting {
            argument: "endpoint".into(),
            source: SettingSource::Request("endpoint".into()),
            address,
        };
        let rights = |address| {
            let acme = TofuProvider {
                source: "acme/cloud".into(),
                version: "1.0.0".into(),
                settings: Some(vec![setting(address)]),
            };
            let descriptor = Descriptor {
                id: "acme".into(),
                display_name: "Acme".into(),
                version: "1.0.0".into(),
                secrets: Vec::new(),
                tofu_providers: vec![acme],
                bearer_resource: None,
                catalogue: Catalogue {
                    as_of: "2026-01-01".into(),
                    currency: "EUR".into(),
                    regions: Vec::new(),
                    machine_types: Vec::new(),
                },
                user_data_limit: 1,
                settings_schema: "{}".into(),
                api_hosts: Vec::new(),
            };
            Rights::as_declared(grants::Basis::Declared, &descriptor)
        };
        for (address, reached) in [
            ("https://cloud.example:8443/v1", Some("cloud.example:8443")),
            ("cloud.example:5000", Some("cloud.example:5000")),
            ("cloud.example", Some("cloud.example:443")),
            ("https://cloud.example@evil.example/", None),
        ] {
            let settings = serde_json::json!({"endpoint": address});
            let hosts = requested(&rights(true), settings.as_object().unwrap());
            let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
            assert_eq!(hosts.first().map(String::as_str), reached, "{address}");
            assert!(requested(&rights(false), settings.as_object().unwrap()).is_empty(), "a value is no address");
        }
    }

    #[test]
    fn the_operators_address_of_a_name_holds_for_whoever_names_it() {
        let lines = ["host auth.cloud.test=127.0.0.1:4001", "host api.cloud.test=127.0.0.1:4002", "host plain.test"];
        let rights = Rights::kept(lines.map(|line| line.parse().unwrap()).into());
        let stranger = |text: &str| HostGrant::parse(text, NamedBy::Stranger).unwrap();
        let mut cloud = cloud(&rights, &Map::new());
        cloud.extend(["auth.cloud.test:5000", "api.cloud.test:8774", "other.cloud.test", ".cloud.test"].map(stranger));
        let led = led(RunHosts { cloud, ..RunHosts::default() }, &rights);
        let shown = |grant: &HostGrant| match grant.address {
            Some(address) => format!("{grant} at {address}"),
            None => grant.to_string(),
        };
        let mut shown: Vec<String> = led.cloud.iter().map(shown).collect();
        shown.sort_unstable();
        assert_eq!(
            shown,
            [
                ".cloud.test:443",
                "api.cloud.test:443 at 127.0.0.1:4002",
                "api.cloud.test:8774 at 127.0.0.1:4002",
                "auth.cloud.test:443 at 127.0.0.1:4001",
                "auth.cloud.test:5000 at 127.0.0.1:4001",
                "other.cloud.test:443",
                "plain.test:443",
            ]
        );
    }
}
