//! The secrets that no cloud has, and every cluster needs.

use crate::{Secret, SecretRole, SecretSource};

/// Token for the registry of charts and images, the host's.
pub const GHCR_TOKEN: &str = "ghcr-pull-token";
/// With which the first server hands in its kubeconfig.
pub const BEARER: &str = "kubeconfig-bearer";
/// With which servers join.
pub const K3S_TOKEN: &str = "k3s-token";
/// With which workers join.
pub const K3S_AGENT_TOKEN: &str = "k3s-agent-token";

/// Longest registry token in bytes, as in the modules.
const MAX_GHCR_TOKEN: u32 = 256;

/// Each of these secrets and the module variable that it fills.
pub const SECRET_VARIABLES: [(&str, &str); 4] = [
    (GHCR_TOKEN, "ghcr_pull_token"),
    (BEARER, "kubeconfig_bearer_token"),
    (K3S_TOKEN, "k3s_token"),
    (K3S_AGENT_TOKEN, "k3s_agent_token"),
];

/// A secret that the host makes for each deployment: 64 hex characters.
pub fn minted_secret(name: &str, role: SecretRole, label: &str) -> Secret {
    Secret {
        name: name.to_owned(),
        source: SecretSource::Minted,
        role,
        required: true,
        min_length: 64,
        max_length: 64,
        label: label.to_owned(),
        refused_prefixes: Vec::new(),
    }
}

/// The secrets beside those of the cloud.
pub fn common_secrets() -> Vec<Secret> {
    vec![
        Secret {
            source: SecretSource::Host("ghcr-pull-token".to_owned()),
            required: false,
            min_length: 1,
            max_length: MAX_GHCR_TOKEN,
            ..minted_secret(GHCR_TOKEN, SecretRole::Ordinary, "GHCR pull token")
        },
        minted_secret(BEARER, SecretRole::KubeconfigBearer, "kubeconfig bearer"),
        minted_secret(K3S_TOKEN, SecretRole::Ordinary, "k3s server token"),
        minted_secret(K3S_AGENT_TOKEN, SecretRole::Ordinary, "k3s agent token"),
    ]
}
