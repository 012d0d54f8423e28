//! The state backend on the wire, and what dead runs leave.

use super::*;
use backend::{Backend, Patience};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::ffi::OsStr;
use std::net::TcpListener;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(super) struct Wire {
    address: String,
    path: String,
    basic: String,
}

impl Wire {
    pub(super) fn of(access: &Backend) -> Self {
        let environment: HashMap<OsString, OsString> = access.environment().into_iter().collect();
        let value = |name: &str| environment[OsStr::new(name)].to_str().unwrap().to_owned();
        let url = value("TF_HTTP_ADDRESS");
        let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        assert!(address.starts_with("127.0.0.1:"), "{address}");
        let basic = STANDARD.encode(format!("{}:{}", value("TF_HTTP_USERNAME"), value("TF_HTTP_PASSWORD")));
        Self { address: address.to_owned(), path: format!("/{path}"), basic }
    }

    /// Status and body of one request.
    pub(super) async fn ask(&self, method: &str, query: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let (path, basic, length) = (&self.path, &self.basic, body.len());
        let request = format!(
            "{method} {path}{query} HTTP/1.1\r\nhost: x\r\nauthorization: Basic {basic}\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{body}"
        );
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }
}

/// The backend of one run that waits for no disk.
fn serve(store: &Arc<StateStore>, id: &DeploymentId) -> Backend {
    let patience = Patience {
        longest: Duration::ZERO,
        deadline: tokio::time::Instant::now() + Duration::from_secs(60),
        stop: CancellationToken::new(),
        log: mpsc::channel(1).0.downgrade(),
    };
    serve_with(store, &Arc::default(), id, patience)
}

pub(super) fn serve_with(
    store: &Arc<StateStore>,
    held: &Arc<HeldStates>,
    id: &DeploymentId,
    patience: Patience,
) -> Backend {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    Backend::serve(store.clone(), held.clone(), id, listener, patience).unwrap()
}

pub(super) fn bench() -> (Arc<StateStore>, DeploymentId) {
    (Arc::new(StateStore::default()), DeploymentId::from_bytes([7; 8]))
}

#[tokio::test]
async fn f10_the_methods_of_the_http_backend_reach_the_store() {
    let (store, id) = bench();
    let access = serve(&store, &id);
    let wire = Wire::of(&access);
    let info = r#"{"ID":"one"}"#;
    assert_eq!(wire.ask("GET", "", "").await, (204, String::new()));
    assert_eq!(wire.ask("LOCK", "", info).await.0, 200);
    assert_eq!(wire.ask("LOCK", "", r#"{"ID":"two"}"#).await, (423, info.to_owned()));
    assert_eq!(wire.ask("POST", "?ID=two", "{}").await, (423, info.to_owned()));
    assert_eq!(wire.ask("POST", "?ID=one", "{\"serial\":1}").await.0, 200);
    assert_eq!(wire.ask("GET", "", "").await, (200, "{\"serial\":1}".to_owned()));
    assert_eq!(wire.ask("UNLOCK", "", r#"{"ID":"two"}"#).await.0, 409);
    assert_eq!(wire.ask("UNLOCK", "", info).await.0, 200);
    assert_eq!(wire.ask("DELETE", "", "").await.0, 405);
    assert!(access.failure().is_none());
    store.with(|s| s.broken = true);
    assert_eq!(wire.ask("POST", "", "{}").await.0, 503);
    assert!(access.failure().unwrap().contains("no space left on device"));
    store.with(|s| s.broken = false);
    assert_eq!(wire.ask("GET", "", "").await.0, 200);
    assert!(access.failure().is_some(), "it is the state that was not written");
    assert_eq!(wire.ask("POST", "", "{}").await.0, 200);
    assert!(access.failure().is_none());
}

#[tokio::test]
async fn credentials_open_one_state_and_die_with_their_run() {
    let (store, id) = bench();
    let access = serve(&store, &id);
    let other = serve(&store, &DeploymentId::from_bytes([8; 8]));
    let wire = Wire::of(&access);
    let check = async |path: &str, basic: String, expect: u16| {
        let wire = Wire { address: wire.address.clone(), path: path.to_owned(), basic };
        assert_eq!(wire.ask("GET", "", "").await.0, expect, "{path}");
    };
    check(&wire.path, wire.basic.clone(), 204).await;
    check(&wire.path, Wire::of(&other).basic, 401).await;
    check(&wire.path, STANDARD.encode(format!("{id}:")), 401).await;
    check(&wire.path, "%%".to_owned(), 401).await;
    check("/state/0808080808080808", wire.basic.clone(), 401).await;
    check("/state/..%2f0808080808080808", wire.basic.clone(), 404).await;
    check("/state", wire.basic.clone(), 404).await;
    let again = serve(&store, &id);
    assert_ne!(Wire::of(&again).basic, wire.basic);
}

#[tokio::test]
async fn one_run_reaches_no_state_of_another_even_with_its_credentials() {
    let (store, id) = bench();
    let (own, other) = (serve(&store, &DeploymentId::from_bytes([8; 8])), serve(&store, &id));
    let stolen = Wire::of(&other);
    assert_ne!(Wire::of(&own).address, stolen.address, "each run has a listener of its own");
    // What was stolen counts nowhere but where it belongs.
    let elsewhere = Wire { address: Wire::of(&own).address, path: stolen.path.clone(), basic: stolen.basic.clone() };
    assert_eq!(elsewhere.ask("GET", "", "").await.0, 401);
}

#[tokio::test]
async fn a_backend_ends_with_its_run_also_for_connections_that_are_open() {
    let (store, id) = bench();
    let access = serve(&store, &id);
    let wire = Wire::of(&access);
    let mut kept = TcpStream::connect(&wire.address).await.unwrap();
    let request = format!("GET {} HTTP/1.1\r\nhost: x\r\nauthorization: Basic {}\r\n\r\n", wire.path, wire.basic);
    kept.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    kept.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 204");
    drop(access);
    let _ = kept.write_all(request.as_bytes()).await;
    let mut rest = Vec::new();
    let _ = kept.read_to_end(&mut rest).await;
    let rest = String::from_utf8_lossy(&rest).into_owned();
    assert!(!rest.contains("HTTP/1.1 204"), "{rest}");
    let mut tries = 0;
    while TcpStream::connect(&wire.address).await.is_ok() {
        tries += 1;
        assert!(tries < 1_000, "it still listens");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_state_beyond_the_limit_is_refused() {
    let (store, id) = bench();
    let access = serve(&store, &id);
    let wire = Wire::of(&access);
    assert_eq!(wire.ask("POST", "", &"x".repeat(crate::engine::held::STATE_LIMIT)).await.0, 200);
    store.with(|s| s.states.clear());
    let request = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nauthorization: Basic {}\r\ncontent-length: {}\r\n\r\n",
        wire.path,
        wire.basic,
        crate::engine::held::STATE_LIMIT + 1
    );
    let mut stream = TcpStream::connect(&wire.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
    assert!(store.with(|s| s.states.is_empty()));
}

#[tokio::test]
async fn an_orphan_that_ignores_interrupts_is_killed_and_a_reused_pid_is_spared() {
    use std::os::unix::process::CommandExt;
    let start = || {
        let mut command = std::process::Command::new("/bin/bash");
        command.args(["-c", "trap '' INT; while :; do sleep 0.1; done"]).process_group(0);
        let child = command.spawn().unwrap();
        let start_ticks = orphan::started_at(child.id()).unwrap();
        (Child { pid: child.id(), start_ticks }, child)
    };
    let (known, mut child) = start();
    let earlier = Child { start_ticks: known.start_ticks - 1, ..known };
    assert_eq!(orphan::reap(&earlier, Duration::from_millis(100)).await, Reaped::Gone);
    assert!(child.try_wait().unwrap().is_none(), "a process that is not ours was hit");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(orphan::reap(&known, Duration::from_millis(300)).await, Reaped::Killed);
    assert!(!child.wait().unwrap().success());
}
