//! What a destroy suspended and is to go on after all, and volumes that no claim has.

use super::*;
use crate::cluster::cleanup::objects::MARK;
use crate::cluster::cleanup::resume::resume;

const KIT: &str = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations/kit";
const RELEASE: &str = "/apis/helm.toolkit.fluxcd.io/v2beta2/namespaces/shop/helmreleases/web";
const OFF: &str = "/apis/helm.toolkit.fluxcd.io/v2beta2/namespaces/shop/helmreleases/off";
const QUOTAS: &str = "/api/v1/namespaces/shop/resourcequotas";

struct Resuming {
    end: tokio::task::JoinHandle<bool>,
    seen: mpsc::Receiver<Observation>,
    watched: CancellationToken,
}

fn resuming(cluster: &FakeCluster) -> Resuming {
    let (out, seen) = mpsc::channel(1_000);
    let (api, watched) = (cluster.api(), CancellationToken::new());
    let ended = watched.clone();
    Resuming { end: tokio::spawn(async move { resume(&api, &CleanupLog(out), &ended).await }), seen, watched }
}

impl Resuming {
    async fn end(mut self) -> (bool, Vec<(Level, String)>) {
        let done = self.end.await.unwrap();
        let mut said = Vec::new();
        while let Ok(Observation::Remark { level, message }) = self.seen.try_recv() {
            said.push((level, message));
        }
        (done, said)
    }
}

/// A cluster that a destroy suspended, with a release that a person had suspended before.
async fn suspended() -> FakeCluster {
    let cluster = FakeCluster::default();
    cluster.put(KIT, json!({"spec": {}}));
    cluster.put(RELEASE, json!({"spec": {"suspend": false}}));
    cluster.put(OFF, json!({"spec": {"suspend": true}}));
    cluster.put(WEB, service("LoadBalancer", &[]));
    begin(&cluster, VolumePolicy::Keep, 600).end().await.0.unwrap();
    for object in [KIT, RELEASE] {
        assert_eq!(cluster.objects()[object]["spec"]["suspend"], true);
        assert_eq!(cluster.objects()[object]["metadata"]["annotations"][MARK], "true");
    }
    cluster.asked.lock().unwrap().clear();
    cluster
}

#[tokio::test(start_paused = true)]
async fn t6_what_a_destroy_suspended_is_resumed_by_its_mark_and_nothing_else_is() {
    let cluster = suspended().await;
    cluster.put(&format!("{QUOTAS}/own"), json!({"spec": {"hard": {"pods": "9"}}}));
    let (done, said) = resuming(&cluster).end().await;
    assert!(done);
    for object in [KIT, RELEASE] {
        let object = cluster.objects()[object].clone();
        assert!(object["spec"]["suspend"].is_null() && object["metadata"]["annotations"][MARK].is_null(), "{object}");
    }
    assert_eq!(cluster.objects()[OFF]["spec"]["suspend"], true, "a person suspended it");
    let quotas = |name: &str| cluster.objects().contains_key(&format!("{QUOTAS}/{name}"));
    assert!(!quotas("catalyst-destroy-services-loadbalancers") && quotas("own"));
    assert!(has(&said, Level::Info, "had suspended: 1 helmreleases, 1 kustomizations"), "{said:?}");
    assert!(has(&said, Level::Info, "are removed: shop/catalyst-destroy-services-loadbalancers"), "{said:?}");
    assert!(has(&said, Level::Warn, "left so; resume it by hand"), "{said:?}");
    assert!(has(&said, Level::Warn, "HelmRelease shop/off") && said.len() == 3, "{said:?}");

    cluster.objects().remove(OFF);
    cluster.asked.lock().unwrap().clear();
    assert_eq!(
        resuming(&cluster).end().await,
        (true, Vec::new()),
        "it can be repeated, and then there is nothing to say"
    );
    assert!(cluster.asked().is_empty(), "{:?}", cluster.asked());
}

#[tokio::test(start_paused = true)]
async fn t6_what_was_resumed_by_hand_only_loses_its_mark() {
    let cluster = suspended().await;
    cluster.objects().get_mut(RELEASE).unwrap()["spec"]["suspend"] = json!(false);
    let (done, said) = resuming(&cluster).end().await;
    assert!(done && has(&said, Level::Info, "had suspended: 1 kustomizations"), "{said:?}");
    assert_eq!(cluster.objects()[RELEASE]["spec"]["suspend"], false, "as they left it");
}

#[tokio::test(start_paused = true)]
async fn t6_a_cluster_that_answers_late_is_resumed_and_one_that_never_does_is_named_at_the_end_of_its_watch() {
    let cluster = suspended().await;
    *cluster.outages.lock().unwrap() = 50;
    let (done, said) = resuming(&cluster).end().await;
    assert!(done && has(&said, Level::Info, "1 helmreleases, 1 kustomizations"), "{said:?}");

    let dead = suspended().await;
    *dead.outages.lock().unwrap() = usize::MAX;
    let waiting = resuming(&dead);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(!waiting.end.is_finished());
    waiting.watched.cancel();
    let (done, said) = waiting.end().await;
    assert!(!done && said.len() == 1, "{said:?}");
    assert!(has(&said, Level::Warn, "may have suspended Flux, which was not resumed"), "{said:?}");
}

/// A volume that no claim has, from its driver or from a person.
fn unclaimed(annotations: &Value) -> Value {
    let mut volume = volume("Retain", "");
    volume["metadata"]["annotations"] = annotations.clone();
    volume["spec"]["claimRef"] = Value::Null;
    volume["status"]["phase"] = json!("Available");
    volume
}

#[tokio::test(start_paused = true)]
async fn t6_with_a_yes_a_volume_that_no_claim_has_is_released_and_goes() {
    let cluster = FakeCluster::default();
    cluster.put(VOLUME, unclaimed(&json!({"pv.kubernetes.io/provisioned-by": "csi.cloud.example"})));
    let cleaning = begin(&cluster, VolumePolicy::Delete, 600);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(!cleaning.end.is_finished(), "the volume is still there");
    let spec = cluster.objects()[VOLUME]["spec"].clone();
    assert_eq!(spec["persistentVolumeReclaimPolicy"], "Delete");
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "default",
                       "name": "catalyst-destroy-pvc-1", "uid": VOLUME});
    assert_eq!(spec["claimRef"], claim, "drivers delete only what was released");
    // What the driver does then.
    cluster.objects().remove(VOLUME);
    let (ended, said) = cleaning.end().await;
    assert_eq!(ended, Ok(Vec::new()));
    assert_eq!(cluster.asked().len(), 1, "one patch, no claim and no quota: {:?}", cluster.asked());
    assert!(has(&said, Level::Info, "the volumes of the cluster are deleted"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn t6_with_a_yes_a_released_volume_that_was_to_be_kept_goes_and_one_that_no_driver_made_is_named() {
    let cluster = FakeCluster::default();
    let mut released = volume("Retain", "data");
    released["status"]["phase"] = json!("Released");
    cluster.put(VOLUME, released);
    let made_by_hand = "/api/v1/persistentvolumes/by-hand";
    cluster.put(made_by_hand, unclaimed(&json!({})));
    let begun = Instant::now();
    let cleaning = begin(&cluster, VolumePolicy::Delete, 60);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(cluster.objects()[VOLUME]["spec"]["persistentVolumeReclaimPolicy"], "Delete");
    cluster.objects().remove(VOLUME);
    let (ended, said) = cleaning.end().await;
    let remaining = ended.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(30), "it is not waited for: {:?}", begun.elapsed());
    assert!(has(&said, Level::Warn, "did not make, stay in the cloud: by-hand (no claim"), "{said:?}");
    assert!(!cluster.asked().iter().any(|asked| asked.contains(made_by_hand)), "{:?}", cluster.asked());
    assert_eq!(remaining.len(), 1, "{remaining:?}");
    assert!(remaining[0].starts_with("volume by-hand (no claim, 10Gi) (42): "), "{remaining:?}");
    assert!(remaining[0].ends_with("so the driver did not make it"), "{remaining:?}");
}

#[tokio::test(start_paused = true)]
async fn volumes_that_no_driver_made_and_no_claim_has_are_named_at_once_and_not_changed() {
    let cluster = FakeCluster::default();
    cluster.put(VOLUME, unclaimed(&json!({})));
    let begun = Instant::now();
    let (ended, said) = begin(&cluster, VolumePolicy::Delete, 600).end().await;
    let remaining = ended.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(remaining.len() == 1 && remaining[0].starts_with("volume pvc-1 (no claim, 10Gi) (42): "), "{remaining:?}");
    assert!(cluster.asked().is_empty() && said.len() == 1, "{:?} {said:?}", cluster.asked());
}

#[tokio::test(start_paused = true)]
async fn volumes_that_were_to_be_deleted_are_as_before_once_the_cluster_is_resumed() {
    let cluster = FakeCluster::default();
    let (free, foreign) = ("/api/v1/persistentvolumes/free", "/api/v1/persistentvolumes/foreign");
    cluster.put(VOLUME, volume("Retain", "data"));
    cluster.put(free, unclaimed(&json!({"pv.kubernetes.io/provisioned-by": "csi.cloud.example"})));
    begin(&cluster, VolumePolicy::Delete, 60).end().await.0.unwrap();
    for volume in [VOLUME, free] {
        assert_eq!(cluster.objects()[volume]["spec"]["persistentVolumeReclaimPolicy"], "Delete", "{volume}");
    }
    cluster.put(foreign, volume("Delete", "other"));
    let (done, said) = resuming(&cluster).end().await;
    assert!(done && has(&said, Level::Info, "of before again: free, pvc-1"), "{said:?}");
    for (volume, policy) in [(VOLUME, "Retain"), (free, "Retain"), (foreign, "Delete")] {
        let object = cluster.objects()[volume].clone();
        assert_eq!(object["spec"]["persistentVolumeReclaimPolicy"], policy, "{object}");
        assert!(object["metadata"]["annotations"][POLICY_BEFORE].is_null(), "{object}");
    }
    assert!(cluster.objects()[free]["spec"]["claimRef"].is_null());
    assert_eq!(cluster.objects()[VOLUME]["spec"]["claimRef"]["name"], "data", "the claim was its own");
}

#[tokio::test(start_paused = true)]
async fn what_is_resumed_at_the_end_of_a_watch_takes_a_bounded_time() {
    type Answer = Result<http::Response<kube::client::Body>, std::convert::Infallible>;
    let hangs = tower::service_fn(|_: http::Request<kube::client::Body>| std::future::pending::<Answer>());
    let api = ClusterApi::new(kube::Client::new(hangs, "default"), Duration::from_secs(3_600));
    let (out, mut seen) = mpsc::channel(10);
    let ended = CancellationToken::new();
    let end = ended.clone();
    let resuming = tokio::spawn(async move { resume(&api, &CleanupLog(out), &ended).await });
    tokio::time::sleep(Duration::from_secs(10)).await;
    let begun = Instant::now();
    end.cancel();
    assert!(!resuming.await.unwrap());
    assert!(begun.elapsed() < Duration::from_secs(61), "{:?}", begun.elapsed());
    let Some(Observation::Remark { level, message }) = seen.recv().await else { panic!() };
    assert!(level == Level::Warn && message.contains("not done within 60 s"), "{message}");
}
