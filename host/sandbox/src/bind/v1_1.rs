//! Version 1.1 of the contract, which grows: as 1.0, and a component says which arguments its module sets in its
//! providers' blocks, and is told what the host left out of a request.

/// Generated from `wit/provisioner-1.1`. The records that did not change are those of 1.0.
pub(super) mod wit {
    wasmtime::component::bindgen!({
        path: "../../wit/provisioner-1.1",
        world: "provisioner",
        exports: { default: async },
        with: {
            "catalyst:provisioner/request": crate::bind::v1_0::wit::catalyst::provisioner::request,
            "catalyst:provisioner/findings": crate::bind::v1_0::wit::catalyst::provisioner::findings,
            "catalyst:provisioner/bundle": crate::bind::v1_0::wit::catalyst::provisioner::bundle,
            "catalyst:provisioner/outcome": crate::bind::v1_0::wit::catalyst::provisioner::outcome,
            "catalyst:provisioner/credentials": crate::bind::v1_0::wit::catalyst::provisioner::credentials,
        },
    });
}

mod described {
    super::super::described::described!(super::wit::catalyst::provisioner::descriptor);

    fn tofu_provider(provider: wit::TofuProvider) -> own::TofuProvider {
        let settings = provider.settings.into_iter().map(setting).collect();
        own::TofuProvider { source: provider.source, version: provider.version, settings: Some(settings) }
    }

    fn setting(setting: wit::ProviderSetting) -> own::ProviderSetting {
        own::ProviderSetting {
            argument: setting.argument,
            source: match setting.source {
                wit::SettingSource::Secret(name) => own::SettingSource::Secret(name),
                wit::SettingSource::Request(key) => own::SettingSource::Request(key),
                wit::SettingSource::Fixed => own::SettingSource::Fixed,
            },
            address: setting.address,
        }
    }
}

super::exports::bound!(left_out => [left_out]);

use wit::catalyst::provisioner::log::{Host, Level};

impl Host for CallState {
    fn write(&mut self, level: Level, message: String) {
        use super::v1_0::wit::catalyst::provisioner::log as first;
        let level = match level {
            Level::Trace => first::Level::Trace,
            Level::Debug => first::Level::Debug,
            Level::Info => first::Level::Info,
            Level::Warn => first::Level::Warn,
            Level::Error => first::Level::Error,
        };
        first::Host::write(self, level, message);
    }
}
