//! Viewers who still read when the host goes down: a finished log is long, and some read slowly or not at all.

use crate::going::{COME_AGAIN, ends_well, frames, terminate};
use catalyst_tests::host::Host;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const ID: &str = "00000000000000aa";
/// Some 12 MiB: more than all buffers between the log and a viewer.
const ENTRIES: u64 = 40_000;

fn host_with_a_finished_deployment() -> Host {
    let mut host = Host::prepare(&[]);
    host.plant(&json!({
        "schema": 1, "id": ID, "status": "failed", "error": "tofu plan: no", "request": {"sovereignFQDN": "done.example"},
        "startedAt": "2026-04-29T10:00:00Z", "finishedAt": "2026-04-29T11:00:00Z",
        "provider": {"id": "rehearsal", "version": "0.1.0", "digest": "d"},
    }));
    let mut log = String::new();
    for n in 1..=ENTRIES {
        let message = format!("line {n} {}", "x".repeat(200));
        let entry =
            json!({"n": n, "time": "2026-04-29T10:00:00Z", "phase": "tofu", "level": "info", "message": message});
        writeln!(log, "{entry}").unwrap();
    }
    std::fs::write(host.folder().join("deployments").join(format!("{ID}.log.jsonl")), log).unwrap();
    host.up();
    host
}

/// A viewer that has read the head of its answer and nothing else.
fn stalled(host: &Host) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(host.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "GET /api/v1/deployments/{ID}/logs HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut reader = BufReader::with_capacity(1024, stream);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "no head");
    }
    // Until nothing moves any more: all buffers between are full.
    std::thread::sleep(Duration::from_millis(500));
    reader
}

/// The body of a chunked answer; fails where it is cut off.
fn body(mut reader: impl BufRead) -> String {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "cut off in the middle");
        let length = usize::from_str_radix(line.trim(), 16).unwrap();
        let mut chunk = vec![0; length + 2];
        reader.read_exact(&mut chunk).unwrap();
        if length == 0 {
            return String::from_utf8(body).unwrap();
        }
        body.extend_from_slice(&chunk[..length]);
    }
}

#[test]
fn a_slow_viewer_of_a_finished_log_is_sent_off_and_misses_nothing_when_it_comes_again() {
    let mut host = host_with_a_finished_deployment();
    let reader = stalled(&host);
    let asked = terminate(&host);
    let first = body(reader);
    let took = ends_well(&mut host, asked);
    println!("SIGTERM while a slow viewer reads a finished log: down after {took:?}");
    assert!(first.ends_with(COME_AGAIN), "{}", &first[first.len() - 300..]);
    let mut seen = frames(&first);
    let last = seen.last().unwrap().0;
    assert!(last < ENTRIES, "it was not slow");

    host.up();
    let agent = ureq::Agent::config_builder().proxy(None).build().new_agent();
    let url = format!("http://{}/api/v1/deployments/{ID}/logs", host.address());
    let response = agent.get(url).header("last-event-id", last.to_string()).call().unwrap();
    let mut rest = String::new();
    response.into_body().into_reader().read_to_string(&mut rest).unwrap();
    assert_eq!(rest.matches("event: done\n").count(), 1);
    seen.extend(frames(&rest));
    let numbers: Vec<u64> = seen.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=ENTRIES).collect::<Vec<_>>());
    let message = |entry: &Value| entry["message"].as_str().unwrap().to_owned();
    assert!(seen.iter().all(|(number, entry)| message(entry).starts_with(&format!("line {number} "))));
}

#[test]
fn a_viewer_that_reads_nothing_at_all_holds_nobody_up_for_ever() {
    let mut host = host_with_a_finished_deployment();
    let reader = stalled(&host);
    let asked = terminate(&host);
    let took = ends_well(&mut host, asked);
    println!("SIGTERM while a viewer reads nothing: down after {took:?}");
    assert!(took < Duration::from_secs(25), "{took:?}");
    assert!(host.trace().contains("connections did not end in time and are cut"));
    drop(reader);
}

#[test]
fn connections_that_send_no_whole_head_do_not_hold_the_end_up() {
    let mut host = Host::start(&[]);
    let silent = TcpStream::connect(host.address()).unwrap();
    let mut half = TcpStream::connect(host.address()).unwrap();
    write!(half, "GET /healthz HTTP/1.1\r\nhost: local").unwrap();
    let mut idle = BufReader::new(TcpStream::connect(host.address()).unwrap());
    write!(idle.get_mut(), "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    // Connections are taken in order, so those before it are served as well.
    assert!(idle.fill_buf().unwrap().starts_with(b"HTTP/1.1 200"));
    write!(idle.get_mut(), "GET /healthz HTTP/1.1\r\nhost: local").unwrap();
    let asked = terminate(&host);
    let took = ends_well(&mut host, asked);
    println!("SIGTERM while connections send no whole head: down after {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    drop((silent, half, idle));
}
