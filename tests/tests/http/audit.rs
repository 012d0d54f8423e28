//! The audit log of a server: who did what, before it is done and after, and nothing secret.

use crate::callers::{Mode, READING_KUBECONFIG, Scene, records};
use crate::kit::{BEARER, create_body, id, kubeconfig, record};
use catalyst_domain::Status;
use serde_json::Value;
use std::time::Duration;

fn of<'a>(lines: &'a [Value], action: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["action"] == action).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_something_or_opens_a_cluster_is_written_before_it_is_begun_and_when_it_is_answered() {
    let mut all = records();
    all.push(record(3, Status::FluxBootstrapping));
    let scene = Scene::with(Mode::Token, all).await;
    let bearer = scene.bearer("admin");
    let as_admin = [("authorization", bearer.as_str()), ("x-request-id", "r-77")];
    let body = create_body("a.example").to_string();
    let made = scene.server.ask("POST", "/api/v1/deployments", &as_admin, body.as_bytes()).await;
    assert_eq!(made.status, 201);
    let new = made.json()["id"].as_str().unwrap().to_owned();
    let one = id(1);
    scene.server.ask("DELETE", &format!("/api/v1/deployments/{one}"), &as_admin, b"").await;
    scene.server.ask("POST", &format!("/api/v1/deployments/{one}/phases/cilium/retry"), &as_admin, b"").await;
    let read = [("authorization", &*format!("Bearer {READING_KUBECONFIG}"))];
    scene.server.ask("GET", &format!("/api/v1/deployments/{one}/kubeconfig"), &read, b"").await;
    scene.server.ask("POST", "/api/v1/registrar/dynadot/set-ns", &as_admin, b"{\"token\":\"sentinel\"}").await;
    let put = scene.server.put(&id(3), Some(&format!("Bearer {BEARER}")), &kubeconfig("sentinel")).await;
    assert_eq!(put.status, 204, "{put:?}");
    scene.server.ask("GET", "/api/v1/deployments", &as_admin, b"").await;

    let lines = scene.server.audited();
    let expect = [
        ("create", "of-admin", "token", None, Some(new.as_str()), 201),
        ("destroy", "of-admin", "token", Some(one.as_str()), Some(one.as_str()), 409),
        ("retry", "of-admin", "token", Some(one.as_str()), Some(one.as_str()), 409),
        ("take-kubeconfig", one.as_str(), "read-token", Some(one.as_str()), Some(one.as_str()), 409),
        ("set-nameservers", "of-admin", "token", None, None, 502),
        ("hand-in-kubeconfig", id(3).as_str(), "node-bearer", Some(id(3).as_str()), Some(id(3).as_str()), 204),
    ]
    .map(|(action, subject, mode, before, after, status)| {
        let [asked, answered] = of(&lines, action)[..] else { panic!("{action}: {lines:?}") };
        assert_eq!((&asked["event"], &answered["event"]), (&"asked".into(), &"answered".into()), "{action}");
        for line in [asked, answered] {
            assert_eq!((line["subject"].as_str(), line["mode"].as_str()), (Some(subject), Some(mode)), "{action}");
            assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{action}");
            assert!(line["time"].as_str().unwrap().ends_with('Z'), "{action}");
        }
        assert_eq!((asked["deployment"].as_str(), answered["deployment"].as_str()), (before, after), "{action}");
        assert_eq!((asked.get("status"), answered["status"].as_u64()), (None, Some(status)), "{action}");
        assert_eq!(asked["request"], answered["request"], "{action}");
    });
    assert_eq!(lines.len(), 2 * expect.len(), "a read leaves no line: {lines:?}");
    assert_eq!(of(&lines, "create")[0]["request"], "r-77");
    let text = serde_json::to_string(&lines).unwrap();
    for secret in ["sentinel", BEARER, "catalyst_admin", READING_KUBECONFIG, "ssh-ed25519", "ops@acme"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    scene.server.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_counted_and_told_without_a_flood() {
    let scene = Scene::start(Mode::Token).await;
    let bearer = scene.bearer("read");
    for _ in 0..200 {
        scene.server.ask("POST", "/api/v1/deployments", &[("authorization", "Bearer wrong")], b"").await;
        scene.server.put(&id(1), Some("Bearer wrong"), "x").await;
    }
    scene.server.ask("DELETE", &format!("/api/v1/deployments/{}", id(1)), &[("authorization", &bearer)], b"").await;
    // A line with a wait behind it: what was noted before it is on disk too.
    let admin = scene.bearer("admin");
    scene.server.ask("POST", "/api/v1/deployments", &[("authorization", &admin)], b"").await;
    let lines = scene.server.audited();
    let refused: Vec<&Value> = lines.iter().filter(|line| line["event"] == "refused").collect();
    assert!((2..10).contains(&refused.len()), "{refused:?}");
    let forbidden: Vec<_> = refused.iter().filter(|line| line["reason"] == "forbidden").collect();
    let [one] = forbidden[..] else { panic!("{refused:?}") };
    assert_eq!((one["subject"].as_str(), one["action"].as_str()), (Some("of-read"), Some("destroy")));
    assert!(refused.iter().any(|line| line["reason"] == "invalid-token"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_are_made_up_fill_no_log_in_whatever_way_callers_are_known() {
    for mode in [Mode::None, Mode::Token] {
        let scene = Scene::start(mode).await;
        let bearer = scene.token("admin").map(|token| format!("Bearer {token}")).unwrap_or_default();
        let admin = [("authorization", bearer.as_str())];
        for n in 0..100_u8 {
            let made_up = format!("/api/v1/deployments/{}", id(n.saturating_add(100)));
            for (method, path) in [
                ("DELETE", made_up.clone()),
                ("POST", format!("{made_up}/phases/cilium/retry")),
                ("GET", format!("{made_up}/kubeconfig")),
                ("DELETE", format!("/api/v1/deployments/no-id-{n}")),
            ] {
                let reply = scene.server.ask(method, &path, &admin, b"").await;
                assert_eq!(reply.refusal(), (404, "deployment-not-found".into()), "{method} {path}");
            }
        }
        scene.server.app.audit.flush(Duration::from_secs(5)).await.unwrap();
        let lines = scene.server.audited();
        assert!(lines.len() <= 2, "{mode:?}: {lines:?}");
        let count: u64 = lines.iter().map(|line| line["count"].as_u64().unwrap()).sum();
        assert_eq!(count, 400, "{mode:?}: {lines:?}");
        assert!(lines.iter().all(|line| line["reason"] == "unknown-deployment"), "{lines:?}");
        // What there is, is written as ever.
        scene.server.ask("DELETE", &format!("/api/v1/deployments/{}", id(1)), &admin, b"").await;
        assert_eq!(of(&scene.server.audited(), "destroy").iter().filter(|line| line["event"] == "asked").count(), 1);
    }
}
