//! What a component can do, derived from what it imports and declares. The imports are proven: nothing else can be reached.

use super::page::{Page, Tone};
use catalyst_domain::provider::{Descriptor, SecretRole, SecretSource};
use catalyst_sandbox::Provider;
use serde::Serialize;

/// The view of one component.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Permissions {
    /// What the component itself can do, by import.
    component: Vec<Grant>,
    /// OpenTofu providers that its module may use, as `source version`.
    tofu_providers: Vec<String>,
    /// Hosts that the host asks on its behalf, to prove a credential, and that runs of its module may reach.
    api_hosts: Vec<String>,
    /// Secrets that go to its module. The component sees none.
    secrets: Vec<Secret>,
}

/// One thing that imports allow.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Grant {
    /// In plain words.
    can: &'static str,
    /// The imports behind it.
    imports: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Secret {
    name: String,
    /// `request <key>`, `host <setting>` or `minted`.
    from: String,
    required: bool,
    kubeconfig_bearer: bool,
}

/// What each family of imports comes to in the sandbox. The allow-list is the sandbox's; this only explains it.
const MEANINGS: [(&str, &str); 8] = [
    ("catalyst:provisioner/log", "write log lines to the host's trace"),
    ("catalyst:provisioner/", "name the contract's types, which does nothing"),
    ("wasi:clocks/", "read a clock that stands still"),
    ("wasi:random/", "read numbers that are the same on every call"),
    ("wasi:filesystem/", "see a file system with nothing in it"),
    ("wasi:cli/std", "write to the host's trace by standard output and error; read an empty standard input"),
    ("wasi:cli/", "see an empty environment; end itself"),
    ("wasi:io/", "wait, and name streams, which does nothing by itself"),
];

impl Permissions {
    /// Reads them off a loaded component.
    pub(super) fn of(provider: &Provider) -> Self {
        let descriptor = provider.descriptor();
        Self {
            component: grants(provider.imports()),
            tofu_providers: descriptor.tofu_providers.iter().map(|p| format!("{} {}", p.source, p.version)).collect(),
            api_hosts: descriptor.api_hosts.clone(),
            secrets: secrets(descriptor),
        }
    }

    /// Adds them to a page.
    pub(super) fn show(&self, page: &mut Page) {
        page.line(Tone::Head, "Permissions");
        page.field("network", "none");
        page.field("files", "none");
        for grant in &self.component {
            page.field("may", grant.can);
        }
        let listed = |list: &[String], none: &str| if list.is_empty() { none.to_owned() } else { list.join(", ") };
        page.field("OpenTofu", &listed(&self.tofu_providers, "built-in resources only"));
        page.field("API hosts", &listed(&self.api_hosts, "none"));
        for secret in &self.secrets {
            let bearer = if secret.kubeconfig_bearer { ", the kubeconfig's bearer" } else { "" };
            let need = if secret.required { "required" } else { "optional" };
            page.field(
                "secret",
                &format!("{} ({}, {need}{bearer}); only its module gets it", secret.name, secret.from),
            );
        }
    }
}

fn grants(imports: &[String]) -> Vec<Grant> {
    let mut grants: Vec<Grant> = Vec::new();
    for import in imports {
        let meaning = MEANINGS.iter().find(|(prefix, _)| import.starts_with(prefix));
        let can = meaning.map_or("something that this command does not know", |(_, can)| *can);
        match grants.iter_mut().find(|grant| grant.can == can) {
            Some(grant) => grant.imports.push(import.clone()),
            None => grants.push(Grant { can, imports: vec![import.clone()] }),
        }
    }
    grants
}

fn secrets(descriptor: &Descriptor) -> Vec<Secret> {
    let from = |source: &SecretSource| match source {
        SecretSource::Request(key) => format!("request {key}"),
        SecretSource::Host(setting) => format!("host {setting}"),
        SecretSource::Minted => "minted".to_owned(),
    };
    let secret = |spec: &catalyst_domain::provider::SecretSpec| Secret {
        name: spec.name.clone(),
        from: from(&spec.source),
        required: spec.required,
        kubeconfig_bearer: spec.role == SecretRole::KubeconfigBearer,
    };
    descriptor.secrets.iter().map(secret).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_import_is_explained_by_its_narrowest_family() {
        let imports: Vec<String> = [
            "catalyst:provisioner/descriptor@1.0.0",
            "catalyst:provisioner/log@1.0.0",
            "wasi:cli/environment@0.2.6",
            "wasi:cli/stdout@0.2.6",
            "wasi:clocks/wall-clock@0.2.6",
            "wasi:sockets/tcp@0.2.6",
        ]
        .map(str::to_owned)
        .to_vec();
        let grants = grants(&imports);
        let can = |import: &str| grants.iter().find(|g| g.imports.iter().any(|i| i.starts_with(import))).map(|g| g.can);
        assert_eq!(can("catalyst:provisioner/log"), Some("write log lines to the host's trace"));
        assert_eq!(can("wasi:cli/environment"), Some("see an empty environment; end itself"));
        assert!(can("wasi:sockets").is_some_and(|can| can.contains("does not know")), "never left out in silence");
    }
}
