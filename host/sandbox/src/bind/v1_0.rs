//! Version 1.0 of the contract, which is frozen: generated bindings, the `log` import, and what a component says of itself. It cannot
//! say which arguments its module sets in its providers' blocks, nor which nodes it makes.

use crate::state::lock;

/// Generated from `wit/provisioner-1.0`.
pub(super) mod wit {
    wasmtime::component::bindgen!({
        path: "../../wit/provisioner-1.0",
        world: "provisioner",
        exports: { default: async },
    });
}

mod described {
    super::super::described::described!(super::wit::catalyst::provisioner::descriptor);

    fn tofu_provider(provider: wit::TofuProvider) -> own::TofuProvider {
        own::TofuProvider { source: provider.source, version: provider.version, settings: None }
    }
}

mod convert {
    super::super::convert::converted!(super::wit::catalyst::provisioner);

    fn cluster_exists_variable(_: &wit::bundle::Rendered) -> Option<String> {
        None
    }

    fn nodes(_: &wit::bundle::Rendered) -> Vec<own::Node> {
        Vec::new()
    }
}

super::exports::bound!(_left_out => []);

impl wit::catalyst::provisioner::log::Host for CallState {
    fn write(&mut self, level: wit::catalyst::provisioner::log::Level, message: String) {
        use wit::catalyst::provisioner::log::Level;
        let level = match level {
            Level::Trace => tracing::Level::TRACE,
            Level::Debug => tracing::Level::DEBUG,
            Level::Info => tracing::Level::INFO,
            Level::Warn => tracing::Level::WARN,
            Level::Error => tracing::Level::ERROR,
        };
        lock(&self.log()).line(level, &message);
    }
}
