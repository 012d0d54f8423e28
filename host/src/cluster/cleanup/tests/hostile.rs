//! What an API server answers that somebody has taken over.

use super::*;
use crate::cluster::cleanup::resume::resume;

const SERVICES: &str = "/api/v1/namespaces/shop/services";

#[tokio::test(start_paused = true)]
async fn services_that_are_new_in_each_pass_are_given_up_and_not_remembered_without_end() {
    let cluster = FakeCluster::default();
    let mut made = 0;
    let mut make = || {
        if !cluster.objects().keys().any(|path| path.starts_with(SERVICES)) {
            for _ in 0..250 {
                made += 1;
                cluster.put(&format!("{SERVICES}/web-{made}"), service("LoadBalancer", &[]));
            }
        }
    };
    make();
    let cleaning = begin(&cluster, VolumePolicy::Keep, 100);
    while !cleaning.end.is_finished() {
        make();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let remaining = cleaning.end().await.0.unwrap();
    assert!(remaining[0].contains("the cluster shows new objects again and again"), "{}", remaining[0]);
    let asked = cluster.asked();
    assert_eq!(asked.iter().filter(|asked| asked.starts_with("DELETE")).count(), 10_000);
}

#[tokio::test(start_paused = true)]
async fn an_object_whose_name_or_uid_kubernetes_does_not_allow_is_not_acted_on() {
    let cluster = FakeCluster::default();
    cluster.put(&format!("{SERVICES}/{}", "x".repeat(254)), service("LoadBalancer", &[]));
    cluster.put(WEB, service("LoadBalancer", &[]));
    cluster.objects().get_mut(WEB).unwrap()["metadata"]["uid"] = json!("u".repeat(129));
    cluster.put(VOLUME, volume("Delete", &"x".repeat(254)));
    let (ended, _) = begin(&cluster, VolumePolicy::Delete, 60).end().await;
    assert_eq!(ended.unwrap().len(), 1, "the volume is named");
    assert!(cluster.asked().is_empty(), "{:?}", cluster.asked());
}

#[tokio::test(start_paused = true)]
async fn only_quotas_of_the_names_that_a_cleanup_gives_are_removed() {
    let cluster = FakeCluster::default();
    let quota = |name: &str| format!("/api/v1/namespaces/shop/resourcequotas/catalyst-destroy-{name}");
    for name in ["persistentvolumeclaims", "services-loadbalancers", "of-a-tenant"] {
        cluster.put(&quota(name), json!({"spec": {}}));
    }
    let (out, _seen) = mpsc::channel(1_000);
    assert!(resume(&cluster.api(), &CleanupLog(out), &CancellationToken::new()).await);
    let left: Vec<String> = cluster.objects().keys().cloned().collect();
    assert_eq!(left, [quota("of-a-tenant")]);
}
