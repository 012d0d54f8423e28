//! Rights that end: tokens that are taken out, lists that cannot be read, read tokens past their time, and the streams that
//! any of them opened.

use crate::callers::{Mode, READING, Scene, TOKENS_GRACE, records};
use crate::client::{request, until};
use crate::kit::{BEARER, Setup, id, kubeconfig, record};
use catalyst_domain::kubeconfig::sha256_hex;
use catalyst_domain::read_token::{self, LAST_LOOK, LASTS, Opens, ReadToken, Tenure};
use catalyst_domain::{Entry, Level, Record, Status, Timestamp};
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// How often the right to follow is asked again here.
const RECHECK: Duration = Duration::from_millis(100);

fn token(text: &str) -> ReadToken {
    let sha256 = sha256_hex(text.as_bytes());
    ReadToken { sha256, opens: Opens::Reading, given_at: Some(Timestamp::now()), tenure: Tenure::Kept }
}

/// A deployment that goes on, opened by [`READING`].
fn running() -> Record {
    let mut record = record(1, Status::Provisioning);
    record.read_tokens = vec![token(READING)];
    record
}

async fn scene(records: Vec<Record>) -> Scene {
    Scene::under(Mode::Token, Setup { records, recheck: RECHECK, ..Setup::default() }).await
}

/// A stream of deployment 1 with this header, once it is open.
async fn follow(scene: &Scene, header: (&str, &str)) -> TcpStream {
    let mut stream = TcpStream::connect(scene.server.address).await.unwrap();
    let head = request("GET", &format!("/api/v1/deployments/{}/logs", id(1)), &[header], b"");
    stream.write_all(&head).await.unwrap();
    until(&mut stream, "retry: ").await;
    stream
}

/// The last event of a stream that is ended, as its client sees it.
async fn last_event(stream: &mut TcpStream) -> (String, Value) {
    let text = String::from_utf8(crate::client::rest(stream).await).unwrap();
    let event = text.split("event: ").nth(1).unwrap_or_else(|| panic!("no last word: {text:?}"));
    let (name, data) = event.split_once("\ndata: ").unwrap();
    (name.to_owned(), serde_json::from_str(data.lines().next().unwrap()).unwrap())
}

/// Who may create may retry; to give a cluster's data up takes who may destroy it.
#[tokio::test(flavor = "multi_thread")]
async fn a_loss_of_data_is_accepted_by_who_may_destroy_alone() {
    let scene = scene(vec![record(1, Status::Failed)]).await;
    let path = format!("/api/v1/deployments/{}/phases/tofu-apply/retry", id(1));
    let asked = async |scope: &str, body: &[u8]| {
        let headers = [("authorization", scene.bearer(scope)), ("content-type", "application/json".to_owned())];
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        scene.server.ask("POST", &path, &headers, body).await
    };
    for accepts in [&br#"{"acceptDataLoss": true}"#[..], br#"{"ACCEPTDATALOSS":true}"#] {
        let refused = asked("create", accepts).await;
        assert!(refused.status == 403 && refused.text().contains("admin"), "{} {}", refused.status, refused.text());
        assert_ne!(asked("admin", accepts).await.status, 403);
    }
    for other in [&b""[..], br#"{"acceptDataLoss": false}"#, br#"{"acceptDataLoss": null}"#] {
        assert_ne!(asked("create", other).await.status, 403);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_a_reason_soon_after_its_token_was_taken_out_and_others_go_on() {
    let scene = scene(vec![running()]).await;
    let (read, admin, reading) = (scene.bearer("read"), scene.bearer("admin"), format!("Bearer {READING}"));
    let mut revoked = follow(&scene, ("authorization", &read)).await;
    let mut kept = follow(&scene, ("authorization", &admin)).await;
    let mut by_read_token = follow(&scene, ("authorization", &reading)).await;
    let all = std::fs::read_to_string(scene.tokens()).unwrap();
    let others: Vec<&str> = all.lines().filter(|line| !line.starts_with("of-read ")).collect();
    std::fs::write(scene.tokens(), others.join("\n")).unwrap();
    let (event, problem) = last_event(&mut revoked).await;
    assert_eq!((event.as_str(), &problem["error"]), ("access-ended", &"invalid-token".into()));
    assert!(problem["detail"].is_string(), "{problem}");
    // Both have been asked many times by now, and see what comes.
    let entry = Entry::new(Timestamp::now(), "tofu", Level::Info, "and on");
    scene.server.store.append(&id(1), vec![entry]).await.unwrap();
    for stream in [&mut kept, &mut by_read_token] {
        let seen = until(stream, "and on").await;
        assert!(!seen.contains("access-ended"), "{seen}");
    }
    assert_eq!(scene.server.ask("GET", "/api/v1/deployments", &[("authorization", &read)], b"").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_a_read_token_or_its_cookie_opened_ends_with_that_token() {
    let mut record = running();
    record.read_tokens[0].tenure = Tenure::Replayed;
    let scene = scene(vec![record]).await;
    let (bearer, cookie) = (format!("Bearer {READING}"), format!("catalyst-read={READING}"));
    let mut streams = [follow(&scene, ("authorization", &bearer)).await, follow(&scene, ("cookie", &cookie)).await];
    // Another answer to the same create takes the place of its like, the oldest first.
    for n in 0..read_token::MOST_REPLAYED {
        let later = ReadToken { tenure: Tenure::Replayed, ..token(&format!("catalyst-read_later{n}")) };
        scene.server.app.driver.give_read_token(&id(1), later, Timestamp::now()).await.unwrap();
    }
    for stream in &mut streams {
        let (event, problem) = last_event(stream).await;
        assert_eq!((event.as_str(), &problem["error"]), ("access-ended", &"invalid-token".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_token_that_was_given_is_pushed_out_by_no_other() {
    let scene = scene(vec![running()]).await;
    let path = format!("/api/v1/deployments/{}", id(1));
    let ask = async || {
        let read = scene.bearer("read");
        scene.server.ask("POST", &format!("{path}/read-tokens"), &[("authorization", &read)], b"").await
    };
    for _ in 1..read_token::MOST {
        assert_eq!(ask().await.status, 201);
    }
    for _ in 0..read_token::MOST {
        let refused = ask().await;
        assert_eq!(refused.refusal(), (409, "too-many-read-tokens".into()));
        let detail = refused.json()["detail"].to_string();
        assert!(
            detail.contains("8 read tokens") && detail.contains("DELETE") && detail.contains("ends at 20"),
            "{detail}"
        );
    }
    let first = format!("Bearer {READING}");
    assert_eq!(scene.server.ask("GET", &path, &[("authorization", &first)], b"").await.status, 200);
    scene.server.app.driver.end_read_tokens(&id(1), Timestamp::now()).await.unwrap();
    assert_eq!(ask().await.status, 201, "a DELETE makes room");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_gets_another_read_token_and_an_admin_ends_them_all_with_their_streams() {
    let scene = scene(vec![running()]).await;
    let path = format!("/api/v1/deployments/{}", id(1));
    let at = async |method: &str, tail: &str, bearer: &str| {
        scene.server.ask(method, &format!("{path}{tail}"), &[("authorization", bearer)], b"").await
    };
    let given = at("POST", "/read-tokens", &scene.bearer("read")).await;
    assert_eq!((given.status, given.header("cache-control")), (201, Some("no-store")), "{given:?}");
    assert!(given.header("set-cookie").unwrap().contains(&format!("Path={path};")), "{given:?}");
    let bearer = format!("Bearer {}", given.json()["readToken"].as_str().unwrap());
    assert_eq!(at("GET", "", &bearer).await.status, 200);
    assert_eq!(at("GET", "/kubeconfig", &bearer).await.status, 403, "a reader lets nobody take the kubeconfig");
    assert_eq!(at("POST", "/read-tokens", &bearer).await.status, 403, "a read token makes no other");
    let by_admin = at("POST", "/read-tokens", &scene.bearer("admin")).await.json();
    let of_admin = format!("Bearer {}", by_admin["readToken"].as_str().unwrap());
    assert_eq!(at("GET", "/kubeconfig", &of_admin).await.refusal(), (409, "not-implemented".into()));
    let mut stream = follow(&scene, ("authorization", &bearer)).await;
    assert_eq!(at("DELETE", "/read-tokens", &scene.bearer("read")).await.status, 403);
    assert_eq!(at("DELETE", "/read-tokens", &scene.bearer("admin")).await.status, 204);
    assert_eq!(last_event(&mut stream).await.0, "access-ended");
    for bearer in [&bearer, &of_admin, &format!("Bearer {READING}")] {
        assert_eq!(at("GET", "", bearer).await.status, 401);
    }
    let text = serde_json::to_string(&scene.server.audited()).unwrap();
    assert!(text.contains("give-read-token") && text.contains("end-read-tokens"), "{text}");
    assert!(!text.contains(bearer.trim_start_matches("Bearer ")), "{text}");
}

/// A proxy puts the token of the wizard's service before every request; what a page was given at its create is in its cookie.
#[tokio::test(flavor = "multi_thread")]
async fn a_bearer_that_may_not_read_hides_no_cookie_that_may() {
    let scene = scene(vec![running()]).await;
    let (create, cookie) = (scene.bearer("create"), format!("catalyst-read={READING}"));
    let path = format!("/api/v1/deployments/{}", id(1));
    for (bearer, cookie, status) in [
        (create.as_str(), cookie.as_str(), 200),
        (&create, "catalyst-read=catalyst-read_of-nobody", 403),
        (&create, "other=1", 403),
        ("Bearer wrong", &cookie, 401),
    ] {
        let answer = scene.server.ask("GET", &path, &[("authorization", bearer), ("cookie", cookie)], b"").await;
        assert_eq!(answer.status, status, "{bearer} {cookie}");
    }
    let (of_proxy, of_page) = (("authorization", create.as_str()), ("cookie", cookie.as_str()));
    assert_eq!(scene.server.ask("GET", "/api/v1/deployments", &[of_proxy, of_page], b"").await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_authentication_no_stream_is_ended() {
    let setup = Setup { records: vec![running()], recheck: Duration::from_millis(1), ..Setup::default() };
    let scene = Scene::under(Mode::None, setup).await;
    let mut stream = follow(&scene, ("x-nothing", "x")).await;
    tokio::time::sleep(RECHECK).await;
    let entry = Entry::new(Timestamp::now(), "tofu", Level::Info, "and on");
    scene.server.store.append(&id(1), vec![entry]).await.unwrap();
    assert!(!until(&mut stream, "and on").await.contains("access-ended"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_token_opens_nothing_after_its_week_or_once_its_deployment_is_gone() {
    let before = |time| Timestamp::now().checked_sub(time).unwrap();
    let mut old = record(1, Status::Ready);
    old.read_tokens = vec![ReadToken { given_at: Some(before(LASTS)), ..token(READING) }];
    let mut gone = record(2, Status::Destroyed);
    gone.read_tokens = vec![token(READING)];
    gone.finished_at = Some(before(LAST_LOOK));
    let mut just_gone = record(3, Status::Destroyed);
    just_gone.read_tokens = vec![token(READING)];
    just_gone.finished_at = Some(Timestamp::now());
    let scene = scene(vec![old, gone, just_gone]).await;
    let bearer = format!("Bearer {READING}");
    for (n, status) in [(1, 401), (2, 401), (3, 200)] {
        for tail in ["", "/events", "/logs"] {
            let path = format!("/api/v1/deployments/{}{tail}", id(n));
            let reply = scene.server.ask("GET", &path, &[("authorization", &bearer)], b"").await;
            assert_eq!(reply.status, status, "{n} {tail}: {reply:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_tokens_that_cannot_be_read_counts_for_a_while_and_then_nobody_comes_in_until_it_can() {
    let mut all = records();
    all.push(record(3, Status::FluxBootstrapping));
    let scene = scene(all).await;
    let admin = scene.bearer("admin");
    let ask = async || scene.server.ask("GET", "/api/v1/deployments", &[("authorization", &admin)], b"").await;
    let usable = || {
        let text = scene.server.app.metrics.text(&scene.server.app);
        text.lines().find_map(|line| line.strip_prefix("catalyst_auth_usable ")).unwrap().to_owned()
    };
    let good = std::fs::read_to_string(scene.tokens()).unwrap();
    std::fs::remove_file(scene.tokens()).unwrap();
    let begun = Instant::now();
    let wait_for = async |number: &str| {
        while usable() != number {
            assert!(begun.elapsed() < Duration::from_secs(60), "auth_usable never was {number}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    wait_for("0").await;
    assert_eq!(ask().await.status, 200, "an alert, and a while left");
    tokio::time::sleep(TOKENS_GRACE).await;
    let refused = ask().await;
    assert_eq!(refused.refusal(), (503, "authentication-unavailable".into()));
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("list of tokens") && detail.contains("trace") && !detail.contains("readyz"), "{detail}");
    assert!(refused.header("retry-after").is_some());
    // A Pod that is not ready would be out of reach for the nodes as well.
    assert_eq!(scene.server.get("/readyz").await.status, 200);
    let put = scene.server.put(&id(3), Some(&format!("Bearer {BEARER}")), &kubeconfig("node")).await;
    assert_eq!(put.status, 204, "a node needs no list");
    std::fs::write(scene.tokens(), good).unwrap();
    wait_for("1").await;
    assert_eq!(ask().await.status, 200);
    scene.server.down().await;
}
