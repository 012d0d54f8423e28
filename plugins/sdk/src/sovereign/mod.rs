//! What the modules of several clouds have in common where they build the same kind of cluster: k3s with Cilium and Flux on
//! Ubuntu, by the templates that `infra/hetzner` and `infra/openstack` share. Names, settings, secrets and template values are
//! read and checked here once, by the rules of those modules' variables. A plugin for another kind of cluster needs none of it.
//!
//! Knows no cloud.

mod context;
mod names;
#[cfg(feature = "contract-1-1")]
mod nodes;
mod secrets;
mod settings;
mod templates;
mod versions;

pub use context::{check_context, is_public_url};
pub use names::{FidoKeys, MAX_FQDN, check_names, check_ssh_key, check_worker_count, pool_names};
#[cfg(feature = "contract-1-1")]
pub use nodes::server_nodes;
pub use secrets::{BEARER, GHCR_TOKEN, K3S_AGENT_TOKEN, K3S_TOKEN, SECRET_VARIABLES, common_secrets, minted_secret};
pub use settings::{NodeSettings, read_settings};
pub use templates::{CloudCredentials, Cluster, Compiled, Nodes, Templates, base64_len};
pub use versions::check_versions;
