//! What a cluster is made of, as the cloud shows it. One cluster serves all of these questions.

use crate::kit::{DEPLOYMENT, world};
use catalyst_tests::hetzner::module::secret_value;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn all(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

#[test]
fn f3_everything_carries_the_deployment_and_the_sovereign() {
    assert_eq!(world().everything.len(), 1 + 1 + 1 + 1 + 1 + 5);
    for object in &world().everything {
        assert_eq!(object["labels"]["catalyst.openova.io/deployment-id"], DEPLOYMENT, "{object}");
        assert_eq!(object["labels"]["catalyst.openova.io/sovereign"], "acme.example.test", "{object}");
    }
}

#[test]
fn g1_the_load_balancer_serves_the_port_that_the_kubeconfig_names() {
    let mut ports: Vec<(u64, u64)> = all(&world().balancer["services"])
        .iter()
        .map(|service| (service["listen_port"].as_u64().unwrap(), service["destination_port"].as_u64().unwrap()))
        .collect();
    ports.sort_unstable();
    assert_eq!(ports, [(80, 31080), (443, 31443), (6443, 6443)]);
    let address = &world().address;
    assert!(world().user_data[0].contains(&format!("https://{address}:6443")));
    assert!(all(&world().balancer["targets"]).iter().all(|target| target["use_private_ip"] == true));
}

#[test]
fn g2_g18_the_certificate_names_every_address_by_which_a_server_is_called() {
    let public = world().address.as_str();
    for user_data in &world().user_data[..3] {
        for san in ["acme.example.test", public, "10.0.1.254"] {
            assert!(user_data.contains(&format!("--tls-san={san}")), "{san}");
        }
        for own in [
            "\"--tls-san=$public_ip\"",
            "\"--tls-san=$node_ip\"",
            "\"--node-ip=$node_ip\"",
            "\"--advertise-address=$node_ip\"",
        ] {
            assert!(user_data.contains(own), "{own}");
        }
    }
    assert!(world().user_data[3].contains("\"--node-ip=$node_ip\""));
}

#[test]
fn g3_one_server_begins_the_cluster_and_the_others_join_it() {
    let begins: Vec<bool> = world().user_data.iter().map(|text| text.contains("--cluster-init")).collect();
    assert_eq!(begins, [true, false, false, false, false]);
    let bearer = secret_value("kubeconfig_bearer_token");
    let bearers: Vec<bool> = world().user_data.iter().map(|text| text.contains(&bearer)).collect();
    assert_eq!(bearers, [true, false, false, false, false], "good for one call, so one server has it");
    for user_data in &world().user_data[1..] {
        assert!(user_data.contains("server='https://10.0.1.2:6443'") && user_data.contains("\"--server=$server\""));
    }
    assert_eq!(all(&world().groups[0]["servers"]).len(), 3, "spread over hosts, or one host's end is the cluster's");
    assert_eq!(world().groups[0]["type"], "spread");
}

#[test]
fn g4_g12_a_worker_cannot_open_the_control_plane() {
    let (server, agent) = (secret_value("k3s_token"), secret_value("k3s_agent_token"));
    for user_data in &world().user_data[..3] {
        assert!(user_data.contains(&server) && user_data.contains(&agent));
    }
    for user_data in &world().user_data[3..] {
        assert!(user_data.contains(&agent) && !user_data.contains(&server));
        assert!(!user_data.contains("catalyst/hcloud-credentials"), "the project's token is the first server's");
    }
}

#[test]
fn g5_private_addresses_are_fixed_and_do_not_meet() {
    let address = |object: &Value| object["private_net"][0]["ip"].as_str().unwrap().to_owned();
    let servers: Vec<String> = world().servers.iter().map(address).collect();
    assert_eq!(servers, ["10.0.1.2", "10.0.1.3", "10.0.1.4", "10.0.1.10", "10.0.1.11"]);
    assert_eq!(address(&world().balancer), "10.0.1.254");
    for (own, user_data) in servers.iter().zip(&world().user_data) {
        assert!(user_data.contains(&format!("node_ip='{own}'")), "{own}");
    }
}

#[test]
fn g14_the_firewall_opens_what_was_asked_for_and_takes_ipv6() {
    let rules: BTreeSet<(String, String)> = all(&world().firewall["rules"])
        .iter()
        .map(|rule| (rule["protocol"].as_str().unwrap().to_owned(), rule["port"].as_str().unwrap_or("-").to_owned()))
        .collect();
    let open = [("icmp", "-"), ("tcp", "22"), ("tcp", "443"), ("tcp", "6443"), ("tcp", "80")];
    assert_eq!(rules, open.map(|(protocol, port)| (protocol.to_owned(), port.to_owned())).into());
    let ssh = all(&world().firewall["rules"]).iter().find(|rule| rule["port"] == "22").unwrap();
    let sources: BTreeSet<&str> = all(&ssh["source_ips"]).iter().map(|source| source.as_str().unwrap()).collect();
    assert_eq!(sources, ["203.0.113.0/24", "2001:db8::/48"].into(), "host bits are cut off, which the cloud refuses");
    assert_eq!(all(&world().firewall["applied_to"]).len(), 5);
    assert!(all(&world().firewall["rules"]).iter().all(|rule| rule["direction"] == json!("in")));
}
