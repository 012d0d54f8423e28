//! Cross-origin calls.

use crate::callers::{Mode, Scene};
use crate::client::Reply;
use crate::kit::{Server, Setup};

const PAGE: &str = "https://console.example";

async fn server(origin: &'static str) -> Server {
    Server::start(Setup { origin, ..Setup::default() }).await
}

async fn preflight(server: &Server, origin: &str, method: &str, headers: &str) -> Reply {
    let mut all = vec![("origin", origin), ("access-control-request-method", method)];
    if !headers.is_empty() {
        all.push(("access-control-request-headers", headers));
    }
    let reply = server.ask("OPTIONS", "/any/path", &all, b"").await;
    assert_eq!((reply.status, reply.body.len()), (200, 0), "{reply:?}");
    let vary = ["origin", "access-control-request-method", "access-control-request-headers"];
    assert_eq!(reply.all("vary"), vary, "{reply:?}");
    reply
}

fn grants(reply: &Reply) -> [Option<&str>; 4] {
    ["origin", "methods", "headers"]
        .map(|what| format!("access-control-allow-{what}"))
        .each_ref()
        .map(|name| reply.header(name))
        .into_iter()
        .chain([reply.header("access-control-max-age")])
        .collect::<Vec<_>>()
        .try_into()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_grants_what_was_asked_for() {
    // Where callers have tokens: without them `*` names no origin.
    let scene = Scene::start(Mode::Token).await;
    let any = &scene.server;
    for method in ["GET", "POST", "PUT", "OPTIONS"] {
        let reply = preflight(any, PAGE, method, "").await;
        assert_eq!(grants(&reply), [Some("*"), Some(method), None, Some("300")]);
    }
    let reply = preflight(any, PAGE, "POST", "content-type, AUTHORIZATION,accept").await;
    assert_eq!(grants(&reply)[2], Some("Content-Type, Authorization, Accept"));
    // A page with a token follows by fetch, and says where it left off; and a create may be sent again.
    for (method, wanted) in [("GET", "Authorization, Last-Event-ID"), ("POST", "Authorization, Idempotency-Key")] {
        let reply = preflight(any, PAGE, method, &wanted.to_lowercase()).await;
        assert_eq!(grants(&reply)[2], Some(wanted));
    }
    let one = server(PAGE).await;
    let reply = preflight(&one, PAGE, "POST", "").await;
    assert_eq!(grants(&reply), [Some(PAGE), Some("POST"), None, Some("300")]);
    assert!(reply.header("access-control-allow-credentials").is_none());
    assert!(reply.header("access-control-expose-headers").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_for_delete_a_foreign_origin_or_header_grants_nothing() {
    let one = server(PAGE).await;
    for (origin, method, headers) in [
        (PAGE, "DELETE", ""),
        (PAGE, "PATCH", ""),
        (PAGE, "HEAD", ""),
        ("https://evil.example", "POST", ""),
        ("https://console.example.evil.example", "POST", ""),
        ("null", "POST", ""),
        (PAGE, "POST", "content-type, x-api-key"),
    ] {
        let reply = preflight(&one, origin, method, headers).await;
        assert_eq!(grants(&reply), [None; 4], "{origin} {method} {headers}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_name_the_allowed_origin_and_vary() {
    let one = server(PAGE).await;
    for path in ["/healthz", "/nothing"] {
        let reply = one.ask("GET", path, &[("origin", PAGE)], b"").await;
        assert_eq!(reply.header("access-control-allow-origin"), Some(PAGE), "{path}");
        assert_eq!(reply.all("vary"), ["origin"], "{path}");
        for headers in [&[("origin", "https://evil.example")] as &[_], &[]] {
            let reply = one.ask("GET", path, headers, b"").await;
            assert_eq!(reply.header("access-control-allow-origin"), None, "{path}");
            assert_eq!(reply.all("vary"), ["origin"], "{path}");
        }
    }
    let delete = one.ask("DELETE", "/api/v1/deployments/0101010101010101", &[("origin", PAGE)], b"").await;
    assert_eq!((delete.status, delete.header("access-control-allow-origin")), (404, None));
    let plain = one.ask("OPTIONS", "/healthz", &[("origin", PAGE)], b"").await;
    assert_eq!(plain.refusal(), (405, "method-not-allowed".into()));
}
