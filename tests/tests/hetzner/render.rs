//! `catalyst render`: the folder that it writes, applied by plain OpenTofu without a host.

use crate::kit::{NAME, Turn, request};
use catalyst_plugin_hetzner::Hetzner;
use catalyst_plugin_sdk::{Provisioner, RenderContext};
use catalyst_tests::hetzner::module::{Cloud, TOKEN, Work};
use catalyst_tests::host::built;
use serde_json::{Value, json};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const REPOSITORY: &str = "https://git.example.test/openova";

/// The body of a create, with a token that must not be written.
fn body() -> Value {
    let request = request("fsn1", 1);
    let slot = &request.regions[0];
    json!({
        "orgName": request.org_name, "orgEmail": request.org_email, "sovereignFQDN": request.sovereign_fqdn,
        "sovereignDomainMode": "byo-manual", "sshPublicKey": request.ssh_public_key, "hetznerProjectID": "12345",
        "hetznerToken": TOKEN, "regions": [{
            "provider": "hetzner", "cloudRegion": slot.cloud_region, "controlPlaneSize": slot.control_plane_size,
            "workerSize": slot.worker_size, "workerCount": slot.worker_count,
        }],
    })
}

/// Runs the command with the body on its standard input.
fn render(body: &Value, out: &Path, env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(built("release/catalyst"));
    command.arg("render").arg("-").arg("--out").arg(out).env_clear();
    command.env("CATALYST_PLUGINS_DIR", built("plugins")).env("CATALYST_GITOPS_REPO_URL", REPOSITORY);
    command.envs(env.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(body.to_string().as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_rendered_folder_is_the_plugins_module_without_a_secret_and_applies_alone() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("module");
    let rendered = render(&body(), &out, &[]);
    assert!(rendered.status.success(), "{}", words(&rendered.stderr));
    let said = words(&rendered.stdout);
    assert!(said.contains("TF_VAR_hcloud_token") && said.contains("user data of a control-plane node"), "{said}");
    assert!(!said.contains("kubeconfig_bearer") && !said.contains("k3s_token"), "there is no host: {said}");

    let host = RenderContext {
        public_url: "https://console.openova.io/sovereign".to_owned(),
        gitops_repo_url: REPOSITORY.to_owned(),
        gitops_branch: "main".to_owned(),
        present_secrets: vec!["hetzner-token".to_owned()],
    };
    let expect = Hetzner::render(&request("fsn1", 1), &host).unwrap();
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), expect.files.len() + 1);
    for file in &expect.files {
        assert!(std::fs::read(out.join(&file.path)).unwrap() == file.content, "{} is another one", file.path);
    }
    for entry in std::fs::read_dir(&out).unwrap() {
        let path = entry.unwrap().path();
        assert!(!words(&std::fs::read(&path).unwrap()).contains(TOKEN), "{}", path.display());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }

    let _turn = Turn::wait();
    let cloud = Cloud::double();
    let work = Work::of_folder(&out, &cloud).unwrap();
    work.init().unwrap();
    work.plan().passed();
    work.apply().passed();
    let user_data = cloud.project().user_data(&format!("{NAME}-cp1")).unwrap();
    assert!(!user_data.contains("catalyst-postback"), "there is nobody to call");
    for hole in ["k3s_token", "k3s_agent_token", "load_balancer_ipv4", "cloud_credentials_b64", "first_private_ip"] {
        assert!(!user_data.contains(&format!("${{{hole}}}")), "{hole} is not filled");
    }
    assert_eq!(work.plan().passed().planned.len(), 0);
    work.destroy().passed();
    assert_eq!(cloud.project().everything().len(), 0);
}

#[test]
fn what_is_wrong_is_said_at_once_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |body: &Value, words_in: &[&str]| {
        let out = folder.path().join("none");
        let output = render(body, &out, &[]);
        assert!(!output.status.success());
        let said = words(&output.stderr);
        assert!(words_in.iter().all(|word| said.contains(word)), "{said}");
        assert!(!said.contains(TOKEN) && !out.exists());
    };
    let mut bad = body();
    (bad["orgEmail"], bad["regions"][0]["cloudRegion"]) = ("nobody".into(), "mars1".into());
    refused(&bad, &["orgEmail", "mars1"]);
    let mut nowhere = body();
    nowhere["regions"][0]["provider"] = "nowhere".into();
    refused(&nowhere, &["nowhere", "hetzner"]);
    refused(&json!([]), &["JSON object"]);

    std::fs::write(folder.path().join("kept"), "mine").unwrap();
    let output = render(&body(), folder.path(), &[]);
    assert!(!output.status.success() && words(&output.stderr).contains("is not empty"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// The token is given at the apply as well; and the registry's where this host has one.
#[test]
fn a_secret_need_not_be_in_the_request() {
    let folder = tempfile::tempdir().unwrap();
    let mut without = body();
    without.as_object_mut().unwrap().remove("hetznerToken");
    let rendered = render(&without, folder.path(), &[("CATALYST_GHCR_PULL_TOKEN", "ghp_sentinel")]);
    assert!(rendered.status.success(), "{}", words(&rendered.stderr));
    assert!(words(&rendered.stdout).contains("TF_VAR_ghcr_pull_token"));
    let template = std::fs::read_to_string(folder.path().join("cloudinit-control-plane.tftpl")).unwrap();
    assert!(template.contains("${ghcr_dockerconfigjson_b64}"));
}
