//! What a cluster that is to go removes of its own: load balancers and volumes, on a real API server whose cloud the test plays.

use super::{AT_ONCE, PATIENCE, parsed, settings};
use catalyst::cluster::{CleanupOptions, Observation, VolumePolicy, WatchSettings, clean_up};
use catalyst_tests::flux::Stage;
use catalyst_tests::kube::{Cluster, Kinds, Options};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

struct Cleaning {
    seen: mpsc::Receiver<Observation>,
    end: JoinHandle<Result<Vec<String>, String>>,
}

fn begin(cluster: &Cluster, volumes: VolumePolicy, budget: Duration) -> Cleaning {
    let (out, seen) = mpsc::channel(1000);
    let (kubeconfig, settings) = (parsed(&cluster.kubeconfig()), settings(PATIENCE));
    let end = tokio::spawn(async move {
        let options = CleanupOptions { volumes, budget };
        let remaining = clean_up(&kubeconfig, &settings, options, out).await?;
        Ok(remaining.iter().map(ToString::to_string).collect())
    });
    Cleaning { seen, end }
}

impl Cleaning {
    /// What remains, and everything that was said.
    async fn end(mut self) -> (Result<Vec<String>, String>, String) {
        let ended = tokio::time::timeout(PATIENCE * 2, self.end).await.expect("it ends").unwrap();
        let mut said = String::new();
        while let Ok(Observation::Remark { message, .. }) = self.seen.try_recv() {
            said += &format!("{message}\n");
        }
        (ended, said)
    }
}

/// Waits until the cluster shows it.
async fn until(what: &str, mut seen: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !seen().await {
        assert!(begun.elapsed() < PATIENCE, "never saw {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t6_a_cluster_removes_its_load_balancers_before_it_goes_and_flux_makes_none_again() {
    let _permit = AT_ONCE.acquire().await.unwrap();
    let cluster = Cluster::start(Options::default()).await.unwrap();
    cluster.bootstrap_kit(Some(&["bp-a"])).await.unwrap();
    cluster.release("bp-a", Stage::Installed).await.unwrap();
    cluster.create_namespace("shop").await.unwrap();
    cluster.balanced_service("shop", "web").await.unwrap();
    let cleaning = begin(&cluster, VolumePolicy::Keep, PATIENCE);
    until("the deletion", async || cluster.service_is_leaving("shop", "web").await.unwrap()).await;
    assert!(cluster.flux_is_suspended().await.unwrap(), "before anything is deleted");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!cleaning.end.is_finished(), "the load balancer is still there");
    cluster.remove_load_balancer("shop", "web").await.unwrap();
    let (ended, said) = cleaning.end().await;
    assert_eq!(ended, Ok(Vec::new()), "{said}");
    assert!(said.contains("Flux is suspended") && said.contains("1 kustomizations, 1 helmreleases"), "{said}");
    assert!(said.contains("shop/web (203.0.113.7)"), "{said}");
    assert!(said.contains("the Services of type LoadBalancer are gone"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn t6_a_load_balancer_whose_controller_is_dead_is_named_and_volumes_stay_without_a_yes() {
    let _permit = AT_ONCE.acquire().await.unwrap();
    let cluster = Cluster::start(Options { kinds: Kinds::None, ..Options::default() }).await.unwrap();
    cluster.create_namespace("shop").await.unwrap();
    cluster.balanced_service("shop", "web").await.unwrap();
    cluster.cloud_volume("shop", "data", "pvc-1", "vol-42").await.unwrap();
    let (ended, said) = begin(&cluster, VolumePolicy::Keep, Duration::from_secs(6)).end().await;
    let remaining = ended.unwrap();
    assert_eq!(remaining.len(), 2, "{remaining:?}");
    assert!(remaining[0].starts_with("load balancer of the Service shop/web (203.0.113.7): "), "{remaining:?}");
    assert_eq!(remaining[1], r#"volume pvc-1 (claim shop/data, 10Gi) (vol-42): "deleteVolumes": true was not given"#);
    assert!(said.contains("driver csi.cloud.example, volume vol-42"), "{said}");
    let state = cluster.volume("shop", "data", "pvc-1").await.unwrap();
    assert_eq!(state, ("Retain".to_owned(), false, true), "nothing of it was touched");
}

#[tokio::test(flavor = "multi_thread")]
async fn t6_with_a_yes_a_volume_goes_with_its_claim_and_the_pod_that_uses_it() {
    let _permit = AT_ONCE.acquire().await.unwrap();
    let cluster = Cluster::start(Options { kinds: Kinds::None, ..Options::default() }).await.unwrap();
    cluster.create_namespace("shop").await.unwrap();
    cluster.cloud_volume("shop", "data", "pvc-1", "vol-42").await.unwrap();
    let cleaning = begin(&cluster, VolumePolicy::Delete, PATIENCE);
    until("claim and Pod go", async || {
        cluster.volume("shop", "data", "pvc-1").await.unwrap() == ("Delete".to_owned(), true, false)
    })
    .await;
    assert!(!cleaning.end.is_finished(), "the volume is still there");
    cluster.remove_volume("shop", "data", "pvc-1").await.unwrap();
    let (ended, said) = cleaning.end().await;
    assert_eq!(ended, Ok(Vec::new()), "{said}");
    assert!(said.contains("the volumes of the cluster are deleted"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn t6_a_cluster_that_does_not_answer_is_said_to_be_so_and_nothing_is_waited_for() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters:\n- name: a\n  cluster: {{server: 'https://{silent}'}}\ncontexts:\n- \
         name: a\n  context: {{cluster: a, user: a}}\nusers:\n- name: a\n  user: {{token: sentinel-77aa}}\n"
    );
    let (out, _seen) = mpsc::channel(10);
    let options = CleanupOptions { volumes: VolumePolicy::Delete, budget: Duration::from_secs(3) };
    let ended = clean_up(&parsed(&kubeconfig), &WatchSettings::default(), options, out).await;
    assert_eq!(ended, Err("the connection was refused".to_owned()));
}
