//! Clients that read slowly or not at all: an answer on its way is not cut for another connection, and what nobody reads holds
//! a bounded part of the kernel's memory.

use crate::client::{connect_from, request};
use crate::kit::{BEARER, Server, Setup, applied, id, kubeconfig};
use catalyst::http::Limits;
use catalyst_domain::Status;
use catalyst_domain::kubeconfig::MAX_BYTES;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const READER: Ipv4Addr = Ipv4Addr::new(127, 0, 8, 1);
/// Longer than a connection may be idle before it leaves for another of its own address.
const CROWDED_FOR: Duration = Duration::from_millis(2_500);

/// A server with a kubeconfig of a whole MiB to give away, and four connections for an address.
async fn server() -> (Server, String) {
    let limits = Limits { connections: 64, per_address: 4, ..Limits::default() };
    let records = vec![applied(1, Status::FluxBootstrapping)];
    let server = Server::start(Setup { limits, records, ..Setup::default() }).await;
    let mut body = kubeconfig("large");
    while body.len() + 101 < MAX_BYTES {
        body.push_str(&format!("#{}\n", "x".repeat(99)));
    }
    assert_eq!(server.put(&id(1), Some(&format!("Bearer {BEARER}")), &body).await.status, 204);
    (server, body)
}

/// A connection whose client takes little at a time.
async fn small_window(server: &Server) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(2_048).unwrap();
    socket.bind((READER, 0).into()).unwrap();
    socket.connect(server.address).await.unwrap()
}

fn get(path: &str) -> Vec<u8> {
    request("GET", path, &[], b"")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_on_its_way_to_a_slow_reader_is_not_cut_for_newcomers() {
    let (server, body) = server().await;
    let mut slow = small_window(&server).await;
    slow.write_all(&get(&format!("/api/v1/deployments/{}/kubeconfig", id(1)))).await.unwrap();
    let mut first = [0; 1_000];
    slow.read_exact(&mut first).await.unwrap();
    // The address is over its share all the time, with connections that never send a whole head.
    let begun = Instant::now();
    let mut newcomers = Vec::new();
    while begun.elapsed() < CROWDED_FOR {
        let mut one = connect_from(READER, server.address).await;
        let _ = one.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: ").await;
        newcomers.push(one);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(60), slow.read_to_end(&mut rest)).await.unwrap().unwrap();
    let whole = [first.as_slice(), &rest].concat();
    let head = whole.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(whole.len() - head, body.len(), "the answer was cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_does_not_read_is_kept_in_bounds_however_much_it_asks_for() {
    let (server, _) = server().await;
    let mut stalled = small_window(&server).await;
    let ask = get("/api/v1/openapi.json").repeat(40);
    let text = String::from_utf8(ask).unwrap().replace("connection: close\r\n", "");
    stalled.write_all(text.as_bytes()).await.unwrap();
    let port = stalled.local_addr().unwrap().port();
    let queued = || kernel_holds(server.address.port(), port);
    // Grows until the buffer is full, and then no more.
    let mut last = 0;
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = queued();
        if now == last && now > 0 {
            break;
        }
        last = now;
    }
    assert!((1..512 * 1024).contains(&last), "the kernel holds {last} bytes for a client that reads nothing");
}

/// Bytes in the send queue of the server's end of a connection (`/proc/net/tcp`, column `tx_queue`).
fn kernel_holds(from: u16, to: u16) -> u64 {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = |text: &str| text.rsplit(':').next().and_then(|hex| u16::from_str_radix(hex, 16).ok());
    let queue = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let is_it = port(columns.get(1)?)? == from && port(columns.get(2)?)? == to;
        is_it.then(|| columns.get(4)?.split(':').next().and_then(|hex| u64::from_str_radix(hex, 16).ok()))?
    };
    table.lines().find_map(queue).unwrap_or_default()
}
