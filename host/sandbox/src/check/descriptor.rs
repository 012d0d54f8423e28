//! Rules of what a plugin says about itself.

use std::collections::BTreeSet;

use catalyst_domain::host_name::{LocalName, local};
use catalyst_domain::provider::{Catalogue, Descriptor, SecretRole, SecretSource, SecretSpec};

use super::{Checked, ITEMS, NAME, TEXT, at_most, is_identifier, plain, short};

/// Longest id: it stands in paths, logs and metrics.
const ID: usize = 31;

/// Secrets of one provider.
const SECRETS: usize = 32;

/// Longest value of a secret in bytes: a service account's key file fits.
const SECRET_VALUE: u32 = 64 * 1024;

/// Length of a minted secret: 32 bytes in hex.
const MINTED: u32 = 64;

/// Bytes of a settings schema.
const SCHEMA: usize = 256 * 1024;

/// Longest label of a host name (RFC 1035, 2.3.4).
const LABEL: usize = 63;

pub(crate) fn descriptor(descriptor: &Descriptor) -> Checked {
    if !is_id(&descriptor.id) {
        return Err(format!("the id is not a lower-case letter and up to {} letters, digits and hyphens", ID - 1));
    }
    if descriptor.display_name.trim().is_empty() {
        return Err("the display name is blank".into());
    }
    plain("the display name", &descriptor.display_name, NAME)?;
    if semver::Version::parse(&descriptor.version).is_err() {
        return Err("the version is not a semantic version".into());
    }
    secrets(&descriptor.secrets)?;
    bearer(descriptor)?;
    tofu_providers(descriptor)?;
    super::arguments::arguments(descriptor)?;
    catalogue(&descriptor.catalogue)?;
    if descriptor.user_data_limit == 0 {
        return Err("the limit of user data is zero".into());
    }
    short("the settings schema", &descriptor.settings_schema, SCHEMA)?;
    api_hosts(&descriptor.api_hosts)
}

fn is_id(id: &str) -> bool {
    id.len() <= ID
        && id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn secrets(secrets: &[SecretSpec]) -> Checked {
    at_most("secrets", secrets.len(), SECRETS)?;
    let mut names = BTreeSet::new();
    let mut keys = BTreeSet::new();
    for secret in secrets {
        secret_shape(secret)?;
        if !names.insert(&secret.name) {
            return Err("two secrets have the same name".into());
        }
        if let SecretSource::Request(key) = &secret.source
            && !keys.insert(key)
        {
            return Err("two secrets are read from the same request key".into());
        }
    }
    Ok(())
}

fn secret_shape(secret: &SecretSpec) -> Checked {
    if !super::is_identifier(&secret.name) {
        return Err("a secret's name is not a letter and then letters, digits, hyphens and underscores".into());
    }
    plain("a secret's label", &secret.label, NAME)?;
    at_most("refused prefixes of a secret", secret.refused_prefixes.len(), SECRETS)?;
    if secret.refused_prefixes.iter().any(|prefix| prefix.is_empty() || prefix.len() > NAME) {
        return Err("a refused prefix of a secret is empty or too long".into());
    }
    if secret.min_length > secret.max_length || secret.max_length > SECRET_VALUE || secret.max_length == 0 {
        return Err(format!("the length bounds of the secret {} make no sense", secret.name));
    }
    match &secret.source {
        SecretSource::Minted if secret.min_length > MINTED || secret.max_length < MINTED => {
            Err(format!("the minted secret {} does not allow {MINTED} characters", secret.name))
        }
        SecretSource::Request(name) | SecretSource::Host(name) if name.is_empty() || name.len() > NAME => {
            Err(format!("the source of the secret {} is blank or too long", secret.name))
        }
        // It becomes part of a line of `plugins.lock`.
        SecretSource::Host(name) if !is_identifier(name) => {
            Err(format!("the host's secret that fills {} is not a name", secret.name))
        }
        _ => Ok(()),
    }
}

fn bearer(descriptor: &Descriptor) -> Checked {
    let mut bearers = descriptor.secrets.iter().filter(|s| s.role == SecretRole::KubeconfigBearer);
    if let Some(bearer) = bearers.next()
        && bearer.source != SecretSource::Minted
    {
        return Err("the kubeconfig bearer is not minted".into());
    }
    if bearers.next().is_some() {
        return Err("more than one secret is the kubeconfig bearer".into());
    }
    plain("the bearer's resource", descriptor.bearer_resource.as_deref().unwrap_or_default(), NAME)
}

fn tofu_providers(descriptor: &Descriptor) -> Checked {
    at_most("OpenTofu providers", descriptor.tofu_providers.len(), SECRETS)?;
    for provider in &descriptor.tofu_providers {
        plain("an OpenTofu provider's source", &provider.source, NAME)?;
        let parts: Vec<&str> = provider.source.split('/').collect();
        if !(2..=3).contains(&parts.len()) || parts.iter().any(|part| part.is_empty()) {
            return Err("an OpenTofu provider's source is not an address such as namespace/name".into());
        }
        if semver::Version::parse(&provider.version).is_err() {
            return Err("an OpenTofu provider's version is not exact".into());
        }
    }
    Ok(())
}

fn catalogue(catalogue: &Catalogue) -> Checked {
    plain("the catalogue's date", &catalogue.as_of, NAME)?;
    plain("the catalogue's currency", &catalogue.currency, NAME)?;
    at_most("regions", catalogue.regions.len(), ITEMS)?;
    at_most("machine types", catalogue.machine_types.len(), ITEMS)?;
    let mut types = BTreeSet::new();
    for machine in &catalogue.machine_types {
        plain("a machine type's name", &machine.name, NAME)?;
        if !types.insert(&machine.name) {
            return Err("two machine types have the same name".into());
        }
    }
    let mut ids = BTreeSet::new();
    for region in &catalogue.regions {
        plain("a region's id", &region.id, NAME)?;
        plain("a region's name", &region.display_name, TEXT)?;
        if !ids.insert(&region.id) {
            return Err("two regions have the same id".into());
        }
        if region.machine_types.iter().any(|name| !types.contains(name)) {
            return Err("a region offers a machine type that the catalogue does not have".into());
        }
    }
    Ok(())
}

/// A probe carries a credential, and the host sends it from where it runs: inside of a cluster, beside a cloud's
/// metadata service. So no plugin may point it at an address, or at a name that only this machine, this network or this
/// cluster gives a meaning. Which address a name leads to is judged by who connects, when it does.
fn api_hosts(hosts: &[String]) -> Checked {
    at_most("API hosts", hosts.len(), SECRETS)?;
    hosts.iter().try_for_each(|host| api_host(host))
}

fn api_host(host: &str) -> Checked {
    let host = match host.strip_prefix('.') {
        Some(zone) if !zone.contains('.') => {
            return Err(format!("the API host {host} is a suffix of one label, below which anybody may have a name"));
        }
        zone => zone.unwrap_or(host),
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= LABEL
            && label.chars().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host.len() > NAME || !host.split('.').all(is_label) {
        return Err("an API host is not a lower-case host name".into());
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    // What ends in a number is read as an IPv4 address (WHATWG URL, "ends in a number"): 127.1 and 10.0.0.0x1 as well.
    if last.chars().all(|c| c.is_ascii_digit()) || last.starts_with("0x") {
        return Err(format!(
            "the API host {host} is an address; a name is needed, for which its certificate can vouch"
        ));
    }
    match local(host) {
        Some(_) if !host.contains('.') => {
            Err(format!("the API host {host} is a single label, which means something else on each network"))
        }
        Some(LocalName::OwnZone(zone)) => {
            Err(format!("the API host {host} ends in .{zone}, which only this host's own surroundings know"))
        }
        // A private cloud may be there; whether it is one that the operator allowed is judged with its address.
        Some(LocalName::PrivateZone(_) | LocalName::SingleLabel) | None => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use catalyst_domain::provider::TofuProvider;

    pub(crate) fn secret(name: &str, source: SecretSource, role: SecretRole) -> SecretSpec {
        SecretSpec {
            name: name.into(),
            source,
            role,
            required: true,
            min_length: 64,
            max_length: 64,
            label: name.into(),
            refused_prefixes: Vec::new(),
        }
    }

    pub(crate) fn sample() -> Descriptor {
        Descriptor {
            id: "cloud".into(),
            display_name: "A cloud".into(),
            version: "1.2.3".into(),
            secrets: vec![
                secret("token", SecretSource::Request("cloudToken".into()), SecretRole::Ordinary),
                secret("bearer", SecretSource::Minted, SecretRole::KubeconfigBearer),
            ],
            tofu_providers: Vec::new(),
            bearer_resource: None,
            catalogue: Catalogue {
                as_of: "2020-01-01".into(),
                currency: "EUR".into(),
                regions: Vec::new(),
                machine_types: Vec::new(),
            },
            user_data_limit: 32_768,
            settings_schema: "{}".into(),
            api_hosts: Vec::new(),
        }
    }

    fn refused(change: impl FnOnce(&mut Descriptor), expect: &str) {
        let mut changed = sample();
        change(&mut changed);
        let text = descriptor(&changed).expect_err(expect);
        assert!(text.contains(expect), "{text} lacks {expect}");
    }

    #[test]
    fn a_sound_descriptor_passes() {
        assert_eq!(descriptor(&sample()), Ok(()));
    }

    #[test]
    fn an_id_is_safe_in_a_path() {
        for id in ["", "Cloud", "1cloud", "-x", "a/b", "..", "a b", &"a".repeat(32)] {
            refused(|d| d.id = id.into(), "the id");
        }
    }

    #[test]
    fn there_is_one_bearer_and_it_is_minted() {
        refused(|d| d.secrets[1].source = SecretSource::Host("x".into()), "not minted");
        let second = secret("second", SecretSource::Minted, SecretRole::KubeconfigBearer);
        refused(|d| d.secrets.push(second), "more than one");
        refused(|d| d.secrets[1].max_length = 63, "bounds");
        refused(|d| (d.secrets[1].min_length, d.secrets[1].max_length) = (1, 63), "64 characters");
    }

    #[test]
    fn secrets_are_told_apart() {
        refused(|d| d.secrets[1].name = "token".into(), "same name");
        let twin = secret("twin", SecretSource::Request("cloudToken".into()), SecretRole::Ordinary);
        refused(|d| d.secrets.push(twin), "same request key");
        refused(|d| d.secrets[0].refused_prefixes.push(String::new()), "refused prefix");
        refused(|d| d.secrets[0].max_length = SECRET_VALUE + 1, "make no sense");
    }

    #[test]
    fn an_api_host_is_a_name_that_means_the_same_everywhere() {
        for (host, rule) in [
            ("", "not a lower-case host name"),
            ("https://x.example", "not a lower-case host name"),
            ("API.cloud.example", "not a lower-case host name"),
            ("api.cloud.example:8443", "not a lower-case host name"),
            ("api.cloud.example.", "not a lower-case host name"),
            ("api..example", "not a lower-case host name"),
            ("-a.example", "not a lower-case host name"),
            ("[::1]", "not a lower-case host name"),
            ("169.254.169.254", "is an address"),
            ("127.1", "is an address"),
            ("2130706433", "is an address"),
            ("10.0.0.0x1", "is an address"),
            ("localhost", "a single label"),
            ("metadata", "a single label"),
            ("api.localhost", "ends in .localhost"),
            ("printer.local", "ends in .local,"),
            ("metadata.google.internal", "ends in .internal"),
            ("kubernetes.default.svc", "ends in .svc"),
            ("kubernetes.default.svc.cluster.local", "ends in .cluster.local"),
        ] {
            refused(|d| d.api_hosts = vec!["api.cloud.example".into(), host.into()], rule);
        }
        let mut private = sample();
        // Public, of a company's own zone, and one that only contains a word of the list.
        private.api_hosts = [
            "api.cloud.example",
            "api.cloud.corp",
            "keystone.cloud.corp.example",
            "internal.cloud.example",
            "svc.example",
        ]
        .map(str::to_owned)
        .to_vec();
        assert_eq!(descriptor(&private), Ok(()));
    }

    #[test]
    fn the_rest_has_a_shape() {
        refused(|d| d.version = "1.2".into(), "semantic version");
        refused(|d| d.display_name = "A\u{202e}cloud".into(), "the display name has a control character");
        for name in ["x\ngrant b.wasm host evil.example", "a b", "a#b"] {
            refused(|d| d.secrets[0].source = SecretSource::Host(name.into()), "is not a name");
        }
        refused(|d| d.secrets[0].label = "a\nb".into(), "label has a control character");
        refused(|d| d.settings_schema = " ".repeat(SCHEMA + 1), "settings schema is longer");
        refused(|d| d.user_data_limit = 0, "user data");
        let provider = |source: &str, version: &str| TofuProvider {
            source: source.into(),
            version: version.into(),
            settings: None,
        };
        refused(|d| d.tofu_providers = vec![provider("cloud", "1.0.0")], "address");
        refused(|d| d.tofu_providers = vec![provider("a/b", "~> 1.0")], "exact");
        refused(|d| d.api_hosts = vec![".example".into()], "a suffix of one label");
        refused(|d| d.api_hosts = vec![".svc.cluster.local".into()], "only this host's own surroundings know");
        assert_eq!(descriptor(&Descriptor { api_hosts: vec![".cloud.example".into()], ..sample() }), Ok(()));
        let region = catalyst_domain::provider::Region {
            id: "r".into(),
            display_name: "R".into(),
            machine_types: vec!["unknown".into()],
        };
        refused(|d| d.catalogue.regions = vec![region], "does not have");
    }
}
