//! What the plugin says of itself, and how a token is proven.

use catalyst_plugin_sdk::sovereign::{common_secrets, minted_secret};
use catalyst_plugin_sdk::{
    Header, Probe, ProbeResponse, Provider, ProviderSetting, Secret, SecretRole, SecretSource, SettingSource,
    TofuProvider, Verdict,
};

use crate::{catalogue, settings};

/// Name of the cloud's secret.
pub(crate) const HCLOUD_TOKEN: &str = "hetzner-token";

/// Longest `user_data` of a server in bytes (Hetzner Cloud API, create a server).
pub(crate) const USER_DATA_LIMIT: u32 = 32_768;
const API_HOST: &str = "api.hetzner.cloud";
/// The version that `infra/hetzner/versions.tf` pins; a test compares the two.
const HCLOUD_VERSION: &str = "1.68.0";

pub(crate) fn provider() -> Provider {
    Provider {
        id: "hetzner".to_owned(),
        display_name: "Hetzner Cloud".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        secrets: secrets(),
        tofu_providers: vec![TofuProvider {
            source: "hetznercloud/hcloud".to_owned(),
            version: HCLOUD_VERSION.to_owned(),
            settings: vec![ProviderSetting {
                argument: "token".to_owned(),
                source: SettingSource::Secret(HCLOUD_TOKEN.to_owned()),
                address: false,
            }],
        }],
        bearer_resource: Some("hcloud_server.control_plane[0]".to_owned()),
        catalogue: catalogue::catalogue(),
        user_data_limit: USER_DATA_LIMIT,
        settings_schema: settings::SCHEMA.to_owned(),
        api_hosts: vec![API_HOST.to_owned()],
    }
}

fn secrets() -> Vec<Secret> {
    let mut secrets = vec![Secret {
        source: SecretSource::Request("hetznerToken".to_owned()),
        // The wizard makes such a token up when it cannot reach the cloud.
        refused_prefixes: vec!["demo-mode".to_owned()],
        ..minted_secret(HCLOUD_TOKEN, SecretRole::Ordinary, "hetzner token")
    }];
    secrets.extend(common_secrets());
    secrets
}

/// Lists one server: the cheapest call that needs a valid token.
pub(crate) fn probe() -> Probe {
    asks("servers?per_page=1")
}

/// A read call with the token; `path` goes behind the API's version.
pub(crate) fn asks(path: &str) -> Probe {
    Probe {
        method: "GET".to_owned(),
        url: format!("https://{API_HOST}/v1/{path}"),
        headers: vec![Header {
            name: "Authorization".to_owned(),
            value: format!("Bearer {{{{secret:{HCLOUD_TOKEN}}}}}"),
        }],
        body: None,
    }
}

/// Says what the answer proves: a read call cannot prove the right to write.
pub(crate) fn judge(responses: &[ProbeResponse]) -> Verdict {
    match responses.first().map(|response| response.status) {
        Some(200) => Verdict::Accepted(
            "Hetzner Cloud accepted the token for reading; whether it may also write shows at the first create"
                .to_owned(),
        ),
        Some(401) => Verdict::Rejected("Hetzner Cloud does not know this token".to_owned()),
        Some(403) => Verdict::Rejected("Hetzner Cloud knows this token but does not let it read servers".to_owned()),
        Some(429) => Verdict::Unreachable("the project's hourly request limit at Hetzner Cloud is used up".to_owned()),
        Some(status) => Verdict::Unreachable(format!("Hetzner Cloud answered with status {status}")),
        None => Verdict::Unreachable("Hetzner Cloud gave no answer".to_owned()),
    }
}
