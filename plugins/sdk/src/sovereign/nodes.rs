//! The nodes that the modules make, by the names that they give their servers. The plugins' tests hold the two together.

use sha2::{Digest as _, Sha256};

use crate::{DeploymentRequest, Node, NodeRole};

/// What stays of a name before its digest, in characters, as in the modules: with `-w50` behind it, it is still a host name.
const KEPT: usize = 50;

/// The servers and workers of a module whose resources are `<kind>.control_plane` and `<kind>.worker`, the first server first.
#[must_use]
pub fn server_nodes(request: &DeploymentRequest, worker_count: i64, kind: &str) -> Vec<Node> {
    let name = resource_name(&request.sovereign_fqdn);
    let node = |role, resource: &str, short: &str, index: i64| Node {
        name: format!("{name}-{short}{}", index + 1),
        role,
        address: format!("{kind}.{resource}[{index}]"),
    };
    let servers = if request.ha_enabled { 3 } else { 1 };
    let servers = (0..servers).map(|index| node(NodeRole::ControlPlane, "control_plane", "cp", index));
    servers.chain((0..worker_count).map(|index| node(NodeRole::Worker, "worker", "w", index))).collect()
}

/// How the name of everything begins that a module makes for a domain.
fn resource_name(fqdn: &str) -> String {
    let plain = format!("catalyst-{}", fqdn.replace('.', "-"));
    let kept = plain.get(..KEPT).unwrap_or(&plain);
    let digest = Sha256::digest(fqdn.as_bytes());
    let digest: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{digest}", kept.strip_suffix('-').unwrap_or(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_those_of_the_modules() {
        let request = DeploymentRequest {
            sovereign_fqdn: "acme.example.test".to_owned(),
            ha_enabled: true,
            ..DeploymentRequest::default()
        };
        let nodes = server_nodes(&request, 2, "x_server");
        let shown: Vec<(&str, &str)> = nodes.iter().map(|node| (node.name.as_str(), node.address.as_str())).collect();
        assert_eq!(
            shown,
            [
                ("catalyst-acme-example-test-aa7fa430-cp1", "x_server.control_plane[0]"),
                ("catalyst-acme-example-test-aa7fa430-cp2", "x_server.control_plane[1]"),
                ("catalyst-acme-example-test-aa7fa430-cp3", "x_server.control_plane[2]"),
                ("catalyst-acme-example-test-aa7fa430-w1", "x_server.worker[0]"),
                ("catalyst-acme-example-test-aa7fa430-w2", "x_server.worker[1]"),
            ]
        );
        let longest = resource_name(&format!("{}.example", "a".repeat(63)));
        // As `substr(sha256(...), 0, 8)` has it.
        assert_eq!(longest, format!("catalyst-{}-735cb979", "a".repeat(41)));
        assert_eq!(longest.len(), KEPT + 9);
        let dotted = resource_name(&format!("{}.example", "a".repeat(40)));
        assert!(dotted.starts_with(&format!("catalyst-{}-", "a".repeat(40))) && !dotted.contains("--"), "{dotted}");
    }
}
