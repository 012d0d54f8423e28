//! What a cluster is made of, as the cloud shows it. One cluster serves all of these questions.

use crate::kit::{DEPLOYMENT, NAME, world};
use catalyst_tests::openstack::module::{CREDENTIAL, secret_value};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn all(kind: &str) -> Vec<Value> {
    world().cloud.project().all(kind)
}

fn listed(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

#[test]
fn f3_everything_is_found_by_its_tags_its_metadata_or_its_name() {
    let (deployment, sovereign) = (format!("catalyst-deployment={DEPLOYMENT}"), "catalyst-sovereign=acme.example.test");
    for kind in
        ["networks", "subnets", "routers", "floatingips", "security_groups", "loadbalancers", "listeners", "pools"]
    {
        for object in all(kind) {
            let tags: BTreeSet<&str> = listed(&object["tags"]).iter().map(|tag| tag.as_str().unwrap()).collect();
            assert_eq!(tags, [deployment.as_str(), sovereign].into(), "{kind}: {object}");
        }
    }
    let own = |port: &Value| !["network:router_interface", "Octavia"].contains(&port["device_owner"].as_str().unwrap());
    for port in all("ports").into_iter().filter(own) {
        assert_eq!(listed(&port["tags"]).len(), 2, "{port}");
    }
    for server in all("servers") {
        assert_eq!(server["metadata"]["catalyst-deployment"], DEPLOYMENT);
        assert_eq!(server["metadata"]["catalyst-sovereign"], "acme.example.test");
    }
    for kind in ["keypairs", "server_groups", "servers", "networks", "routers", "loadbalancers", "healthmonitors"] {
        for object in all(kind) {
            assert!(object["name"].as_str().unwrap().starts_with(NAME), "{kind}: {object}");
        }
    }
}

#[test]
fn g1_the_load_balancer_serves_the_port_that_the_kubeconfig_names_and_has_the_public_address() {
    let mut ports: Vec<(u64, u64, usize)> = all("listeners")
        .iter()
        .map(|listener| {
            let pool = all("pools").into_iter().find(|pool| pool["id"] == listener["default_pool_id"]).unwrap();
            let members = listed(&pool["member_list"]);
            assert!(members.iter().all(|member| member["protocol_port"] == members[0]["protocol_port"]));
            (listener["protocol_port"].as_u64().unwrap(), members[0]["protocol_port"].as_u64().unwrap(), members.len())
        })
        .collect();
    ports.sort_unstable();
    assert_eq!(ports, [(22, 22, 1), (80, 31080, 3), (443, 31443, 3), (6443, 6443, 3)]);
    assert_eq!(all("healthmonitors").len(), 4, "a server that is down gets no connections");
    let balancer = &all("loadbalancers")[0];
    let floating = &all("floatingips")[0];
    assert_eq!(floating["port_id"], balancer["vip_port_id"]);
    assert_eq!(balancer["vip_address"], "10.0.1.254");
    assert!(world().user_data[0].contains(&format!("https://{}:6443", world().address)));
}

/// A watch may be silent for longer than the 50 s after which Octavia would cut it off.
#[test]
fn a_quiet_watch_is_not_cut_off() {
    let listeners = all("listeners");
    let api = listeners.iter().find(|listener| listener["protocol_port"] == 6443).unwrap();
    assert_eq!((&api["timeout_client_data"], &api["timeout_member_data"]), (&json!(3_600_000), &json!(3_600_000)));
}

#[test]
fn g2_g18_the_certificate_names_every_address_by_which_a_server_is_called() {
    for user_data in &world().user_data[..3] {
        for san in ["acme.example.test", world().address.as_str(), "10.0.1.254"] {
            assert!(user_data.contains(&format!("--tls-san={san}")), "{san}");
        }
    }
}

#[test]
fn g3_one_server_begins_the_cluster_and_the_others_join_it_on_other_machines() {
    let begins: Vec<bool> = world().user_data.iter().map(|text| text.contains("--cluster-init")).collect();
    assert_eq!(begins, [true, false, false, false, false]);
    let bearer = secret_value("kubeconfig_bearer_token");
    let bearers: Vec<bool> = world().user_data.iter().map(|text| text.contains(&bearer)).collect();
    assert_eq!(bearers, [true, false, false, false, false], "good for one call, so one server has it");
    let group = &all("server_groups")[0];
    assert_eq!((&group["policy"], listed(&group["members"]).len()), (&json!("anti-affinity"), 3));
}

#[test]
fn g4_g12_a_worker_cannot_open_the_control_plane_and_has_no_credential() {
    let (server, agent) = (secret_value("k3s_token"), secret_value("k3s_agent_token"));
    for user_data in &world().user_data[..3] {
        assert!(user_data.contains(&server) && user_data.contains(&agent));
    }
    for user_data in &world().user_data[3..] {
        assert!(user_data.contains(&agent) && !user_data.contains(&server));
    }
    for user_data in &world().user_data[1..] {
        assert!(!user_data.contains("openstack-credentials"), "it is the first server's");
    }
    assert!(world().user_data.iter().all(|text| !text.contains(CREDENTIAL.1)), "in base64 only, and there on demand");
}

#[test]
fn g5_private_addresses_are_fixed_and_clear_of_those_that_the_cloud_gives_out() {
    assert_eq!(world().private, ["10.0.1.2", "10.0.1.3", "10.0.1.4", "10.0.1.10", "10.0.1.11"]);
    for (own, user_data) in world().private.iter().zip(&world().user_data) {
        assert!(user_data.contains(&format!("node_ip='{own}'")), "{own}");
    }
    let subnet = &all("subnets")[0];
    let ignored = format!("ignoreip = 127.0.0.1/8 ::1 {}\n", subnet["cidr"].as_str().unwrap());
    let all_ignore = world().user_data.iter().all(|text| text.contains(&ignored));
    assert!(all_ignore, "an amphora speaks for every client: banned, it would lock all of them out");
    assert_eq!(subnet["allocation_pools"], json!([{"start": "10.0.1.100", "end": "10.0.1.250"}]));
}

/// Port, protocol, source of each rule that lets something in.
fn rules() -> BTreeSet<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let group = all("security_groups")[0]["id"].clone();
    let source = |rule: &Value| {
        if rule["remote_group_id"] == group { "members".to_owned() } else { text(&rule["remote_ip_prefix"]) }
    };
    let port = |rule: &Value| rule["port_range_min"].as_u64().map_or("-".to_owned(), |port| port.to_string());
    let incoming = all("security_group_rules").into_iter().filter(|rule| rule["direction"] == "ingress");
    incoming.map(|rule| (port(&rule), text(&rule["protocol"]), source(&rule))).collect()
}

#[test]
fn g14_the_group_lets_in_what_the_load_balancer_sends_and_nothing_else_from_outside() {
    let expect = [
        ("-", "-", "members"),
        ("-", "icmp", "0.0.0.0/0"),
        ("22", "tcp", "10.0.1.0/24"),
        ("22", "tcp", "2001:db8::/48"),
        ("22", "tcp", "203.0.113.0/24"),
        ("31080", "tcp", "10.0.1.0/24"),
        ("31443", "tcp", "10.0.1.0/24"),
        ("6443", "tcp", "10.0.1.0/24"),
    ];
    let expect = expect.map(|(port, protocol, source)| (port.to_owned(), protocol.to_owned(), source.to_owned()));
    assert_eq!(rules(), expect.into());
    let listeners = all("listeners");
    let ssh = listeners.iter().find(|listener| listener["protocol_port"] == 22).unwrap();
    assert_eq!(ssh["allowed_cidrs"], json!(["203.0.113.0/24"]), "host bits are cut off");
}
