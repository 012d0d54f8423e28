//! Compiles the module's templates.

fn main() -> Result<(), catalyst_plugin_sdk::build::BuildError> {
    let module = std::path::Path::new("../../infra/openstack");
    let templates = [
        "cloudinit-base.tftpl",
        "cloudinit-control-plane.tftpl",
        "cloudinit-control-plane-join.tftpl",
        "cloudinit-forward.tftpl",
        "cloudinit-worker.tftpl",
    ];
    catalyst_plugin_sdk::build::compile_templates(module, &templates)
}
