//! What slow, large and many clients may cost.

use crate::client::{Reply, request, rest, until};
use crate::kit::{BEARER, Server, Setup, create_body, id, record};
use catalyst::http::Limits;
use catalyst_domain::Status;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn limited(limits: Limits) -> Server {
    Server::start(Setup { limits, ..Setup::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn h9_slow_headers_are_cut() {
    assert_eq!(Limits::default().head, Duration::from_secs(10));
    let server = limited(Limits { head: Duration::from_secs(1), ..Limits::default() }).await;
    let begun = Instant::now();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\nx: ").await.unwrap();
    // A byte now and then does not help.
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let _ = stream.write_all(b"x").await;
    }
    assert_eq!(rest(&mut stream).await, b"");
    assert!((Duration::from_millis(900)..Duration::from_secs(5)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn h9_large_headers_are_refused() {
    let server = Server::with(&[]).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\nx: ").await.unwrap();
    // Past the limit the server closes on what is still being sent, so both ends may see a reset.
    let sent = stream.write_all(&vec![b'x'; 4 * 1024 * 1024]).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let refused = String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 431");
    assert!(refused || (sent.is_err() && answer.is_empty()), "{:?}", String::from_utf8_lossy(&answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn h9_slow_bodies_are_answered_and_cut() {
    let server = Server::with(&[]).await;
    let begun = Instant::now();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(b"POST /api/v1/deployments HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99\r\n\r\n{")
        .await
        .unwrap();
    let reply = Reply::parse(&rest(&mut stream).await);
    assert_eq!(reply.refusal(), (408, "body-too-slow".into()));
    assert!((19..40).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn h6_a_broken_body_is_not_a_large_one() {
    let server = Server::with(&[record(1, Status::Failed)]).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "PUT /api/v1/deployments/{}/kubeconfig HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {BEARER}\r\n\
         transfer-encoding: chunked\r\n\r\n5\r\nhello\r\nnonsense\r\n",
        id(1)
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(Reply::parse(&rest(&mut stream).await).refusal(), (400, "body-unreadable".into()));
    assert!(!server.on_disk(&id(1)).has_kubeconfig());
}

/// Uploads with the real curl and returns what it could read: body and status.
fn curl(server: &Server, method: &str, path: &str, headers: &[&str], body: &[u8]) -> (String, bool) {
    let mut command = Command::new(catalyst_tests::tools::path("curl").unwrap());
    command.args(["-sS", "--noproxy", "*", "-X", method, "--data-binary", "@-", "-w", " %{http_code}"]);
    for header in headers {
        command.args(["-H", header]);
    }
    command.arg(format!("http://{}{path}", server.address)).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(body);
    let output = child.wait_with_output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn h9_curl_can_read_why_its_large_body_was_refused() {
    let server = Server::with(&[record(1, Status::Failed)]).await;
    let kubeconfig = format!("/api/v1/deployments/{}/kubeconfig", id(1));
    let bearer = format!("authorization: Bearer {BEARER}");
    let body = vec![b'x'; 6 * 1024 * 1024];
    for (method, path, header, status) in [
        ("POST", "/api/v1/deployments", "x: y", "413"),
        ("PUT", &*kubeconfig, &*bearer, "422"),
        ("PUT", &kubeconfig, "x: y", "401"),
        ("POST", "/nothing", "x: y", "404"),
        ("DELETE", "/api/v1/deployments", "x: y", "405"),
    ] {
        // With and without the client's waiting for a word; with and without a length said beforehand.
        for extra in ["Expect:", "Expect: 100-continue", "Transfer-Encoding: chunked"] {
            let (read, ended_well) = curl(&server, method, path, &[header, extra], &body);
            assert!(read.starts_with("{\"") && read.ends_with(status), "{method} {path} {extra}: {read}");
            assert!(ended_well, "{method} {path} {extra}: curl failed after {read}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_body_that_ends_in_time_leaves_the_connection_in_use() {
    let server = Server::with(&[]).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let body = vec![b'x'; 1024 * 1024];
    let head =
        format!("POST /api/v1/deployments HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    until(&mut stream, "body-too-large").await;
    stream.write_all(&body).await.unwrap();
    stream.write_all(&request("GET", "/healthz", &[], b"")).await.unwrap();
    assert_eq!(Reply::parse(&rest(&mut stream).await).text(), "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn h9_one_connection_too_many_is_told_so_and_a_free_place_is_taken() {
    assert_eq!(Limits::default().connections, 4_096);
    let limits = Limits { connections: 3, ..Limits::default() };
    let records = vec![record(1, Status::FluxBootstrapping)];
    let server = Server::start(Setup { limits, records, ..Setup::default() }).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        // A stream: what is idle would leave for the next one.
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(&request("GET", &format!("/api/v1/deployments/{}/logs", id(1)), &[], b"")).await.unwrap();
        until(&mut stream, "retry:").await;
        held.push(stream);
    }
    let refused = server.post("/api/v1/deployments", &create_body("a.example")).await;
    assert_eq!(refused.refusal(), (503, "too-many-connections".into()));
    assert_eq!(refused.header("retry-after"), Some("5"));
    held.pop();
    let free = async {
        while server.get("/healthz").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), free).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a17_a_shutdown_waits_for_a_request_in_flight_but_not_for_ever() {
    let server = limited(Limits { drain: Duration::from_secs(2), ..Limits::default() }).await;
    let body = b"{}";
    let open = async |length: usize| {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = format!("POST /api/v1/deployments HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    };
    let (mut ends, mut hangs) = (open(body.len()).await, open(9).await);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begun = Instant::now();
    server.stop();
    tokio::time::sleep(Duration::from_millis(300)).await;
    ends.write_all(body).await.unwrap();
    // Answered, but not begun: nothing would carry it out, and its secrets would be gone with the process.
    assert_eq!(Reply::parse(&rest(&mut ends).await).refusal(), (503, "draining".into()));
    server.ended().await;
    assert!((2..6).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(rest(&mut hangs).await, b"");
}
