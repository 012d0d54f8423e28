//! What a later apply does to a living cluster: it is never replaced.

use crate::kit::{NAME, bundle, ha, request, up};
use catalyst_plugin_sdk::DeploymentRequest;
use catalyst_tests::hetzner::module::{Cloud, Work, secret_value};
use serde_json::Value;
use std::collections::BTreeMap;

/// Puts another rendering over the module, as a retry with a newer plugin does.
fn stage(work: &Work, request: &DeploymentRequest) {
    let bundle = bundle(request);
    for file in &bundle.files {
        std::fs::write(work.path().join(&file.path), &file.content).unwrap();
    }
    work.set_variables(&bundle.variables);
}

fn servers(cloud: &Cloud) -> BTreeMap<String, Value> {
    let servers = cloud.project().all("servers").into_iter();
    servers.map(|server| (server["name"].as_str().unwrap().to_owned(), server)).collect()
}

#[test]
fn a16_g17_other_user_data_plans_nothing_for_living_servers() {
    let mut up = up(Cloud::double(), &ha("fsn1", 1));
    let mut other = ha("fsn1", 1);
    other.org_name = "Renamed".to_owned();
    other.extra = r#"{"hetznerProjectID":"12345","k3sVersion":"v1.32.1+k3s1","enableFail2ban":false}"#.to_owned();
    stage(&up.work, &other);
    let template = up.work.path().join("cloudinit-control-plane.tftpl");
    let text = std::fs::read_to_string(&template).unwrap() + "# edited\n";
    std::fs::write(template, text).unwrap();
    // A retry mints them anew; the cluster goes on with what it has.
    for variable in ["kubeconfig_bearer_token", "k3s_token", "k3s_agent_token", "ghcr_pull_token"] {
        up.work.set(variable, &secret_value(&format!("another {variable}")));
    }
    let planned = up.work.plan().passed();
    assert_eq!(planned.planned, BTreeMap::new());
}

#[test]
fn a_size_change_updates_in_place_and_the_server_stays() {
    let up = up(Cloud::double(), &request("nbg1", 1));
    let before = servers(&up.cloud);
    let mut larger = request("nbg1", 1);
    larger.regions[0].control_plane_size = "cpx52".to_owned();
    larger.regions[0].worker_size = "cpx42".to_owned();
    stage(&up.work, &larger);
    let planned = up.work.plan().passed();
    assert_eq!((planned.count("update"), planned.planned.len()), (2, 2), "{:?}", planned.planned);
    up.work.apply().passed();
    let after = servers(&up.cloud);
    for (name, size) in [("cp1", "cpx52"), ("w1", "cpx42")] {
        let name = format!("{NAME}-{name}");
        assert_eq!(after[&name]["server_type"]["name"], size);
        assert_eq!(after[&name]["id"], before[&name]["id"]);
        assert_eq!(after[&name]["status"], "running");
    }
    up.settled();
}

#[test]
fn more_workers_join_with_the_first_token_and_fewer_leave_the_rest_alone() {
    let mut up = up(Cloud::double(), &request("hel1", 1));
    let before = servers(&up.cloud);
    stage(&up.work, &request("hel1", 3));
    up.work.set("k3s_agent_token", &secret_value("minted for the retry"));
    let planned = up.work.plan().passed();
    assert_eq!((planned.count("create"), planned.planned.len()), (2, 2), "{:?}", planned.planned);
    up.work.apply().passed();
    let joined = up.cloud.project().user_data(&format!("{NAME}-w3")).unwrap();
    assert!(
        joined.contains(&secret_value("k3s_agent_token")) && !joined.contains(&secret_value("minted for the retry"))
    );

    stage(&up.work, &request("hel1", 0));
    let planned = up.work.plan().passed();
    assert_eq!((planned.count("delete"), planned.planned.len()), (3, 3), "{:?}", planned.planned);
    up.work.apply().passed();
    let after = servers(&up.cloud);
    let first = format!("{NAME}-cp1");
    assert_eq!((after.len(), &after[&first]["id"]), (1, &before[&first]["id"]));
    up.settled();
}

#[test]
fn a_solo_cluster_becomes_ha_without_losing_its_server() {
    let up = up(Cloud::double(), &request("fsn1", 0));
    stage(&up.work, &ha("fsn1", 0));
    let planned = up.work.plan().passed();
    assert_eq!((planned.count("create"), planned.planned.len()), (4, 4), "{:?}", planned.planned);
    up.work.apply().passed();
    let joined = up.cloud.project().user_data(&format!("{NAME}-cp2")).unwrap();
    assert!(joined.contains("--server=") && joined.contains(&secret_value("k3s_token")));
    up.settled();
    up.down();
}

#[test]
fn another_ssh_key_replaces_the_key_and_no_server() {
    let up = up(Cloud::double(), &request("fsn1", 1));
    let mut other = request("fsn1", 1);
    other.ssh_public_key = other.ssh_public_key.replace("CQkJCQ", "CgoKCg");
    stage(&up.work, &other);
    let planned = up.work.plan().passed();
    assert_eq!(planned.planned.keys().collect::<Vec<_>>(), ["hcloud_ssh_key.main[0]"], "{:?}", planned.planned);
    up.work.apply().passed();
    up.settled();
}
