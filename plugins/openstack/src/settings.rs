//! The request keys that only OpenStack knows.

use catalyst_plugin_sdk::sovereign::{NodeSettings, is_public_url, read_settings};
use catalyst_plugin_sdk::{Findings, Pointer, Settings, text};
use serde_json::Value;

/// Most networks that may reach port 22, as in the module: each is a rule, and a project has 100 of them by default.
const MAX_CIDRS: usize = 50;
/// Longest name of a network or image in characters (Neutron and Glance APIs).
const MAX_NAME: usize = 255;
/// Smallest and largest volume to boot from in GiB, as in the module.
const BOOT_VOLUME: std::ops::RangeInclusive<i64> = 20..=16_384;
/// Most resolvers of a subnet (Neutron's `max_dns_nameservers`).
const MAX_RESOLVERS: usize = 5;
/// Most flavours that a request may describe; no cloud is known to have more.
const MAX_FLAVOURS: usize = 500;

pub(crate) const SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "required": ["openstackAuthUrl", "openstackExternalNetwork"],
  "properties": {
    "openstackAuthUrl": {
      "type": "string", "format": "uri", "maxLength": 256, "examples": ["https://auth.cloud.example.org/v3"],
      "description": "Address of the identity service (Keystone), version 3."
    },
    "openstackExternalNetwork": {
      "type": "string", "minLength": 1, "maxLength": 255, "examples": ["Ext-Net"],
      "description": "Name of the external network that gives out floating IPs."
    },
    "openstackImage": {
      "type": "string", "minLength": 1, "maxLength": 255, "default": "Ubuntu 24.04",
      "description": "Name of an Ubuntu 24.04 image."
    },
    "openstackAvailabilityZone": {
      "type": "string", "maxLength": 63, "description": "Availability zone of the servers; left out: the cloud chooses."
    },
    "openstackLoadBalancer": {
      "enum": ["octavia", "none"], "default": "octavia",
      "description": "octavia: the cloud's load balancer. none: the first server has the public address, for clouds without one."
    },
    "openstackLoadBalancerProvider": {
      "type": "string", "maxLength": 32, "examples": ["amphora", "ovn"],
      "description": "Octavia provider; left out: the cloud's default, which must not be ovn."
    },
    "openstackServerGroupPolicy": {
      "enum": ["anti-affinity", "soft-anti-affinity"], "default": "anti-affinity",
      "description": "Whether two servers of the control plane may share a machine where there is no other way."
    },
    "openstackBootVolumeGiB": {
      "type": "integer", "minimum": 0, "maximum": 16384, "default": 0,
      "description": "Size of a volume to boot from, 20 or more, for flavours without a disk. 0: the flavour's disk."
    },
    "openstackDnsServers": {
      "type": "array", "items": {"type": "string"}, "maxItems": 5, "default": ["9.9.9.9", "149.112.112.112"],
      "description": "IPv4 resolvers of the servers. Empty: those of the cloud, where it has any."
    },
    "openstackFlavors": {
      "type": "array", "maxItems": 500, "default": [],
      "description": "Flavours of the region, as far as findings and estimates are to know of them.",
      "items": {
        "type": "object", "required": ["name"],
        "properties": {
          "name": {"type": "string"}, "cores": {"type": ["integer", "null"]}, "memoryGiB": {"type": ["integer", "null"]},
          "diskGiB": {"type": ["integer", "null"]}, "monthlyCents": {"type": ["integer", "null"]}
        }
      }
    },
    "openstackCurrency": {
      "type": "string", "maxLength": 256, "examples": ["EUR"], "description": "ISO 4217 code of the prices."
    },
    "openstackPricesAsOf": {
      "type": "string", "maxLength": 256, "examples": ["2026-11-01"],
      "description": "ISO 8601 date of the prices."
    },
    "enableOpenstackCredentials": {
      "type": "boolean", "default": false, "description": "Give something in the cluster the project's credential."
    },
    "sshAllowedCidrs": {
      "type": "array", "items": {"type": "string"}, "maxItems": 50, "default": [],
      "description": "IPv4 or IPv6 networks that may reach port 22. Empty: the port stays closed."
    },
    "enableUnattendedUpgrades": {
      "type": "boolean", "default": true, "description": "Install security updates by themselves; reboot at night."
    },
    "enableFail2ban": {"type": "boolean", "default": true, "description": "Ban addresses that keep failing at sshd."},
    "enableLocalStorage": {
      "type": "boolean", "default": true, "description": "Keep k3s's local-path StorageClass until a CSI driver is there."
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

/// A flavour as a request describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flavour {
    pub(crate) name: String,
    pub(crate) memory_gib: Option<u32>,
    pub(crate) disk_gib: Option<u32>,
    pub(crate) monthly_cents: Option<u32>,
}

/// The settings of a request; none is "not said".
#[derive(Debug, Clone, Default)]
pub(crate) struct OpenstackSettings {
    pub(crate) auth_url: Option<String>,
    pub(crate) external_network: Option<String>,
    pub(crate) image: Option<String>,
    pub(crate) availability_zone: Option<String>,
    pub(crate) load_balancer: Option<String>,
    pub(crate) load_balancer_provider: Option<String>,
    pub(crate) server_group_policy: Option<String>,
    pub(crate) boot_volume_gib: Option<i64>,
    pub(crate) resolvers: Option<Vec<String>>,
    pub(crate) flavours: Vec<Flavour>,
    pub(crate) currency: Option<String>,
    pub(crate) prices_as_of: Option<String>,
    pub(crate) credentials: Option<bool>,
    pub(crate) node: NodeSettings,
}

impl OpenstackSettings {
    /// The flavour of that name, where the request describes it.
    pub(crate) fn flavour(&self, name: &str) -> Option<&Flavour> {
        self.flavours.iter().find(|flavour| flavour.name == name)
    }
}

pub(crate) fn read(extra: &str, findings: &mut Findings) -> OpenstackSettings {
    let settings = Settings::parse(extra);
    OpenstackSettings {
        auth_url: required(&settings, "openstackAuthUrl", "the address of the identity service", findings),
        external_network: required(&settings, "openstackExternalNetwork", "the external network", findings),
        image: settings.text("openstackImage", findings),
        availability_zone: settings.text("openstackAvailabilityZone", findings),
        load_balancer: settings.text("openstackLoadBalancer", findings),
        load_balancer_provider: settings.text("openstackLoadBalancerProvider", findings),
        server_group_policy: settings.text("openstackServerGroupPolicy", findings),
        boot_volume_gib: settings.integer("openstackBootVolumeGiB", findings),
        resolvers: settings.texts("openstackDnsServers", findings),
        flavours: flavours(&settings, findings),
        currency: settings.text("openstackCurrency", findings),
        prices_as_of: settings.text("openstackPricesAsOf", findings),
        credentials: settings.flag("enableOpenstackCredentials", findings),
        node: read_settings(&settings, MAX_CIDRS, findings),
    }
}

fn required(settings: &Settings, key: &str, what: &str, findings: &mut Findings) -> Option<String> {
    let before = findings.iter().count();
    let value = settings.text(key, findings);
    if value.is_none() && findings.iter().count() == before {
        findings.error(&Pointer::to(key), "required", format!("{key}: {what} is required"));
    }
    value
}

fn flavours(settings: &Settings, findings: &mut Findings) -> Vec<Flavour> {
    const KEY: &str = "openstackFlavors";
    let given = settings.entries().find(|(key, value)| *key == KEY && !value.is_null());
    let Some((_, given)) = given else { return Vec::new() };
    let flavours: Option<Vec<Flavour>> =
        given.as_array().filter(|all| all.len() <= MAX_FLAVOURS).and_then(|all| all.iter().map(flavour).collect());
    flavours.unwrap_or_else(|| {
        let message = format!(
            "{KEY} must be a list of at most {MAX_FLAVOURS} objects with a name, and with whole numbers from 0 for cores, \
             memoryGiB, diskGiB and monthlyCents"
        );
        findings.error(&Pointer::to(KEY), "wrong-type", message);
        Vec::new()
    })
}

fn flavour(value: &Value) -> Option<Flavour> {
    let number = |key: &str| match &value[key] {
        Value::Null => Some(None),
        number => Some(Some(u32::try_from(number.as_u64()?).ok()?)),
    };
    number("cores")?;
    Some(Flavour {
        name: value["name"].as_str()?.trim().to_owned(),
        memory_gib: number("memoryGiB")?,
        disk_gib: number("diskGiB")?,
        monthly_cents: number("monthlyCents")?,
    })
}

/// Adds a finding for each value that the module would refuse.
pub(crate) fn check(settings: &OpenstackSettings, findings: &mut Findings) {
    let mut refuse = |key: &str, code: &str, message: String| findings.error(&Pointer::to(key), code, message);
    if settings.auth_url.as_deref().is_some_and(|url| !is_public_url(url)) {
        // The credential goes there.
        let message = "openstackAuthUrl must be an https URL without a query (http only to this machine) of at most 256 \
             characters";
        refuse("openstackAuthUrl", "url", message.to_owned());
    }
    for (key, name) in [("openstackExternalNetwork", &settings.external_network), ("openstackImage", &settings.image)] {
        if name.as_deref().is_some_and(|name| !is_name(name)) {
            refuse(key, "name", format!("{key} must be a name of at most {MAX_NAME} characters"));
        }
    }
    if settings.availability_zone.as_deref().is_some_and(|zone| !is_plain_name(zone)) {
        let message = "openstackAvailabilityZone must be at most 63 letters, digits, dots, hyphens and underscores";
        refuse("openstackAvailabilityZone", "name", message.to_owned());
    }
    let choices: [(&str, &Option<String>, [&str; 2]); 2] = [
        ("openstackLoadBalancer", &settings.load_balancer, ["octavia", "none"]),
        ("openstackServerGroupPolicy", &settings.server_group_policy, ["anti-affinity", "soft-anti-affinity"]),
    ];
    for (key, value, allowed) in choices {
        if value.as_deref().is_some_and(|value| !allowed.contains(&value)) {
            refuse(key, "choice", format!("{key} must be {} or {}", allowed[0], allowed[1]));
        }
    }
    if settings.load_balancer_provider.as_deref().is_some_and(|name| !is_driver(name)) {
        let message = "openstackLoadBalancerProvider must be the name of an Octavia provider, such as amphora or ovn";
        refuse("openstackLoadBalancerProvider", "name", message.to_owned());
    }
    if settings.boot_volume_gib.is_some_and(|size| size != 0 && !BOOT_VOLUME.contains(&size)) {
        let (least, most) = (BOOT_VOLUME.start(), BOOT_VOLUME.end());
        let message = format!("openstackBootVolumeGiB must be 0, or a whole number from {least} to {most}");
        refuse("openstackBootVolumeGiB", "out-of-range", message);
    }
    let resolvers = settings.resolvers.as_deref().unwrap_or_default();
    let repeated = |index: usize| resolvers[..index].contains(&resolvers[index]);
    let is_address = |text: &String| text.parse::<std::net::Ipv4Addr>().is_ok();
    if resolvers.len() > MAX_RESOLVERS || !resolvers.iter().all(is_address) || (0..resolvers.len()).any(repeated) {
        let message = format!("openstackDnsServers must be at most {MAX_RESOLVERS} different IPv4 addresses");
        refuse("openstackDnsServers", "addresses", message);
    }
}

/// What Neutron and Glance take as a name, as far as OpenTofu's pattern says it.
fn is_name(name: &str) -> bool {
    name.chars().count() <= MAX_NAME && !name.is_empty() && !name.chars().any(text::is_forbidden)
}

/// A region or an availability zone.
pub(crate) fn is_plain_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn is_driver(name: &str) -> bool {
    name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}
