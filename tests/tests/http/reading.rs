//! `GET …/{id}`, `/events` and `/logs`.

use crate::client::{request, rest, until};
use crate::kit::{Server, id, record};
use catalyst_domain::{Entry, Level, Status, Timestamp};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

fn path(n: u8, tail: &str) -> String {
    format!("/api/v1/deployments/{}{tail}", id(n))
}

async fn log(server: &Server, n: u8, texts: &[&str]) {
    let entry = |text: &&str| Entry::new(Timestamp::now(), "tofu", Level::Info, *text);
    server.store.append(&id(n), texts.iter().map(entry).collect()).await.unwrap();
}

async fn open(server: &Server, n: u8, headers: &[(&str, &str)]) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&request("GET", &path(n, "/logs"), headers, b"")).await.unwrap();
    stream
}

fn numbers(text: &str) -> Vec<u64> {
    text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn state_and_events_have_the_keys_of_the_contract() {
    let server = Server::with(&[record(1, Status::Provisioning)]).await;
    let state = server.get(&path(1, "")).await.json();
    let expected = json!({"id": id(1).to_string(), "status": "provisioning", "sovereignFQDN": "c1.example",
                          "region": "local-1", "startedAt": "2025-06-15T15:06:40Z", "finishedAt": null, "numEvents": 0});
    assert_eq!(state, expected);
    let empty = server.get(&path(1, "/events")).await.json();
    assert_eq!(empty, json!({"state": state, "events": [], "done": false}));
    log(&server, 1, &["one", "two"]).await;
    let two = server.get(&path(1, "/events")).await.json();
    assert_eq!((&two["state"]["numEvents"], two["events"].as_array().unwrap().len()), (&json!(2), 2));
    let mut keys: Vec<&String> = two["events"][0].as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["level", "message", "phase", "time"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_history_comes_whole_in_pages_that_no_reader_sees() {
    let server = Server::with(&[record(1, Status::Failed)]).await;
    let short: Vec<String> = (0..1_500).map(|n| format!("line {n}")).collect();
    // Long ones end a page before its count of entries does.
    let long: Vec<String> = (0..40).map(|n| format!("{n} {}", "x".repeat(15 * 1024))).collect();
    let all: Vec<&str> = short.iter().chain(&long).map(String::as_str).collect();
    log(&server, 1, &all).await;
    let page = server.store.read(&id(1), 1_500, 100).await.unwrap();
    assert!((2..40).contains(&page.len()), "{}", page.len());
    let answer = server.get(&path(1, "/events")).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let events = answer.json();
    assert_eq!((&events["state"]["numEvents"], &events["done"]), (&json!(1_540), &json!(true)));
    let got: Vec<&str> =
        events["events"].as_array().unwrap().iter().map(|entry| entry["message"].as_str().unwrap()).collect();
    assert_eq!(got, all);
    let stream = server.get(&path(1, "/logs")).await.text();
    assert_eq!(numbers(&stream), (1..=1_540).collect::<Vec<u64>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn d2_d3_the_stream_of_an_ended_run_is_the_history_once_and_then_done() {
    let server = Server::with(&[record(1, Status::Failed)]).await;
    log(&server, 1, &["one", "two", "three"]).await;
    let events = server.get(&path(1, "/events")).await.json();
    let reply = server.get(&path(1, "/logs")).await;
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    assert_eq!((reply.header("cache-control"), reply.header("x-accel-buffering")), (Some("no-cache"), Some("no")));
    let text = reply.text();
    let (entries, done) = text.split_once("event: done\ndata: ").unwrap();
    let frames = entries.lines().filter_map(|line| line.strip_prefix("data: "));
    let frames: Vec<Value> = frames.map(|json| serde_json::from_str(json).unwrap()).collect();
    assert_eq!(Value::Array(frames), events["events"]);
    assert_eq!(serde_json::from_str::<Value>(done.trim_end()).unwrap(), events["state"]);
    assert_eq!(events["done"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn d1_every_viewer_sees_every_live_entry() {
    let server = Server::with(&[record(1, Status::Provisioning)]).await;
    log(&server, 1, &["before"]).await;
    let mut viewers = [open(&server, 1, &[]).await, open(&server, 1, &[]).await, open(&server, 1, &[]).await];
    for viewer in &mut viewers {
        until(viewer, "before").await;
    }
    log(&server, 1, &["a", "b", "last"]).await;
    for viewer in &mut viewers {
        assert_eq!(numbers(&until(viewer, "last").await), [2, 3, 4]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d5_a_reconnect_goes_on_from_its_last_number() {
    let server = Server::with(&[record(1, Status::Failed)]).await;
    log(&server, 1, &["one", "two", "three"]).await;
    for (last, expected) in
        [("1", vec![2, 3]), ("3", vec![]), ("99", vec![]), ("x", vec![1, 2, 3]), ("-1", vec![1, 2, 3])]
    {
        let reply = server.ask("GET", &path(1, "/logs"), &[("last-event-id", last)], b"").await;
        assert_eq!(numbers(&reply.text()), expected, "{last}");
        assert_eq!(reply.text().matches("event: done").count(), 1, "{last}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d4_heartbeats_keep_a_quiet_stream_open() {
    let server = Server::with(&[record(1, Status::Provisioning)]).await;
    let mut stream = open(&server, 1, &[]).await;
    let begun = Instant::now();
    until(&mut stream, "\n: ").await;
    assert!(begun.elapsed() < Duration::from_secs(25), "proxies cut a stream after 40 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a17_streams_end_without_done_when_the_server_goes_down() {
    let server = Server::with(&[record(1, Status::Provisioning)]).await;
    log(&server, 1, &["one"]).await;
    let mut stream = open(&server, 1, &[]).await;
    until(&mut stream, "one").await;
    let begun = Instant::now();
    server.stop();
    let end = String::from_utf8(rest(&mut stream).await).unwrap();
    assert!(!end.contains("done"), "a6: the run is not over: {end}");
    server.ended().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
