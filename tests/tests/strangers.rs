//! The release binary as an operator runs it, with 4,300 half requests of one address at its door: nodes, pages, creates and
//! probes of others are answered all the same, and 1,000 creates of one address at once are taken.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use catalyst_domain::kubeconfig::sha256_hex;
use catalyst_tests::host::{Host, free_port, wait_for};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use tokio::net::TcpSocket;

const BEARER: &str = "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0";
const ID: &str = "0123456789abcdef";
const HALVES: usize = 4_300;
/// Longer than any of these calls takes, and less than a head may take: nothing is waited out.
const SOON: Duration = Duration::from_secs(5);

/// Room for this end of the connections.
fn room() {
    let now = getrlimit(Resource::Nofile);
    let wanted = now.maximum.map_or(8_192, |hard| hard.min(8_192));
    assert!(wanted > HALVES as u64 + 500, "the hard limit of open files is too low for this test");
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: now.maximum }).unwrap();
}

fn connect(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((from, 0))).unwrap();
        socket.connect(to).await.unwrap()
    });
    let stream = stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// The whole answer, if there is one.
fn ask(from: Ipv4Addr, to: SocketAddr, request: &str) -> String {
    let mut stream = connect(from, to);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn with_body(method: &str, path: &str, more: &str, body: &str) -> String {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{more}content-length: {length}\r\n\r\n{body}")
}

fn waiting_for_its_node() -> Value {
    json!({
        "schema": 1, "id": ID, "status": "failed", "startedAt": "2026-04-29T10:00:00Z",
        "kubeconfigBearerHash": sha256_hex(BEARER.as_bytes()), "error": "tofu apply: a test",
        "request": {"orgName": "A", "sovereignFQDN": "waits.example", "regions": [{"provider": "rehearsal", "cloudRegion": "local-1"}]},
    })
}

#[test]
fn half_requests_of_one_address_keep_nobody_else_out() {
    room();
    let probes = format!("127.0.0.1:{}", free_port());
    let mut host = Host::prepare(&[("CATALYST_METRICS_LISTEN", &probes)]);
    host.plant(&waiting_for_its_node());
    host.up();
    let address: SocketAddr = host.address().parse().unwrap();
    let mut held = Vec::new();
    for _ in 0..HALVES {
        let mut stream = connect(Ipv4Addr::new(127, 0, 0, 2), address);
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\nx: ");
        held.push(stream);
    }
    let begun = Instant::now();
    let (node, page) = (Ipv4Addr::new(127, 0, 0, 3), Ipv4Addr::new(127, 0, 0, 4));
    let kubeconfig = "apiVersion: v1\nkind: Config\nclusters:\n- name: d\n  cluster:\n    server: https://192.0.2.7:6443\n\
                      users:\n- name: d\n  user:\n    token: x\ncontexts:\n- name: d\n  context: {cluster: d, user: d}\n\
                      current-context: d\n";
    let bearer = format!("authorization: Bearer {BEARER}\r\n");
    let put = with_body("PUT", &format!("/api/v1/deployments/{ID}/kubeconfig"), &bearer, kubeconfig);
    let answer = ask(node, address, &put);
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    let get = format!("GET /api/v1/deployments/{ID} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    for _ in 0..50 {
        let answer = ask(page, address, &get);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    for (path, at) in
        [("/healthz", address), ("/readyz", probes.parse().unwrap()), ("/healthz", probes.parse().unwrap())]
    {
        let answer = ask(page, at, &format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let numbers = ask(page, probes.parse().unwrap(), "GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let refused = r#"catalyst_refused_connections_total{reason="address"} "#;
    let line = numbers.lines().find_map(|line| line.strip_prefix(refused)).unwrap();
    assert!(line.parse::<f64>().unwrap() > 0.0, "{line}");
    assert!(host.trace().matches("no place for more connections").count() < 20, "a refusal each would fill the trace");
}

#[test]
fn a_thousand_creates_of_one_address_at_once_are_all_taken() {
    const CREATES: usize = 1_000;
    room();
    let host = Host::start(&[]);
    let address: SocketAddr = host.address().parse().unwrap();
    let body = |n: usize| {
        let text = include_str!("../../scripts/rehearsal.json");
        let named = text.replace("one.rehearsal.example.test", &format!("n{n}.rehearsal.example.test"));
        named.replacen('{', "{\"rehearsalToken\": \"a-token-of-nobody\",", 1)
    };
    let mut streams: Vec<TcpStream> = (0..CREATES).map(|_| connect(Ipv4Addr::new(127, 0, 0, 2), address)).collect();
    for (n, stream) in streams.iter_mut().enumerate() {
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        stream.write_all(with_body("POST", "/api/v1/deployments", "", &body(n)).as_bytes()).unwrap();
    }
    for (n, stream) in streams.iter_mut().enumerate() {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{n}: {answer}");
    }
    // Another one's is next but one, whatever waits.
    let made = ask(Ipv4Addr::new(127, 0, 0, 3), address, &with_body("POST", "/api/v1/deployments", "", &body(CREATES)));
    assert!(made.starts_with("HTTP/1.1 201"), "{made}");
    let json: Value = serde_json::from_str(made.split_once("\r\n\r\n").unwrap().1).unwrap();
    let path = format!("/api/v1/deployments/{}", json["id"].as_str().unwrap());
    wait_for("the run of the other address", Duration::from_secs(120), || {
        (host.api.get(&path).json()["status"] != "provisioning").then_some(())
    });
    let list = host.api.get("/api/v1/deployments?status=provisioning&limit=200").json();
    assert!(list["deployments"].as_array().unwrap().len() > 100, "most of the thousand still wait");
}
