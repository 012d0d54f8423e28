//! The watch of a new cluster on a real API server, with releases that move as Flux moves them.
//!
//! Log lines need a kubelet, which is not among the real parts; their reading and their pump are tested in the module.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use catalyst::cluster::{ComponentState, Ended, Observation, ProxyChoice, Stopped, WatchSettings, watch};
use catalyst_domain::Outcome;
use catalyst_domain::kubeconfig::Kubeconfig;
use catalyst_tests::flux::Stage;
use catalyst_tests::kube::{Cluster, Kinds, Options};
use serde_json::json;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

#[path = "cluster/cleanup.rs"]
mod cleanup;
#[path = "cluster/faults.rs"]
mod faults;

/// An API server takes a core while it starts; more of them at once only makes each one late.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// No single wait in these tests is meant to take this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A quiet time that never passes within a test: what ends in spite of it ended at once.
const NEVER: Duration = Duration::from_secs(3600);

struct Watching {
    seen: mpsc::Receiver<Observation>,
    end: JoinHandle<Result<Ended, Stopped>>,
    stop: CancellationToken,
}

fn settings(settle: Duration) -> WatchSettings {
    WatchSettings { timeout: PATIENCE, settle, ..WatchSettings::default() }
}

fn parsed(text: &str) -> Kubeconfig {
    Kubeconfig::parse(text.as_bytes()).unwrap()
}

fn begin(cluster: &Cluster, settings: WatchSettings) -> Watching {
    let (out, seen) = mpsc::channel(1000);
    let stop = CancellationToken::new();
    let (kubeconfig, token) = (parsed(&cluster.kubeconfig()), stop.clone());
    let end = tokio::spawn(async move { watch(&kubeconfig, settings, out, token).await });
    Watching { seen, end, stop }
}

impl Watching {
    /// Waits for an observation; those before it are passed over.
    async fn until(&mut self, what: &str, mut wanted: impl FnMut(&Observation) -> bool) -> Observation {
        let mut passed = Vec::new();
        let found = tokio::time::timeout(PATIENCE, async {
            while let Some(one) = self.seen.recv().await {
                if wanted(&one) {
                    return Some(one);
                }
                passed.push(one);
            }
            None
        });
        found.await.ok().flatten().unwrap_or_else(|| panic!("never saw {what}; saw {passed:#?}"))
    }

    async fn state(&mut self, component: &str, wanted: ComponentState) -> Observation {
        let what = format!("{component} {wanted}");
        self.until(
            &what,
            |o| matches!(o, Observation::Component { id, state, .. } if id == component && *state == wanted),
        )
        .await
    }

    async fn end(self) -> Ended {
        tokio::time::timeout(PATIENCE * 2, self.end).await.expect("the watch ends").unwrap().unwrap()
    }

    /// That the watch goes on although it had time to end.
    async fn goes_on(&self) {
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(!self.end.is_finished(), "the watch ended too early");
    }
}

fn failure(ended: &Ended) -> &str {
    match &ended.outcome {
        Outcome::Failed(why) => why,
        Outcome::Ready => panic!("ready: {:?}", ended.components),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c1_ready_at_once_when_the_whole_inventory_is_installed() {
    let _permit = AT_ONCE.acquire().await.unwrap();
    let cluster = Cluster::start(Options::default()).await.unwrap();
    cluster.bootstrap_kit(None).await.unwrap();
    cluster.release("bp-cilium", Stage::Installed).await.unwrap();
    cluster.release("podinfo", Stage::RetriesExceeded).await.unwrap();
    let mut watching = begin(&cluster, settings(NEVER));
    let first = watching.state("cilium", ComponentState::Installed).await;
    let Observation::Component { release, namespace, chart_version, message, .. } = first else { panic!() };
    assert_eq!((release.as_str(), namespace.as_str()), ("bp-cilium", "flux-system"));
    assert_eq!(chart_version.as_deref(), Some("1.2.3"));
    assert!(message.starts_with("Helm install succeeded"), "{message}");
    watching.goes_on().await;

    cluster.release("bp-flux", Stage::WaitsFor("bp-cilium")).await.unwrap();
    cluster.bootstrap_kit(Some(&["bp-cilium", "bp-flux"])).await.unwrap();
    watching.state("flux", ComponentState::Pending).await;
    cluster.release("bp-flux", Stage::WaitsForChart).await.unwrap();
    watching.state("flux", ComponentState::Installing).await;
    cluster.release("bp-flux", Stage::Installing).await.unwrap();
    watching.goes_on().await;
    cluster.release("bp-flux", Stage::Installed).await.unwrap();
    watching.state("flux", ComponentState::Installed).await;
    let ended = watching.end().await;
    assert_eq!(ended.outcome, Outcome::Ready);
    assert_eq!(ended.components, [("cilium", "installed"), ("flux", "installed")].map(own).into());
}

fn own((id, state): (&str, &str)) -> (String, String) {
    (id.to_owned(), state.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn c6_a_failure_recovers_or_ends_the_watch() {
    let _permit = AT_ONCE.acquire().await.unwrap();
    let cluster = Cluster::start(Options::default()).await.unwrap();
    cluster.release("bp-a", Stage::Retried("first try")).await.unwrap();
    cluster.release("bp-b", Stage::Installing).await.unwrap();
    cluster.release("bp-c", Stage::WaitsFor("bp-b")).await.unwrap();
    let mut watching = begin(&cluster, settings(Duration::from_secs(1)));
    watching.state("a", ComponentState::Failed).await;
    watching.goes_on().await;
    cluster.release("bp-a", Stage::Installed).await.unwrap();
    watching.state("a", ComponentState::Installed).await;
    cluster.release("bp-b", Stage::RetriesExceeded).await.unwrap();
    watching.state("b", ComponentState::Failed).await;
    let ended = watching.end().await;
    assert_eq!(failure(&ended), "1 failed component(s): b (RetriesExceeded)");
    assert_eq!(ended.components, [("a", "installed"), ("b", "failed"), ("c", "pending")].map(own).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn c6_c7_generations_suspension_and_deletes_count() {
    let _permit = AT_ONCE.acquire().await.unwrap();
    let cluster = Cluster::start(Options::default()).await.unwrap();
    cluster.release("bp-a", Stage::Installed).await.unwrap();
    cluster.release("bp-b", Stage::New).await.unwrap();
    let mut watching = begin(&cluster, settings(Duration::from_secs(3)));
    watching.state("a", ComponentState::Installed).await;
    cluster.change_release("bp-a", json!({"interval": "30m"})).await.unwrap();
    watching.state("a", ComponentState::Installing).await;
    cluster.delete_release("bp-b").await.unwrap();
    watching
        .until("the delete", |o| matches!(o, Observation::Remark { message, .. } if message.contains("bp-b")))
        .await;
    cluster.change_release("bp-a", json!({"suspend": true})).await.unwrap();
    watching.state("a", ComponentState::Degraded).await;
    watching.goes_on().await;
    cluster.change_release("bp-a", json!({"suspend": false})).await.unwrap();
    cluster.release("bp-a", Stage::Installed).await.unwrap();
    watching.state("a", ComponentState::Installed).await;
    let ended = watching.end().await;
    assert_eq!(ended.outcome, Outcome::Ready);
    assert_eq!(ended.components, [("a", "installed")].map(own).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a7_c2_time_runs_out_with_a_part_installed() {
    let _permit = AT_ONCE.acquire().await.unwrap();
    let cluster = Cluster::start(Options::default()).await.unwrap();
    cluster.release("bp-a", Stage::Installed).await.unwrap();
    cluster.release("bp-b", Stage::WaitsFor("bp-x")).await.unwrap();
    let timeout = Duration::from_secs(5);
    let watching = begin(&cluster, WatchSettings { timeout, expected: Some(3), ..settings(Duration::from_secs(1)) });
    let ended = watching.end().await;
    assert_eq!(
        failure(&ended),
        "the time is up: 1 of 3 expected components installed; not installed: b (pending: dependency \
         'flux-system/bp-x' is not ready)"
    );
    assert_eq!(ended.components, [("a", "installed"), ("b", "pending")].map(own).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn c5_unreachable_then_without_flux_then_ready() {
    let _permit = AT_ONCE.acquire().await.unwrap();
    let mut cluster = Cluster::start(Options { kinds: Kinds::None, ..Options::default() }).await.unwrap();
    cluster.stop_api();
    let mut watching = begin(&cluster, settings(Duration::from_secs(1)));
    let lost = watching.until("no answer", |o| matches!(o, Observation::Unreachable { .. })).await;
    let Observation::Unreachable { why, .. } = lost else { panic!() };
    assert_eq!(why, "the connection was refused");
    cluster.start_api().await.unwrap();
    watching
        .until("no kinds", |o| matches!(o, Observation::Remark { message, .. } if message.contains("not there yet")))
        .await;
    watching.goes_on().await;
    cluster.install_flux_kinds().await.unwrap();
    watching.goes_on().await;
    cluster.release("bp-a", Stage::Installed).await.unwrap();
    watching.state("a", ComponentState::Installed).await;
    assert_eq!(watching.end().await.outcome, Outcome::Ready);
}

#[tokio::test(flavor = "multi_thread")]
async fn c5_a_restart_of_the_api_server_loses_nothing() {
    let _permit = AT_ONCE.acquire().await.unwrap();
    let mut cluster = Cluster::start(Options::default()).await.unwrap();
    cluster.bootstrap_kit(Some(&["bp-a", "bp-b"])).await.unwrap();
    cluster.release("bp-a", Stage::Installed).await.unwrap();
    cluster.release("bp-b", Stage::Installing).await.unwrap();
    cluster.release("bp-old", Stage::New).await.unwrap();
    let mut watching = begin(&cluster, settings(NEVER));
    watching.state("old", ComponentState::Pending).await;
    cluster.stop_api();
    watching.until("no answer", |o| matches!(o, Observation::Unreachable { .. })).await;
    watching.goes_on().await;
    cluster.start_api().await.unwrap();
    cluster.delete_release("bp-old").await.unwrap();
    cluster.release("bp-b", Stage::Installed).await.unwrap();
    watching
        .until("it again", |o| matches!(o, Observation::Remark { message, .. } if message.contains("answers")))
        .await;
    watching.state("b", ComponentState::Installed).await;
    let ended = watching.end().await;
    assert_eq!(ended.outcome, Outcome::Ready);
    assert_eq!(ended.components, [("a", "installed"), ("b", "installed")].map(own).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a7_a_foreign_certificate_is_no_cluster_of_ours() {
    let _permit = AT_ONCE.acquire().await.unwrap();
    let one = Cluster::start(Options::default()).await.unwrap();
    let other = Cluster::start(Options::default()).await.unwrap();
    other.release("bp-a", Stage::Installed).await.unwrap();
    let kubeconfig = one.kubeconfig().replace(&one.address().to_string(), &other.address().to_string());
    let (out, _seen) = mpsc::channel(1000);
    let settings = WatchSettings { timeout: Duration::from_secs(3), ..settings(Duration::from_secs(1)) };
    let ended = watch(&parsed(&kubeconfig), settings, out, CancellationToken::new()).await.unwrap();
    assert!(
        failure(&ended).contains("could not be reached: the connection failed: invalid peer certificate"),
        "{ended:?}"
    );
    assert!(ended.components.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn c11_a_watch_can_be_stopped_at_any_time() {
    let _permit = AT_ONCE.acquire().await.unwrap();
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let mut watching = begin(&cluster, settings(NEVER));
    watching.until("the cluster", |o| matches!(o, Observation::Remark { .. })).await;
    watching.stop.cancel();
    let end = tokio::time::timeout(Duration::from_secs(5), watching.end).await.expect("it stops").unwrap();
    assert_eq!(end, Err(Stopped));

    let mut deaf = begin(&cluster, settings(NEVER));
    deaf.until("the cluster", |o| matches!(o, Observation::Remark { .. })).await;
    drop(deaf.seen);
    let end = tokio::time::timeout(Duration::from_secs(5), deaf.end).await.expect("it stops").unwrap();
    assert_eq!(end, Err(Stopped));
}

#[tokio::test]
async fn a7_an_unusable_kubeconfig_is_a_failure_with_its_cause() {
    let (out, _seen) = mpsc::channel(10);
    let kubeconfig = "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters:\n- name: a\n  cluster: {server: 'https://127.0.0.1:1', \
                      certificate-authority-data: c2VudGluZWw=}\ncontexts:\n- name: a\n  context: {cluster: a, user: a}\nusers:\n- name: a\n  \
                      user: {token: sentinel}\n";
    let ended = watch(&parsed(kubeconfig), WatchSettings::default(), out, CancellationToken::new()).await.unwrap();
    assert_eq!(failure(&ended), "the kubeconfig cannot be used: its certificate authority cannot be read");
}

#[tokio::test(flavor = "multi_thread")]
async fn c5_a_port_that_swallows_everything_ends_with_words() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters:\n- name: a\n  cluster: {{server: 'https://{}'}}\ncontexts:\n- \
         name: a\n  context: {{cluster: a, user: a}}\nusers:\n- name: a\n  user: {{token: sentinel-77aa}}\n",
        silent.local_addr().unwrap()
    );
    let (out, mut seen) = mpsc::channel(10);
    let timeout = Duration::from_secs(3);
    let settings = WatchSettings { timeout, connect_timeout: Duration::from_millis(500), ..WatchSettings::default() };
    let ended = watch(&parsed(&kubeconfig), settings, out, CancellationToken::new()).await.unwrap();
    assert_eq!(
        failure(&ended),
        "the time is up and the cluster could not be reached: no connection within the time limit"
    );
    let told = seen.recv().await.unwrap();
    assert!(matches!(&told, Observation::Unreachable { .. }), "{told:?}");
    assert!(!format!("{told:?}{ended:?}").contains("sentinel"));
}

/// A proxy that answers CONNECT and leads wherever it is told, to one address.
async fn proxy(to: std::net::SocketAddr) -> (std::net::SocketAddr, mpsc::Receiver<String>) {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, requests) = mpsc::channel(100);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let asked = asked.clone();
            tokio::spawn(async move {
                let mut client = BufReader::new(client);
                let mut first = String::new();
                client.read_line(&mut first).await.unwrap();
                let mut header = String::new();
                while client.read_line(&mut header).await.unwrap() > 2 {
                    header.clear();
                }
                asked.send(first).await.unwrap();
                let mut server = tokio::net::TcpStream::connect(to).await.unwrap();
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let _cut = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, requests)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_settings_proxy_is_used_and_certificates_are_checked_through_it() {
    let _permit = AT_ONCE.acquire().await.unwrap();
    let options = Options { sans: vec!["cluster.invalid".to_owned()], ..Options::default() };
    let cluster = Cluster::start(options).await.unwrap();
    cluster.bootstrap_kit(Some(&["bp-a"])).await.unwrap();
    cluster.release("bp-a", Stage::Installed).await.unwrap();
    let (address, mut asked) = proxy(cluster.address()).await;
    let kubeconfig = cluster.kubeconfig().replace(&cluster.address().to_string(), "cluster.invalid:6443");
    let choose: ProxyChoice = std::sync::Arc::new(move |_| format!("http://{address}").parse().ok());
    let settings = WatchSettings { proxy: Some(choose), ..settings(NEVER) };
    let (out, _seen) = mpsc::channel(1000);
    let ended = watch(&parsed(&kubeconfig), settings, out, CancellationToken::new()).await.unwrap();
    assert_eq!(ended.outcome, Outcome::Ready);
    assert_eq!(asked.recv().await.unwrap(), "CONNECT cluster.invalid:6443 HTTP/1.1\r\n");
}
