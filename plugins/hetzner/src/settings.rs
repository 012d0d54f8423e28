//! The request keys that only Hetzner knows.

use catalyst_plugin_sdk::checks::{CidrError, check_cidr};
use catalyst_plugin_sdk::{Findings, Pointer, Settings};

/// Most sources of one firewall rule (Hetzner Cloud API, firewall rules).
const MAX_CIDRS: usize = 100;
/// Longest project id in characters, as in the module.
const MAX_PROJECT_ID: usize = 128;
/// Longest name of an SSH key in characters, as in the module.
const MAX_KEY_NAME: usize = 128;
/// Longest version in bytes, as in the module; user data names each several times.
const MAX_VERSION: usize = 32;

pub(crate) const SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "required": ["hetznerProjectID"],
  "properties": {
    "hetznerProjectID": {
      "type": "string", "minLength": 1, "maxLength": 128,
      "description": "Id of the Hetzner Cloud project, for your own records."
    },
    "sshKeyName": {
      "type": "string", "maxLength": 128,
      "description": "Name of the SSH key in the project, where it is there already: Hetzner takes no key twice."
    },
    "sshAllowedCidrs": {
      "type": "array", "items": {"type": "string"}, "maxItems": 100, "default": [],
      "description": "IPv4 or IPv6 networks that may reach port 22. Empty: the port stays closed."
    },
    "enableUnattendedUpgrades": {
      "type": "boolean", "default": true, "description": "Install security updates by themselves; reboot at night."
    },
    "enableFail2ban": {"type": "boolean", "default": true, "description": "Ban addresses that keep failing at sshd."},
    "enableLocalStorage": {
      "type": "boolean", "default": true, "description": "Keep k3s's local-path StorageClass until a CSI driver is there."
    },
    "enableHcloudCredentials": {
      "type": "boolean", "default": true, "description": "Give Crossplane in the cluster the project's token."
    },
    "gitopsPath": {
      "type": "string", "maxLength": 200,
      "description": "Folder of the cluster in the repository; default clusters/<FQDN>."
    },
    "k3sVersion": {"type": "string", "pattern": "^v[0-9]+\\.[0-9]+\\.[0-9]+\\+k3s[0-9]+$", "default": "v1.31.4+k3s1"},
    "helmVersion": {"type": "string", "pattern": "^v[0-9]+\\.[0-9]+\\.[0-9]+$", "default": "v3.16.4"},
    "ciliumVersion": {"type": "string", "pattern": "^1\\.(1[6-9]|[2-9][0-9])\\.[0-9]+$", "default": "1.16.5"},
    "fluxVersion": {"type": "string", "pattern": "^v2\\.[0-9]+\\.[0-9]+$", "default": "v2.4.0"}
  }
}"#;

/// The settings of a request; none is "not said".
#[derive(Debug, Clone, Default)]
pub(crate) struct HetznerSettings {
    pub(crate) project_id: Option<String>,
    pub(crate) ssh_key_name: Option<String>,
    pub(crate) ssh_allowed_cidrs: Option<Vec<String>>,
    pub(crate) unattended_upgrades: Option<bool>,
    pub(crate) fail2ban: Option<bool>,
    pub(crate) local_storage: Option<bool>,
    pub(crate) hcloud_credentials: Option<bool>,
    pub(crate) gitops_path: Option<String>,
    pub(crate) k3s_version: Option<String>,
    pub(crate) helm_version: Option<String>,
    pub(crate) cilium_version: Option<String>,
    pub(crate) flux_version: Option<String>,
}

pub(crate) fn read(extra: &str, findings: &mut Findings) -> HetznerSettings {
    let settings = Settings::parse(extra);
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
    let flux_version =
        version("fluxVersion", "v2.4.0", |text| numbers(text.strip_prefix('v')).is_some_and(|[major, ..]| major == 2));
    HetznerSettings {
        project_id: project_id(&settings, findings),
        ssh_key_name: ssh_key_name(&settings, findings),
        ssh_allowed_cidrs: cidrs(&settings, findings),
        unattended_upgrades: settings.flag("enableUnattendedUpgrades", findings),
        fail2ban: settings.flag("enableFail2ban", findings),
        local_storage: settings.flag("enableLocalStorage", findings),
        hcloud_credentials: settings.flag("enableHcloudCredentials", findings),
        gitops_path: gitops_path(&settings, findings),
        k3s_version,
        helm_version,
        cilium_version,
        flux_version,
    }
}

fn project_id(settings: &Settings, findings: &mut Findings) -> Option<String> {
    const KEY: &str = "hetznerProjectID";
    let before = findings.iter().count();
    let id = settings.text(KEY, findings);
    match &id {
        None if findings.iter().count() == before => {
            findings.error(&Pointer::to(KEY), "required", format!("{KEY}: the Hetzner project ID is required"));
        }
        Some(text) if text.chars().count() > MAX_PROJECT_ID => {
            let message = format!("{KEY}: the project ID has at most {MAX_PROJECT_ID} characters");
            findings.error(&Pointer::to(KEY), "too-long", message);
        }
        _ => {}
    }
    id
}

fn ssh_key_name(settings: &Settings, findings: &mut Findings) -> Option<String> {
    const KEY: &str = "sshKeyName";
    let name = settings.text(KEY, findings)?;
    if name.chars().count() > MAX_KEY_NAME {
        let message = format!("{KEY} has at most {MAX_KEY_NAME} characters");
        findings.error(&Pointer::to(KEY), "too-long", message);
    }
    Some(name)
}

fn cidrs(settings: &Settings, findings: &mut Findings) -> Option<Vec<String>> {
    const KEY: &str = "sshAllowedCidrs";
    let cidrs = settings.texts(KEY, findings)?;
    if cidrs.len() > MAX_CIDRS {
        let message = format!("{KEY} has {} networks; one rule takes {MAX_CIDRS}", cidrs.len());
        findings.error(&Pointer::to(KEY), "too-many", message);
    }
    for (index, cidr) in cidrs.iter().enumerate() {
        let at = Pointer::to(KEY).index(index);
        match check_cidr(cidr) {
            Ok(()) => {}
            Err(error @ CidrError::NotABlock(_)) => findings.error(&at, "cidr", error.to_string()),
            // The module opens the whole block.
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
    if !start || !plain || path.contains("..") || path.len() > 200 {
        let message = format!("{KEY} must be a relative path of at most 200 letters, digits and ._/- without `..`");
        findings.error(&Pointer::to(KEY), "path", message);
    }
    Some(path)
}

/// Three numbers with dots between them.
fn numbers(text: Option<&str>) -> Option<[u32; 3]> {
    let mut parts = text?.split('.').map(|part| {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if digits { part.parse::<u32>().ok() } else { None }
    });
    let found = [parts.next()??, parts.next()??, parts.next()??];
    if parts.next().is_none() { Some(found) } else { None }
}

fn is_k3s_version(text: &str) -> bool {
    let Some((kubernetes, k3s)) = text.split_once("+k3s") else { return false };
    numbers(kubernetes.strip_prefix('v')).is_some() && !k3s.is_empty() && k3s.bytes().all(|b| b.is_ascii_digit())
}

fn is_cilium_version(text: &str) -> bool {
    numbers(Some(text)).is_some_and(|[major, minor, _]| major == 1 && (16..=99).contains(&minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_the_form_of_the_module() {
        assert!(is_k3s_version("v1.31.4+k3s1"));
        for bad in ["1.31.4+k3s1", "v1.31+k3s1", "v1.31.4", "v1.31.4+k3s", "v1.31.4+rke2r1", "v1.31.4+k3s1 "] {
            assert!(!is_k3s_version(bad), "{bad}");
        }
        assert!(is_cilium_version("1.16.5") && !is_cilium_version("1.15.9") && !is_cilium_version("v1.16.5"));
    }
}
