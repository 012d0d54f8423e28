//! Runs that replace servers, the same on every cloud. Before a kubeconfig was accepted all nodes are made anew, with a new bearer.
//! Afterwards one that is made joins, and a cluster whose data would be lost is made anew only where somebody agreed.

use super::{KIT, Scene, SceneCloud, dead_kubeconfig};
use crate::flux::Stage;
use crate::world::LIMIT;
use catalyst_domain::kubeconfig::sha256_hex;
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

/// What k3s puts on each node: it lets one go only after its member has left etcd.
const ETCD_FINALIZER: &str = "wrangler.cattle.io/managed-etcd-controller";

/// The first run fails after it made the first server, which lives, boots and calls home; a retry then ends ready.
pub async fn damaged_before_a_cluster<C: SceneCloud>(ha: bool) {
    let scene = Scene::<C>::start().await;
    scene.cloud.damage_next_first_server();
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
    assert!(scene.says(&id, &format!("{}.control_plane[0]", C::SERVER)) && scene.says(&id, "with a new bearer"));
    let late = scene.put(&id, &old, &dead_kubeconfig());
    assert_eq!((late.status, late.json()["error"].clone()), (403, json!("invalid-bearer")), "{}", late.body);
    let record = scene.record(&id);
    assert_eq!(record["kubeconfigBearerHash"], sha256_hex(new.as_bytes()));
    assert_eq!(record["bearerHolder"]["server"], after["cp1"]);
    assert!(scene.user_data("cp1").contains("--cluster-init"), "there is no cluster to join");
    scene.comes_up(&id).await;
    let everything = scene.host.trace() + &scene.host.api.everything();
    assert!(!everything.contains(&new) && !everything.contains(&old), "a bearer was told");
}

/// The provider fails before the old server is gone: it lives on, and what it handed in counts as before.
pub async fn deletion_that_is_refused<C: SceneCloud>() {
    let scene = Scene::<C>::start().await;
    scene.cloud.damage_next_first_server();
    let id = scene.create(false, 0);
    scene.until(&id, "failed");
    let (old, before) = (scene.bearer(), scene.servers());
    scene.cloud.refuse_next_deletion();
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

/// The only server of a cluster that was ready is damaged.
pub async fn only_server_of_a_cluster<C: SceneCloud>() {
    let mut scene = Scene::<C>::start().await;
    let id = scene.create(false, 1);
    scene.until(&id, "flux-bootstrapping");
    scene.comes_up(&id).await;
    let healthy = scene.retry(&id, &json!({}));
    assert_eq!(healthy.status, 409, "{}", healthy.body);
    assert!(!healthy.body.contains("acceptDataLoss"), "{}", healthy.body);

    scene.taint(&id, &[("control_plane", 0)]);
    let (old, before) = (scene.bearer(), scene.servers());
    let with_credentials = |body: Value| scene.with_credentials(&body);
    for body in [json!({}), with_credentials(json!({})), with_credentials(json!({"acceptDataLoss": false}))] {
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

    scene.retried(&id, &with_credentials(json!({"acceptDataLoss": true})));
    scene.until(&id, "flux-bootstrapping");
    let after = scene.servers();
    assert!(scene.bearer() != old && before.iter().all(|(name, id)| after[name] != *id), "{before:?} {after:?}");
    assert!(scene.user_data("cp1").contains("--cluster-init"));
    scene.comes_up(&id).await;
}

/// The cloud lost the only server: OpenTofu finds out at its plan, and nothing is applied.
pub async fn loss_that_only_the_plan_shows<C: SceneCloud>() {
    let scene = Scene::<C>::start().await;
    let id = scene.shown_and_failed(false, 0).await;
    scene.cloud.remove_server(&scene.name("cp1"));
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

/// A cluster with three servers of which one is to be made anew, and whose API is dead, so that no node can leave it. Each run asks for two
/// minutes.
async fn dead_cluster_of_three<C: SceneCloud>() -> (Scene<C>, String) {
    let mut scene = Scene::<C>::start().await;
    let id = scene.shown_and_failed(true, 1).await;
    scene.taint(&id, &[("control_plane", 1)]);
    scene.cluster.stop_api();
    (scene, id)
}

/// Without a yes nothing is changed, and the key of the yes is named.
pub async fn dead_cluster_without_a_yes<C: SceneCloud>() {
    let (scene, id) = dead_cluster_of_three::<C>().await;
    let before = scene.servers();
    scene.retried(&id, &scene.with_credentials(&json!({})));
    let error = scene.after_silence(&id, "failed")["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("tofu plan: ") && error.contains("the cluster does not answer"), "{error}");
    assert!(error.contains("\"acceptDataLoss\": true"), "{error}");
    assert_eq!(scene.servers(), before, "nothing was changed");
}

/// With it all servers are made anew together.
pub async fn dead_cluster_with_a_yes<C: SceneCloud>() {
    let (mut scene, id) = dead_cluster_of_three::<C>().await;
    let (old, before) = (scene.bearer(), scene.servers());
    scene.retried(&id, &scene.with_credentials(&json!({"acceptDataLoss": true})));
    scene.after_silence(&id, "flux-bootstrapping");
    let after = scene.servers();
    assert_eq!(after.len(), 4, "{after:?}");
    assert!(scene.bearer() != old && before.iter().all(|(name, id)| after[name] != *id), "{before:?} {after:?}");
    assert!(scene.user_data("cp1").contains("--cluster-init"), "there is no cluster to join");
    assert!(scene.says(&id, "The loss of its data was accepted, so all servers are made anew together"));
    assert_eq!(scene.put(&id, &old, &dead_kubeconfig()).json()["error"], "invalid-bearer");
    scene.cluster.start_api().await.unwrap();
    // The new cluster is played by the old one, whose releases had failed.
    for name in KIT {
        scene.cluster.release(name, Stage::Installed).await.unwrap();
    }
    scene.comes_up(&id).await;
}

/// A node of the cluster as k3s has it: with the server's name on a label, and with its finalizer where it is a member of etcd.
async fn node<C: SceneCloud>(scene: &Scene<C>, short: &str, finalizers: &[&str]) -> String {
    let label = scene.name(short);
    let name = format!("{label}-0a1b2c3d");
    let object = json!({"metadata": {"name": name, "finalizers": finalizers,
                                     "labels": {"catalyst.openova.io/server": label}}});
    let nodes: Api<Node> = Api::all(scene.cluster.client());
    nodes.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    name
}

/// The first server and a worker of a cluster with three servers are damaged; its first watch failed.
pub async fn server_of_a_living_cluster<C: SceneCloud>() {
    let mut scene = Scene::<C>::start().await;
    let id = scene.shown_and_failed(true, 1).await;
    scene.cluster.create_namespace("kube-system").await.ok();
    let gone = node(&scene, "cp1", &[ETCD_FINALIZER]).await;
    let worker = node(&scene, "w1", &[]).await;
    let stays = node(&scene, "cp2", &[ETCD_FINALIZER]).await;
    let secrets: Api<Secret> = Api::namespaced(scene.cluster.client(), "kube-system");
    let password = format!("{worker}.node-password.k3s");
    let secret = json!({"metadata": {"name": password}});
    secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    scene.taint(&id, &[("control_plane", 0), ("worker", 0)]);
    let (old, before) = (scene.bearer(), scene.servers());
    let kubeconfig = scene.record(&id)["kubeconfigSha256"].clone();
    for name in KIT {
        scene.cluster.release(name, Stage::Installed).await.unwrap();
    }

    scene.retried(&id, &scene.with_credentials(&json!({})));
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
    assert_eq!(scene.record(&id)["bearerHolder"]["server"], after["cp1"]);
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
