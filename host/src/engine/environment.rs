//! The environment of OpenTofu: what passes of the host's, and what is the engine's. Nothing that a person set for a
//! Terraform or OpenTofu of their own helps or hurts a run.

use super::Settings;
use crate::egress::HostGrant;
use crate::outbound::{NamedBy, Url};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Settings of OpenTofu's command line that an operator may give.
pub(super) const CLI_CONFIG: &str = "TF_CLI_CONFIG_FILE";
/// Folder of providers that runs share.
pub(super) const PROVIDER_CACHE: &str = "TF_PLUGIN_CACHE_DIR";
/// Variables that lead clients to a proxy, in capital and small letters.
const PROXIES: [&str; 4] = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"];
/// No program's home: for a command that is no part of a run.
const NO_HOME: &str = "/nonexistent";

/// Takes out of the settings what must not pass, and says so of what was named on purpose.
pub(super) fn keep_what_may_pass(settings: &mut Settings) {
    match variable(&settings.pass_env, PROVIDER_CACHE) {
        Some(_) if settings.provider_mirror.is_some() => {
            tracing::warn!(
                "{PROVIDER_CACHE} does not count: providers come from CATALYST_PROVIDER_MIRROR, which needs no cache"
            );
        }
        Some(cache) => settings.plugin_cache_dir = Some(PathBuf::from(cache)),
        None => {}
    }
    settings.pass_env.retain(|(name, value)| name != PROVIDER_CACHE && !refused(name) && !leads_nowhere(name, value));
}

/// What every command gets: the host's variables without a person's folders, and what keeps OpenTofu from asking back.
pub(super) fn of_every_command(settings: &Settings, proxied: Proxied) -> Vec<(OsString, OsString)> {
    // The operator's settings are for one step, and may hold passwords.
    let passes =
        |name: &OsStr| name != "HOME" && name != CLI_CONFIG && (proxied == Proxied::AsTheHost || !is_proxy(name));
    let mut environment: Vec<_> = settings.pass_env.iter().filter(|(name, _)| passes(name)).cloned().collect();
    // No call home to look for a newer version; no hint at commands that a person could type.
    let own = [("HOME", NO_HOME), ("TF_IN_AUTOMATION", "1"), ("TF_INPUT", "0"), ("CHECKPOINT_DISABLE", "1")];
    environment.extend(own.map(|(name, value)| (name.into(), value.into())));
    environment
}

/// Whose proxy a command goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proxied {
    /// The host's own, where there is one.
    AsTheHost,
    /// One of its own, which is added later.
    ByItsOwn,
}

/// Adds variables; each takes the place of one of the same name.
pub(super) fn add(environment: &mut Vec<(OsString, OsString)>, more: impl IntoIterator<Item = (OsString, OsString)>) {
    for (name, value) in more {
        environment.retain(|(known, _)| *known != name);
        environment.push((name, value));
    }
}

/// The value of a variable; the last one counts.
pub(super) fn variable<'a>(environment: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsStr> {
    environment.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_os_str())
}

/// Hosts of addresses that the operator hands to providers, such as an endpoint: their own word.
pub(super) fn named_hosts(environment: &[(OsString, OsString)]) -> Vec<HostGrant> {
    let urls = environment.iter().filter(|(name, _)| !is_proxy(name)).filter_map(|(_, value)| value.to_str());
    urls.filter_map(|text| grant(text.trim())).collect()
}

/// Hosts of addresses in a text of OpenTofu's settings, such as a network mirror: every quoted one.
pub(super) fn quoted_hosts(text: &str) -> Vec<HostGrant> {
    text.split('"').skip(1).step_by(2).filter_map(grant).collect()
}

fn grant(text: &str) -> Option<HostGrant> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    HostGrant::of_url(&url, NamedBy::Operator)
}

fn is_proxy(name: &OsStr) -> bool {
    PROXIES.iter().any(|proxy| name.eq_ignore_ascii_case(proxy))
}

/// Every variable of OpenTofu's own but the two that an operator may give: one of them could change what the engine's
/// arguments mean, or write what must stay secret.
fn refused(name: &OsStr) -> bool {
    let text = name.to_string_lossy();
    let refused = text.starts_with("TF_") && text != CLI_CONFIG && text != PROVIDER_CACHE;
    if refused {
        tracing::warn!(variable = %text, "a variable of OpenTofu's own is not handed on; a run sets its own");
    }
    refused
}

// OpenTofu would write a warning before its JSON in every command.
fn leads_nowhere(name: &OsStr, value: &OsStr) -> bool {
    let nowhere = name == CLI_CONFIG && !Path::new(value).exists();
    if nowhere {
        tracing::warn!("TF_CLI_CONFIG_FILE names no file; OpenTofu runs without it");
    }
    nowhere
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn an_endpoint_of_the_operator_is_their_word_and_a_proxy_is_none() {
        let given = environment(&[
            ("CLOUD_ENDPOINT", "https://cloud.test:8443/v1"),
            ("OTHER", " http://127.0.0.1:9/ "),
            ("HTTPS_PROXY", "http://proxy.example:3128"),
            ("https_proxy", "http://proxy.example:3128"),
            ("NO_PROXY", "https://x.example"),
            ("PATH", "/usr/bin:/bin"),
            ("FILE", "file:///etc/shadow"),
        ]);
        let hosts: Vec<String> = named_hosts(&given).iter().map(ToString::to_string).collect();
        assert_eq!(hosts, ["cloud.test:8443", "127.0.0.1:9"]);
    }

    #[test]
    fn a_network_mirror_of_the_settings_is_found() {
        let text = "provider_installation {\n  network_mirror { url = \"https://mirror.example:8443/providers/\" }\n}\n\
                    host \"a.example\" { services = { \"providers.v1\" = \"https://services.example/v1/\" } }\n";
        let hosts: Vec<String> = quoted_hosts(text).iter().map(ToString::to_string).collect();
        assert_eq!(hosts, ["mirror.example:8443", "services.example:443"]);
    }

    #[test]
    fn a_variable_that_is_added_takes_the_place_of_another() {
        let mut known = environment(&[("A", "1"), ("B", "1")]);
        add(&mut known, environment(&[("A", "2"), ("C", "2")]));
        assert_eq!(known, environment(&[("B", "1"), ("A", "2"), ("C", "2")]));
        assert_eq!(variable(&environment(&[("A", "1"), ("A", "2")]), "A"), Some(OsStr::new("2")));
    }
}
