//! Shapes of request bodies. Bodies are read by hand, more leniently than any derived reader would, so their shapes stand
//! here; a test sends what they allow.
#![expect(dead_code, reason = "these types are only described, never made")]

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A deployment that is asked for. Further keys are those of its cloud.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateBody {
    /// Name of the organisation.
    #[schema(max_length = 200)]
    org_name: String,
    /// Contact address.
    #[schema(format = "email", max_length = 254)]
    org_email: String,
    /// DNS name of the new cluster, in lower case.
    #[serde(rename = "sovereignFQDN")]
    #[schema(max_length = 253, example = "cluster.example.org")]
    sovereign_fqdn: String,
    /// `pool` for a name below one of our domains; the others, or none, for a domain of your own.
    #[schema(pattern = "^(|pool|byo|byo-manual|byo-api)$")]
    sovereign_domain_mode: Option<String>,
    /// In `pool` mode: the domain below which the name lies.
    sovereign_pool_domain: Option<String>,
    /// In `pool` mode: the label of the name.
    sovereign_subdomain: Option<String>,
    /// Where the servers are, and what they are; the first entry counts.
    #[schema(max_items = 16)]
    regions: Option<Vec<RegionBody>>,
    /// Instead of `regions`.
    #[schema(max_length = 128)]
    region: Option<String>,
    /// Instead of `regions`.
    #[schema(max_length = 128)]
    control_plane_size: Option<String>,
    /// Instead of `regions`.
    #[schema(max_length = 128)]
    worker_size: Option<String>,
    /// Instead of `regions`.
    #[schema(minimum = 0)]
    worker_count: Option<i64>,
    /// Three control-plane servers instead of one.
    ha_enabled: Option<bool>,
    /// Public key of the operator.
    #[schema(
        max_length = 4096,
        example = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ ops"
    )]
    ssh_public_key: String,
    /// Digest of a preview: only a create that renders just this is taken.
    #[schema(pattern = "^([0-9a-f]{64})?$")]
    expected_render_digest: Option<String>,
    /// Credentials and settings of its cloud.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    of_its_cloud: Map<String, Value>,
}

/// One place with its servers.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegionBody {
    /// Id of the provider.
    provider: String,
    /// Region of that cloud.
    cloud_region: String,
    /// Machine type of the control-plane servers.
    control_plane_size: String,
    /// Machine type of the workers; needed when there are any.
    worker_size: Option<String>,
    /// Number of workers.
    #[schema(minimum = 0)]
    worker_count: Option<i64>,
}

/// What a destroy may be given.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DestroyBody {
    /// Whether the volumes that the cluster made in its cloud are deleted, with the data in them. Without it they stay there, and are
    /// named.
    delete_volumes: Option<bool>,
    /// Credentials that are no longer kept, under their keys of the create, such as a token of the cloud. Any other key is refused.
    #[serde(flatten)]
    credentials: std::collections::BTreeMap<String, String>,
}

/// What a retry may be given.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryBody {
    /// Whether a cluster that cannot be kept is made anew, with the loss of its data. One that can be kept is kept all the same.
    accept_data_loss: Option<bool>,
    /// Credentials that are no longer kept, under their keys of the create.
    #[serde(flatten)]
    credentials: std::collections::BTreeMap<String, String>,
}

/// A credential to prove.
#[derive(Deserialize, ToSchema)]
pub struct CredentialBody {
    /// The credential.
    token: String,
    /// Id of its provider.
    provider: String,
    /// Settings of the provider that say where to ask, such as which of its installations; keys of its settings schema.
    #[serde(flatten)]
    settings: std::collections::BTreeMap<String, serde_json::Value>,
}

/// A name in a pool.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubdomainBody {
    /// Its label.
    subdomain: String,
    /// The domain below which it lies.
    pool_domain: String,
}

/// What a key is for.
#[derive(Deserialize, ToSchema)]
pub struct KeyBody {
    /// DNS name of the cluster; goes into the comment.
    fqdn: Option<String>,
}

/// A token of a registrar and what it is to reach.
#[derive(Deserialize, ToSchema)]
pub struct RegistrarBody {
    /// The domain.
    domain: String,
    /// The token.
    token: String,
}

/// Nameservers of a domain, with the token of its registrar.
#[derive(Deserialize, ToSchema)]
pub struct NameserversBody {
    #[serde(flatten)]
    #[schema(value_type = Object)]
    fields: Map<String, Value>,
}
