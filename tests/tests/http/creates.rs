//! What one subject may create, ask and retry, whose turn a run is, and whose a deployment is.

use crate::callers::{Mode, Scene};
use crate::client::{Reply, connect_from, raw_from, request, rest};
use crate::kit::{Server, Setup, create_body, id, record};
use crate::metrics::{scrape, value};
use catalyst::limits;
use catalyst_domain::Status;
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const CREATES: &str = "/api/v1/deployments";

fn subjects(change: impl FnOnce(&mut limits::Settings)) -> limits::Settings {
    let mut settings = limits::Settings::default();
    change(&mut settings);
    settings
}

async fn with(subjects: limits::Settings) -> Server {
    Server::start(Setup { subjects, ..Setup::default() }).await
}

async fn post(server: &Server, who: Ipv4Addr, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    raw_from(who, server.address, &request("POST", path, headers, body.to_string().as_bytes())).await
}

fn from(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 8, n)
}

/// A script in OpenTofu's place: it notes each run when it begins, and plans only when the gate is open.
fn scripted(folder: &Path) -> PathBuf {
    let path = folder.join("tofu");
    let script = format!(
        "#!/bin/sh\ncase $1 in\nversion) echo '{{\"terraform_version\":\"1.12.6\"}}' ;;\n\
         init) basename \"$PWD\" >> '{0}/began' ;;\n\
         plan) until [ -e '{0}/gate' ]; do sleep 0.05; done; exit 1 ;;\nesac\n",
        folder.display()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path
}

/// The runs that began, by their deployments.
fn began(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("began")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let so = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), so).await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

/// A server whose runs wait for the gate.
async fn gated(folder: &Path, subjects: limits::Settings, max_runs: usize) -> Server {
    let tofu = Some(scripted(folder));
    Server::start(Setup { subjects, tofu, max_runs, records: vec![record(9, Status::Failed)], ..Setup::default() })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_says_who_created_it_where_callers_are_known() {
    for mode in Mode::ALL {
        let scene = Scene::start(mode).await;
        let bearer = if mode == Mode::None { String::new() } else { scene.bearer("admin") };
        let headers: Vec<(&str, &str)> = Some(bearer.as_str())
            .filter(|bearer| !bearer.is_empty())
            .map(|bearer| ("authorization", bearer))
            .into_iter()
            .collect();
        let mut body = create_body("made.example");
        body["createdBy"] = json!({"subject": "somebody else", "mode": "token"});
        let made = scene.server.ask("POST", CREATES, &headers, body.to_string().as_bytes()).await;
        assert_eq!(made.status, 201, "{mode:?}: {}", made.text());
        let path = format!("{CREATES}/{}", made.json()["id"].as_str().unwrap());
        let state = scene.server.ask("GET", &path, &headers, b"").await.json();
        let expect = match mode {
            Mode::None => Value::Null,
            Mode::Token => json!({"subject": "of-admin", "mode": "token"}),
            Mode::Kubernetes => json!({"subject": "of-admin", "mode": "kubernetes"}),
            Mode::Oidc => json!({"subject": "of-admin", "mode": "oidc"}),
        };
        assert_eq!(state["createdBy"], expect, "{mode:?}");
        let kept = scene.server.store.list();
        let kept = kept.iter().find(|record| record.request.sovereign_fqdn == "made.example").unwrap();
        assert_eq!(kept.created_by.is_some(), mode != Mode::None, "{mode:?}");
        scene.server.down().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_racing_creates_as_many_pass_as_may_be_live_and_the_others_leave_nothing() {
    const RACERS: usize = 200;
    let folder = tempfile::tempdir().unwrap();
    let server = gated(folder.path(), subjects(|s| s.live = 10), 2).await;
    let before = server.store.list().len();
    let racer = |n: usize| {
        let body = create_body(&format!("r{n}.example")).to_string();
        let (address, keyed) = (server.address, format!("key-{n}"));
        async move {
            let headers = [("idempotency-key", keyed.as_str())];
            let headers = if n.is_multiple_of(2) { &headers[..] } else { &[] };
            raw_from(from(1), address, &request("POST", CREATES, headers, body.as_bytes())).await
        }
    };
    let racers: Vec<_> = (0..RACERS).map(|n| tokio::spawn(racer(n))).collect();
    let mut replies = Vec::new();
    for racer in racers {
        replies.push(racer.await.unwrap());
    }
    let made: Vec<&Reply> = replies.iter().filter(|reply| reply.status == 201).collect();
    assert_eq!(made.len(), 10);
    for refused in replies.iter().filter(|reply| reply.status != 201) {
        assert_eq!(refused.refusal(), (429, "too-many-live-deployments".into()));
        assert_eq!(refused.header("retry-after"), Some("60"));
        assert!(refused.text().contains("10 deployments") && refused.text().contains("CATALYST_MAX_LIVE"));
    }
    assert_eq!(server.store.list().len(), before + 10);
    // Another address is another subject.
    assert_eq!(post(&server, from(2), CREATES, &[], &create_body("other.example")).await.status, 201);
    // One that ends makes room.
    std::fs::write(folder.path().join("gate"), "").unwrap();
    until("the runs' end", || server.store.list().iter().all(|record| record.status.is_terminal())).await;
    assert_eq!(post(&server, from(1), CREATES, &[], &create_body("after.example")).await.status, 201);
    server.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_is_sent_again_is_answered_where_no_room_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let server = gated(folder.path(), subjects(|s| s.live = 1), 1).await;
    let key = [("idempotency-key", "again")];
    let body = create_body("again.example");
    let first = post(&server, from(1), CREATES, &key, &body).await;
    let again = post(&server, from(1), CREATES, &key, &body).await;
    assert_eq!((first.status, again.status, again.header("idempotent-replayed")), (201, 201, Some("true")));
    assert_eq!(first.json()["id"], again.json()["id"]);
    let other = post(&server, from(1), CREATES, &[("idempotency-key", "new")], &create_body("new.example")).await;
    assert_eq!(other.refusal(), (429, "too-many-live-deployments".into()));
    std::fs::write(folder.path().join("gate"), "").unwrap();
    server.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_its_rate_a_subject_is_refused_before_its_body_and_others_are_not() {
    let server =
        with(subjects(|s| (s.creates, s.questions) = ("3/1h".parse().unwrap(), "2/1h".parse().unwrap()))).await;
    // What is refused for its content counts as well.
    for _ in 0..3 {
        assert_eq!(post(&server, from(1), CREATES, &[], &json!({})).await.status, 400);
    }
    let mut stream = connect_from(from(1), server.address).await;
    let head = "POST /api/v1/deployments HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 99999\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let told = Reply::parse(&rest(&mut stream).await);
    assert_eq!(told.refusal(), (429, "too-many-creates".into()));
    let wait: u64 = told.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=1_201).contains(&wait), "{wait}");
    let text = told.text();
    assert!(
        text.contains("3 in 60 min") && text.contains("CATALYST_CREATE_RATE") && text.contains(&format!("{wait} s")),
        "{text}"
    );
    assert!(server.store.list().is_empty() && server.audited().iter().all(|line| line["status"] != 429));
    assert_eq!(post(&server, from(2), CREATES, &[], &json!({})).await.status, 400, "another address");
    // Questions have a rate of their own, all kinds of them together.
    assert_eq!(post(&server, from(1), "/api/v1/previews", &[], &json!({})).await.status, 400);
    assert_eq!(post(&server, from(1), "/api/v1/sshkey/generate", &[], &json!({})).await.status, 200);
    for path in [
        "/api/v1/previews",
        "/api/v1/sshkey/generate",
        "/api/v1/credentials/validate",
        "/api/v1/subdomains/check",
        "/api/v1/registrar/cloudflare/validate",
    ] {
        let told = post(&server, from(1), path, &[], &json!({})).await;
        assert_eq!(told.refusal(), (429, "too-many-questions".into()), "{path}");
        assert!(told.header("retry-after").is_some(), "{path}");
    }
    assert_eq!(server.get("/api/v1/deployments").await.status, 200);
    let text = scrape(&server).await;
    assert_eq!(value(&text, r#"catalyst_limited_requests_total{reason="too-many-creates"}"#), Some(1.0));
    assert_eq!(value(&text, r#"catalyst_limited_requests_total{reason="too-many-questions"}"#), Some(5.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_and_destroys_have_a_rate_of_their_own() {
    let creates = "2/1h".parse().unwrap();
    let records = vec![record(1, Status::Ready)];
    let server =
        Server::start(Setup { subjects: subjects(|s| s.creates = creates), records, ..Setup::default() }).await;
    for _ in 0..2 {
        post(&server, from(1), CREATES, &[], &json!({})).await;
    }
    let retry = format!("{CREATES}/{}/phases/nothing/retry", id(1));
    assert_eq!(post(&server, from(1), CREATES, &[], &json!({})).await.status, 429);
    for _ in 0..2 {
        assert_ne!(post(&server, from(1), &retry, &[], &json!({})).await.status, 429);
    }
    assert_eq!(post(&server, from(1), &retry, &[], &json!({})).await.refusal(), (429, "too-many-changes".into()));
    let set_ns = post(&server, from(1), "/api/v1/registrar/cloudflare/set-ns", &[], &json!({})).await;
    assert_eq!(set_ns.refusal(), (429, "too-many-changes".into()));
    let destroy = request("DELETE", &format!("{CREATES}/{}", id(7)), &[], b"");
    assert_eq!(raw_from(from(1), server.address, &destroy).await.refusal(), (429, "too-many-changes".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_is_told_so_first_and_a_known_subject_is_one_from_everywhere() {
    let setup = Setup { subjects: subjects(|s| s.creates = "2/1h".parse().unwrap()), ..Setup::default() };
    let scene = Scene::under(Mode::Token, setup).await;
    let create = async |who: u8, bearer: &str| {
        let headers = [("authorization", bearer)];
        post(&scene.server, from(who), CREATES, &headers, &json!({})).await.status
    };
    let (maker, admin, reader) = (scene.bearer("create"), scene.bearer("admin"), scene.bearer("read"));
    assert_eq!((create(1, &maker).await, create(2, &maker).await), (400, 400));
    assert_eq!((create(3, &maker).await, create(1, &maker).await), (429, 429), "over its rate from every address");
    assert_eq!((create(1, &admin).await, create(1, &admin).await, create(1, &admin).await), (400, 400, 429));
    assert_eq!(
        (create(1, "Bearer wrong").await, create(1, &reader).await),
        (401, 403),
        "what is not let in is not counted"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_wait_are_limited_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = gated(folder.path(), subjects(|s| s.waiting = 2), 1).await;
    let create = async |name: &str| post(&server, from(1), CREATES, &[], &create_body(name)).await;
    for name in ["a.example", "b.example", "c.example"] {
        assert_eq!(create(name).await.status, 201, "{name}: one runs and two wait");
    }
    until("the first run", || began(folder.path()).len() == 1).await;
    let told = create("d.example").await;
    assert_eq!(told.refusal(), (429, "too-many-waiting-runs".into()));
    assert!(told.text().contains("CATALYST_MAX_WAITING") && told.header("retry-after").is_some());
    assert_eq!(post(&server, from(2), CREATES, &[], &create_body("e.example")).await.status, 201);
    std::fs::write(folder.path().join("gate"), "").unwrap();
    until("the runs' end", || server.store.list().iter().all(|record| record.status.is_terminal())).await;
    assert_eq!(create("d.example").await.status, 201);
    server.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_comes_before_creates_and_addresses_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let server = gated(folder.path(), limits::Settings::default(), 1).await;
    let mut expect = Vec::new();
    let create = async |who: u8, name: &str| {
        let made = post(&server, from(who), CREATES, &[], &create_body(name)).await;
        assert_eq!(made.status, 201, "{name}: {}", made.text());
        made.json()["id"].as_str().unwrap().to_owned()
    };
    let waits = async |count: usize| until("the line", || server.app.driver.engine_load().waiting == count).await;
    let first = create(1, "a0.example").await;
    until("the first run", || began(folder.path()).len() == 1).await;
    let mut of_one = Vec::new();
    for n in 1..4 {
        of_one.push(create(1, &format!("a{n}.example")).await);
        waits(n).await;
    }
    let of_two = create(2, "b.example").await;
    waits(4).await;
    let retry = format!("{CREATES}/{}/phases/tofu-apply/retry", id(9));
    let retried = post(&server, from(3), &retry, &[], &json!({"rehearsalToken": "sentinel-of-the-request"})).await;
    assert_eq!(retried.status, 200, "{}", retried.text());
    waits(5).await;
    let told = async {
        let said = |line: &catalyst_store::Numbered| line.entry.message.contains("waiting for its turn");
        while !server.store.read(&id(9), 0, 50).await.unwrap().iter().any(said) {
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), told).await.expect("it says that it waits");
    expect.extend([first, id(9).to_string(), of_one[0].clone(), of_two, of_one[1].clone(), of_one[2].clone()]);
    std::fs::write(folder.path().join("gate"), "").unwrap();
    until("all runs", || began(folder.path()).len() == expect.len()).await;
    assert_eq!(began(folder.path()), expect);
    server.down().await;
}
