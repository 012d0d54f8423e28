//! Addresses that a request names: what a create, a preview and a credential's check say of them, and that what exists already
//! is taken up and removed whatever it names.

use crate::kit::{Server, Setup, create_body, id, record};
use catalyst_domain::Status;
use serde_json::{Value, json};

/// The body of a create on a private cloud.
fn body(url: &str) -> Value {
    let mut body = create_body("private.example");
    body["regions"] = json!([{"provider": "openstack", "cloudRegion": "RegionOne", "controlPlaneSize": "m1.large"}]);
    body.as_object_mut().unwrap().retain(|key, _| !key.starts_with("rehearsal"));
    body["openstackAuthUrl"] = json!(url);
    body["openstackExternalNetwork"] = json!("Ext-Net");
    body["openstackApplicationCredentialID"] = json!("0123456789abcdef");
    body["openstackApplicationCredentialSecret"] = json!("sentinel-of-the-cloud");
    body
}

/// What is said of the address.
fn finding(answer: &Value) -> Option<&Value> {
    answer["findings"].as_array()?.iter().find(|finding| finding["code"] == "address-not-allowed")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_leads_to_no_address_of_the_inside() {
    let server = Server::with(&[]).await;
    for url in [
        "https://127.0.0.1/v3",
        "http://127.0.0.1:5000/v3",
        "http://127.1:5000/v3",
        "http://2130706433/v3",
        "https://[::1]/v3",
        "https://[::ffff:127.0.0.1]/v3",
        "http://169.254.169.254/v3",
        "https://[fd00:ec2::254]/v3",
        "https://10.0.0.7/v3",
        "https://100.64.0.7/v3",
        "https://keystone.openstack.svc/v3",
        "https://keystone.openstack.svc.cluster.local./v3",
        "https://metadata.google.internal/v3",
        "https://localhost/v3",
        "https://keystone/v3",
        "//127.0.0.1/v3",
        "gopher://127.0.0.1/v3",
        "https://cloud.example@127.0.0.1/v3",
        "https://127\u{3002}0\u{3002}0\u{3002}1/v3",
    ] {
        let created = server.post("/api/v1/deployments", &body(url)).await;
        assert_eq!(created.status, 400, "{url}: {}", created.text());
        let answer = created.json();
        let found = finding(&answer).unwrap_or_else(|| panic!("{url}: {answer}"));
        assert_eq!((&found["pointer"], &found["severity"]), (&json!("/openstackAuthUrl"), &json!("error")), "{url}");
        assert!(found["message"].as_str().unwrap().contains("CATALYST_ALLOWED_CLOUDS"), "{found}");
        let previewed = server.post("/api/v1/previews", &body(url)).await.json();
        assert_eq!((&previewed["valid"], finding(&previewed)), (&json!(false), Some(found)), "{url}: {previewed}");
        let checked = json!({"provider": "openstack", "token": "sentinel-of-the-cloud", "openstackAuthUrl": url});
        let checked = server.post("/api/v1/credentials/validate", &checked).await;
        assert_eq!((checked.status, &checked.json()["valid"]), (400, &json!(false)), "{url}: {}", checked.text());
        assert_eq!(finding(&checked.json()), Some(found), "{url}");
        assert!(!format!("{} {}", created.text(), checked.text()).contains("sentinel"), "{url}");
    }
    let keys_in_any_case =
        json!({"provider": "openstack", "token": "sentinel", "OPENSTACKAUTHURL": "http://127.0.0.1"});
    assert_eq!(server.post("/api/v1/credentials/validate", &keys_in_any_case).await.status, 400);
    assert!(server.store.list().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn public_addresses_and_those_that_the_operator_named_pass() {
    for (allowed_clouds, url) in [
        ("", "https://1.1.1.1/v3"),
        ("", "https://auth.cloud.example.org/v3"),
        ("127.0.0.0/8", "http://127.0.0.1:5000/v3"),
        ("192.0.2.0/24 .openstack.svc", "https://keystone.openstack.svc/v3"),
    ] {
        let server = Server::start(Setup { allowed_clouds, ..Setup::default() }).await;
        let previewed = server.post("/api/v1/previews", &body(url)).await.json();
        assert_eq!((&previewed["valid"], finding(&previewed)), (&json!(true), None), "{url}: {previewed}");
        let checked = json!({"provider": "openstack", "token": "sentinel-of-the-cloud", "openstackAuthUrl": url});
        let checked = server.post("/api/v1/credentials/validate", &checked).await;
        assert_eq!((checked.status, checked.json()["findings"].is_null()), (503, true), "{url}: {}", checked.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_host_let_in_is_retried_and_destroyed() {
    let named = |n: u8| {
        let mut record = record(n, Status::Failed);
        let mut settings = serde_json::Map::new();
        settings.insert("openstackAuthUrl".to_owned(), json!("http://127.0.0.1:9/v3"));
        record.request.extra.extend(settings);
        record
    };
    let server = Server::with(&[named(1), named(2)]).await;
    let retry = format!("/api/v1/deployments/{}/phases/tofu-apply/retry", id(1));
    let retried = server.post(&retry, &json!({"rehearsalToken": "tttttttt"})).await;
    assert_eq!(retried.status, 200, "{}", retried.text());
    let destroyed = server.ask("DELETE", &format!("/api/v1/deployments/{}", id(2)), &[], b"").await;
    assert_eq!(destroyed.status, 202, "{}", destroyed.text());
    server.down().await;
}
