//! `CATALYST_ALLOWED_CLOUDS` on the real binary: what a start refuses, what a create says, what the doctor notes, and that a
//! render needs no network.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use catalyst_tests::host::{Host, built};
use serde_json::{Value, json};
use std::process::{Command, Output};

fn body(url: &str) -> Value {
    json!({
        "orgName": "Acme", "orgEmail": "ops@acme.example", "sovereignFQDN": "private.example",
        "regions": [{"provider": "openstack", "cloudRegion": "RegionOne", "controlPlaneSize": "m1.large"}],
        "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ ops",
        "openstackAuthUrl": url, "openstackExternalNetwork": "Ext-Net",
        "openstackApplicationCredentialID": "0123456789abcdef",
        "openstackApplicationCredentialSecret": "sentinel-of-the-cloud",
    })
}

/// A command of the binary that does not serve, with this list.
fn command(words: &[&str], list: &str, folder: &std::path::Path) -> Output {
    let mut command = Command::new(built("release/catalyst"));
    command.args(words).env_clear().env("CATALYST_PLUGINS_DIR", built("plugins")).env("CATALYST_ALLOWED_CLOUDS", list);
    command.env("CATALYST_CACHE_DIR", catalyst_tests::host::target_dir().join("test-cache"));
    command.env("CATALYST_DEPLOYMENTS_DIR", folder.join("deployments")).output().unwrap()
}

#[test]
fn a_start_refuses_a_list_with_something_else_in_it() {
    let mut host = Host::prepare(&[("CATALYST_ALLOWED_CLOUDS", "10.0.0.0/8 https://keystone.example/v3")]);
    let said = host.refused();
    assert!(said.contains("CATALYST_ALLOWED_CLOUDS: \"https://keystone.example/v3\" must be a host name"), "{said}");
}

#[test]
fn without_confinement_a_create_is_judged_and_what_the_list_names_passes() {
    let off = ("CATALYST_TOFU_CONFINE", "off");
    for (list, url, valid) in [
        ("", "http://127.0.0.1:9/v3", false),
        ("", "https://keystone.openstack.svc/v3", false),
        ("10.0.0.0/8", "http://127.0.0.1:9/v3", false),
        ("127.0.0.0/8", "http://127.0.0.1:9/v3", true),
        ("*.openstack.svc", "https://keystone.openstack.svc/v3", true),
    ] {
        let host = Host::start(&[off, ("CATALYST_ALLOWED_CLOUDS", list)]);
        let previewed = host.api.post("/api/v1/previews", &body(url).to_string()).json();
        assert_eq!(previewed["valid"], valid, "{list} {url}: {previewed}");
        if !valid {
            let created = host.api.post("/api/v1/deployments", &body(url).to_string());
            assert_eq!((created.status, &created.json()["findings"][0]["code"]), (400, &json!("address-not-allowed")));
            assert!(
                created.body.contains("CATALYST_ALLOWED_CLOUDS") && !created.body.contains("sentinel"),
                "{created:?}"
            );
        }
    }
}

#[test]
fn the_doctor_notes_what_a_private_cloud_needs_and_a_render_judges_without_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let said = |list: &str| {
        let output = command(&["doctor", "--json"], list, folder.path());
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let notes =
            report["findings"].as_array().unwrap().iter().filter(|one| one["check"] == "private clouds").cloned();
        notes.collect::<Vec<Value>>()
    };
    let notes = said("");
    assert_eq!((notes.len(), &notes[0]["verdict"]), (1, &json!("ok")), "{notes:?}");
    assert!(notes[0]["found"].as_str().unwrap().contains("openstack"), "{notes:?}");
    assert!(notes[0]["advice"].as_str().unwrap().contains("CATALYST_ALLOWED_CLOUDS"), "{notes:?}");
    assert!(said("10.0.0.0/8").is_empty());

    let request = folder.path().join("request.json");
    let rendered = |list: &str, url: &str, out: &str| {
        std::fs::write(&request, body(url).to_string()).unwrap();
        let out = folder.path().join(out);
        command(&["render", request.to_str().unwrap(), "--out", out.to_str().unwrap()], list, folder.path())
    };
    let refused = rendered("", "http://127.0.0.1:9/v3", "a");
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && text.contains("127.0.0.1 is a loopback address"), "{text}");
    for (list, url, out) in [("127.0.0.1", "http://127.0.0.1:9/v3", "b"), ("", "https://cloud.example.invalid/v3", "c")]
    {
        let output = rendered(list, url, out);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
