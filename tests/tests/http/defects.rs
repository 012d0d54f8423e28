//! Defects of the earlier service that show only across routes. Each test fails when its defect is put back.

use crate::client::{rest, until};
use crate::kit::{BEARER, Server, applied, create_body, id, kubeconfig, record};
use catalyst_domain::{Entry, Level, Record, Status, Timestamp};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn path(n: u8, tail: &str) -> String {
    format!("/api/v1/deployments/{}{tail}", id(n))
}

async fn follow(server: &Server, n: u8) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&crate::client::request("GET", &path(n, "/logs"), &[], b"")).await.unwrap();
    stream
}

async fn hand_in(server: &Server, n: u8) -> u16 {
    server.put(&id(n), Some(&format!("Bearer {BEARER}")), &kubeconfig("late")).await.status
}

/// A create of the real cloud, previewed: nothing is sent anywhere.
async fn variables(server: &Server, change: impl Fn(&mut Value)) -> Value {
    let mut body = create_body("h.example");
    body["regions"] = json!([{"provider": "hetzner", "cloudRegion": "fsn1", "controlPlaneSize": "cx42",
                              "workerSize": "cx32", "workerCount": 1}]);
    body["hetznerToken"] = json!("t".repeat(64));
    body["hetznerProjectID"] = json!("1234567");
    body.as_object_mut().unwrap().retain(|key, _| !key.starts_with("rehearsal"));
    change(&mut body);
    let reply = server.post("/api/v1/previews", &body).await;
    assert_eq!((reply.status, &reply.json()["valid"]), (200, &json!(true)), "{}", reply.text());
    reply.json()["render"]["variables"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_a_kubeconfig_after_a_restart_or_a_failure_takes_nothing_down() {
    // Both records come from disk, as after a restart; one of them failed before its node called.
    let mut waiting = record(2, Status::FluxBootstrapping);
    waiting.phase0_finished_at = Some(waiting.started_at);
    waiting.kubeconfig_hosts = vec!["192.0.2.7".to_owned()];
    let server = Server::with(&[record(1, Status::Failed), waiting]).await;
    let mut viewers = [follow(&server, 2).await, follow(&server, 2).await];
    assert_eq!(hand_in(&server, 1).await, 204);
    assert_eq!(server.get(&path(1, "")).await.json()["status"], "failed", "a8: a failure is sticky");
    assert_eq!(hand_in(&server, 2).await, 204);
    for viewer in &mut viewers {
        until(viewer, "kubeconfig").await;
    }
    assert_eq!(server.get(&path(2, "")).await.json()["status"], "phase1-watching");
    assert_eq!(server.get("/healthz").await.status, 200);
    server.down().await;
    for viewer in &mut viewers {
        assert!(!String::from_utf8(rest(viewer).await).unwrap().contains("event: done"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a6_done_comes_last_and_only_with_a_terminal_status() {
    let records: Vec<Record> = (1..).zip(Status::ALL).map(|(n, status)| record(n, status)).collect();
    let server = Server::with(&records).await;
    for (n, status) in (1..).zip(Status::ALL) {
        let last = Entry::new(Timestamp::now(), "tofu", Level::Info, "the last line");
        server.store.append(&id(n), vec![last]).await.unwrap();
        let mut viewer = follow(&server, n).await;
        let seen = until(&mut viewer, "the last line").await;
        if !status.is_terminal() {
            let more = tokio::time::timeout(Duration::from_millis(300), viewer.read_u8()).await;
            assert!(more.is_err() && !seen.contains("event: done"), "{status}: the stream stays open");
            continue;
        }
        let all = seen + &String::from_utf8(rest(&mut viewer).await).unwrap();
        let (_, done) = all.split_once("event: done\ndata: ").unwrap_or_else(|| panic!("{status}: {all}"));
        let state: Value = serde_json::from_str(done.lines().next().unwrap()).unwrap();
        assert_eq!(state["status"], status.as_str());
        assert!(!done.contains("the last line"), "{done}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f4_a_request_without_regions_can_be_planned() {
    let server = Server::with(&[]).await;
    let with = variables(&server, |_| {}).await;
    for nothing in [json!(null), json!([])] {
        let without = variables(&server, |body| {
            body["regions"] = nothing.clone();
            body["region"] = json!("fsn1");
            body["controlPlaneSize"] = json!("cx42");
            body["workerSize"] = json!("cx32");
            body["workerCount"] = json!(1);
        })
        .await;
        assert!(!without["regions"].is_null() || without.get("regions").is_none(), "{without}");
        assert_eq!(without["region"], with["region"]);
        let null: Vec<&String> =
            without.as_object().unwrap().iter().filter(|(_, value)| value.is_null()).map(|(key, _)| key).collect();
        assert!(null.is_empty(), "a variable that is not given is left out: {null:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f5_what_is_blank_leaves_the_modules_default() {
    let server = Server::with(&[]).await;
    let blank = variables(&server, |body| {
        body["sovereignDomainMode"] = json!("");
        body["sovereignPoolDomain"] = json!(" ");
        body["regions"][0]["workerSize"] = json!("");
        body["regions"][0]["workerCount"] = json!(0);
    })
    .await;
    let empty: Vec<&String> =
        blank.as_object().unwrap().iter().filter(|(_, value)| **value == json!("")).map(|(key, _)| key).collect();
    assert!(
        !empty.iter().any(|key| ["control_plane_size", "worker_size", "domain_mode"].contains(&key.as_str())),
        "{empty:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn f6_every_way_of_the_wizard_to_say_byo_reaches_the_module_as_byo() {
    let server = Server::with(&[]).await;
    for mode in ["byo", "byo-manual", "byo-api", ""] {
        let variables = variables(&server, |body| body["sovereignDomainMode"] = json!(mode)).await;
        let reached = variables.get("domain_mode").or_else(|| variables.get("sovereign_domain_mode"));
        assert_eq!(reached, Some(&json!("byo")), "{mode:?}: {variables}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h11_a_kubeconfig_that_is_not_there_yet_is_a_409() {
    let records: Vec<Record> = (1..).zip(Status::ALL).map(|(n, status)| record(n, status)).collect();
    let server = Server::with(&records).await;
    for record in &records {
        let reply = server.get(&format!("/api/v1/deployments/{}/kubeconfig", record.id)).await;
        assert_eq!(reply.refusal(), (409, "not-implemented".into()), "{}", record.status);
        assert!(reply.json()["detail"].is_string(), "a page shows it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h16_no_answer_with_a_secret_in_it_may_be_kept_on_the_way() {
    let server = Server::with(&[applied(1, Status::Failed)]).await;
    assert_eq!(hand_in(&server, 1).await, 204);
    let credential = json!({"provider": "rehearsal", "token": "sentinel-of-the-request"});
    for (what, reply) in [
        ("kubeconfig", server.get(&path(1, "/kubeconfig")).await),
        ("key", server.post("/api/v1/sshkey/generate", &json!({})).await),
        ("credential", server.post("/api/v1/credentials/validate", &credential).await),
        ("refused credential", server.post("/api/v1/credentials/validate", &json!({"provider": "x"})).await),
    ] {
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{what}: {} {}", reply.status, reply.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h19_byo_api_says_that_a_create_sets_no_nameservers() {
    let server = Server::with(&[]).await;
    for (mode, said) in [("byo-api", true), ("byo-manual", false)] {
        let mut body = create_body("own.example");
        body["sovereignDomainMode"] = json!(mode);
        let preview = server.post("/api/v1/previews", &body).await.json();
        assert_eq!(preview["valid"], true, "{preview}");
        let warned = |f: &Value| f["code"] == "nameservers-not-set" && f["severity"] == "warning";
        assert_eq!(preview["findings"].as_array().unwrap().iter().any(warned), said, "{mode}: {preview}");
    }
}
