//! Which servers have a node, and nodes that leave, against a stand-in for the API server.

use super::*;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const LIMIT: Duration = Duration::from_secs(20);

fn object(name: &str, server: Option<&str>, status: &Value) -> Value {
    let labels = server.map(|server| json!({SERVER: server})).unwrap_or_default();
    json!({"metadata": {"name": name, "labels": labels}, "status": status})
}

fn node(name: &str, server: Option<&str>, status: &Value) -> ClusterObject {
    ClusterObject::of(&object(name, server, status), &NODE)
}

fn ready(status: &str) -> Value {
    json!({"conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": status}]})
}

#[test]
fn t7_a_node_is_known_by_its_name_and_by_a_label_only_where_that_goes_with_the_name() {
    let on = |name: &str, label: Option<&str>, server: &str| runs_on(&node(name, label, &json!({})), server);
    assert!(on("a-w1-0a1b2c3d", Some("a-w1"), "a-w1"));
    assert!(on("a-w1", None, "a-w1") && on("a-w1-0a1b2c3d", None, "a-w1"));
    assert!(on("a-w1.cloud.example", Some("a-w1"), "a-w1"), "as some clouds name their machines");
    assert!(!on("a-w10", None, "a-w1") && !on("a-w1-other", None, "a-w1") && !on("a-w1-0a1b2c3d4", None, "a-w1"));
    for name in ["a-w1", "a-w1-0a1b2c3d"] {
        assert!(on(name, Some("a-cp1"), "a-w1"), "a kubelet cannot leave its server");
        assert!(!on(name, Some("a-cp1"), "a-cp1"), "nor pass for another one");
    }
    let long = format!("catalyst-{}-w1", "a".repeat(50));
    let (cut, other) = (format!("{}-0a1b2c3d", &long[..CUT]), format!("{long}0"));
    assert!(on(&cut, Some(&long), &long) && !on(&cut, Some(&other), &long) && !on(&cut, None, &long));
}

#[test]
fn t7_servers_without_a_node_are_named() {
    let servers = ["a-cp1", "a-w1", "a-w2"].map(str::to_owned);
    let all = [
        node("a-cp1-00000001", Some("a-cp1"), &ready("True")),
        node("a-w1-00000002", Some("a-w1"), &ready("Unknown")),
        node("a-w1-00000003", Some("a-w1"), &ready("True")),
        node("a-w2-00000004", Some("a-w2"), &json!({})),
    ];
    assert_eq!(words_of(&all, &servers), None, "of two nodes of a server one is enough");
    assert_eq!(
        words_of(&all[..2], &servers).unwrap(),
        "2 of 3 nodes are missing: not in the cluster: a-w2 (see /var/log/catalyst-boot.log on the server); in the cluster, but not \
         ready: a-w1"
    );
    assert_eq!(words_of(&[], &[]), None);
}

/// An API server with nodes, of which some have a finalizer.
#[derive(Clone, Default)]
struct Double {
    nodes: Arc<Mutex<Vec<Value>>>,
    asked: Arc<Mutex<Vec<String>>>,
    /// The status of its next answers, and how many of them.
    refusal: Arc<Mutex<(u16, usize)>>,
}

impl Double {
    fn refuses(&self, status: u16, answers: usize) {
        *self.refusal.lock().unwrap() = (status, answers);
    }

    fn client(&self) -> kube::Client {
        let double = self.clone();
        let api = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let (status, body) = double.answer(request.method().as_str(), request.uri().path());
            let body = kube::client::Body::from(body.to_string().into_bytes());
            async move { Ok::<_, std::convert::Infallible>(http::Response::builder().status(status).body(body).unwrap()) }
        });
        kube::Client::new(api, "default")
    }

    fn answer(&self, method: &str, path: &str) -> (u16, Value) {
        let mut nodes = self.nodes.lock().unwrap();
        let (code, left) = &mut *self.refusal.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "no",
                                "reason": "", "code": *code});
            return (*code, status);
        }
        if method == "GET" {
            assert_eq!(path, "/api/v1/nodes");
            let items = nodes.clone();
            return (200, json!({"kind": "NodeList", "apiVersion": "v1", "metadata": {}, "items": items}));
        }
        self.asked.lock().unwrap().push(format!("{method} {path}"));
        let name = path.rsplit('/').next().unwrap();
        let Some(at) = nodes.iter().position(|node| node["metadata"]["name"] == name) else {
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "not found",
                                "reason": "NotFound", "code": 404});
            return (404, status);
        };
        if nodes[at]["metadata"]["finalizers"].is_array() {
            nodes[at]["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            return (200, nodes[at].clone());
        }
        nodes.remove(at);
        (200, json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}))
    }

    fn remove(&self, name: &str) {
        self.nodes.lock().unwrap().retain(|node| node["metadata"]["name"] != name);
    }
}

fn with_finalizer(name: &str) -> Value {
    let mut node = object(name, None, &json!({}));
    node["metadata"]["finalizers"] = json!(["wrangler.cattle.io/managed-etcd-controller"]);
    node
}

#[tokio::test(start_paused = true)]
async fn t7_a_node_that_leaves_is_waited_for_until_it_is_gone_and_asked_once() {
    let double = Double::default();
    let others = object("a-cp2", None, &json!({}));
    *double.nodes.lock().unwrap() =
        vec![with_finalizer("a-cp1-00000001"), others.clone(), object("a-w1", None, &json!({}))];
    let servers = ["a-cp1", "a-w1", "a-w9"].map(str::to_owned);
    let (held, client) = (double.clone(), double.client());
    let leaving =
        tokio::spawn(async move { leave(client, Route::Direct, LIMIT, &servers, Duration::from_secs(300)).await });
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!leaving.is_finished(), "its member is in etcd");
    held.remove("a-cp1-00000001");
    let nodes = vec!["a-cp1-00000001".to_owned(), "a-w1".to_owned()];
    assert_eq!(leaving.await.unwrap(), Ok(RemovedNodes { nodes, without_node: vec!["a-w9".to_owned()] }));
    assert_eq!(*double.nodes.lock().unwrap(), [others]);
    let expect = [
        "DELETE /api/v1/nodes/a-cp1-00000001",
        "DELETE /api/v1/nodes/a-w1",
        "DELETE /api/v1/namespaces/kube-system/secrets/a-cp1-00000001.node-password.k3s",
        "DELETE /api/v1/namespaces/kube-system/secrets/a-w1.node-password.k3s",
    ];
    assert_eq!(*double.asked.lock().unwrap(), expect);
}

#[tokio::test(start_paused = true)]
async fn t7_a_node_that_does_not_leave_in_its_time_is_named() {
    let double = Double::default();
    *double.nodes.lock().unwrap() = vec![with_finalizer("a-cp1-00000001")];
    let why = leave(double.client(), Route::Direct, LIMIT, &["a-cp1".to_owned()], Duration::from_secs(300))
        .await
        .unwrap_err();
    let expect = "a-cp1-00000001 is still there, since k3s has not let it go";
    assert_eq!(why, RemovalFault::NotRemoved(expect.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn names_of_nodes_that_do_not_leave_are_plain_and_bounded() {
    let double = Double::default();
    let hostile = |at: usize| {
        let mut node = with_finalizer(&format!("a-cp1.{at:04}\u{1b}[2J{}", "x".repeat(200)));
        node["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        node
    };
    *double.nodes.lock().unwrap() = (0..200).map(hostile).collect();
    let fault =
        leave(double.client(), Route::Direct, LIMIT, &["a-cp1".to_owned()], Duration::from_secs(5)).await.unwrap_err();
    let RemovalFault::NotRemoved(why) = &fault else { panic!("{fault:?}") };
    assert!(why.len() < 2_000 && !why.contains('\u{1b}'), "{} bytes: {why}", why.len());
    assert!(why.ends_with(" and 180 more is still there, since k3s has not let it go"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_name_is_longer_than_kubernetes_allows_is_not_acted_on() {
    let double = Double::default();
    let long = object(&format!("a-cp1.{}", "x".repeat(8_000)), None, &json!({}));
    *double.nodes.lock().unwrap() = vec![long];
    let servers = ["a-cp1".to_owned()];
    let removed = leave(double.client(), Route::Direct, LIMIT, &servers, Duration::from_secs(300)).await;
    assert_eq!(removed, Ok(RemovedNodes { nodes: Vec::new(), without_node: servers.to_vec() }));
    assert!(double.asked.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn t1_a_cluster_is_silent_only_where_it_answered_nothing_for_two_minutes() {
    let servers = ["a-cp1".to_owned()];
    let budget = Duration::from_secs(300);
    let dead = Double::default();
    dead.refuses(503, usize::MAX);
    let begun = Instant::now();
    let fault = leave(dead.client(), Route::Direct, LIMIT, &servers, budget).await.unwrap_err();
    assert!(matches!(&fault, RemovalFault::Silent(why) if why.contains("503")), "{fault:?}");
    assert!((SILENCE..SILENCE + PAUSE * 2).contains(&begun.elapsed()), "{:?}", begun.elapsed());

    // It comes back in its time.
    let late = Double::default();
    *late.nodes.lock().unwrap() = vec![object("a-cp1", None, &json!({}))];
    late.refuses(503, 100);
    let removed = RemovedNodes { nodes: servers.to_vec(), without_node: Vec::new() };
    assert_eq!(leave(late.client(), Route::Direct, LIMIT, &servers, budget).await, Ok(removed));

    // One that refuses answers, and so does one that has answered before it fell silent.
    let refusing = Double::default();
    refusing.refuses(401, usize::MAX);
    let fault = leave(refusing.client(), Route::Direct, LIMIT, &servers, budget).await.unwrap_err();
    assert!(matches!(&fault, RemovalFault::NotRemoved(why) if why.contains("401")), "{fault:?}");
    let falling = Double::default();
    *falling.nodes.lock().unwrap() = vec![with_finalizer("a-cp1-00000001")];
    let (held, client) = (falling.clone(), falling.client());
    let leaving = tokio::spawn(async move { leave(client, Route::Direct, LIMIT, &["a-cp1".to_owned()], budget).await });
    tokio::time::sleep(Duration::from_secs(10)).await;
    held.refuses(503, usize::MAX);
    let fault = leaving.await.unwrap().unwrap_err();
    assert!(matches!(&fault, RemovalFault::NotRemoved(why) if why.contains("503")), "{fault:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_behind_a_proxy_is_never_silent() {
    let budget = Duration::from_secs(300);
    let dead = Double::default();
    dead.refuses(503, usize::MAX);
    let begun = Instant::now();
    let fault = leave(dead.client(), Route::Proxy, LIMIT, &["a-cp1".to_owned()], budget).await.unwrap_err();
    assert!(matches!(&fault, RemovalFault::NotRemoved(why) if why.contains("503")), "{fault:?}");
    assert!(begun.elapsed() >= budget, "it is asked until the time is up");
}

#[tokio::test(start_paused = true)]
async fn t7_nodes_that_are_missing_are_told_once_and_when_they_came() {
    let double = Double::default();
    *double.nodes.lock().unwrap() = vec![object("a-cp1-00000001", Some("a-cp1"), &ready("True"))];
    let servers = ["a-cp1", "a-w1"].map(str::to_owned).to_vec();
    let settings = WatchSettings { servers, ..WatchSettings::default() };
    let (out, mut heard) = mpsc::channel(10);
    let began = Instant::now();
    let following = tokio::spawn(follow(double.client(), settings, out));
    let Some(Observation::Remark { level, message }) = heard.recv().await else { panic!() };
    assert!(began.elapsed() >= PATIENCE, "a server needs its time");
    assert_eq!(level, Level::Warn);
    assert!(message.starts_with("1 of 2 nodes are missing: not in the cluster: a-w1"), "{message}");
    tokio::time::sleep(PATIENCE).await;
    double.nodes.lock().unwrap().push(object("a-w1-00000002", Some("a-w1"), &ready("True")));
    let Some(Observation::Remark { level, message }) = heard.recv().await else { panic!() };
    assert_eq!((level, message.as_str()), (Level::Info, "All nodes are in the cluster now."));
    following.await.unwrap();
    assert_eq!(heard.recv().await, None);
}
