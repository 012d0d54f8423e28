//! The request of a deployment without its secrets, and the rules that hold on every cloud.

mod destroy;
mod gather;
mod parse;
mod rules;
mod unknown;

pub use destroy::DestroyBody;
pub use gather::GatheredFindings;
pub use parse::{BodyError, Parsed, given_twice, known_settings, parse};
pub use rules::validate;
pub use unknown::{UNKNOWN_KEY, nearest, pointer_to, shown_key, unknown_keys, unknown_words};

use serde::{Deserialize, Serialize};

/// One entry of `regions`. Blank strings mean "not given".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegionSlot {
    /// Id of the provider.
    pub provider: String,
    /// Region of that cloud.
    pub cloud_region: String,
    /// Machine type of the servers.
    pub control_plane_size: String,
    /// Machine type of the workers.
    pub worker_size: String,
    /// Number of workers.
    pub worker_count: i64,
}

/// Who writes the DNS records of the new cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainMode {
    /// A name below one of our domains: the pool-domain manager does it.
    Pool,
    /// A domain of the customer's own.
    Byo,
}

/// What a person asked for. Keys are those of the wire; secrets have been split off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Request {
    /// Name of the organisation.
    pub org_name: String,
    /// Contact address.
    pub org_email: String,
    /// DNS name of the new cluster.
    #[serde(rename = "sovereignFQDN")]
    pub sovereign_fqdn: String,
    /// As on the wire: `pool`, `byo`, `byo-manual`, `byo-api` or blank.
    pub sovereign_domain_mode: String,
    /// Domain below which a pool name lies.
    pub sovereign_pool_domain: String,
    /// Label of a pool name.
    pub sovereign_subdomain: String,
    /// Region; that of `regions[0]` when there is one.
    pub region: String,
    /// Machine type of the servers.
    pub control_plane_size: String,
    /// Machine type of the workers.
    pub worker_size: String,
    /// Number of workers.
    pub worker_count: i64,
    /// Three servers instead of one.
    pub ha_enabled: bool,
    /// Slots, the first of which counts.
    #[serde(deserialize_with = "null_is_default")]
    pub regions: Vec<RegionSlot>,
    /// Public key of the operator.
    pub ssh_public_key: String,
    /// Every further key: it belongs to the cloud.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

impl Request {
    /// The domain mode: anything but `pool` is the customer's own.
    pub fn domain_mode(&self) -> DomainMode {
        if self.sovereign_domain_mode == "pool" { DomainMode::Pool } else { DomainMode::Byo }
    }

    /// The provider that the first region names, if any.
    pub fn provider(&self) -> Option<&str> {
        self.regions.first().map(|slot| slot.provider.trim()).filter(|p| !p.is_empty())
    }

    /// Copies `regions[0]` into the singular fields.
    pub(crate) fn mirror_first_region(&mut self) {
        if let Some(first) = self.regions.first() {
            self.region.clone_from(&first.cloud_region);
            self.control_plane_size.clone_from(&first.control_plane_size);
            self.worker_size.clone_from(&first.worker_size);
            self.worker_count = first.worker_count;
        }
    }
}

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
