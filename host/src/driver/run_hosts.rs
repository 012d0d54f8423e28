//! What a run may reach: the hosts that its plugin declares and the operator granted, and those that its cloud names itself.

use super::Hand;
use crate::egress::{ApplicationCredential, HostGrant, RunHosts, service_urls};
use crate::outbound::{NamedBy, Url};
use catalyst_domain::provider::Bundle;
use catalyst_domain::{Level, SecretValue, Secrets, phase};
use catalyst_sandbox::{Provider, grants};
use serde_json::Value;

/// Variables of a module whose cloud tells its services by an Identity API, version 3: its address, and an application credential.
const AUTH_URL: &str = "auth_url";
const CREDENTIAL_ID: &str = "application_credential_id";
const CREDENTIAL_SECRET: &str = "application_credential_secret";

impl Hand {
    /// The hosts of a run. A cloud that names its services itself is asked for them, with the run's own credential; where it does not
    /// answer, the run goes on with what is known, and says so.
    pub(super) async fn run_hosts(&self, bundle: &Bundle, secrets: &Secrets) -> RunHosts {
        if !self.driver.engine.bounds_hosts() {
            return RunHosts::default();
        }
        let record = self.record();
        let provider = record.and_then(|record| self.driver.provider_of(&record));
        let mut hosts = provider.map(|provider| granted(&provider)).unwrap_or_default();
        let Some((auth_url, credential)) = identity_service(bundle, secrets) else { return hosts };
        hosts.cloud.extend(HostGrant::of_url(&auth_url, NamedBy::Stranger));
        match service_urls(&self.driver.settings.outbound, &auth_url, &credential).await {
            Ok(urls) => {
                let services = urls.iter().filter_map(|url| HostGrant::of_url(url, NamedBy::Stranger));
                let new: Vec<HostGrant> = services.filter(|grant| !hosts.cloud.contains(grant)).collect();
                hosts.cloud.extend(new);
            }
            Err(error) => {
                let host = auth_url.host_str().unwrap_or_default();
                let text = format!(
                    "the services of the cloud could not be read from {host}, so the run may reach no other host: {error}"
                );
                self.say(phase::HOST, Level::Warn, text).await;
            }
        }
        hosts
    }
}

/// What a plugin declares and the operator granted: the hosts of its cloud, and registries of providers that are not OpenTofu's own. A
/// host to which the operator gave an address of its own is the operator's word.
fn granted(provider: &Provider) -> RunHosts {
    let registry = |source: &str| match source.split('/').collect::<Vec<_>>().as_slice() {
        [host, _, _] => HostGrant::parse(host, NamedBy::Stranger).ok(),
        _ => None,
    };
    let cloud = |grant: &grants::HostGrant| {
        let named_by = if grant.at.is_some() { NamedBy::Operator } else { NamedBy::Stranger };
        let parsed = HostGrant::parse(&grant.pattern, named_by).ok()?;
        Some(HostGrant { address: grant.at, ..parsed })
    };
    RunHosts {
        install: provider.descriptor().tofu_providers.iter().filter_map(|one| registry(&one.source)).collect(),
        cloud: provider.rights().hosts().iter().filter_map(cloud).collect(),
    }
}

/// The identity service of a run and the credential for it, where its module has the variables of both.
fn identity_service<'a>(bundle: &Bundle, secrets: &'a Secrets) -> Option<(Url, ApplicationCredential<'a>)> {
    let auth_url = bundle.variables.get(AUTH_URL).and_then(Value::as_str)?;
    let auth_url =
        Url::parse(auth_url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())?;
    let value = |variable: &str| -> Option<&'a SecretValue> {
        let filled = bundle.secret_variables.iter().find(|filled| filled.variable == variable)?;
        secrets.get(&filled.secret)
    };
    let credential = ApplicationCredential { id: value(CREDENTIAL_ID)?, secret: value(CREDENTIAL_SECRET)? };
    Some((auth_url, credential))
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalyst_domain::provider::SecretVariable;

    fn bundle(variables: &Value, secrets: &[(&str, &str)]) -> Bundle {
        let filled = |(secret, variable): &(&str, &str)| SecretVariable {
            secret: (*secret).to_owned(),
            variable: (*variable).to_owned(),
        };
        Bundle {
            files: Vec::new(),
            variables: variables.as_object().unwrap().clone(),
            secret_variables: secrets.iter().map(filled).collect(),
            deployment_id_variable: None,
            user_data: Vec::new(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn a_module_with_an_identity_service_and_its_credential_is_asked_for_services() {
        let mut secrets = Secrets::default();
        secrets.insert("cloud-id", SecretValue::new("an id"));
        secrets.insert("cloud-secret", SecretValue::new("a secret"));
        let both = [("cloud-id", CREDENTIAL_ID), ("cloud-secret", CREDENTIAL_SECRET)];
        let url = serde_json::json!({"auth_url": "https://auth.example:5000/v3"});
        let (found, credential) = identity_service(&bundle(&url, &both), &secrets).unwrap();
        assert_eq!((found.as_str(), credential.id.expose()), ("https://auth.example:5000/v3", "an id"));
        assert_eq!(credential.secret.expose(), "a secret");
        for (variables, filled) in [
            (serde_json::json!({}), &both[..]),
            (serde_json::json!({"auth_url": "file:///etc"}), &both[..]),
            (serde_json::json!({"auth_url": 7}), &both[..]),
            (url.clone(), &both[..1]),
        ] {
            assert!(identity_service(&bundle(&variables, filled), &secrets).is_none(), "{variables}");
        }
        assert!(identity_service(&bundle(&url, &both), &Secrets::default()).is_none());
    }
}
