//! Version 1.1 of the contract, which grows: as 1.0, and a component says which arguments its module sets in its providers' blocks
//! and which nodes it makes, and is told what the host left out of a request.

/// Generated from `wit/provisioner-1.1`.
pub(super) mod wit {
    wasmtime::component::bindgen!({
        path: "../../wit/provisioner-1.1",
        world: "provisioner",
        exports: { default: async },
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

mod convert {
    super::super::convert::converted!(super::wit::catalyst::provisioner);

    fn cluster_exists_variable(rendered: &wit::bundle::Rendered) -> Option<String> {
        rendered.cluster_exists_variable.clone()
    }

    fn nodes(rendered: &wit::bundle::Rendered) -> Vec<own::Node> {
        let node = |node: &wit::outcome::Node| own::Node {
            name: node.name.clone(),
            role: match node.role {
                wit::outcome::NodeRole::ControlPlane => own::NodeRole::ControlPlane,
                wit::outcome::NodeRole::Worker => own::NodeRole::Worker,
            },
            address: node.address.clone(),
        };
        rendered.nodes.iter().map(node).collect()
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
