//! Places for connections: one address, or many, cannot keep the others out, whatever they do with theirs.

use crate::callers::{Mode, Scene};
use crate::client::{Reply, connect_from, raw, raw_from, request, rest, until};
use crate::kit::{BEARER, Server, Setup, create_body, id, kubeconfig, record};
use crate::metrics::{scrape, value};
use catalyst::http::Limits;
use catalyst_domain::Status;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// All places, and those of one address, in these tests.
const PLACES: usize = 128;
const SHARE: usize = 64;
/// Places that strangers can have.
const STRANGERS: usize = PLACES - PLACES / 8;

fn setup() -> Setup {
    let limits = Limits { connections: PLACES, per_address: SHARE, ..Limits::default() };
    // Nothing drives them, so their streams stay open.
    Setup { limits, records: vec![record(1, Status::FluxBootstrapping), record(2, Status::Failed)], ..Setup::default() }
}

fn from(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 9, n)
}

/// What somebody does with a connection and then leaves it at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Nothing,
    HalfHead,
    SlowBody,
    Idle,
    Stream,
}

async fn hold(server: &Server, who: Ipv4Addr, holds: Holds) -> TcpStream {
    let mut stream = connect_from(who, server.address).await;
    let logs = format!("GET /api/v1/deployments/{}/logs HTTP/1.1\r\nhost: localhost\r\n\r\n", id(1));
    let bytes = match holds {
        Holds::Nothing => "",
        Holds::HalfHead => "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: ",
        Holds::SlowBody => "POST /api/v1/previews HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99\r\n\r\n{",
        Holds::Idle => "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n",
        Holds::Stream => &logs,
    };
    // One that is refused may be closed before it has sent anything.
    let _ = stream.write_all(bytes.as_bytes()).await;
    stream
}

async fn get(server: &Server, who: Ipv4Addr) -> Reply {
    raw_from(who, server.address, &request("GET", &format!("/api/v1/deployments/{}", id(1)), &[], b"")).await
}

async fn put(server: &Server, who: Ipv4Addr, bearer: &str) -> Reply {
    let bearer = format!("Bearer {bearer}");
    let path = format!("/api/v1/deployments/{}/kubeconfig", id(2));
    let whole = request("PUT", &path, &[("authorization", &bearer)], kubeconfig("x").as_bytes());
    raw_from(who, server.address, &whole).await
}

/// The answer on a connection, where there was one: a place that is given up is closed without a word.
async fn refusal(mut stream: TcpStream) -> Option<Reply> {
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await.ok()?.ok()?;
    (!answer.is_empty()).then(|| Reply::parse(&answer))
}

/// Asks until it is answered, as a client that comes again.
async fn answered(server: &Server, who: Ipv4Addr, within: Duration) {
    let asked = async {
        loop {
            let mut stream = connect_from(who, server.address).await;
            let path = format!("/api/v1/deployments/{}", id(1));
            let _ = stream.write_all(&request("GET", &path, &[], b"")).await;
            if refusal(stream).await.is_some_and(|reply| reply.status == 200) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(within, asked).await.unwrap_or_else(|_| panic!("{who} was not answered within {within:?}"));
}

/// Less than the time that a head may take, after which half requests end by themselves.
const BEFORE_HEADS_END: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn one_address_has_its_share_whatever_it_does_and_the_others_are_answered() {
    for holds in [Holds::Nothing, Holds::HalfHead, Holds::SlowBody, Holds::Idle, Holds::Stream] {
        let server = Server::start(setup()).await;
        let mut held = Vec::new();
        for _ in 0..SHARE {
            let mut stream = hold(&server, from(1), holds).await;
            match holds {
                Holds::Idle => drop(until(&mut stream, "ok").await),
                Holds::Stream => drop(until(&mut stream, "retry:").await),
                _ => {}
            }
            held.push(stream);
        }
        for _ in 0..SHARE {
            held.push(hold(&server, from(1), Holds::HalfHead).await);
        }
        assert_eq!(get(&server, from(2)).await.status, 200, "{holds:?}");
        assert_eq!(put(&server, from(3), BEARER).await.status, 204, "{holds:?}");
        assert_eq!(server.get("/healthz").await.status, 200, "{holds:?}");
        if holds == Holds::Stream {
            let told = refusal(hold(&server, from(1), Holds::Nothing).await).await;
            // Too many are refused at once for each of them to be told.
            if let Some(told) = told {
                assert_eq!(told.refusal(), (429, "too-many-connections".into()));
                assert_eq!(told.header("retry-after"), Some("5"));
                assert!(told.text().contains("CATALYST_ADDRESS_CONNECTIONS") && told.text().contains("64"), "{told:?}");
            }
            assert!(
                value(&scrape(&server).await, r#"catalyst_refused_connections_total{reason="address"}"#) >= Some(1.0)
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_its_share_an_address_is_told_so_with_a_time() {
    let server = Server::start(setup()).await;
    let mut held = Vec::new();
    for _ in 0..SHARE {
        let mut stream = hold(&server, from(1), Holds::Stream).await;
        until(&mut stream, "retry:").await;
        held.push(stream);
    }
    let told = get(&server, from(1)).await;
    assert_eq!(told.refusal(), (429, "too-many-connections".into()));
    assert_eq!(told.header("retry-after"), Some("5"));
    assert!(told.text().contains("CATALYST_ADDRESS_CONNECTIONS") && told.text().contains("64"), "{told:?}");
    held.pop();
    answered(&server, from(1), Duration::from_secs(30)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_nothing_leaves_for_the_same_address_and_a_stream_stays() {
    let server = Server::start(setup()).await;
    let mut viewer = hold(&server, from(1), Holds::Stream).await;
    until(&mut viewer, "retry:").await;
    let mut held = Vec::new();
    for _ in 1..SHARE {
        held.push(hold(&server, from(1), Holds::HalfHead).await);
    }
    // As soon as they have had time for a head, one of them leaves for whoever asks something.
    answered(&server, from(1), BEFORE_HEADS_END).await;
    assert_eq!(rest(&mut held[0]).await, b"", "the oldest one left");
    let entry = catalyst_domain::Entry::new(
        catalyst_domain::Timestamp::now(),
        "host",
        catalyst_domain::Level::Info,
        "still here",
    );
    server.store.append(&id(1), vec![entry]).await.unwrap();
    until(&mut viewer, "still here").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_requests_of_many_addresses_leave_for_a_new_one() {
    let server = Server::start(setup()).await;
    let mut held = Vec::new();
    for n in 0..2 * PLACES {
        held.push(hold(&server, from(u8::try_from(n % 200).unwrap()), Holds::HalfHead).await);
    }
    answered(&server, from(201), BEFORE_HEADS_END).await;
    assert_eq!(put(&server, from(202), BEARER).await.status, 204);
}

/// Streams of two addresses in every place that a stranger can have.
async fn crowd(server: &Server) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for n in 0..STRANGERS {
        let mut stream = hold(server, from(u8::try_from(1 + n / SHARE).unwrap()), Holds::Stream).await;
        until(&mut stream, "retry:").await;
        held.push(stream);
    }
    held
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cannot_take_the_last_places_and_a_node_gets_one() {
    let server = Server::start(setup()).await;
    let _held = crowd(&server).await;
    for _ in 0..3 {
        let told = get(&server, from(7)).await;
        assert_eq!(told.refusal(), (503, "too-many-connections".into()));
        assert_eq!(told.header("retry-after"), Some("5"));
    }
    let mut another = hold(&server, from(8), Holds::Stream).await;
    assert_eq!(Reply::parse(&rest(&mut another).await).status, 503, "no stream of a stranger stays there");
    assert_eq!(put(&server, from(9), "wrong").await.status, 403, "a wrong bearer is judged");
    assert_eq!(put(&server, from(9), BEARER).await.status, 204);
    assert_eq!(server.get("/healthz").await.status, 200, "a probe is answered");
    assert_eq!(get(&server, from(9)).await.status, 200, "the node's address is known now");
    // Half requests in the kept places leave for the next node.
    let mut halves = Vec::new();
    for n in 0..PLACES {
        halves.push(hold(&server, from(u8::try_from(20 + n).unwrap()), Holds::HalfHead).await);
    }
    let answered = async {
        // Used up: the answer of a right bearer all the same.
        while !put_tried(&server, from(10)).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(BEFORE_HEADS_END, answered).await.unwrap();
}

async fn put_tried(server: &Server, who: Ipv4Addr) -> bool {
    let mut stream = connect_from(who, server.address).await;
    let bearer = format!("Bearer {BEARER}");
    let path = format!("/api/v1/deployments/{}/kubeconfig", id(2));
    let _ = stream.write_all(&request("PUT", &path, &[("authorization", &bearer)], b"x")).await;
    refusal(stream).await.is_some_and(|reply| reply.refusal() == (403, "already-set".into()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_caller_gets_a_kept_place_from_anywhere_and_a_stranger_does_not() {
    let scene = Scene::under(Mode::Token, setup()).await;
    let right = scene.bearer("read");
    let logs = format!("/api/v1/deployments/{}/logs", id(1));
    let mut held = Vec::new();
    // Bodies of strangers who are nobody: a node's route is judged by its handler, which these never reach.
    for n in 0..STRANGERS {
        let who = from(u8::try_from(1 + n / SHARE).unwrap());
        held.push(hold(&scene.server, who, Holds::HalfHead).await);
    }
    let ask = |bearer: String, who: u8| {
        let whole = request("GET", &logs, &[("authorization", &bearer)], b"");
        let address = scene.server.address;
        async move {
            let mut stream = connect_from(from(who), address).await;
            stream.write_all(&whole).await.unwrap();
            stream
        }
    };
    let mut known = ask(right, 50).await;
    until(&mut known, "retry:").await;
    let mut stranger = ask("Bearer wrong".to_owned(), 51).await;
    assert_eq!(Reply::parse(&rest(&mut stranger).await).status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_opened_and_dropped_leave_nothing_behind() {
    let server = Server::start(setup()).await;
    for n in 0..20 * SHARE {
        let stream = connect_from(from(1), server.address).await;
        if n % 2 == 0 {
            // With a reset in place of an end.
            stream.set_zero_linger().unwrap();
        }
    }
    answered(&server, from(1), Duration::from_secs(30)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_one_behind_the_other_on_a_connection_are_all_answered_and_hold_one_place() {
    const ASKED: usize = 300;
    let server = Server::start(setup()).await;
    let mut stream = connect_from(from(1), server.address).await;
    let one = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(one.repeat(ASKED).as_bytes()).await.unwrap();
    stream.write_all(&request("GET", "/healthz", &[], b"")).await.unwrap();
    assert_eq!(get(&server, from(2)).await.status, 200);
    let all = String::from_utf8(rest(&mut stream).await).unwrap();
    assert_eq!(all.matches("HTTP/1.1 200").count(), ASKED + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_behind_a_trusted_proxy_has_its_share_and_the_proxy_itself_none() {
    let limits = Limits { connections: PLACES, per_address: 4, ..Limits::default() };
    let server = Server::start(Setup { limits, trusted_proxies: "127.0.0.0/8", ..setup() }).await;
    let follow = async |client: &str| {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let path = format!("/api/v1/deployments/{}/logs", id(1));
        stream.write_all(&request("GET", &path, &[("x-forwarded-for", client)], b"")).await.unwrap();
        stream
    };
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = follow("203.0.113.9").await;
        until(&mut stream, "retry:").await;
        held.push(stream);
    }
    let told = Reply::parse(&rest(&mut follow("203.0.113.9").await).await);
    assert_eq!(told.refusal(), (429, "too-many-connections".into()));
    assert_eq!(told.header("retry-after"), Some("5"));
    // A header of the client's own that contradicts the proxy's lifts no limit: all such requests are counted as the proxy's.
    let contradicting = async |said: &str| {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let path = format!("/api/v1/deployments/{}/logs", id(1));
        let headers = [("x-forwarded-for", "203.0.113.9"), ("forwarded", said)];
        stream.write_all(&request("GET", &path, &headers, b"")).await.unwrap();
        stream
    };
    for said in ["for=unknown", "for=198.51.100.1", "for=_hidden", "by=203.0.113.9"] {
        let mut stream = contradicting(said).await;
        until(&mut stream, "retry:").await;
        held.push(stream);
    }
    assert_eq!(Reply::parse(&rest(&mut contradicting("for=unknown").await).await).status, 429);
    for n in 10..20 {
        let mut stream = follow(&format!("203.0.113.{n}")).await;
        until(&mut stream, "retry:").await;
        held.push(stream);
    }
    // One address of IPv6 is its network.
    for n in 0..4 {
        let mut stream = follow(&format!("2001:db8::{n}")).await;
        until(&mut stream, "retry:").await;
        held.push(stream);
    }
    assert_eq!(Reply::parse(&rest(&mut follow("2001:db8::ffff").await).await).status, 429);
    assert!(
        value(&scrape(&server).await, r#"catalyst_limited_requests_total{reason="too-many-connections"}"#) >= Some(2.0)
    );
    drop(held);
    let again = async {
        loop {
            let mut stream = follow("203.0.113.9").await;
            let mut first = [0; 12];
            stream.read_exact(&mut first).await.unwrap();
            if &first == b"HTTP/1.1 200" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), again).await.expect("what ended is counted no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_api_fails_no_probe_on_the_address_of_the_metrics() {
    let server = Server::start(setup()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let probes = listener.local_addr().unwrap();
    let app = server.app.clone();
    let served = tokio::spawn(catalyst::http::serve_metrics(listener, app.clone(), app.stopping.clone()));
    let _held = crowd(&server).await;
    assert_eq!(server.post("/api/v1/previews", &create_body("a.example")).await.status, 503);
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(raw(probes, &request("GET", path, &[], b"")).await.status, 200, "{path}");
    }
    // Half requests there leave for the next probe.
    let mut halves = Vec::new();
    for n in 0..100_u8 {
        let mut stream = connect_from(from(n), probes).await;
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\n").await;
        halves.push(stream);
    }
    let answered = async {
        loop {
            let mut stream = TcpStream::connect(probes).await.unwrap();
            let _ = stream.write_all(&request("GET", "/healthz", &[], b"")).await;
            if refusal(stream).await.is_some_and(|reply| reply.status == 200) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(BEFORE_HEADS_END, answered).await.unwrap();
    server.stop();
    served.await.unwrap().unwrap();
}
