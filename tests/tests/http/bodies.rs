//! Bodies and headers that two readers take differently: a key that is given twice, and cookies that hide each other.

use crate::callers::{Mode, READING, Scene};
use crate::kit::{Server, create_body, id, record};
use catalyst_domain::Status;
use serde_json::json;

/// Every route that takes JSON, with a body that gives a key twice, and that key.
fn twice() -> Vec<(&'static str, String, String, &'static str)> {
    let create = create_body("twice.example").to_string();
    let with = |more: &str| create.replacen('{', &format!("{{{more},"), 1);
    let retry = format!("/api/v1/deployments/{}/phases/tofu-apply/retry", id(1));
    let token = r#"{"rehearsalToken":"sentinel","RehearsalToken":"sentinel"}"#.to_owned();
    vec![
        ("POST", "/api/v1/deployments".into(), with(r#""orgName":"sentinel""#), "orgName"),
        ("POST", "/api/v1/deployments".into(), with(r#""ORGNAME":"sentinel""#), "orgName"),
        ("POST", "/api/v1/deployments".into(), with(r#""\u006frgName":"sentinel""#), "orgName"),
        ("POST", "/api/v1/deployments".into(), with(r#""x":[{"deep":"sentinel","Deep":1}]"#), "Deep"),
        ("POST", "/api/v1/previews".into(), with(r#""rehearsaltoken":"sentinel""#), "rehearsalToken"),
        ("POST", "/api/v1/previews".into(), with(r#""regions":[]"#), "regions"),
        ("POST", retry, token.clone(), "RehearsalToken"),
        ("DELETE", format!("/api/v1/deployments/{}", id(1)), token, "RehearsalToken"),
        (
            "POST",
            "/api/v1/credentials/validate".into(),
            r#"{"token":"sentinel","provider":"rehearsal","Token":"sentinel"}"#.into(),
            "Token",
        ),
        (
            "POST",
            "/api/v1/subdomains/check".into(),
            r#"{"subdomain":"a","poolDomain":"omani.works","subdomain":"sentinel"}"#.into(),
            "subdomain",
        ),
        ("POST", "/api/v1/sshkey/generate".into(), r#"{"fqdn":"a.example","FQDN":"sentinel"} more"#.into(), "FQDN"),
        (
            "POST",
            "/api/v1/registrar/ovh/validate".into(),
            r#"{"domain":"a.example","token":"t","domain":"sentinel"}"#.into(),
            "domain",
        ),
        (
            "POST",
            "/api/v1/registrar/ovh/set-ns".into(),
            r#"{"domain":"a.example","token":"t","nameservers":["sentinel"],"Nameservers":[]}"#.into(),
            "Nameservers",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_given_twice_is_refused_by_its_name_wherever_json_is_taken() {
    let mut failed = record(1, Status::Failed);
    failed.phase0_finished_at = None;
    let server = Server::with(&[failed]).await;
    for (method, path, body, key) in twice() {
        let refused = server.ask(method, &path, &[], body.as_bytes()).await;
        let text = refused.text();
        assert_eq!(refused.status, 400, "{method} {path} {body}: {text}");
        assert!(text.contains(key) && text.contains("more than once") && !text.contains("sentinel"), "{path}: {text}");
    }
    assert_eq!(server.store.list().len(), 1, "nothing was created");
    assert_eq!(server.get(&format!("/api/v1/deployments/{}", id(1))).await.json()["status"], "failed");
    // What stands once, in objects of its own, is as good as ever, and so is what follows the body.
    let mut body = create_body("once.example");
    body["unknown"] = json!([{"orgName": 1}, {"orgName": 2}]);
    let created = server.ask("POST", "/api/v1/previews", &[], format!("{body} {{\"a\":1}}").as_bytes()).await;
    assert_eq!((created.status, &created.json()["valid"]), (200, &json!(true)), "{}", created.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_of_a_sibling_domain_hide_no_read_token() {
    let scene = Scene::start(Mode::Token).await;
    let path = format!("/api/v1/deployments/{}", id(1));
    let right = format!("catalyst-read={READING}");
    let ours = format!("catalyst-read=catalyst-read_{}; ", "A".repeat(43));
    let junk = "catalyst-read=junk; ".repeat(1_000);
    for cookies in [
        vec![format!("{junk}{right}")],
        vec![format!("{}{right}", ours.repeat(600))],
        vec![format!("{right}; {junk}")],
        vec![ours.repeat(50), junk.clone(), right.clone()],
        vec![format!("catalyst-read=\"; {right}; x=\"")],
        vec![format!("other=\u{e9}\u{ff}; {right}")],
    ] {
        let mut request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n").into_bytes();
        for cookie in &cookies {
            request.extend(b"cookie: ".iter().copied().chain(cookie.chars().map(|c| u32::from(c) as u8)));
            request.extend(b"\r\n");
        }
        request.extend(b"\r\n");
        let reply = crate::client::raw(scene.server.address, &request).await;
        assert_eq!(reply.status, 200, "{:.60}: {}", cookies[0], reply.text());
    }
    let headers = [("cookie", junk.as_str())];
    assert_eq!(scene.server.ask("GET", &path, &headers, b"").await.refusal(), (401, "invalid-token".into()));
}
