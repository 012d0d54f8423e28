//! Request keys about what runs on the nodes.

use super::versions::{is_cilium_version, is_flux_version, is_k3s_version, numbers};
use crate::bundle::ModuleVariables;
use crate::checks::{CidrError, check_cidr};
use crate::{Findings, Pointer, Settings};

/// Longest version in bytes, as in the modules; user data names each several times.
const MAX_VERSION: usize = 32;
/// Longest path in bytes, as in the modules.
const MAX_PATH: usize = 200;

/// The settings of a request; none is "not said".
#[derive(Debug, Clone, Default)]
pub struct NodeSettings {
    /// Networks that may reach port 22.
    pub ssh_allowed_cidrs: Option<Vec<String>>,
    /// Security updates by themselves.
    pub unattended_upgrades: Option<bool>,
    /// Ban addresses that keep failing at sshd.
    pub fail2ban: Option<bool>,
    /// Keep k3s's StorageClass.
    pub local_storage: Option<bool>,
    /// Folder of the cluster in the repository.
    pub gitops_path: Option<String>,
    /// k3s release.
    pub k3s_version: Option<String>,
    /// Helm release.
    pub helm_version: Option<String>,
    /// Cilium chart.
    pub cilium_version: Option<String>,
    /// Flux release.
    pub flux_version: Option<String>,
}

/// Reads the settings; `max_cidrs` is the most networks that the cloud's firewall takes.
pub fn read_settings(settings: &Settings, max_cidrs: usize, findings: &mut Findings) -> NodeSettings {
    let mut version = |key: &str, example: &str, fits: fn(&str) -> bool| {
        let text = settings.text(key, findings)?;
        if text.len() > MAX_VERSION || !fits(&text) {
            let message = format!("{key} must look like {example} and have at most {MAX_VERSION} characters");
            findings.error(&Pointer::to(key), "version", message);
        }
        Some(text)
    };
    let k3s_version = version("k3sVersion", "v1.31.4+k3s1", is_k3s_version);
    let helm_version = version("helmVersion", "v3.16.4", |text| numbers(text.strip_prefix('v')).is_some());
    let cilium_version = version("ciliumVersion", "1.16.5 and be 1.16 or later", is_cilium_version);
    let flux_version = version("fluxVersion", "v2.4.0", is_flux_version);
    NodeSettings {
        ssh_allowed_cidrs: cidrs(settings, max_cidrs, findings),
        unattended_upgrades: settings.flag("enableUnattendedUpgrades", findings),
        fail2ban: settings.flag("enableFail2ban", findings),
        local_storage: settings.flag("enableLocalStorage", findings),
        gitops_path: gitops_path(settings, findings),
        k3s_version,
        helm_version,
        cilium_version,
        flux_version,
    }
}

impl NodeSettings {
    /// Sets the module's variables for what was said.
    #[must_use]
    pub fn set(&self, variables: ModuleVariables) -> ModuleVariables {
        variables
            .set_if("ssh_allowed_cidrs", self.ssh_allowed_cidrs.clone())
            .set_if("enable_unattended_upgrades", self.unattended_upgrades)
            .set_if("enable_fail2ban", self.fail2ban)
            .set_if("enable_local_storage", self.local_storage)
            .set_if("gitops_path", self.gitops_path.as_deref())
            .set_if("k3s_version", self.k3s_version.as_deref())
            .set_if("helm_version", self.helm_version.as_deref())
            .set_if("cilium_version", self.cilium_version.as_deref())
            .set_if("flux_version", self.flux_version.as_deref())
    }
}

fn cidrs(settings: &Settings, most: usize, findings: &mut Findings) -> Option<Vec<String>> {
    const KEY: &str = "sshAllowedCidrs";
    let cidrs = settings.texts(KEY, findings)?;
    if cidrs.len() > most {
        let message = format!("{KEY} has {} networks; at most {most} are taken", cidrs.len());
        findings.error(&Pointer::to(KEY), "too-many", message);
    }
    for (index, cidr) in cidrs.iter().enumerate() {
        let at = Pointer::to(KEY).index(index);
        match check_cidr(cidr) {
            Ok(()) => {}
            Err(error @ CidrError::NotABlock(_)) => findings.error(&at, "cidr", error.to_string()),
            // The modules open the whole block.
            Err(error @ CidrError::InsideBlock { .. }) => findings.warning(&at, "cidr-inside", error.to_string()),
        }
    }
    Some(cidrs)
}

fn gitops_path(settings: &Settings, findings: &mut Findings) -> Option<String> {
    const KEY: &str = "gitopsPath";
    let path = settings.text(KEY, findings)?;
    let start = path.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/-".contains(&b));
    if !start || !plain || path.contains("..") || path.len() > MAX_PATH {
        let message =
            format!("{KEY} must be a relative path of at most {MAX_PATH} letters, digits and ._/- without `..`");
        findings.error(&Pointer::to(KEY), "path", message);
    }
    Some(path)
}
