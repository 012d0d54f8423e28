//! A run that replaces servers: the host's binary, the real OpenTofu, OpenStack's own provider over the double, and a real API server
//! as the cluster.

use crate::scene::Openstack;
use catalyst_tests::scene::replace;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_a_first_server_that_is_damaged_is_made_anew_and_a_solo_cluster_ends_ready() {
    replace::damaged_before_a_cluster::<Openstack>(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_with_three_servers_all_of_them_are_made_anew_and_the_cluster_ends_ready() {
    replace::damaged_before_a_cluster::<Openstack>(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_a_replacement_that_fails_before_it_removes_the_old_server_leaves_it_its_bearer() {
    replace::deletion_that_is_refused::<Openstack>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_the_only_server_of_a_cluster_is_made_anew_only_where_somebody_accepts_the_loss_of_its_data() {
    replace::only_server_of_a_cluster::<Openstack>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_a_loss_that_only_the_plan_shows_ends_the_run_before_anything_is_applied() {
    replace::loss_that_only_the_plan_shows::<Openstack>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_t7_a_server_of_a_living_cluster_joins_it_after_the_node_of_the_old_one_has_left() {
    replace::server_of_a_living_cluster::<Openstack>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_three_servers_whose_cluster_is_dead_stay_without_a_yes_to_the_loss_of_its_data() {
    replace::dead_cluster_without_a_yes::<Openstack>().await;
}
