//! The small double of a cluster, asked by a real client.

use super::*;
use futures::StreamExt as _;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, LogParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};

async fn client(cluster: &Cluster, token: Option<&str>) -> kube::Client {
    let mut text = cluster.kubeconfig(&format!("https://{}", cluster.address()));
    if let Some(token) = token {
        text = text.replace(&cluster.token, token);
    }
    let config = Kubeconfig::from_yaml(&text).unwrap();
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
    kube::Client::try_from(config).unwrap()
}

fn objects(client: &kube::Client, kind: Kind) -> Api<DynamicObject> {
    let (group, version) = kind.api_version().split_once('/').unwrap_or(("", kind.api_version()));
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind.name()), kind.plural());
    Api::namespaced_with(client.clone(), objects::NAMESPACE, &resource)
}

fn ready(object: &DynamicObject) -> Option<&str> {
    let conditions = object.data.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|c| c["type"] == "Ready")?["status"].as_str()
}

async fn start(milliseconds: u64, fails: Option<&str>) -> Cluster {
    Cluster::start(0, Film::new(Duration::from_millis(milliseconds), fails).unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_real_client_sees_every_release_become_ready() {
    let cluster = start(3000, None).await;
    let client = client(&cluster, None).await;
    assert_eq!(client.apiserver_version().await.unwrap().major, "1");
    let releases = objects(&client, Kind::HelmRelease);
    let first = releases.list(&ListParams::default()).await.unwrap();
    assert_eq!(first.items.len(), 0);
    let params = WatchParams { bookmarks: true, timeout: Some(30), ..Default::default() };
    let version = first.metadata.resource_version.unwrap();
    let mut events = releases.watch(&params, &version).await.unwrap().boxed();
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut last = 0;
    while seen.values().filter(|steps| steps.last().is_some_and(|step| step == "True")).count() < KIT.len() {
        match events.next().await.expect("the watch ended").unwrap() {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let version: u64 = object.metadata.resource_version.as_ref().unwrap().parse().unwrap();
                assert!(version > last, "versions go up");
                last = version;
                let step = ready(&object).unwrap_or("none").to_owned();
                seen.entry(object.metadata.name.unwrap()).or_default().push(step);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen["bp-cilium"], ["none", "Unknown", "True"]);
    assert!(seen["bp-gitea"].ends_with(&["False", "Unknown", "True"].map(str::to_owned)), "{:?}", seen["bp-gitea"]);

    let kit = objects(&client, Kind::Kustomization);
    let params = ListParams::default().fields("metadata.name=bootstrap-kit");
    let kit = kit.list(&params).await.unwrap().items.remove(0);
    assert_eq!(ready(&kit), Some("True"));
    assert_eq!(kit.data["status"]["inventory"]["entries"].as_array().unwrap().len(), KIT.len());
    assert!(cluster.screen().borrow().is_installed());
}

#[tokio::test]
async fn a_watch_can_begin_at_any_version() {
    let cluster = start(600, None).await;
    let client = client(&cluster, None).await;
    let releases = objects(&client, Kind::HelmRelease);
    releases.list(&ListParams::default()).await.unwrap();
    cluster.screen().wait_for(Screen::is_installed).await.unwrap();
    let params = WatchParams { timeout: Some(1), ..Default::default() };
    let count = |from: String| {
        let (releases, params) = (releases.clone(), params.clone());
        async move { releases.watch(&params, &from).await.unwrap().count().await }
    };
    let list = releases.list(&ListParams::default()).await.unwrap();
    assert_eq!(count(list.metadata.resource_version.unwrap()).await, 0);
    // From nothing: one event for each object that is there.
    assert_eq!(count("0".to_owned()).await, KIT.len());
    assert!(count("1".to_owned()).await > KIT.len());
}

#[tokio::test]
async fn what_fails_is_stalled_and_others_wait_for_it() {
    let cluster = start(1000, Some("keycloak")).await;
    let client = client(&cluster, None).await;
    let releases = objects(&client, Kind::HelmRelease);
    releases.list(&ListParams::default()).await.unwrap();
    let mut screen = cluster.screen();
    let end = screen.wait_for(Screen::is_over).await.unwrap().clone();
    assert!(!end.is_installed());
    let keycloak = releases.get("bp-keycloak").await.unwrap();
    let conditions = keycloak.data["status"]["conditions"].as_array().unwrap();
    assert!(conditions.iter().any(|c| c["type"] == "Stalled" && c["status"] == "True"), "{conditions:?}");
    let gitea = releases.get("bp-gitea").await.unwrap();
    assert_eq!(gitea.data["status"]["conditions"][0]["message"], "dependency 'flux-system/bp-keycloak' is not ready");
}

#[tokio::test]
async fn the_log_of_helm_controller_can_be_followed() {
    use futures::AsyncBufReadExt as _;
    let cluster = start(600, None).await;
    let client = client(&cluster, None).await;
    objects(&client, Kind::HelmRelease).list(&ListParams::default()).await.unwrap();
    let pods = objects(&client, Kind::Pod);
    let found =
        pods.list(&ListParams::default().labels("app=helm-controller").fields("status.phase=Running")).await.unwrap();
    assert_eq!(found.items.len(), 1);
    assert_eq!(pods.list(&ListParams::default().labels("app=other")).await.unwrap().items.len(), 0);
    let params = LogParams { follow: true, timestamps: true, ..Default::default() };
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(client, objects::NAMESPACE);
    let mut lines = pods.log_stream(objects::POD, &params).await.unwrap().lines();
    loop {
        let line = lines.next().await.expect("the log ended").unwrap();
        let (time, line) = line.split_once(' ').unwrap();
        let _: Timestamp = time.parse().unwrap();
        let line: Value = serde_json::from_str(line).unwrap();
        if line["HelmRelease"]["name"] == "bp-catalyst-platform" && line["msg"] == "release in-sync with desired state"
        {
            break;
        }
    }
}

#[tokio::test]
async fn who_has_no_token_sees_nothing_and_nobody_writes() {
    let cluster = start(1000, None).await;
    let stranger = client(&cluster, Some("wrong")).await;
    let Err(kube::Error::Api(status)) = objects(&stranger, Kind::Pod).list(&ListParams::default()).await else {
        panic!("a stranger was let in")
    };
    assert_eq!(status.code, 401);
    let friend = client(&cluster, None).await;
    let Err(kube::Error::Api(status)) = objects(&friend, Kind::Pod).delete(objects::POD, &Default::default()).await
    else {
        panic!("the pod could be deleted")
    };
    assert_eq!(status.code, 405);
    let Err(kube::Error::Api(status)) = objects(&friend, Kind::Pod).get("other").await else { panic!("found") };
    assert_eq!(status.code, 404);
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let cluster = start(1000, None).await;
    let film = Film::new(Duration::from_secs(1), None).unwrap();
    let Err(error) = Cluster::start(cluster.address().port(), film).await else { panic!("it started") };
    assert!(error.to_string().contains(&cluster.address().to_string()), "{error}");
}
