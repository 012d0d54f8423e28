//! The real host: killed, or given faults, in the midst of a create and of a PUT that come through its socket.

use catalyst_domain::kubeconfig::sha256_hex;
use catalyst_domain::record::{NewRecord, ProviderRef};
use catalyst_domain::{DeploymentId, Record, Request, Status, Timestamp};
use catalyst_tests::host::{Host, wait_for};
use catalyst_tests::strace::{Fault, Order, Point, Target, Tracer, points};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const BEARER: &str = "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0";
/// Deployments that wait for a kubeconfig: one for each time that the host is killed.
const WAITING: u8 = 120;

fn id(number: u8) -> DeploymentId {
    DeploymentId::from_bytes([number; 8])
}

// Failed ones: a kubeconfig is stored all the same, and nothing else is done with them.
fn waiting(number: u8) -> Record {
    let request = Request { sovereign_fqdn: format!("waiting-{number}.example"), ..Request::default() };
    let provider = ProviderRef { id: "rehearsal".into(), version: "0".into(), digest: String::new() };
    let at = Timestamp::from_second(1_750_000_000).unwrap();
    let hash = sha256_hex(BEARER.as_bytes());
    let mut record = Record::new(NewRecord { id: id(number), request, kubeconfig_bearer_hash: hash, provider, at });
    record.status = Status::Failed;
    record.phase0_finished_at = Some(at);
    record.kubeconfig_hosts = vec!["192.0.2.7".to_owned()];
    record
}

fn host_with_waiting() -> Host {
    let mut host = Host::prepare(&[]);
    let folder = host.folder().join("deployments");
    std::fs::create_dir(&folder).unwrap();
    for number in 1..=WAITING {
        let record = waiting(number);
        std::fs::write(folder.join(format!("{}.json", record.id)), serde_json::to_vec(&record).unwrap()).unwrap();
    }
    host.up();
    host
}

// As k3s lays out its own, so that it comes back as it came.
fn kubeconfig(word: &str) -> String {
    format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    server: https://192.0.2.7:6443\n  name: d\ncontexts:\n- context:\n    \
         cluster: d\n    user: d\n  name: d\ncurrent-context: d\nkind: Config\nusers:\n- name: d\n  user:\n    \
         token: {word}\n"
    )
}

fn create_body(fqdn: &str) -> String {
    json!({
        "orgName": "Acme", "orgEmail": "ops@acme.example", "sovereignFQDN": fqdn,
        "regions": [{"provider": "rehearsal", "cloudRegion": "local-1", "controlPlaneSize": "medium"}],
        "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ ops",
    })
    .to_string()
}

/// A request whose sender bears that nobody answers: the status, if one came.
fn send(host: &Host, head: &str, body: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(host.address()).unwrap();
    let length = body.len();
    let request = format!("{head} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n");
    let bearer = format!("authorization: Bearer {BEARER}\r\n\r\n");
    stream.write_all(format!("{request}{bearer}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    // A reset is what a killed process leaves.
    let _cut = stream.read_to_string(&mut answer);
    answer.split(' ').nth(1)?.parse().ok()
}

fn put(host: &Host, number: u8) -> Option<u16> {
    let head = format!("PUT /api/v1/deployments/{}/kubeconfig", id(number));
    send(host, &head, &kubeconfig(&format!("of-{number}")))
}

fn create(host: &Host, fqdn: &str) -> Option<u16> {
    send(host, "POST /api/v1/deployments", &create_body(fqdn))
}

/// The storage calls between a request and its answer.
fn watched(host: &Host, request: impl FnOnce() -> Option<u16>, status: u16) -> Vec<Point> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let tracer = Tracer::attach(&Target::Process(host.pid()), &Order::Watch { log: log.path() });
    assert_eq!(request(), Some(status));
    drop(tracer);
    points(log.path(), Some(&format!("HTTP/1.1 {status}"))).into_iter().filter(Point::writes).collect()
}

/// Kills the host at a call while it serves a request. Whether the request was answered before. Threads wake each other by
/// writes as well, one time more often than another: where that write does not come, the kill comes after the answer.
fn killed(host: &mut Host, point: &Point, request: impl FnOnce(&Host) -> Option<u16>) -> Option<u16> {
    let tracer = Tracer::attach(&Target::Process(host.pid()), &Order::Kill(point));
    let answer = request(host);
    if point.call == "write" && !host.killed_within(Duration::from_secs(3)) {
        drop(tracer);
        host.crash();
    } else if point.call == "write" {
        tracer.gone();
    } else {
        host.wait_killed();
        tracer.gone();
    }
    host.up();
    answer
}

fn get(host: &Host, path: &str) -> (u16, Value) {
    let answer = host.api.get(path);
    (answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::Null))
}

// The record whole with the kubeconfig whole, or neither; and the PUT can be sent again.
fn check_put(host: &Host, number: u8, answer: Option<u16>, context: &str) {
    let path = format!("/api/v1/deployments/{}/kubeconfig", id(number));
    let file = host.folder().join("deployments").join(format!("{}.json", id(number)));
    let record: Record = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let stored = host.api.get(&path);
    let body = kubeconfig(&format!("of-{number}"));
    match stored.status {
        200 => {
            assert_eq!(stored.body, body, "{context}");
            assert_eq!(record.kubeconfig_sha256, sha256_hex(body.as_bytes()), "{context}");
            let again = host.api.put(&path, Some(&format!("Bearer {BEARER}")), &body);
            assert_eq!((again.status, again.json()["same"].clone()), (403, json!(true)), "{context}");
        }
        409 => {
            assert_ne!(answer, Some(204), "{context}: acknowledged and lost");
            assert!(record.kubeconfig_sha256.is_empty() && !record.has_kubeconfig(), "{context}");
            assert_eq!(put(host, number), Some(204), "{context}: it cannot be sent again");
            assert_eq!(host.api.get(&path).body, body, "{context}");
        }
        other => panic!("{context}: {other} {}", stored.body),
    }
    no_temporary_files(host, context);
}

fn no_temporary_files(host: &Host, context: &str) {
    let left = || {
        let mut left = catalyst_tests::storage::files(host.folder());
        // In a folder of states the next write removes them.
        left.retain(|path| path.ends_with(".tmp") && !path.starts_with("state/"));
        left
    };
    // One that is being written goes by itself; one that was left is swept at a start only, so it stays.
    wait_for(&format!("{context}: no {:?}", left()), Duration::from_secs(10), || left().is_empty().then_some(()));
}

#[test]
fn e4_a_host_that_is_killed_in_a_put_keeps_all_or_nothing() {
    let mut host = host_with_waiting();
    let points = watched(&host, || put(&host, 1), 204);
    assert!(points.len() >= 8, "a PUT is two files, each written, synced, renamed and its folder synced: {points:?}");
    assert!(points.len() < usize::from(WAITING), "{points:?}");
    for (number, point) in (2..).zip(&points) {
        let answer = killed(&mut host, point, |host| put(host, number));
        check_put(&host, number, answer, &format!("killed at {point:?}"));
    }
    assert_eq!(put(&host, WAITING), Some(204));
    host.crash();
    host.up();
    check_put(&host, WAITING, Some(204), "killed after the answer");
}

#[test]
fn e4_a_host_that_is_killed_in_a_create_keeps_all_or_nothing() {
    let mut host = Host::start(&[]);
    let found = |host: &Host, fqdn: &str| -> Option<Value> {
        let (status, all) = get(host, "/api/v1/deployments?limit=200");
        assert_eq!(status, 200, "{all}");
        let all = all["deployments"].as_array().unwrap_or_else(|| panic!("{all}")).clone();
        all.into_iter().find(|one| one["sovereignFQDN"] == fqdn)
    };
    let points = watched(&host, || create(&host, "watched.example"), 201);
    assert!(points.len() >= 4, "a record is written, synced, renamed and its folder synced: {points:?}");
    host.crash();
    host.up();
    for (number, point) in points.iter().enumerate() {
        let context = format!("killed at {point:?}");
        let fqdn = format!("killed-{number}.example");
        let answer = killed(&mut host, point, |host| create(host, &fqdn));
        match found(&host, &fqdn) {
            Some(one) => {
                let id = one["id"].as_str().unwrap();
                // Known only when it is sure that no OpenTofu is left of it.
                let state = wait_for(&context, Duration::from_secs(30), || {
                    let (status, state) = get(&host, &format!("/api/v1/deployments/{id}"));
                    assert_eq!(status, 200, "{context}: {state}");
                    (state["status"] == "failed").then_some(state)
                });
                assert!(state["error"].as_str().unwrap().contains("orphan"), "{context}: {state}");
            }
            None => assert_ne!(answer, Some(201), "{context}: acknowledged and lost"),
        }
        no_temporary_files(&host, &context);
        assert_eq!(create(&host, &fqdn), Some(201), "{context}: the name is not free");
        // What it began is no part of this test, and must not be what the next kill meets.
        host.crash();
        host.up();
        assert!(found(&host, &fqdn).is_some(), "{context}: acknowledged and lost");
    }
}

#[test]
fn e5_a_disk_that_fails_is_said_by_status_and_readiness_and_heals_or_stays_shut() {
    let mut host = host_with_waiting();
    // Threads wake each other by writes as well, and a fault there is none of the disk.
    let points: Vec<Point> = watched(&host, || put(&host, 1), 204).into_iter().filter(|p| p.call != "write").collect();
    let (mut healed, mut shut) = (0, 0);
    for (number, point) in (2..).zip(&points) {
        let fault = if number % 2 == 0 { Fault::Once("EIO") } else { Fault::Once("ENOSPC") };
        let context = format!("{fault:?} at {point:?}");
        let tracer = Tracer::attach(&Target::Process(host.pid()), &Order::Fail(point, fault));
        let answer = put(&host, number);
        drop(tracer);
        let (ready, reasons) = get(&host, "/readyz");
        assert_eq!(get(&host, "/healthz").0, 200, "{context}: liveness is not readiness");
        let path = format!("/api/v1/deployments/{}/kubeconfig", id(number));
        match answer {
            Some(204) => {}
            Some(503) => {
                // Nothing is read out either while the audit log cannot say to whom.
                let refused = if reasons.to_string().contains("audit log") { 503 } else { 409 };
                assert_eq!(host.api.get(&path).status, refused, "{context}: refused, and yet there");
            }
            other => panic!("{context}: {other:?}"),
        }
        if reasons.to_string().contains("restart") {
            shut += 1;
            assert_eq!(ready, 503, "{context}");
            // The audit log's second line may be what was lost: then the kubeconfig is there, and stays.
            let again = if answer == Some(204) && reasons.to_string().contains("audit log") { 403 } else { 503 };
            assert_eq!(answer == Some(204), again == 403, "{context}: {answer:?}");
            assert_eq!(put(&host, number), Some(again), "{context}: a change after an unknown end");
            assert_eq!(create(&host, "shut.example"), Some(503), "{context}");
            host.crash();
            host.up();
        } else if ready == 503 {
            healed += 1;
            wait_for("the store to heal", Duration::from_secs(10), || (get(&host, "/readyz").0 == 200).then_some(()));
        }
        assert_eq!(get(&host, "/readyz").0, 200, "{context}");
        check_put(&host, number, answer, &context);
    }
    assert!(healed >= 2 && shut >= 2, "{healed} healed, {shut} shut: {points:?}");
}
