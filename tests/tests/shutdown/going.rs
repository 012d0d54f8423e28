//! What is asked of a host while it goes down, alike in each phase.

use catalyst_tests::api::Answer;
use catalyst_tests::host::{Host, wait_for};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// When a browser comes again.
pub const COME_AGAIN: &str = "retry: 12000\n\n";
/// How soon a host that was asked to end says so.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A request for a small cluster of the rehearsal cloud.
pub fn request(fqdn: &str, workers: u64) -> Value {
    json!({
        "orgName": "Acme", "orgEmail": "ops@acme.example", "sovereignFQDN": fqdn,
        "regions": [{"provider": "rehearsal", "cloudRegion": "local-1", "controlPlaneSize": "medium",
                     "workerSize": "small", "workerCount": workers}],
        "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ ops",
    })
}

/// Creates a deployment.
pub fn create(host: &Host, fqdn: &str, workers: u64) -> String {
    let answer = host.api.post("/api/v1/deployments", &request(fqdn, workers).to_string());
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// A deployment's state.
pub fn state(host: &Host, id: &str) -> Value {
    host.api.get(&format!("/api/v1/deployments/{id}")).json()
}

/// A deployment's record, as the next start finds it.
pub fn record_on_disk(host: &Host, id: &str) -> Value {
    let file = host.folder().join("deployments").join(format!("{id}.json"));
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// A record of the earlier service whose run had not come to its outputs; the later its number, the later it was begun.
pub fn plant(host: &Host, number: u8, status: &str) -> String {
    let id = format!("{number:016x}");
    host.plant(&json!({
        "schema": 1, "id": id, "status": status, "startedAt": format!("2026-04-29T10:{:02}:{:02}Z", number / 60, number % 60),
        "request": request(&format!("planted-{number}.example"), 0),
        "provider": {"id": "rehearsal", "version": "0.1.0", "digest": "d"},
    }));
    id
}

/// Waits for a status.
pub fn until(host: &Host, id: &str, status: &str) {
    wait_for(&format!("status {status}"), catalyst_tests::world::LIMIT, || {
        (state(host, id)["status"] == status).then_some(())
    });
}

/// The entries so far.
pub fn events(host: &Host, id: &str) -> Vec<Value> {
    host.api.get(&format!("/api/v1/deployments/{id}/events")).json()["events"].as_array().unwrap().clone()
}

/// A viewer as plain HTTP has it: all that came until the stream ended well.
pub fn watch(host: &Host, id: &str) -> JoinHandle<String> {
    let url = format!("http://{}/api/v1/deployments/{id}/logs", host.address());
    let agent = ureq::Agent::config_builder().proxy(None).build().new_agent();
    let response = agent.get(url).call().unwrap();
    std::thread::spawn(move || response.into_body().read_to_string().unwrap())
}

/// Numbers and entries of a stream.
pub fn frames(stream: &str) -> Vec<(u64, Value)> {
    let frame = |frame: &str| {
        let mut lines = frame.lines();
        let number = lines.next()?.strip_prefix("id: ")?.parse().ok()?;
        Some((number, serde_json::from_str(lines.next()?.strip_prefix("data: ")?).unwrap()))
    };
    stream.split("\n\n").filter_map(frame).collect()
}

/// One request on a connection of its own; `None` when nobody takes it any more.
pub fn ask(host: &Host, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(host.address()).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).ok()?;
    let mut answer = String::new();
    // To the end of the connection: whoever goes down keeps none open.
    let _cut = stream.read_to_string(&mut answer);
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer))
}

/// SIGTERM; returns once the host says of itself that it goes down, or is gone.
pub fn terminate(host: &Host) -> Instant {
    host.signal("TERM");
    let asked = Instant::now();
    loop {
        match ask(host, "GET", "/readyz", "") {
            Some((200, _)) => assert!(asked.elapsed() < AT_ONCE, "ready {:?} after SIGTERM", asked.elapsed()),
            Some((status, answer)) => {
                assert_eq!(status, 503, "{answer}");
                assert!(answer.contains("the server is going down"), "{answer}");
                return asked;
            }
            None => return asked,
        }
    }
}

/// A host that still has work to end takes no other, says so, and still lets people read.
pub fn refuses_what_is_new(host: &Host, id: &str) {
    for (method, path, body) in [
        ("POST", "/api/v1/deployments".to_owned(), request("new.example", 0).to_string()),
        ("POST", "/api/v1/previews".to_owned(), request("new.example", 0).to_string()),
        ("POST", format!("/api/v1/deployments/{id}/phases/tofu-apply/retry"), String::new()),
        ("DELETE", format!("/api/v1/deployments/{id}"), String::new()),
        ("PUT", format!("/api/v1/deployments/{id}/kubeconfig"), "x".to_owned()),
    ] {
        let (status, answer) = ask(host, method, &path, &body).unwrap_or_else(|| panic!("{method} {path}: no answer"));
        assert_eq!(status, 503, "{method} {path}: {answer}");
        for part in ["\"error\":\"draining\"", "the server is going down; try again shortly"] {
            assert!(answer.contains(part), "{method} {path}: {answer}");
        }
        let head = answer.to_ascii_lowercase();
        assert!(head.contains("retry-after: 10") && head.contains("connection: close"), "{method} {path}: {answer}");
    }
    for path in ["", "/events", "/logs"] {
        let (status, answer) = ask(host, "GET", &format!("/api/v1/deployments/{id}{path}"), "").unwrap();
        assert_eq!(status, 200, "{path}: {answer}");
    }
    assert_eq!(ask(host, "GET", "/healthz", "").unwrap().0, 200);
    assert_eq!(ask(host, "GET", "/readyz", "").unwrap().0, 503);
}

/// Waits for the end: 0, within what the chart gives; how long it took.
pub fn ends_well(host: &mut Host, asked: Instant) -> Duration {
    let grace = grace();
    let status = loop {
        if let Some(status) = host.ended() {
            break status;
        }
        assert!(asked.elapsed() < grace, "not down within {grace:?}:\n{}", host.trace());
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(status.code(), Some(0), "{status}:\n{}", host.trace());
    asked.elapsed()
}

/// What a Pod of the chart has between its SIGTERM and the kill.
pub fn grace() -> Duration {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../chart/values.yaml")).unwrap();
    let values: Value = serde_saphyr::from_str(&text).unwrap();
    let seconds = |name: &str| values[name].as_u64().unwrap();
    Duration::from_secs(seconds("terminationGracePeriodSeconds") - seconds("preStopSeconds"))
}

/// Everything that was there before is there, in its order, and numbered without a gap; all that a viewer saw is part of it.
pub fn lost_nothing(host: &Host, id: &str, before: &[Value], streams: &[String]) {
    let after = events(host, id);
    assert!(after.starts_with(before), "{before:?} is no beginning of {after:?}");
    let log = host.folder().join("deployments").join(format!("{id}.log.jsonl"));
    let numbers: Vec<u64> = std::fs::read_to_string(log)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["n"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    for stream in streams {
        assert!(stream.ends_with(COME_AGAIN), "{}", &stream[stream.len().saturating_sub(300)..]);
        for (place, (number, entry)) in frames(stream).into_iter().enumerate() {
            assert_eq!(number, place as u64 + 1, "a gap or a double");
            assert_eq!(entry, after[place], "entry {number}");
        }
    }
}

/// Waits until the next start has ended what a process left in the midst of its creation: the error that it says.
pub fn taken_up_as_restarted(host: &Host, id: &str) -> String {
    until(host, id, "failed");
    let error = state(host, id)["error"].as_str().unwrap().to_owned();
    assert!(error.contains("catalyst-api restarted during provisioning"), "{error}");
    error
}

/// The answer to a retry or destroy.
pub fn accepted(answer: &Answer) {
    assert_eq!(answer.status, 200, "{}", answer.body);
}
