//! Bad input through the socket: a 4xx answer in JSON that names field and rule, everything at once, and nothing created.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use catalyst_tests::host::Host;
use serde_json::{Value, json};

const CREATE: &str = "/api/v1/deployments";

fn good() -> Value {
    json!({
        "orgName": "Acme", "orgEmail": "ops@acme.example", "sovereignFQDN": "a.acme.example",
        "regions": [{"provider": "rehearsal", "cloudRegion": "local-1", "controlPlaneSize": "medium"}],
        "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ ops",
    })
}

fn with(changes: Value) -> String {
    let mut body = good();
    body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    body.to_string()
}

/// Posts and returns the answer's status and its findings as `pointer code`.
fn refused(host: &Host, body: &str) -> (u16, Vec<String>, String) {
    let answer = host.api.post(CREATE, body);
    let json = answer.json();
    let error = json["error"].as_str().unwrap_or_else(|| panic!("no error text in {json}")).to_owned();
    let findings = json["findings"].as_array().cloned().unwrap_or_default();
    let short = |f: &Value| format!("{} {}", f["pointer"].as_str().unwrap(), f["code"].as_str().unwrap());
    (answer.status, findings.iter().map(short).collect(), error)
}

fn created(host: &Host) -> usize {
    let names = std::fs::read_dir(host.folder().join("deployments")).unwrap().map(|e| e.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".json")).count()
}

#[test]
fn whatever_is_wrong_is_named_at_once_and_nothing_is_created() {
    let host = Host::start(&[]);
    let region = |key: &str, value: Value| {
        let mut slot = good()["regions"][0].clone();
        slot[key] = value;
        with(json!({"regions": [slot]}))
    };
    let huge = with(json!({"orgName": "x".repeat(300 * 1024)}));
    let cases: Vec<(String, u16, &str)> = vec![
        (String::new(), 400, " invalid-json"),
        ("{\"orgName\":".into(), 400, " invalid-json"),
        ("[1]".into(), 400, " invalid-json"),
        (with(json!({"orgName": 7})), 400, "/orgName wrong-type"),
        (with(json!({"regions": "here"})), 400, "/regions wrong-type"),
        (with(json!({"regions": []})), 400, "/regions no-provider"),
        (region("provider", json!("atlantis")), 400, "/regions/0/provider unknown-provider"),
        (region("provider", json!("../etc")), 400, "/regions/0/provider unknown-provider"),
        (region("provider", json!("")), 400, "/regions/0/provider required"),
        (region("cloudRegion", json!("")), 400, "/regions/0/cloudRegion required"),
        (region("workerCount", json!(-1)), 400, "/regions/0/workerCount negative"),
        (region("workerCount", json!(1.5)), 400, "/regions/0/workerCount wrong-type"),
        (with(json!({"sovereignFQDN": "A..b"})), 400, "/sovereignFQDN dns-name"),
        (with(json!({"orgEmail": "nobody"})), 400, "/orgEmail email"),
        (with(json!({"orgName": "a\u{7}b"})), 400, "/orgName forbidden-character"),
        (with(json!({"sshPublicKey": ""})), 400, "/sshPublicKey required"),
        (with(json!({"sovereignDomainMode": "pool"})), 400, "/sovereignPoolDomain required"),
    ];
    for (body, status, wanted) in cases {
        let (got, findings, error) = refused(&host, &body);
        assert_eq!(got, status, "{body}: {error}");
        assert!(findings.iter().any(|finding| finding == wanted), "{wanted} is not in {findings:?} for {body}");
        assert!(!error.is_empty());
    }
    // What cannot be read hides neither an unknown cloud nor a missing credential of a known one.
    let (_, findings, _) = refused(&host, r#"{"orgName":7,"regions":[{"provider":"atlantis"}]}"#);
    for wanted in ["/orgName wrong-type", "/regions/0/provider unknown-provider", "/orgEmail required"] {
        assert!(findings.iter().any(|finding| finding == wanted), "{wanted}: {findings:?}");
    }
    let (_, findings, _) = refused(&host, r#"{"orgName":7,"regions":[{"provider":"hetzner"}]}"#);
    assert!(findings.iter().any(|finding| finding == "/hetznerToken required"), "{findings:?}");
    let (status, findings, _) = refused(&host, "{\"regions\":[{\"provider\":\"rehearsal\",\"workerCount\":2}]}");
    let wanted = [
        "/regions/0/cloudRegion required",
        "/regions/0/controlPlaneSize required",
        "/regions/0/workerSize required",
        "/sovereignFQDN required",
        "/orgName required",
        "/orgEmail required",
        "/sshPublicKey required",
    ];
    assert_eq!(status, 400);
    assert!(wanted.iter().all(|w| findings.iter().any(|f| f == w)), "{findings:?}");
    let (status, _, error) = refused(&host, &huge);
    assert_eq!((status, error.as_str()), (413, "body-too-large"));
    assert_eq!(created(&host), 0, "a refused request must leave nothing behind");
}

#[test]
fn the_cloud_of_a_real_provider_names_its_own_rules_in_the_order_of_the_contract() {
    let host = Host::start(&[]);
    let slot = json!({"provider": "hetzner", "cloudRegion": "fsn1", "controlPlaneSize": "cx43", "workerCount": 51, "workerSize": "cx33"});
    let body =
        with(json!({"regions": [slot], "hetznerToken": "demo-mode-1234", "hetznerProjectID": " ", "orgName": ""}));
    let (status, findings, error) = refused(&host, &body);
    assert_eq!(status, 400);
    assert_eq!(
        findings,
        [
            "/regions/0/workerCount too-many-workers",
            "/hetznerToken made-up",
            "/hetznerProjectID required",
            "/orgName required"
        ],
        "{error}"
    );
    for part in ["hetzner token", "project ID", "organisation name"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!error.contains("demo-mode-1234"), "a refused secret must not come back");
    assert_eq!(created(&host), 0);
}

#[test]
fn hostile_ids_name_no_deployment() {
    let host = Host::start(&[]);
    let long = "a".repeat(10_000);
    for id in [
        "..",
        "%2e%2e",
        "..%2f..%2fetc%2fpasswd",
        "%00",
        "0123456789ABCDEF",
        "0123456789abcdeg",
        &long,
        "%ff%fe",
        "a%20b",
    ] {
        for rest in ["", "/events", "/logs", "/kubeconfig"] {
            let answer = host.api.get(&format!("/api/v1/deployments/{id}{rest}"));
            assert_eq!(answer.status, 404, "{id}{rest}: {}", answer.body);
            assert!(answer.json()["error"].is_string());
        }
        let put = host.api.put(&format!("/api/v1/deployments/{id}/kubeconfig"), Some("Bearer x"), "x");
        assert_eq!(put.status, 404, "{id}: {}", put.body);
        let retry = host.api.post(&format!("/api/v1/deployments/{id}/phases/tofu-apply/retry"), "");
        assert_eq!(retry.status, 404, "{id}: {}", retry.body);
    }
    assert_eq!(host.api.get("/api/v1/nothing").json()["error"], "not-found");
    assert_eq!(host.api.post("/healthz", "").status, 405);
}

#[test]
fn a_tofu_configuration_that_is_not_there_does_not_keep_the_host_down() {
    let host = Host::start(&[("TF_CLI_CONFIG_FILE", "/nowhere/tofurc")]);
    assert_eq!(host.api.get("/readyz").json()["ready"], true);
}
