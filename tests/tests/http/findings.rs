//! Everything that is wrong with a request is named at once, the host's findings and the cloud's, by a preview and a create
//! alike; and what is only a remark refuses nothing.

use crate::create::hetzner;
use crate::kit::{Server, create_body};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const DEPLOYMENTS: &str = "/api/v1/deployments";
const PREVIEWS: &str = "/api/v1/previews";

/// A create that the Hetzner plugin accepts without a remark.
fn current() -> Value {
    let mut body = hetzner();
    body["regions"][0]["controlPlaneSize"] = json!("cx43");
    body["regions"][0]["workerSize"] = json!("cx33");
    body
}

/// The findings of a refused body: those of a preview, which a create gives as well.
async fn refused(server: &Server, body: &Value) -> Vec<Value> {
    let previewed = server.post(PREVIEWS, body).await;
    assert_eq!(previewed.status, 200, "{}", previewed.text());
    let (previewed, created) = (previewed.json(), server.post(DEPLOYMENTS, body).await);
    assert_eq!((created.status, &previewed["valid"]), (400, &json!(false)), "{}", created.text());
    let created = created.json();
    assert_eq!(created["findings"], previewed["findings"]);
    let error = created["error"].as_str().unwrap();
    let found = previewed["findings"].as_array().unwrap().clone();
    for finding in found.iter().filter(|finding| finding["severity"] == "error") {
        assert!(error.contains(finding["message"].as_str().unwrap()), "{finding} is not in {error}");
    }
    assert!(server.store.list().is_empty(), "a refused request leaves nothing behind");
    found
}

/// `pointer code` of findings of one weight.
fn short(findings: &[Value], severity: &str) -> BTreeSet<String> {
    let of_weight = findings.iter().filter(|finding| finding["severity"] == severity);
    of_weight.map(|f| format!("{} {}", f["pointer"].as_str().unwrap(), f["code"].as_str().unwrap())).collect()
}

fn message<'a>(findings: &'a [Value], pointer: &str) -> &'a str {
    let found = findings.iter().find(|finding| finding["pointer"] == pointer);
    found.unwrap_or_else(|| panic!("nothing at {pointer}: {findings:?}"))["message"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn host_and_cloud_are_named_at_once_by_preview_and_create_alike() {
    let server = Server::with(&[]).await;
    let mut body = current();
    body["orgName"] = json!(7);
    body["orgEmail"] = json!("nobody");
    body["sovereignFQDN"] = json!("A..b");
    body["hetznerToken"] = json!(" ");
    body.as_object_mut().unwrap().remove("hetznerProjectID");
    body["regions"][0] = json!({"provider": "hetzner", "cloudRegion": "mars1", "controlPlaneSize": "t3.large",
                                "workerSize": "cx33", "workerCount": "2", "workerCont": 3});
    body["k3sVersion"] = json!("1.31");
    body["k3sVerison"] = json!("v1.31.4+k3s1");
    body["fluxVersion"] = json!("v2.2.3");
    body["enableFail2ban"] = json!("yes");
    body["sshAllowedCidrs"] = json!(["10.0.0.0/8", 7]);
    let found = refused(&server, &body).await;
    let errors = [
        "/orgName wrong-type",
        "/regions/0/workerCount wrong-type",
        "/regions/0/cloudRegion unknown-region",
        "/regions/0/controlPlaneSize machine-type",
        "/hetznerToken required",
        "/hetznerProjectID required",
        "/sovereignFQDN dns-name",
        "/orgEmail email",
        "/k3sVersion pattern",
        "/fluxVersion flux-too-old",
        "/enableFail2ban wrong-type",
        "/sshAllowedCidrs/1 wrong-type",
    ];
    assert_eq!(short(&found, "error"), errors.map(str::to_owned).into(), "{found:?}");
    let warnings = ["/k3sVerison unknown-key", "/regions/0/workerCont unknown-key"];
    assert_eq!(short(&found, "warning"), warnings.map(str::to_owned).into(), "{found:?}");
    assert!(message(&found, "/k3sVerison").contains("the nearest one is k3sVersion"), "{found:?}");
    assert!(message(&found, "/regions/0/workerCont").contains("the nearest one is workerCount"), "{found:?}");
    assert_eq!(found.len(), errors.len() + warnings.len(), "each is named once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rests_on_a_field_that_is_broken_is_not_judged() {
    let server = Server::with(&[]).await;
    // With a number of workers it would run out of memory, with a release it would not fit.
    let mut body = current();
    body["regions"][0] =
        json!({"provider": "hetzner", "cloudRegion": "fsn1", "controlPlaneSize": "cx23", "workerCount": "2"});
    body["fluxVersion"] = json!("v2.7.2");
    body["k3sVersion"] = json!(["v1.31.4+k3s1"]);
    let found = refused(&server, &body).await;
    assert_eq!(
        short(&found, "error"),
        ["/k3sVersion wrong-type", "/regions/0/workerCount wrong-type"].map(str::to_owned).into()
    );
    assert_eq!(found.len(), 2, "{found:?}");
    body["regions"] = json!("fsn1");
    let found = refused(&server, &body).await;
    assert_eq!(short(&found, "error"), ["/k3sVersion wrong-type", "/regions wrong-type"].map(str::to_owned).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_keys_are_remarks_with_the_nearest_key_and_refuse_nothing() {
    let server = Server::with(&[]).await;
    let mut body = create_body("remarks.example");
    body["orgNmae"] = json!("s3ntinel");
    body["regions"][0]["wokerSize"] = json!("s3ntinel");
    body["rehearsalApiprot"] = json!("s3ntinel");
    body["hetznerProjectID"] = json!("s3ntinel");
    body["somethingElse"] = json!("s3ntinel");
    let previewed = server.post(PREVIEWS, &body).await.json();
    assert_eq!(previewed["valid"], true, "{previewed}");
    let found = previewed["findings"].as_array().unwrap();
    let all = [
        "/orgNmae unknown-key",
        "/regions/0/wokerSize unknown-key",
        "/rehearsalApiprot unknown-key",
        "/hetznerProjectID key-of-other-provider",
        "/somethingElse unknown-key",
    ];
    assert_eq!(short(found, "warning"), all.map(str::to_owned).into());
    assert_eq!(found.len(), all.len(), "{found:?}");
    for (pointer, nearest) in [
        ("/orgNmae", "orgName"),
        ("/regions/0/wokerSize", "workerSize"),
        ("/rehearsalApiprot", "rehearsalApiPort"),
        ("/hetznerProjectID", "Hetzner"),
    ] {
        assert!(message(found, pointer).contains(nearest), "{pointer}: {found:?}");
    }
    assert!(!message(found, "/somethingElse").contains("nearest"), "none is made up");
    let created = server.post(DEPLOYMENTS, &body).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let answer = created.json();
    let events = server.get(&format!("{DEPLOYMENTS}/{}/events", answer["id"].as_str().unwrap())).await.text();
    for finding in found {
        assert!(events.contains(finding["message"].as_str().unwrap()), "{finding} is not in {events}");
    }
    assert!(!events.contains("s3ntinel") && !previewed.to_string().contains("s3ntinel"), "values stay out of it");
    server.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_within_settings_are_looked_at_too() {
    let server = Server::with(&[]).await;
    let mut body = create_body("nested.example");
    body["regions"] = json!([{"provider": "openstack", "cloudRegion": "RegionOne", "controlPlaneSize": "m1.large"}]);
    body.as_object_mut().unwrap().retain(|key, _| !key.starts_with("rehearsal"));
    body["openstackApplicationCredentialID"] = json!("0123456789abcdef");
    body["openstackApplicationCredentialSecret"] = json!("sentinel-of-the-cloud");
    body["openstackExternalNetwork"] = json!("Ext-Net");
    body["openstackFlavors"] = json!([{"name": "m1.large", "memoryGib": 16}, {"name": "m2", "diskGiB": "much"}, {}]);
    body["openstackLoadBalancer"] = json!("metal");
    let found = refused(&server, &body).await;
    let errors = [
        "/openstackAuthUrl required",
        "/openstackFlavors/1/diskGiB wrong-type",
        "/openstackFlavors/2/name required",
        "/openstackLoadBalancer choice",
    ];
    assert_eq!(short(&found, "error"), errors.map(str::to_owned).into(), "{found:?}");
    assert_eq!(short(&found, "warning"), ["/openstackFlavors/0/memoryGib unknown-key".to_owned()].into());
    assert!(message(&found, "/openstackFlavors/0/memoryGib").contains("the nearest one is memoryGiB"));
    assert!(message(&found, "/openstackLoadBalancer").contains("octavia, none"), "{found:?}");
}

/// Who pastes a token into the wrong field is not shown it, and a body of nothing but mistakes is no long answer.
#[tokio::test(flavor = "multi_thread")]
async fn findings_hold_no_secret_and_have_an_end() {
    let server = Server::with(&[]).await;
    let token = "s3ntinel".repeat(8);
    let mut body = current();
    body["hetznerToken"] = json!(token);
    for key in ["orgName", "sovereignFQDN", "orgEmail", "k3sVersion", "gitopsPath", "sshPublicKey", "region"] {
        body[key] = json!(format!("{token}\u{7}"));
    }
    body["sshAllowedCidrs"] = json!([token]);
    body["regions"][0]["cloudRegion"] = json!(token);
    body["regions"][0]["controlPlaneSize"] = json!(token);
    body["regions"][0][&token] = json!(1);
    body[&token] = json!(1);
    let found = refused(&server, &body).await;
    assert!(found.len() >= 10, "{found:?}");
    assert!(!json!(found).to_string().contains("s3ntinel"), "{found:?}");

    let many = |prefix: &str| (0..200).map(move |n| (format!("{prefix}{n}"), json!("x".repeat(20)))).collect::<Value>();
    let mut body = current();
    body.as_object_mut().unwrap().extend(many("unheardOf").as_object().unwrap().clone());
    body["regions"] = Value::from(vec![many("more"); 20]);
    body["regions"][0]["provider"] = json!("hetzner");
    body["sshAllowedCidrs"] = json!((0..500).collect::<Vec<_>>());
    let found = refused(&server, &body).await;
    assert_eq!(found.len(), 100);
    assert_eq!(found[99]["code"], "more-findings");
    assert!(found.iter().all(|finding| finding["message"].as_str().unwrap().len() <= 1024));
    assert!(short(&found, "error").contains("/regions/0/cloudRegion required"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn t8_t13_t15_a_preview_tells_releases_keys_and_types_that_do_not_do() {
    let server = Server::with(&[]).await;
    let mut body = current();
    body["regions"][0]["controlPlaneSize"] = json!("cx22");
    body["regions"][0]["workerSize"] = json!("cpx31");
    body["regions"][0]["cloudRegion"] = json!("ash");
    body["fluxVersion"] = json!("v2.7.2");
    body["sshPublicKey"] = json!(
        "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fAAAABHNzaDo= me"
    );
    let previewed = server.post(PREVIEWS, &body).await.json();
    assert_eq!(previewed["valid"], true, "{previewed}");
    let found = previewed["findings"].as_array().unwrap();
    let retired = message(found, "/regions/0/controlPlaneSize");
    assert!(retired.contains("Take cpx22") && !retired.contains("cx23"), "{retired}");
    assert!(message(found, "/fluxVersion").contains("Kubernetes 1.32 or later"), "{found:?}");
    for (version, code) in
        [("v2.0.0", "flux-too-old"), ("v2.2.3", "flux-too-old"), ("2.2.3", "pattern"), ("latest", "pattern")]
    {
        body["fluxVersion"] = json!(version);
        assert_eq!(
            short(&refused(&server, &body).await, "error"),
            [format!("/fluxVersion {code}")].into(),
            "{version}"
        );
    }
}
