//! Where a new cluster is, from the module's outputs.

use catalyst_plugin_sdk::{Endpoints, Outputs};

pub(crate) fn read(outputs: &Outputs) -> Result<Endpoints, String> {
    let control_plane_ip = outputs.address("control_plane_ip")?;
    let load_balancer_ip = outputs.address("load_balancer_ip")?;
    let fqdn = outputs.text("sovereign_fqdn")?;
    Ok(Endpoints {
        kubeconfig_hosts: vec![load_balancer_ip.clone(), control_plane_ip.clone(), fqdn],
        console_url: outputs.text("console_url")?,
        control_plane_ip,
        load_balancer_ip,
    })
}
