//! A run that replaces servers: the host's binary, the real OpenTofu, Hetzner's own provider over the double, and a real API server as
//! the cluster. Before a kubeconfig was accepted all nodes are made anew, with a new bearer. Afterwards one that is made joins, and a
//! cluster whose data would be lost is made anew only where somebody agreed.

use crate::scene::{KIT, Scene, dead_kubeconfig, instance};
use catalyst_domain::kubeconfig::sha256_hex;
use catalyst_tests::flux::Stage;
use catalyst_tests::hetzner::Answer;
use catalyst_tests::hetzner::module::TOKEN;
use catalyst_tests::host::wait_for;
use catalyst_tests::world::LIMIT;
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

/// What k3s puts on each node: it lets one go only after its member has left etcd.
const ETCD_FINALIZER: &str = "wrangler.cattle.io/managed-etcd-controller";

/// The first run fails after it made the first server, which lives, boots and calls home; a retry then ends ready.
async fn damaged_before_a_cluster(ha: bool) {
    let scene = Scene::start().await;
    let refused = Answer::Refused(422, "invalid_input", "the network is not there yet");
    scene.project.fail_with_body("POST", "/actions/attach_to_network", "\"10.0.1.2\"", refused);
    let id = scene.create(ha, 1);
    scene.until(&id, "failed");
    let first = scene.instances(&id).into_iter().find(|each| each["index_key"] == 0).unwrap();
    assert_eq!(first["status"], "tainted", "else nothing is shown");
    let (old, before) = (scene.bearer(), scene.servers());
    assert_eq!(scene.put(&id, &old, &dead_kubeconfig()).status, 204, "it lives, and knows nothing of all this");

    scene.retried(&id, &json!({}));
    scene.until(&id, "flux-bootstrapping");
    let (new, after) = (scene.bearer(), scene.servers());
    assert_ne!(new, old);
    assert_eq!(after.len(), if ha { 4 } else { 2 }, "{after:?}");
    assert!(before.iter().all(|(name, id)| after[name] != *id), "all are made anew: {before:?} {after:?}");
    assert!(scene.says(&id, "hcloud_server.control_plane[0]") && scene.says(&id, "with a new bearer"));
    let late = scene.put(&id, &old, &dead_kubeconfig());
    assert_eq!((late.status, late.json()["error"].clone()), (403, json!("invalid-bearer")), "{}", late.body);
    let record = scene.record(&id);
    assert_eq!(record["kubeconfigBearerHash"], sha256_hex(new.as_bytes()));
    assert_eq!(record["bearerHolder"]["server"], after["cp1"].to_string());
    assert!(scene.user_data("cp1").contains("--cluster-init"), "there is no cluster to join");
    scene.comes_up(&id).await;
    let everything = scene.host.trace() + &scene.host.api.everything();
    assert!(!everything.contains(&new) && !everything.contains(&old), "a bearer was told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_a_first_server_that_is_damaged_is_made_anew_and_a_solo_cluster_ends_ready() {
    damaged_before_a_cluster(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_with_three_servers_all_of_them_are_made_anew_and_the_cluster_ends_ready() {
    damaged_before_a_cluster(true).await;
}

/// Its answer was lost, so no state knows it; a person removed it. What it handed in must not count as the next one's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_a_first_server_that_no_state_knows_takes_its_bearer_and_its_kubeconfig_along() {
    let scene = Scene::start().await;
    scene.project.fail_with_body("POST", "/servers", "-cp1\"", Answer::Lost);
    let id = scene.create(false, 0);
    scene.until(&id, "failed");
    let (old, before) = (scene.bearer(), scene.servers());
    assert_eq!(scene.instances(&id), Vec::<Value>::new());
    assert_eq!(scene.put(&id, &old, &dead_kubeconfig()).status, 204);
    // Its name is taken as long as it is there.
    scene.retried(&id, &json!({}));
    let state = scene.until(&id, "failed");
    assert!(state["error"].as_str().unwrap().starts_with("tofu apply: "), "{state}");
    assert_eq!(scene.put(&id, &old, &dead_kubeconfig()).json()["error"], "invalid-bearer", "nobody of ours holds it");
    scene.project.remove_server(&scene.name("cp1"));
    scene.retried(&id, &json!({}));
    scene.until(&id, "flux-bootstrapping");
    assert!(scene.bearer() != old && scene.servers() != before);
    scene.comes_up(&id).await;
}

/// The provider fails before the old server is gone: it lives on, and what it handed in counts as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_a_replacement_that_fails_before_it_removes_the_old_server_leaves_it_its_bearer() {
    let scene = Scene::start().await;
    let refused = Answer::Refused(422, "invalid_input", "the network is not there yet");
    scene.project.fail_with_body("POST", "/actions/attach_to_network", "\"10.0.1.2\"", refused);
    let id = scene.create(false, 0);
    scene.until(&id, "failed");
    let (old, before) = (scene.bearer(), scene.servers());
    let locked = Answer::Refused(403, "protected", "the server is protected");
    scene.project.fail("DELETE", "", 1, locked);
    scene.retried(&id, &json!({}));
    scene.until(&id, "failed");
    assert_eq!(scene.servers(), before, "else nothing is shown");
    assert_eq!(scene.put(&id, &old, &dead_kubeconfig()).status, 204, "its bearer counts");
    scene.retried(&id, &json!({}));
    scene.until(&id, "flux-bootstrapping");
    assert_ne!(scene.servers(), before);
    assert_eq!(scene.put(&id, &old, &dead_kubeconfig()).json()["error"], "invalid-bearer");
    scene.comes_up(&id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_the_only_server_of_a_cluster_is_made_anew_only_where_somebody_accepts_the_loss_of_its_data() {
    let mut scene = Scene::start().await;
    let id = scene.create(false, 1);
    scene.until(&id, "flux-bootstrapping");
    scene.comes_up(&id).await;
    let healthy = scene.retry(&id, &json!({}));
    assert_eq!(healthy.status, 409, "{}", healthy.body);
    assert!(!healthy.body.contains("acceptDataLoss"), "{}", healthy.body);

    scene.edit_state(&id, |state| {
        instance(state, "control_plane", 0)["status"] = json!("tainted");
        state["serial"] = json!(state["serial"].as_u64().unwrap() + 1);
    });
    let (old, before) = (scene.bearer(), scene.servers());
    for body in [json!({}), json!({"hetznerToken": TOKEN}), json!({"acceptDataLoss": false, "hetznerToken": TOKEN})] {
        let answer = scene.retry(&id, &body);
        assert_eq!((answer.status, answer.json()["error"].clone()), (409, json!("data-loss")), "{}", answer.body);
        assert_eq!(answer.json()["keys"], json!(["acceptDataLoss"]));
        assert!(answer.json()["detail"].as_str().unwrap().contains("acceptDataLoss"), "{}", answer.body);
    }
    assert_eq!(scene.retry(&id, &json!({"acceptDataLoss": "yes"})).status, 400);
    assert_eq!(
        (scene.state(&id)["status"].clone(), scene.servers()),
        (json!("ready"), before.clone()),
        "nothing changed"
    );

    scene.retried(&id, &json!({"acceptDataLoss": true, "hetznerToken": TOKEN}));
    scene.until(&id, "flux-bootstrapping");
    let after = scene.servers();
    assert!(scene.bearer() != old && before.iter().all(|(name, id)| after[name] != *id), "{before:?} {after:?}");
    assert!(scene.user_data("cp1").contains("--cluster-init"));
    scene.comes_up(&id).await;
}

/// The cloud lost it: OpenTofu finds out at its plan, and nothing is applied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_a_loss_that_only_the_plan_shows_ends_the_run_before_anything_is_applied() {
    let scene = Scene::start().await;
    let id = scene.shown_and_failed(false, 0).await;
    scene.project.remove_server(&scene.name("cp1"));
    scene.retried(&id, &json!({}));
    let state = scene.until(&id, "failed");
    let error = state["error"].as_str().unwrap();
    assert!(error.starts_with("tofu plan: ") && error.contains("acceptDataLoss"), "{error}");
    assert!(scene.servers().is_empty(), "nothing was applied");
    let again = scene.retry(&id, &json!({}));
    assert_eq!((again.status, again.json()["error"].clone()), (409, json!("data-loss")), "{}", again.body);
    scene.retried(&id, &json!({"acceptDataLoss": true}));
    scene.until(&id, "flux-bootstrapping");
    scene.comes_up(&id).await;
}

/// The API of the cluster is dead, so the node of a server that goes cannot leave it. Each run asks for two minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_three_servers_whose_cluster_is_dead_are_made_anew_with_a_yes_to_the_loss_of_its_data() {
    let mut scene = Scene::start().await;
    let id = scene.shown_and_failed(true, 1).await;
    scene.edit_state(&id, |state| {
        instance(state, "control_plane", 1)["status"] = json!("tainted");
        state["serial"] = json!(state["serial"].as_u64().unwrap() + 1);
    });
    scene.cluster.stop_api();
    let (old, before) = (scene.bearer(), scene.servers());
    let later =
        |status: &str| wait_for(status, LIMIT * 3, || (scene.state(&id)["status"] == status).then(|| scene.state(&id)));
    scene.retried(&id, &json!({"hetznerToken": TOKEN}));
    let error = later("failed")["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("tofu plan: ") && error.contains("the cluster does not answer"), "{error}");
    assert!(error.contains("\"acceptDataLoss\": true"), "{error}");
    assert_eq!(scene.servers(), before, "nothing was changed");

    scene.retried(&id, &json!({"acceptDataLoss": true}));
    later("flux-bootstrapping");
    let after = scene.servers();
    assert_eq!(after.len(), 4, "{after:?}");
    assert!(scene.bearer() != old && before.iter().all(|(name, id)| after[name] != *id), "{before:?} {after:?}");
    assert!(scene.user_data("cp1").contains("--cluster-init"), "there is no cluster to join");
    assert!(scene.says(&id, "The loss of its data was accepted, so all servers are made anew together"));
    assert_eq!(scene.put(&id, &old, &dead_kubeconfig()).json()["error"], "invalid-bearer");
    scene.cluster.start_api().await.unwrap();
    scene.comes_up(&id).await;
}

/// A node of the cluster as k3s has it: with the server's name on a label, and with its finalizer where it is a member of etcd.
async fn node(scene: &Scene, short: &str, finalizers: &[&str]) -> String {
    let label = scene.name(short);
    let name = format!("{label}-0a1b2c3d");
    let object = json!({"metadata": {"name": name, "finalizers": finalizers,
                                     "labels": {"catalyst.openova.io/server": label}}});
    let nodes: Api<Node> = Api::all(scene.cluster.client());
    nodes.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    name
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_t7_a_server_of_a_living_cluster_joins_it_after_the_node_of_the_old_one_has_left() {
    let mut scene = Scene::start().await;
    let id = scene.shown_and_failed(true, 1).await;
    scene.cluster.create_namespace("kube-system").await.ok();
    let gone = node(&scene, "cp1", &[ETCD_FINALIZER]).await;
    let worker = node(&scene, "w1", &[]).await;
    let stays = node(&scene, "cp2", &[ETCD_FINALIZER]).await;
    let secrets: Api<Secret> = Api::namespaced(scene.cluster.client(), "kube-system");
    let password = format!("{worker}.node-password.k3s");
    let secret = json!({"metadata": {"name": password}});
    secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    scene.edit_state(&id, |state| {
        for (name, index) in [("control_plane", 0), ("worker", 0)] {
            instance(state, name, index)["status"] = json!("tainted");
        }
        state["serial"] = json!(state["serial"].as_u64().unwrap() + 1);
    });
    let (old, before) = (scene.bearer(), scene.servers());
    let kubeconfig = scene.record(&id)["kubeconfigSha256"].clone();
    for name in KIT {
        scene.cluster.release(name, Stage::Installed).await.unwrap();
    }

    scene.retried(&id, &json!({"hetznerToken": TOKEN}));
    let nodes: Api<Node> = Api::all(scene.cluster.client());
    let asked = async {
        loop {
            let node = nodes.get(&gone).await.unwrap();
            if node.metadata.deletion_timestamp.is_some() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, asked).await.unwrap();
    assert_eq!(scene.servers(), before, "etcd still has its member, so its server stays");
    // As k3s does when the member has left.
    let left = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    nodes.patch(&gone, &PatchParams::default(), &left).await.unwrap();
    scene.until(&id, "ready");

    let after = scene.servers();
    let changed: Vec<&str> =
        before.iter().filter(|(name, id)| after[*name] != **id).map(|(name, _)| name.as_str()).collect();
    assert_eq!(changed, ["cp1", "w1"], "the others stay");
    let user_data = scene.user_data("cp1");
    assert!(user_data.contains("server='https://10.0.1.3:6443'") && !user_data.contains("--cluster-init"), "it joins");
    assert!(!user_data.contains("/var/lib/catalyst/postback") && !user_data.contains(&old), "and hands nothing in");
    assert_eq!(scene.record(&id)["kubeconfigSha256"], kubeconfig, "the cluster and its kubeconfig stay");
    assert_eq!(scene.record(&id)["bearerHolder"]["server"], after["cp1"].to_string());
    assert_eq!(scene.put(&id, &old, &dead_kubeconfig()).status, 403, "the bearer of the old server counts no more");
    assert!(scene.record(&id).get("kubeconfigBearerHash").is_none());
    let left: Vec<String> = nodes
        .list(&Default::default())
        .await
        .unwrap()
        .items
        .into_iter()
        .filter_map(|node| node.metadata.name)
        .collect();
    assert_eq!(left, [stays]);
    assert!(secrets.get_opt(&password).await.unwrap().is_none(), "the password of its name is gone");
    assert!(scene.says(&id, "its member has left etcd"));
    // Of four nodes only one is there: that is told, and keeps nobody from being ready.
    assert!(scene.says(&id, "3 of 4 nodes are missing") && scene.says(&id, &scene.name("w1")));
}
