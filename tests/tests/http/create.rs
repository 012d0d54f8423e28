//! `POST /api/v1/deployments`.

use crate::kit::{Server, Setup, create_body};
use serde_json::{Value, json};

const DEPLOYMENTS: &str = "/api/v1/deployments";

/// A create that the Hetzner plugin accepts.
pub fn hetzner() -> Value {
    let mut body = create_body("h.example");
    body["regions"] = json!([{"provider": "hetzner", "cloudRegion": "fsn1", "controlPlaneSize": "cx42",
                              "workerSize": "cx32", "workerCount": 1}]);
    body["hetznerToken"] = json!("t".repeat(64));
    body["hetznerProjectID"] = json!("1234567");
    body.as_object_mut().unwrap().retain(|key, _| !key.starts_with("rehearsal"));
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rule_refuses_with_its_words() {
    let server = Server::with(&[]).await;
    let slot = |key: &str, value: Value| {
        let mut body = hetzner();
        body["regions"][0][key] = value;
        body
    };
    let top = |key: &str| {
        let mut body = hetzner();
        body[key] = json!(" ");
        body
    };
    let mut no_regions = hetzner();
    no_regions["regions"] = Value::Null;
    for (rule, body, words) in [
        (1, slot("provider", json!(" ")), &["region[0]", "provider"] as &[_]),
        (2, slot("cloudRegion", json!("")), &["cloudRegion"]),
        (3, slot("controlPlaneSize", json!("")), &["controlPlaneSize"]),
        (4, slot("workerCount", json!(-1)), &["workerCount"]),
        (5, slot("workerSize", json!("")), &["workerSize"]),
        (7, top("hetznerToken"), &["hetzner token"]),
        (8, top("hetznerProjectID"), &["project id"]),
        (9, no_regions, &["region"]),
        (10, top("sovereignFQDN"), &["fqdn"]),
        (11, top("orgName"), &["organisation name"]),
        (12, top("orgEmail"), &["organisation email"]),
        (13, top("sshPublicKey"), &["ssh public key"]),
    ] {
        let reply = server.post(DEPLOYMENTS, &body).await;
        let (status, error) = reply.refusal();
        assert_eq!(status, 400, "rule {rule}: {error}");
        for word in words {
            assert!(error.to_lowercase().contains(&word.to_lowercase()), "rule {rule}: {word}: {error}");
        }
        let all = reply.json()["findings"].as_array().unwrap().clone();
        let errors: Vec<_> = all.iter().filter(|finding| finding["severity"] == "error").collect();
        assert_eq!(errors.len(), 1, "rule {rule}: {errors:?}");
    }
    assert!(server.store.list().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_wrong_is_named_in_the_order_of_the_contract() {
    let server = Server::with(&[]).await;
    let mut body = hetzner();
    body["regions"][0]["controlPlaneSize"] = json!("");
    for key in ["hetznerToken", "hetznerProjectID", "sovereignFQDN", "orgName", "orgEmail", "sshPublicKey"] {
        body[key] = json!("");
    }
    let (_, error) = server.post(DEPLOYMENTS, &body).await.refusal();
    let places: Vec<Option<usize>> = [
        "controlPlaneSize",
        "token",
        "project ID",
        "FQDN",
        "organisation name",
        "organisation email",
        "SSH public key",
    ]
    .iter()
    .map(|words| error.to_lowercase().find(&words.to_lowercase()))
    .collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} in {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_14_pool_mode_needs_the_hosts_pull_token() {
    let server = Server::start(Setup { pull_token: "", ..Setup::default() }).await;
    let mut body = create_body("x.pool.example");
    body["sovereignDomainMode"] = json!("pool");
    body["sovereignSubdomain"] = json!("x");
    body["sovereignPoolDomain"] = json!("pool.example");
    let (status, error) = server.post(DEPLOYMENTS, &body).await.refusal();
    assert_eq!(status, 400);
    assert!(error.contains("CATALYST_GHCR_PULL_TOKEN") && error.contains("SECRET-ROTATION"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn h7_json_always_for_a_body_that_is_no_request() {
    let server = Server::with(&[]).await;
    for body in ["", "{", "<html>", "[1]", "\u{0}", "{\"orgName\":7}", "{\"regions\":{}}"] {
        let (status, error) = server.ask("POST", DEPLOYMENTS, &[], body.as_bytes()).await.refusal();
        assert_eq!(status, 400, "{body:?}");
        assert!(error.contains("invalid request body"), "{body:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e4_a_201_means_that_the_record_is_on_disk_without_its_secrets() {
    let server = Server::with(&[]).await;
    let reply = server.post(DEPLOYMENTS, &create_body("new.example")).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let answer = reply.json();
    let id = catalyst_domain::DeploymentId::parse(answer["id"].as_str().unwrap()).unwrap();
    let url = format!("{DEPLOYMENTS}/{id}/logs");
    assert_eq!(answer, json!({"id": id.to_string(), "status": "provisioning", "streamURL": url}));
    let record = serde_json::to_string(&server.on_disk(&id)).unwrap();
    assert!(record.contains("new.example") && !record.contains("sentinel"), "{record}");

    let again = server.post(DEPLOYMENTS, &create_body("new.example")).await;
    assert_eq!(again.refusal(), (409, "name-taken".into()), "a16: one live deployment per name");
    assert_eq!(again.json()["owner"], id.to_string());
    server.down().await;
}
