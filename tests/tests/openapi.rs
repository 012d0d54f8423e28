//! The document of the API against a running host: what it says is what is answered, whatever is sent.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use catalyst_domain::kubeconfig::sha256_hex;
use catalyst_tests::host::{Host, built, wait_for};
use catalyst_tests::pdm::Pdm;
use catalyst_tests::tools;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

/// The bearer of every planted deployment that accepts a kubeconfig.
const BEARER: &str = "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0";

const KUBECONFIG: &str = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "d",
    "clusters": [{"name": "d", "cluster": {"server": "https://192.0.2.7:6443"}}],
    "users": [{"name": "d", "user": {"token": "t"}}],
    "contexts": [{"name": "d", "context": {"cluster": "d", "user": "d"}}]}"#;

/// A create that the rehearsal cloud accepts, and whose run ends soon.
fn create(fqdn: &str) -> Value {
    json!({
        "orgName": "Acme", "orgEmail": "ops@acme.example", "sovereignFQDN": fqdn, "sovereignDomainMode": "byo-manual",
        "regions": [{"provider": "rehearsal", "cloudRegion": "local-1", "controlPlaneSize": "medium"}],
        "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ ops",
        "rehearsalToken": "sentinel-of-the-request", "rehearsalFail": "plan",
    })
}

fn plant(host: &Host, number: u8, status: &str, more: &Value) -> String {
    let id = format!("{number:016x}");
    let mut record = json!({
        "schema": 1, "id": id, "status": status, "startedAt": "2026-04-29T10:00:00Z", "finishedAt": "2026-04-29T11:00:00Z",
        "request": create(&format!("planted-{number}.example")),
        "provider": {"id": "rehearsal", "version": "0.1.0", "digest": "d"},
    });
    record["request"].as_object_mut().unwrap().remove("rehearsalToken");
    for (key, value) in more.as_object().unwrap() {
        record[key] = value.clone();
    }
    host.plant(&record);
    id
}

/// Deployments in every state that stays as it is, so that every stream of one comes to its end.
fn planted(host: &Host) -> (Vec<String>, Vec<String>) {
    let result = json!({"sovereignFQDN": "planted-1.example", "controlPlaneIP": "192.0.2.6", "loadBalancerIP": "192.0.2.7",
        "consoleURL": "https://console.planted-1.example", "gitopsRepoURL": "https://gitea.planted-1.example",
        "kubeconfigPath": "0000000000000001.yaml", "componentStates": {"cilium": "installed"},
        "phase1FinishedAt": "2026-04-29T10:59:59.123Z"});
    let whole = json!({"result": result, "kubeconfigSha256": sha256_hex(KUBECONFIG.as_bytes()),
        "kubeconfigBearerHash": sha256_hex(BEARER.as_bytes()), "phase0FinishedAt": "2026-04-29T10:30:00Z"});
    let ready = plant(host, 1, "ready", &whole);
    let kubeconfigs = host.folder().join("kubeconfigs");
    std::fs::create_dir_all(&kubeconfigs).unwrap();
    std::fs::write(kubeconfigs.join(format!("{ready}.yaml")), KUBECONFIG).unwrap();
    let destroyed = plant(host, 2, "destroyed", &json!({}));
    let failed = plant(host, 3, "failed", &json!({"error": "tofu plan: no"}));
    let hash = json!({"error": "tofu apply: no", "kubeconfigBearerHash": sha256_hex(BEARER.as_bytes())});
    let mut accepting: Vec<String> = (10..40).map(|number| plant(host, number, "failed", &hash)).collect();
    accepting.push(ready.clone());
    (vec![ready, destroyed, failed], accepting)
}

/// Only the plugin that costs nothing: another one would be asked to send credentials out.
fn plugins() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(built("plugins/rehearsal.wasm"), folder.path().join("rehearsal.wasm")).unwrap();
    std::fs::write(folder.path().join("broken.wasm"), "no component").unwrap();
    folder
}

#[test]
fn the_document_is_valid() {
    let document = Command::new(built("release/catalyst")).arg("openapi").output().unwrap();
    assert!(document.status.success(), "{}", String::from_utf8_lossy(&document.stderr));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, &document.stdout).unwrap();
    let said = Command::new(tools::path("openapi-spec-validator").unwrap()).arg(&file).output().unwrap();
    assert!(
        said.status.success(),
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );

    let served = Host::start(&[]).api.get("/api/v1/openapi.json");
    assert_eq!((served.status, served.header("content-type")), (200, Some("application/json")));
    assert_eq!(served.json(), serde_json::from_slice::<Value>(&document.stdout).unwrap());
}

#[test]
fn whatever_is_sent_gets_an_answer_that_the_document_names() {
    let pdm = Pdm::start();
    let plugins = plugins();
    let mut host = Host::prepare(&[
        ("CATALYST_PLUGINS_DIR", plugins.path().to_str().unwrap()),
        ("POOL_DOMAIN_MANAGER_URL", &pdm.http.url()),
        ("DYNADOT_MANAGED_DOMAINS", "pool.example"),
        // An answered GET is told at debug only.
        ("RUST_LOG", "info,catalyst::http=debug"),
    ]);
    let (mut deployments, accepting) = planted(&host);
    host.up();
    let made = host.api.post("/api/v1/deployments", &create("made.example").to_string());
    assert_eq!(made.status, 201, "{}", made.body);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    wait_for("the end of its run", Duration::from_secs(60), || {
        (host.api.get(&format!("/api/v1/deployments/{id}")).json()["status"] == "failed").then_some(())
    });
    deployments.push(id.clone());

    let scene = json!({"deployments": deployments, "accepting": accepting, "create": create("x.example"),
        "pool": "pool.example", "rendered": id, "kubeconfig": KUBECONFIG});
    let begun = Instant::now();
    let bearer = ["-H".to_owned(), format!("Authorization: Bearer {BEARER}")];
    let (passed, said) = check(&host, &scene, 40, &bearer);
    assert!(passed, "{said}");
    assert!(begun.elapsed() < LIMIT, "bounded, so that it stays part of every change: {:?}", begun.elapsed());
    // A pass that met nothing but refusals would prove little.
    let met = met(&host.trace());
    let unmet: Vec<_> = MET
        .iter()
        .filter(|(method, route, status)| !met.contains(&((*method).to_owned(), (*route).to_owned(), *status)))
        .collect();
    assert!(unmet.is_empty(), "never answered: {unmet:?}; answered: {met:?}");
}

#[test]
fn h1_whatever_is_sent_by_whom_gets_an_answer_that_the_document_names() {
    let (pdm, plugins) = (Pdm::start(), plugins());
    let tokens = tempfile::tempdir().unwrap();
    let file = tokens.path().join("tokens");
    let digest = |token: &str| sha256_hex(token.as_bytes());
    let lines = ["admin", "read", "create"].map(|scope| format!("of-{scope} {scope} sha256:{}\n", digest(scope)));
    std::fs::write(&file, lines.concat()).unwrap();
    let mut host = Host::prepare(&[
        ("CATALYST_PLUGINS_DIR", plugins.path().to_str().unwrap()),
        ("CATALYST_AUTH", "token"),
        ("CATALYST_AUTH_TOKENS", file.to_str().unwrap()),
        ("POOL_DOMAIN_MANAGER_URL", &pdm.http.url()),
        ("DYNADOT_MANAGED_DOMAINS", "pool.example"),
        ("RUST_LOG", "info,catalyst::http=debug"),
    ]);
    let (deployments, accepting) = planted(&host);
    host.up();
    // Most may do all, so that what is behind the door is met too.
    let shown = ["admin", "admin", "admin", "admin", "admin", "read", "create", "wrong", ""];
    let scene = json!({"deployments": deployments, "accepting": accepting, "create": create("x.example"),
        "pool": "pool.example", "rendered": deployments[0], "bearer": BEARER, "tokens": shown,
        "kubeconfig": KUBECONFIG});
    let (passed, said) = check(&host, &scene, 20, &[]);
    assert!(passed, "{said}");
    let met = met(&host.trace());
    for (method, route, status) in
        [("GET", "/api/v1/deployments/{id}", 200), ("PUT", "/api/v1/deployments/{id}/kubeconfig", 204)]
    {
        assert!(met.contains(&(method.to_owned(), route.to_owned(), status)), "{method} {route} {status}: {met:?}");
    }
    // On which route is chance: after many wrong tokens the address is answered 429 for a while.
    for (method, status) in [("GET", 401), ("GET", 403), ("DELETE", 403), ("POST", 401)] {
        assert!(met.iter().any(|(of, _, got)| of == method && *got == status), "{method} {status}: {met:?}");
    }
}

/// Method, route and status of every answer in a trace.
fn met(trace: &str) -> BTreeSet<(String, String, u64)> {
    let lines = trace.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter_map(|line| {
            let word = |key: &str| Some(line["span"][key].as_str()?.to_owned());
            Some((word("http.method")?, word("http.route")?, line["http.status"].as_u64()?))
        })
        .collect()
}

/// Answers that must have been met.
const MET: &[(&str, &str, u64)] = &[
    ("POST", "/api/v1/deployments", 201),
    ("POST", "/api/v1/deployments", 400),
    ("GET", "/api/v1/deployments/{id}", 200),
    ("GET", "/api/v1/deployments/{id}", 404),
    ("GET", "/api/v1/deployments/{id}/logs", 200),
    ("GET", "/api/v1/deployments/{id}/events", 200),
    ("GET", "/api/v1/deployments/{id}/kubeconfig", 200),
    ("GET", "/api/v1/deployments/{id}/kubeconfig", 409),
    ("PUT", "/api/v1/deployments/{id}/kubeconfig", 204),
    ("PUT", "/api/v1/deployments/{id}/kubeconfig", 401),
    ("PUT", "/api/v1/deployments/{id}/kubeconfig", 403),
    ("PUT", "/api/v1/deployments/{id}/kubeconfig", 422),
    ("POST", "/api/v1/deployments/{id}/phases/{phase}/retry", 200),
    ("POST", "/api/v1/deployments/{id}/phases/{phase}/retry", 409),
    ("DELETE", "/api/v1/deployments/{id}", 202),
    ("DELETE", "/api/v1/deployments/{id}", 409),
    ("POST", "/api/v1/previews", 200),
    ("POST", "/api/v1/subdomains/check", 200),
    ("POST", "/api/v1/registrar/{registrar}/validate", 200),
    ("GET", "/api/v1/providers/{id}", 200),
];

/// Some three times what a quiet machine takes.
const LIMIT: Duration = Duration::from_secs(180);

/// Whether every answer conforms, and what the checker said.
fn check(host: &Host, scene: &Value, examples: u32, more: &[String]) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let hooks = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/schemathesis/hooks.py");
    let checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                  response_schema_conformance,unsupported_method,allow_header_conformance";
    let mut command = Command::new(tools::path("schemathesis").unwrap());
    command
        .args(["run", &format!("http://{}/api/v1/openapi.json", host.address())])
        .args(["--checks", checks, "--phases", "examples,coverage,fuzzing", "--seed", "1"])
        .args(["--max-examples", &examples.to_string()])
        // One thread: the parser of Python 3.11 keeps its depth for all of them, and fails when two of them parse.
        .args(["--generation-database", "none", "--workers", "1", "--request-timeout", "20", "--no-color"])
        .args(["--suppress-health-check", "all", "--warnings", "off", "--continue-on-failure"])
        .args(more)
        .env("SCHEMATHESIS_HOOKS", hooks)
        .env("CATALYST_SCENE", scene.to_string())
        .current_dir(folder.path());
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}
