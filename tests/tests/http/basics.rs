//! What holds for every route.

use crate::client::{raw, request};
use crate::kit::{Server, id, record};
use catalyst::http::ROUTES;
use catalyst_domain::Status;
use std::collections::BTreeSet;

/// The methods that HTTP has for a resource, and one that it has not.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"];

#[tokio::test(flavor = "multi_thread")]
async fn healthz_is_exactly_ok() {
    let server = Server::with(&[]).await;
    let reply = server.get("/healthz").await;
    assert_eq!((reply.status, reply.header("content-type"), reply.text().as_str()), (200, Some("text/plain"), "ok"));
}

#[tokio::test(flavor = "multi_thread")]
async fn h7_json_always_for_unknown_paths() {
    let server = Server::with(&[record(1, Status::Failed)]).await;
    let id = id(1);
    for path in [
        "/".to_owned(),
        "/healthz/".into(),
        "/api/v1/deployments/".into(),
        format!("/api/v1/deployments/{id}/"),
        format!("/api/v1/deployments/{id}/events/"),
        "/api/v1/nothing".into(),
        "//".into(),
    ] {
        for method in ["GET", "POST", "DELETE"] {
            let reply = server.ask(method, &path, &[], b"").await;
            assert_eq!(reply.refusal(), (404, "not-found".into()), "{method} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h7_json_always_for_wrong_methods_with_one_allow_for_each_right_one() {
    let server = Server::with(&[]).await;
    for (_, route) in ROUTES {
        let right: Vec<&str> = ROUTES.iter().filter(|(_, r)| r == route).map(|(method, _)| *method).collect();
        let path = route.replace("{id}", "0101010101010101").replace("{phase}", "cilium");
        for method in ["GET", "POST", "PUT", "PATCH", "OPTIONS", "TRACE", "BREW"] {
            if right.contains(&method) {
                continue;
            }
            let reply = server.ask(method, &path, &[], b"").await;
            assert_eq!(reply.refusal(), (405, "method-not-allowed".into()), "{method} {path}");
            assert_eq!(reply.all("allow"), right, "{method} {path}");
        }
        let head = server.ask("HEAD", &path, &[], b"").await;
        assert_eq!((head.status, head.all("allow"), head.body.len()), (405, right, 0), "HEAD {path}");
    }
    assert_eq!(server.ask("HEAD", "/nothing", &[], b"").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_405_allows_is_what_is_answered_on_either_address() {
    let server = Server::with(&[]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let scraped = listener.local_addr().unwrap();
    let app = server.app.clone();
    let metrics = tokio::spawn(catalyst::http::serve_metrics(listener, app.clone(), app.stopping.clone()));
    let routes: BTreeSet<&str> = ROUTES.iter().map(|(_, route)| *route).collect();
    let of_the_api = routes.into_iter().map(|route| (server.address, route));
    for (address, route) in of_the_api.chain(["/healthz", "/readyz", "/metrics"].map(|route| (scraped, route))) {
        let path = route.replace("{id}", "0101010101010101").replace("{phase}", "cilium");
        let (mut answered, mut refused) = (BTreeSet::new(), Vec::new());
        for method in METHODS {
            let reply = raw(address, &request(method, &path, &[], b"")).await;
            if reply.status == 405 {
                refused.push((method, reply));
            } else {
                answered.insert(method);
            }
        }
        for (method, reply) in refused {
            let allowed: BTreeSet<&str> = reply.all("allow").into_iter().collect();
            assert_eq!(allowed, answered, "{method} {path} on {address}");
            assert!(method == "HEAD" || reply.refusal().1 == "method-not-allowed", "{method} {path}: {reply:?}");
        }
        // The contract serves no HEAD. Whoever probes the other address may send one.
        assert_eq!(answered.contains("HEAD"), address == scraped, "{path}");
    }
    server.stop();
    metrics.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn h7_json_always_for_unknown_and_hostile_ids() {
    let server = Server::with(&[record(1, Status::Failed)]).await;
    let long = "a".repeat(10_000);
    let hostile =
        ["%2e%2e", "..%2fx", "%00", "%ff", "0101010101010101%00", "0101010101010101%2f", "0101010101010101.json"];
    for name in hostile.into_iter().chain(["ffffffffffffffff", "010101010101010A", &long]) {
        for (method, tail) in [
            ("GET", ""),
            ("GET", "/events"),
            ("GET", "/logs"),
            ("GET", "/kubeconfig"),
            ("PUT", "/kubeconfig"),
            ("POST", "/phases/cilium/retry"),
        ] {
            let reply = server.ask(method, &format!("/api/v1/deployments/{name}{tail}"), &[], b"").await;
            assert_eq!(reply.refusal(), (404, "deployment-not-found".into()), "{method} {name}{tail}");
        }
    }
    for name in ["%ff", "%00", "none"] {
        let reply = server.get(&format!("/api/v1/providers/{name}")).await;
        assert_eq!(reply.refusal(), (404, "provider-not-found".into()), "{name}");
    }
    // An id is one segment: a path that climbs is another path, and none of ours.
    for path in ["/api/v1/deployments/../x", "/api/v1/deployments/a/../0101010101010101/events"] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_id_is_echoed_when_sane_and_made_when_not() {
    let server = Server::with(&[]).await;
    for path in ["/healthz", "/nothing"] {
        let given = server.ask("GET", path, &[("X-Request-Id", "trace-1.a/b")], b"").await;
        assert_eq!(given.all("x-request-id"), ["trace-1.a/b"]);
    }
    for bad in ["a b", "\"x\"", &"x".repeat(129)] {
        let made = server.ask("GET", "/healthz", &[("x-request-id", bad)], b"").await;
        let id = made.header("x-request-id").unwrap();
        assert!(id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{bad:?} gave {id:?}");
    }
}
