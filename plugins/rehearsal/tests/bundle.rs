//! The bundle of the rehearsal cloud, against goldens and the real tools.
#![expect(clippy::unwrap_used, reason = "a test may stop at once")]

use std::path::{Path, PathBuf};
use std::process::Command;

use catalyst_plugin_rehearsal::{Rehearsal, template_variables};
use catalyst_plugin_sdk::template::Variables;
use catalyst_plugin_sdk::testing::{self, Case};
use catalyst_plugin_sdk::{
    Asked, DeploymentRequest, Diagnostic, DiagnosticKind, DomainMode, Outputs, Provisioner, RegionSlot, RenderContext,
    Rendered, bundle,
};

const MODULE: &str = "../../infra/rehearsal";
const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn request() -> DeploymentRequest {
    DeploymentRequest {
        org_name: "Example <& Sons> \"${file(\"/etc/shadow\")}\"".to_owned(),
        org_email: "ops@example.test".to_owned(),
        sovereign_fqdn: "acme.example.test".to_owned(),
        domain_mode: DomainMode::Byo,
        pool_domain: String::new(),
        subdomain: String::new(),
        region: String::new(),
        control_plane_size: String::new(),
        worker_size: String::new(),
        worker_count: 0,
        ha_enabled: false,
        regions: vec![RegionSlot {
            provider: "rehearsal".to_owned(),
            cloud_region: "local-1".to_owned(),
            control_plane_size: "medium".to_owned(),
            worker_size: "small".to_owned(),
            worker_count: 0,
        }],
        ssh_public_key: String::new(),
        extra: r#"{"rehearsalApiPort":16443}"#.to_owned(),
    }
}

fn ha_request() -> DeploymentRequest {
    let mut request = DeploymentRequest { ha_enabled: true, worker_count: 2, ..request() };
    request.regions[0].worker_count = 2;
    request
}

fn context() -> RenderContext {
    RenderContext {
        public_url: "http://127.0.0.1:8080/sovereign".to_owned(),
        gitops_repo_url: "https://git.example.test/openova".to_owned(),
        gitops_branch: "main".to_owned(),
        present_secrets: ["kubeconfig-bearer", "k3s-token", "ghcr-pull-token"].map(str::to_owned).to_vec(),
    }
}

fn hole_value(name: &str) -> String {
    match name {
        "load_balancer_ipv4" => "127.0.0.1".to_owned(),
        "server_url" => "https://10.0.1.2:6443".to_owned(),
        "deployment_id" => "00112233aabbccdd".to_owned(),
        _ => TOKEN.to_owned(),
    }
}

fn content<'a>(bundle: &'a Rendered, path: &str) -> &'a str {
    let file = bundle.files.iter().find(|file| file.path == path).unwrap();
    std::str::from_utf8(&file.content).unwrap()
}

#[test]
fn bundles_are_those_of_the_goldens() {
    for (name, request) in [("solo", request()), ("ha", ha_request())] {
        let bundle = Rehearsal::render(&request, &context()).unwrap();
        assert_eq!(bundle, Rehearsal::render(&request, &context()).unwrap(), "twice the same");
        testing::check_golden(&Path::new("goldens").join(name), &bundle).unwrap();
    }
}

#[test]
fn templates_mean_the_same_before_and_after_for_generated_requests() {
    let mut cases = Vec::new();
    for request in testing::requests(&request(), 200) {
        let bundle = Rehearsal::render(&request, &context()).unwrap();
        for (path, variables) in template_variables(&request, &context()).unwrap() {
            push_pair(&mut cases, content(&bundle, path), path, &variables);
        }
    }
    assert!(cases.len() >= 2 * 3 * 200);
    let texts = testing::templatefile(&cases).unwrap();
    for (pair, case) in texts.chunks(2).zip(cases.chunks(2)) {
        assert_eq!(String::from_utf8_lossy(&pair[0]), String::from_utf8_lossy(&pair[1]), "{}", case[0].variables);
    }
}

fn push_pair(cases: &mut Vec<Case>, rendered: &str, path: &str, variables: &Variables) {
    let original = std::fs::read_to_string(Path::new(MODULE).join(path)).unwrap();
    let values = variables.to_json(hole_value);
    cases.push(Case { template: original, variables: values.clone() });
    cases.push(Case { template: rendered.to_owned(), variables: values });
}

/// Runs the bundle as the host does, and gives the user data of each node.
fn apply(folder: &Path, variables: &serde_json::Value) -> serde_json::Value {
    std::fs::write(folder.join("terraform.tfvars.json"), variables.to_string()).unwrap();
    let tofu = |args: &[&str]| {
        let output = Command::new(testing::tofu_binary()).args(args).current_dir(folder).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {words}");
        output.stdout
    };
    tofu(&["init", "-input=false", "-no-color"]);
    tofu(&["apply", "-input=false", "-no-color", "-auto-approve"]);
    let outputs = String::from_utf8(tofu(&["output", "-json", "-no-color"])).unwrap();
    let outputs = &outputs[outputs.find('{').unwrap()..];
    let endpoints = Rehearsal::read_outputs(&outputs.parse::<Outputs>().unwrap()).unwrap();
    assert_eq!(endpoints.kubeconfig_hosts, ["127.0.0.1", "acme.example.test"]);
    let outputs: serde_json::Value = serde_json::from_str(outputs).unwrap();
    assert_eq!(outputs["user_data"]["sensitive"], true);
    outputs["user_data"]["value"].clone()
}

#[test]
fn a_real_apply_gives_each_node_the_user_data_of_the_plain_module() {
    let bundle = Rehearsal::render(&ha_request(), &context()).unwrap();
    let mut variables: serde_json::Value = serde_json::from_str(&bundle.variables).unwrap();
    variables["deployment_id"] = "00112233aabbccdd".into();
    for secret in &bundle.secret_variables {
        variables[&secret.variable] = TOKEN.into();
    }
    let staged = tempfile::tempdir().unwrap();
    for file in &bundle.files {
        std::fs::write(staged.path().join(&file.path), &file.content).unwrap();
    }
    let plain = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(MODULE).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "tf" || end == "tftpl") {
            std::fs::copy(&path, plain.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let user_data = apply(staged.path(), &variables);
    assert_eq!(user_data, apply(plain.path(), &variables));
    for node in ["cp1", "cp2", "cp3", "w1", "w2"] {
        let text = user_data[node].as_str().unwrap();
        let parsed = testing::check_user_data(text).unwrap();
        assert_eq!(text.contains("Authorization: Bearer"), node == "cp1", "{node}");
        let bound = bundle.user_data.iter().map(|size| size.bytes).max().unwrap();
        assert!(text.len() <= usize::try_from(bound).unwrap());
        if node == "cp1" {
            let sovereign = &parsed.file("/var/lib/catalyst/sovereign.json").unwrap().content;
            let sovereign: serde_json::Value = serde_json::from_str(sovereign).unwrap();
            assert_eq!(sovereign["orgName"], ha_request().org_name.as_str());
            assert_eq!(parsed.file("/etc/catalyst/postback-header").unwrap().permissions, "0600");
        }
    }
}

#[test]
fn what_the_module_would_refuse_is_a_finding_at_its_key() {
    let mut request = request();
    request.regions[0].cloud_region = "local-9".to_owned();
    request.regions[0].control_plane_size = "huge".to_owned();
    request.regions[0].worker_count = 51;
    request.ssh_public_key = "ssh-ed25519 AAAA".to_owned();
    request.org_name = "a\u{7}b".to_owned();
    request.sovereign_fqdn = "Not A Name".to_owned();
    request.extra = r#"{"rehearsalApiPort":0,"rehearsalFail":"never","x":["\u0000"]}"#.to_owned();
    let findings = Rehearsal::validate(&request);
    let found: Vec<&str> = findings.iter().map(|f| f.pointer.as_str()).collect();
    for pointer in [
        "/regions/0/cloudRegion",
        "/regions/0/controlPlaneSize",
        "/regions/0/workerCount",
        "/sshPublicKey",
        "/orgName",
        "/sovereignFQDN",
        "/rehearsalApiPort",
        "/rehearsalFail",
        "/x/0",
    ] {
        assert!(found.contains(&pointer), "{pointer} in {found:?}");
    }
    assert_eq!(Rehearsal::render(&request, &context()).unwrap_err(), findings);
    request.regions.clear();
    request.region = "local-9".to_owned();
    assert!(Rehearsal::validate(&request).iter().any(|f| f.pointer == "/region"));
}

#[test]
fn a_blank_request_gives_no_nonsense() {
    let blank = DeploymentRequest {
        org_name: String::new(),
        org_email: String::new(),
        sovereign_fqdn: String::new(),
        regions: Vec::new(),
        extra: "{}".to_owned(),
        ..request()
    };
    assert_eq!(Rehearsal::validate(&blank).iter().count(), 0);
}

#[test]
fn diagnostics_get_plain_words() {
    let diagnostic = |detail: &str| Diagnostic {
        summary: "Resource postcondition failed".to_owned(),
        detail: detail.to_owned(),
        address: Some("terraform_data.control_plane[0]".to_owned()),
    };
    let detail = "error during placement (resource_unavailable): no capacity left for medium in local-1";
    let asked = Asked::default();
    let advice = Rehearsal::diagnose(&diagnostic(detail), &asked);
    assert_eq!(advice.kind, DiagnosticKind::Capacity);
    assert_eq!(advice.alternatives[0].region.as_deref(), Some("local-2"));
    assert_eq!(Rehearsal::diagnose(&diagnostic("something else"), &asked).kind, DiagnosticKind::Other);
    let limit = Rehearsal::describe().user_data_limit;
    let bundle = Rehearsal::render(&request(), &context()).unwrap();
    assert!(bundle.user_data.iter().all(|size| size.bytes < limit));
    assert_eq!(bundle::file("a", "b").mode, 0o600);
}
