//! A run that replaces servers: the host's binary, the real OpenTofu, Hetzner's own provider over the double, and a real API server as
//! the cluster. Before a kubeconfig was accepted all nodes are made anew, with a new bearer. Afterwards one that is made joins, and a
//! cluster whose data would be lost is made anew only where somebody agreed.

use crate::scene::{Hetzner, Scene};
use catalyst_tests::hetzner::Answer;
use catalyst_tests::scene::{dead_kubeconfig, replace};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_a_first_server_that_is_damaged_is_made_anew_and_a_solo_cluster_ends_ready() {
    replace::damaged_before_a_cluster::<Hetzner>(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_with_three_servers_all_of_them_are_made_anew_and_the_cluster_ends_ready() {
    replace::damaged_before_a_cluster::<Hetzner>(true).await;
}

/// Its answer was lost, so no state knows it; a person removed it. What it handed in must not count as the next one's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_a_first_server_that_no_state_knows_takes_its_bearer_and_its_kubeconfig_along() {
    let scene = Scene::start().await;
    scene.cloud.project.fail_with_body("POST", "/servers", "-cp1\"", Answer::Lost);
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
    scene.cloud.project.remove_server(&scene.name("cp1"));
    scene.retried(&id, &json!({}));
    scene.until(&id, "flux-bootstrapping");
    assert!(scene.bearer() != old && scene.servers() != before);
    scene.comes_up(&id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_a_replacement_that_fails_before_it_removes_the_old_server_leaves_it_its_bearer() {
    replace::deletion_that_is_refused::<Hetzner>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_the_only_server_of_a_cluster_is_made_anew_only_where_somebody_accepts_the_loss_of_its_data() {
    replace::only_server_of_a_cluster::<Hetzner>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_a_loss_that_only_the_plan_shows_ends_the_run_before_anything_is_applied() {
    replace::loss_that_only_the_plan_shows::<Hetzner>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_t7_a_server_of_a_living_cluster_joins_it_after_the_node_of_the_old_one_has_left() {
    replace::server_of_a_living_cluster::<Hetzner>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_three_servers_whose_cluster_is_dead_are_made_anew_with_a_yes_to_the_loss_of_its_data() {
    replace::dead_cluster_with_a_yes::<Hetzner>().await;
}
