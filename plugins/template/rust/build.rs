//! Compiles the cloud-init templates: what the engine cannot evaluate fails here, not on a server.

fn main() -> Result<(), catalyst_plugin_sdk::build::BuildError> {
    let templates = ["cloudinit-server.tftpl", "cloudinit-worker.tftpl"];
    catalyst_plugin_sdk::build::compile_templates(std::path::Path::new("module"), &templates)
}
