//! What the plugin says of itself.

use catalyst_plugin_sdk::sovereign::{common_secrets, minted_secret};
use catalyst_plugin_sdk::{
    Catalogue, Provider, ProviderSetting, Secret, SecretRole, SecretSource, SettingSource, TofuProvider,
};

use crate::{flavours, settings};

/// Names of the cloud's secrets.
pub(crate) const CREDENTIAL_ID: &str = "openstack-credential-id";
pub(crate) const CREDENTIAL_SECRET: &str = "openstack-credential-secret";

/// Longest user data of a server in characters of base64, the form in which Nova gets it (`MAX_USERDATA_SIZE`).
pub(crate) const USER_DATA_LIMIT: u32 = 65_535;

/// The version that `infra/openstack/versions.tf` pins; a test compares the two.
const OPENSTACK_VERSION: &str = "3.4.0";

pub(crate) fn provider() -> Provider {
    Provider {
        id: "openstack".to_owned(),
        display_name: "OpenStack".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        secrets: secrets(),
        tofu_providers: vec![TofuProvider {
            source: "terraform-provider-openstack/openstack".to_owned(),
            version: OPENSTACK_VERSION.to_owned(),
            settings: provider_settings(),
        }],
        bearer_resource: Some("openstack_compute_instance_v2.control_plane[0]".to_owned()),
        // Regions and flavours are those of one cloud each: openstackFlavors says them.
        catalogue: Catalogue {
            as_of: flavours::AS_OF.to_owned(),
            currency: "EUR".to_owned(),
            regions: Vec::new(),
            machine_types: flavours::machine_types(),
        },
        user_data_limit: USER_DATA_LIMIT,
        settings_schema: settings::SCHEMA.to_owned(),
        api_hosts: Vec::new(),
    }
}

/// What `infra/openstack/versions.tf` sets in the provider's block. The address is the request's own.
fn provider_settings() -> Vec<ProviderSetting> {
    let from = |argument: &str, source: SettingSource| ProviderSetting {
        argument: argument.to_owned(),
        source,
        address: argument == "auth_url",
    };
    vec![
        from("auth_url", SettingSource::Request("openstackAuthUrl".to_owned())),
        from("region", SettingSource::Fixed),
        from("application_credential_id", SettingSource::Secret(CREDENTIAL_ID.to_owned())),
        from("application_credential_secret", SettingSource::Secret(CREDENTIAL_SECRET.to_owned())),
    ]
}

/// An application credential: it belongs to one project, and can be limited and revoked by itself.
fn secrets() -> Vec<Secret> {
    let of_request = |name: &str, key: &str, least: u32, most: u32, label: &str| Secret {
        source: SecretSource::Request(key.to_owned()),
        min_length: least,
        max_length: most,
        ..minted_secret(name, SecretRole::Ordinary, label)
    };
    let mut secrets = vec![
        // The first is the one that a person is asked for where there is one field.
        of_request(
            CREDENTIAL_SECRET,
            "openstackApplicationCredentialSecret",
            8,
            255,
            "openstack application credential secret",
        ),
        of_request(CREDENTIAL_ID, "openstackApplicationCredentialID", 8, 64, "openstack application credential id"),
    ];
    secrets.extend(common_secrets());
    secrets
}
