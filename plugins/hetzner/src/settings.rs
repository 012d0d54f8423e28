//! The request keys that only Hetzner knows.

use catalyst_plugin_sdk::sovereign::{NodeSettings, read_settings};
use catalyst_plugin_sdk::{Findings, Pointer, Settings};

/// Most sources of one firewall rule (Hetzner Cloud API, firewall rules).
const MAX_CIDRS: usize = 100;
/// Longest project id in characters, as in the module.
const MAX_PROJECT_ID: usize = 128;
/// Longest name of an SSH key in characters, as in the module.
const MAX_KEY_NAME: usize = 128;

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
    pub(crate) hcloud_credentials: Option<bool>,
    pub(crate) node: NodeSettings,
}

pub(crate) fn read(extra: &str, findings: &mut Findings) -> HetznerSettings {
    let settings = Settings::parse(extra);
    HetznerSettings {
        project_id: project_id(&settings, findings),
        ssh_key_name: ssh_key_name(&settings, findings),
        hcloud_credentials: settings.flag("enableHcloudCredentials", findings),
        node: read_settings(&settings, MAX_CIDRS, findings),
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
