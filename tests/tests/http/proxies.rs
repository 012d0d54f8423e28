//! Callers behind a proxy: whom a limit hits, and what is written down.

use crate::callers::{Mode, Scene};
use crate::client::{Reply, raw, request};
use crate::kit::{BEARER, Setup, id, record};
use catalyst_domain::Status;
use std::time::Duration;

async fn behind(trusted_proxies: &'static str) -> Scene {
    let records = vec![record(1, Status::Failed)];
    Scene::under(Mode::Token, Setup { records, trusted_proxies, ..Setup::default() }).await
}

async fn ask(scene: &Scene, client: &str, bearer: &str) -> Reply {
    let headers = [("authorization", bearer), ("x-forwarded-for", client)];
    raw(scene.server.address, &request("GET", "/api/v1/deployments", &headers, b"")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tokens_of_one_client_limit_no_other_behind_the_same_trusted_proxy() {
    let scene = behind("127.0.0.0/8").await;
    let mut limited = 0;
    for _ in 0..100 {
        limited += usize::from(ask(&scene, "203.0.113.9", "Bearer wrong").await.status == 429);
    }
    assert!(limited >= 20, "{limited} of 100");
    assert_eq!(ask(&scene, "203.0.113.10", "Bearer wrong").await.status, 401, "another client");
    // What a client puts before the proxy's own word changes nothing.
    assert_eq!(ask(&scene, "198.51.100.1, 203.0.113.9", "Bearer wrong").await.status, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_names_addresses_by_itself_stays_one_peer() {
    let scene = behind("").await;
    let mut limited = 0;
    for n in 0..100 {
        limited += usize::from(ask(&scene, &format!("203.0.113.{n}"), "Bearer wrong").await.status == 429);
    }
    assert!(limited >= 20, "{limited} of 100");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bearers_are_limited_and_told_by_the_client_too() {
    let scene = behind("127.0.0.0/8").await;
    let path = format!("/api/v1/deployments/{}/kubeconfig", id(1));
    let put = async |client: &str, bearer: &str| {
        let bearer = format!("Bearer {bearer}");
        let headers = [("authorization", bearer.as_str()), ("x-forwarded-for", client)];
        scene.server.ask("PUT", &path, &headers, crate::kit::kubeconfig("x").as_bytes()).await.status
    };
    let mut last = 0;
    for _ in 0..40 {
        last = put("203.0.113.9", "wrong").await;
    }
    assert_eq!((last, put("203.0.113.10", "wrong").await), (429, 403));
    let told = async {
        loop {
            if let Some(first) = scene.server.store.read(&id(1), 0, 10).await.unwrap().first() {
                return first.entry.message.clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(30), told).await.unwrap();
    assert!(told.contains("203.0.113.9"), "{told}");
    assert_eq!(put("203.0.113.10", BEARER).await, 204);
    let lines = scene.server.audited();
    let asked = lines.iter().find(|line| line["event"] == "asked").unwrap();
    assert_eq!(asked["client"], "203.0.113.10");
    assert!(asked["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "the connection is evidence, too: {asked}");
    assert!(lines.iter().any(|line| line["event"] == "refused" && line["peer"] == "203.0.113.9"), "{lines:?}");
}
