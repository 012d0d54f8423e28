//! What a later apply does to a living cluster: it is never replaced.

use crate::kit::{bundle, ha, request, server, up, user_data};
use catalyst_plugin_sdk::DeploymentRequest;
use catalyst_tests::openstack::module::{Cloud, Work, secret_value};
use serde_json::json;
use std::collections::BTreeMap;

/// Puts another rendering over the module, as a retry with a newer plugin does.
fn stage(work: &Work, request: &DeploymentRequest) {
    let bundle = bundle(request);
    for file in &bundle.files {
        std::fs::write(work.path().join(&file.path), &file.content).unwrap();
    }
    work.set_variables(&bundle.variables);
}

#[test]
fn a16_g17_other_user_data_image_and_key_plan_nothing_for_living_servers() {
    let cloud = Cloud::double();
    let asked = ha(&cloud, 1, json!({}));
    let mut up = up(cloud, &asked);
    let mut other = ha(
        &up.cloud,
        1,
        json!({"k3sVersion": "v1.32.1+k3s1", "enableFail2ban": false,
                                            "openstackServerGroupPolicy": "soft-anti-affinity"}),
    );
    other.org_name = "Renamed".to_owned();
    stage(&up.work, &other);
    let template = up.work.path().join("cloudinit-control-plane.tftpl");
    let text = std::fs::read_to_string(&template).unwrap() + "# edited\n";
    std::fs::write(template, text).unwrap();
    // A retry mints them anew; the cluster goes on with what it has.
    for variable in ["kubeconfig_bearer_token", "k3s_token", "k3s_agent_token", "ghcr_pull_token"] {
        up.work.set(variable, &secret_value(&format!("another {variable}")));
    }
    assert_eq!(up.work.plan().passed().planned, BTreeMap::new());

    other.ssh_public_key = other.ssh_public_key.replace("CQkJCQ", "CgoKCg");
    stage(&up.work, &other);
    let planned = up.work.plan().passed();
    assert_eq!(planned.planned.keys().collect::<Vec<_>>(), ["openstack_compute_keypair_v2.main"]);
}

#[test]
fn a_size_change_resizes_in_place_and_the_server_stays() {
    let cloud = Cloud::double();
    let mut asked = request(&cloud, 1, json!({}));
    let up = up(cloud, &asked);
    let before = ["cp1", "w1"].map(|name| server(&up.cloud, name)["id"].clone());
    asked.regions[0].control_plane_size = "SCS-8V-32-100".to_owned();
    asked.regions[0].worker_size = "SCS-8V-16-50".to_owned();
    stage(&up.work, &asked);
    let planned = up.work.plan().passed();
    assert_eq!((planned.count("update"), planned.planned.len()), (2, 2), "{:?}", planned.planned);
    up.work.apply().passed();
    for ((name, flavour), before) in [("cp1", "3"), ("w1", "5")].into_iter().zip(before) {
        let after = server(&up.cloud, name);
        assert_eq!(
            (&after["id"], &after["flavor"]["id"], &after["status"]),
            (&before, &json!(flavour), &json!("ACTIVE"))
        );
    }
    up.settled();
    up.down();
}

#[test]
fn a_solo_cluster_becomes_ha_and_gets_workers_without_losing_its_server() {
    let cloud = Cloud::double();
    let asked = request(&cloud, 0, json!({}));
    let mut up = up(cloud, &asked);
    let before = server(&up.cloud, "cp1")["id"].clone();
    stage(&up.work, &ha(&up.cloud, 1, json!({})));
    up.work.set("k3s_agent_token", &secret_value("minted for the retry"));
    let planned = up.work.plan().passed();
    // Three servers with their ports; the three pools get members.
    assert_eq!(
        (planned.count("create"), planned.count("update"), planned.planned.len()),
        (6, 3, 9),
        "{:?}",
        planned.planned
    );
    up.work.apply().passed();
    assert_eq!(server(&up.cloud, "cp1")["id"], before);
    assert!(user_data(&up.cloud, "cp2").contains(&secret_value("k3s_token")));
    assert!(user_data(&up.cloud, "w1").contains(&secret_value("k3s_agent_token")), "the first token stays");
    up.settled();
    stage(&up.work, &request(&up.cloud, 0, json!({})));
    up.work.plan().passed();
    up.work.apply().passed();
    assert_eq!(up.cloud.project().all("servers").len(), 1);
    up.down();
}

/// Without a word of the host it begins a cluster; with it, it joins the second server, and the second one the first.
#[test]
fn t1_a_server_that_is_made_while_the_cluster_exists_joins_it_and_begins_none() {
    let cloud = Cloud::double();
    let asked = ha(&cloud, 0, json!({}));
    let mut up = up(cloud, &asked);
    let both = ["openstack_compute_instance_v2.control_plane[0]", "openstack_compute_instance_v2.control_plane[1]"];
    for (exists, first) in [("true", "server='https://10.0.1.3:6443'"), ("false", "--cluster-init")] {
        up.work.set("cluster_exists", exists);
        let planned = up.work.plan_replacing(&both).passed();
        assert!(both.iter().all(|address| planned.planned[*address] == "replace"), "{:?}", planned.planned);
        up.work.apply().passed();
        let [cp1, cp2] = ["cp1", "cp2"].map(|name| user_data(&up.cloud, name));
        assert!(cp1.contains(first), "{exists}");
        assert_eq!(cp1.contains("--cluster-init"), exists == "false");
        assert_eq!(
            cp1.contains(&secret_value("kubeconfig_bearer_token")),
            exists == "false",
            "who joins hands nothing in"
        );
        assert!(cp2.contains("server='https://10.0.1.2:6443'") && !cp2.contains("--cluster-init"));
    }
    up.down();
}
