//! A cleanup against a stand-in for the API server. It keeps objects, and does with them what the API server does; what controllers
//! do, the tests do.

use super::*;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

mod hostile;
mod resume;

const LIMIT: Duration = Duration::from_secs(20);
const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";
const KUSTOMIZATIONS: &str = "/apis/kustomize.toolkit.fluxcd.io/v1";
const RELEASES: &str = "/apis/helm.toolkit.fluxcd.io/v2beta2";

/// Objects by their path, and what was asked to be changed.
#[derive(Clone, Default)]
struct FakeCluster {
    objects: Arc<Mutex<BTreeMap<String, Value>>>,
    asked: Arc<Mutex<Vec<String>>>,
    /// Answers of 503 that come before anything else.
    outages: Arc<Mutex<usize>>,
}

/// The kinds that are served, by what a path begins with; others are 404.
const SERVED: [&str; 3] = ["/api/v1", KUSTOMIZATIONS, RELEASES];

impl FakeCluster {
    fn api(&self) -> ClusterApi {
        let cluster = self.clone();
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let cluster = cluster.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                let (status, answer) = cluster.answer(head.method.as_str(), head.uri.path(), &body);
                let answer = kube::client::Body::from(answer.to_string().into_bytes());
                let answer = http::Response::builder().status(status).body(answer).unwrap();
                Ok::<_, std::convert::Infallible>(answer)
            }
        });
        ClusterApi::new(kube::Client::new(service, "default"), LIMIT)
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Value>> {
        self.objects.lock().unwrap()
    }

    /// Puts an object where its path says; its uid is the path.
    fn put(&self, path: &str, mut object: Value) {
        let names: Vec<&str> = path.split('/').collect();
        object["metadata"]["name"] = json!(names[names.len() - 1]);
        object["metadata"]["uid"] = json!(path);
        if let Some(at) = names.iter().position(|name| *name == "namespaces") {
            object["metadata"]["namespace"] = json!(names[at + 1]);
        }
        self.objects().insert(path.to_owned(), object);
    }

    fn answer(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let mut outages = self.outages.lock().unwrap();
        if *outages > 0 {
            *outages -= 1;
            return failure(503, "ServiceUnavailable");
        }
        if !SERVED.iter().any(|served| path.starts_with(served)) {
            return failure(404, "NotFound");
        }
        if method == "GET" {
            let items: Vec<Value> =
                self.objects().iter().filter(|(at, _)| listed(path, at)).map(|(_, o)| o.clone()).collect();
            return (200, json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}));
        }
        let word = if method == "PATCH" { format!(" {body}") } else { String::new() };
        self.asked.lock().unwrap().push(format!("{method} {path}{word}"));
        let mut objects = self.objects();
        if method == "POST" {
            let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
            return match objects.contains_key(&path) {
                true => failure(409, "AlreadyExists"),
                false => {
                    objects.insert(path, body.clone());
                    (201, body.clone())
                }
            };
        }
        let Some(object) = objects.get_mut(path) else { return failure(404, "NotFound") };
        if method == "PATCH" {
            merge(object, body);
            return (200, object.clone());
        }
        let wanted = &body["preconditions"]["uid"];
        if !wanted.is_null() && *wanted != object["metadata"]["uid"] {
            return failure(409, "Conflict");
        }
        if object["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty()) {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            return (200, object.clone());
        }
        objects.remove(path);
        (200, json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}))
    }

    /// A controller has done its work: the object may go.
    fn let_go(&self, path: &str) {
        let gone = self.objects().remove(path);
        assert!(gone.is_some_and(|object| object["metadata"]["deletionTimestamp"].is_string()), "{path}");
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Whether an object is in the list of this path: of one namespace, or of all.
fn listed(list: &str, object: &str) -> bool {
    let collection = object.rsplit_once('/').unwrap().0;
    if collection == list {
        return true;
    }
    let Some((head, rest)) = collection.split_once("/namespaces/") else { return false };
    rest.split_once('/').is_some_and(|(_, plural)| list == format!("{head}/{plural}"))
}

fn failure(code: u16, reason: &str) -> (u16, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": reason,
                        "reason": reason, "code": code});
    (code, status)
}

fn merge(into: &mut Value, patch: &Value) {
    match patch.as_object() {
        Some(keys) => {
            for (key, value) in keys {
                match value {
                    Value::Null => drop(into.as_object_mut().and_then(|into| into.remove(key))),
                    value => merge(&mut into[key.as_str()], value),
                }
            }
        }
        None => *into = patch.clone(),
    }
}

fn service(kind: &str, finalizers: &[&str]) -> Value {
    json!({"metadata": {"finalizers": finalizers}, "spec": {"type": kind},
           "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}})
}

fn volume(policy: &str, claim: &str) -> Value {
    json!({"metadata": {"finalizers": ["external-provisioner.volume.kubernetes.io/finalizer"]}, "status": {"phase": "Bound"},
           "spec": {"csi": {"driver": "csi.cloud.example", "volumeHandle": "42"}, "capacity": {"storage": "10Gi"},
                    "persistentVolumeReclaimPolicy": policy,
                    "claimRef": {"namespace": "shop", "name": claim, "uid": format!("{CLAIMS}/{claim}")}}})
}

const WEB: &str = "/api/v1/namespaces/shop/services/web";
const CLAIMS: &str = "/api/v1/namespaces/shop/persistentvolumeclaims";
const VOLUME: &str = "/api/v1/persistentvolumes/pvc-1";
const POLICY_BEFORE: &str = "catalyst.openova.io/policy-before-destroy";

struct Cleaning {
    end: tokio::task::JoinHandle<Result<Vec<RemainingResource>, String>>,
    seen: mpsc::Receiver<Observation>,
}

fn begin(cluster: &FakeCluster, volumes: VolumePolicy, budget: u64) -> Cleaning {
    let (out, seen) = mpsc::channel(1_000);
    let (api, options) = (cluster.api(), CleanupOptions { volumes, budget: Duration::from_secs(budget) });
    Cleaning { end: tokio::spawn(async move { run(&api, options, &CleanupLog(out)).await }), seen }
}

impl Cleaning {
    /// What remains, as it is shown, and what was said.
    async fn end(mut self) -> (Result<Vec<String>, String>, Vec<(Level, String)>) {
        let ended = self.end.await.unwrap();
        let mut said = Vec::new();
        while let Ok(Observation::Remark { level, message }) = self.seen.try_recv() {
            said.push((level, message));
        }
        (ended.map(|remaining| remaining.iter().map(ToString::to_string).collect()), said)
    }
}

fn has(said: &[(Level, String)], level: Level, part: &str) -> bool {
    said.iter().any(|(of, message)| *of == level && message.contains(part))
}

#[tokio::test(start_paused = true)]
async fn t6_flux_is_suspended_before_a_service_is_deleted_and_its_load_balancer_is_waited_for() {
    let cluster = FakeCluster::default();
    cluster.put(&format!("{KUSTOMIZATIONS}/namespaces/flux-system/kustomizations/kit"), json!({"spec": {}}));
    cluster.put(&format!("{KUSTOMIZATIONS}/namespaces/shop/kustomizations/off"), json!({"spec": {"suspend": true}}));
    cluster.put(&format!("{RELEASES}/namespaces/shop/helmreleases/web"), json!({"spec": {"suspend": false}}));
    cluster.put(WEB, service("LoadBalancer", &[FINALIZER]));
    cluster.put("/api/v1/namespaces/shop/services/inner", service("ClusterIP", &[]));
    let cleaning = begin(&cluster, VolumePolicy::Keep, 600);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(!cleaning.end.is_finished(), "its controller has not removed the load balancer");
    cluster.let_go(WEB);
    let (ended, said) = cleaning.end().await;
    assert_eq!(ended, Ok(Vec::new()));
    let mark = "catalyst.openova.io/suspended-by-destroy";
    let suspend = format!(r#" {{"metadata":{{"annotations":{{"{mark}":"true"}}}},"spec":{{"suspend":true}}}}"#);
    assert_eq!(
        cluster.asked(),
        [
            format!("PATCH {KUSTOMIZATIONS}/namespaces/flux-system/kustomizations/kit{suspend}"),
            format!("PATCH {RELEASES}/namespaces/shop/helmreleases/web{suspend}"),
            "POST /api/v1/namespaces/shop/resourcequotas".to_owned(),
            format!("DELETE {WEB}"),
        ]
    );
    assert!(has(&said, Level::Info, "Flux is suspended"), "{said:?}");
    assert!(has(&said, Level::Info, "1 kustomizations, 1 helmreleases"), "{said:?}");
    assert!(has(&said, Level::Info, "remove their load balancers: shop/web (203.0.113.7)"), "{said:?}");
    let waits = said.iter().filter(|(_, message)| message.starts_with("waiting for ")).count();
    assert_eq!(waits, 3, "every half a minute: {said:?}");
    assert!(has(&said, Level::Info, "the Services of type LoadBalancer are gone"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn t6_a_service_that_does_not_go_in_its_time_is_named_and_one_that_comes_again_is_deleted_again() {
    let cluster = FakeCluster::default();
    cluster.put(WEB, service("LoadBalancer", &[FINALIZER]));
    cluster.put("/api/v1/namespaces/shop/services/other", service("LoadBalancer", &[]));
    let cleaning = begin(&cluster, VolumePolicy::Keep, 60);
    tokio::time::sleep(Duration::from_secs(30)).await;
    let again = "/api/v1/namespaces/edge/services/again";
    cluster.put(again, service("LoadBalancer", &[]));
    let (ended, said) = cleaning.end().await;
    let remaining = ended.unwrap();
    assert_eq!(remaining.len(), 1, "{remaining:?}");
    assert!(
        remaining[0].starts_with("load balancer of the Service shop/web (203.0.113.7): its controller has not removed"),
        "{remaining:?}"
    );
    assert!(has(&said, Level::Warn, "did not go within 60 s"), "{said:?}");
    assert_eq!(cluster.asked().iter().filter(|asked| asked.ends_with(again)).count(), 1, "{:?}", cluster.asked());
    let asked = cluster.asked();
    assert_eq!(asked.iter().filter(|asked| **asked == format!("DELETE {WEB}")).count(), 1, "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn t6_volumes_are_named_with_claim_size_and_id_and_stay_without_a_yes() {
    let cluster = FakeCluster::default();
    cluster.put(VOLUME, volume("Delete", "data"));
    cluster.put("/api/v1/persistentvolumes/local", json!({"spec": {"hostPath": {"path": "/x"}}}));
    let (ended, said) = begin(&cluster, VolumePolicy::Keep, 600).end().await;
    let expect = r#"volume pvc-1 (claim shop/data, 10Gi) (42): "deleteVolumes": true was not given"#;
    assert_eq!(ended, Ok(vec![expect.to_owned()]));
    let shown = "pvc-1 (claim shop/data, 10Gi, driver csi.cloud.example, volume 42)";
    assert!(has(&said, Level::Warn, shown), "{said:?}");
    assert!(cluster.asked().is_empty(), "{:?}", cluster.asked());
}

#[tokio::test(start_paused = true)]
async fn t6_with_a_yes_volumes_go_with_their_claims_and_the_pods_that_use_them() {
    let cluster = FakeCluster::default();
    cluster.put(VOLUME, volume("Retain", "data"));
    cluster.put(&format!("{CLAIMS}/data"), json!({"metadata": {"finalizers": ["kubernetes.io/pvc-protection"]}}));
    let pod = |claim: &str| json!({"spec": {"volumes": [{"persistentVolumeClaim": {"claimName": claim}}]}});
    cluster.put("/api/v1/namespaces/shop/pods/db-0", pod("data"));
    cluster.put("/api/v1/namespaces/shop/pods/other", pod("other"));
    let cleaning = begin(&cluster, VolumePolicy::Delete, 600);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(!cleaning.end.is_finished());
    // What the controllers do then.
    cluster.let_go(&format!("{CLAIMS}/data"));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(!cleaning.end.is_finished(), "the volume is still there");
    cluster.objects().remove(VOLUME);
    let (ended, said) = cleaning.end().await;
    assert_eq!(ended, Ok(Vec::new()));
    assert_eq!(
        cluster.asked(),
        [
            "POST /api/v1/namespaces/shop/resourcequotas".to_owned(),
            format!(
                r#"PATCH {VOLUME} {{"metadata":{{"annotations":{{"{POLICY_BEFORE}":"Retain"}}}},"spec":{{"persistentVolumeReclaimPolicy":"Delete"}}}}"#
            ),
            format!("DELETE {CLAIMS}/data"),
            "DELETE /api/v1/namespaces/shop/pods/db-0".to_owned(),
        ]
    );
    assert!(has(&said, Level::Info, "deleted with their data, as was agreed to: pvc-1"), "{said:?}");
    assert!(has(&said, Level::Info, "the volumes of the cluster are deleted"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn t6_a_volume_that_does_not_go_in_its_time_is_named_with_its_phase() {
    let cluster = FakeCluster::default();
    cluster.put(VOLUME, volume("Delete", "data"));
    let begun = Instant::now();
    let (ended, said) = begin(&cluster, VolumePolicy::Delete, 60).end().await;
    assert_eq!(begun.elapsed().as_secs(), 60, "bounded");
    let remaining = ended.unwrap();
    assert!(remaining[0].contains("pvc-1 (claim shop/data, 10Gi) (42): its driver csi.cloud.example"), "{remaining:?}");
    assert!(remaining[0].ends_with("within 60 s (it is Bound)"), "{remaining:?}");
    assert!(has(&said, Level::Warn, "were not deleted within 60 s"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn t6_a_cluster_that_answers_late_is_cleaned_up_and_one_that_does_not_is_left_alone() {
    let cluster = FakeCluster::default();
    *cluster.outages.lock().unwrap() = 5;
    cluster.put(WEB, service("LoadBalancer", &[]));
    let (ended, _) = begin(&cluster, VolumePolicy::Keep, 600).end().await;
    assert_eq!((ended, cluster.objects().contains_key(WEB)), (Ok(Vec::new()), false));

    let dead = FakeCluster::default();
    *dead.outages.lock().unwrap() = usize::MAX;
    let begun = Instant::now();
    let (ended, said) = begin(&dead, VolumePolicy::Keep, 600).end().await;
    assert!(begun.elapsed() <= ANSWER_WITHIN + PAUSE, "{:?}", begun.elapsed());
    assert_eq!((ended, said), (Err("the API server answered 503: ServiceUnavailable".to_owned()), Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn t6_a_cleanup_that_was_cut_off_begins_anew_and_ends_well() {
    let cluster = FakeCluster::default();
    cluster.put(WEB, service("LoadBalancer", &[FINALIZER]));
    let first = begin(&cluster, VolumePolicy::Keep, 600);
    tokio::time::sleep(Duration::from_secs(10)).await;
    first.end.abort();
    let second = begin(&cluster, VolumePolicy::Keep, 600);
    tokio::time::sleep(Duration::from_secs(10)).await;
    cluster.let_go(WEB);
    assert_eq!(second.end().await.0, Ok(Vec::new()));
    let deletes = cluster.asked().iter().filter(|asked| asked.starts_with("DELETE")).count();
    assert_eq!(deletes, 1, "what is on its way out is not asked again");
}

#[tokio::test(start_paused = true)]
async fn t6_a_cluster_that_falls_silent_while_it_is_waited_for_is_said_to_have_done_so() {
    let cluster = FakeCluster::default();
    cluster.put(WEB, service("LoadBalancer", &[FINALIZER]));
    let cleaning = begin(&cluster, VolumePolicy::Keep, 60);
    tokio::time::sleep(Duration::from_secs(10)).await;
    *cluster.outages.lock().unwrap() = usize::MAX;
    let (ended, said) = cleaning.end().await;
    let remaining = ended.unwrap();
    assert!(remaining[0].contains("Service shop/web (203.0.113.7): the Service was not seen to go"), "{remaining:?}");
    assert!(remaining[1].contains("the cluster did not answer when its volumes were looked for"), "{remaining:?}");
    assert!(has(&said, Level::Warn, "volumes of the cluster may be left"), "{said:?}");
}
