//! OpenTofu, plugins, and the providers that they need.

use super::*;
use std::path::Path;

#[test]
fn broken_no_opentofu() {
    let mut set_up = SetUp::well();
    set_up.set("CATALYST_TOFU_BIN", "/nowhere/tofu");
    set_up.examine().shows("tofu", "fail", "cannot be run as /nowhere/tofu");
}

#[test]
fn broken_an_opentofu_that_is_too_old() {
    let mut set_up = SetUp::well();
    let script = set_up.path("plugins/tofu");
    fs::write(&script, "#!/bin/sh\necho '{\"terraform_version\": \"1.5.7\"}'\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    set_up.set("CATALYST_TOFU_BIN", script.display());
    set_up.examine().shows("tofu", "fail", "1.5.7 is too old");
}

#[test]
fn broken_an_opentofu_that_is_not_confined() {
    let mut set_up = SetUp::well();
    set_up.set("CATALYST_TOFU_CONFINE", "off");
    set_up.examine().shows("confinement", "warn", "CATALYST_TOFU_CONFINE is off");
}

#[test]
fn broken_no_plugin() {
    let mut set_up = SetUp::well();
    fs::create_dir(set_up.path("empty")).unwrap();
    fs::write(set_up.path("empty/plugins.lock"), "").unwrap();
    set_up.set("CATALYST_PLUGINS_DIR", set_up.path("empty").display());
    set_up.examine().shows("plugins", "fail", "holds none");
    set_up.set("CATALYST_PLUGINS_DIR", set_up.path("nowhere").display());
    let examined = set_up.examine();
    examined.shows("plugins", "fail", "nowhere");
    let advice = examined.findings.iter().find(|one| one["check"] == "plugins").unwrap()["advice"].as_str().unwrap();
    assert!(advice.contains("CATALYST_PLUGINS_DIR"), "{advice}");
}

#[test]
fn broken_a_plugin_that_is_no_component() {
    let set_up = SetUp::well();
    fs::remove_file(set_up.path("plugins/plugins.lock")).unwrap();
    fs::write(set_up.path("plugins/broken.wasm"), "\0asm and nothing else").unwrap();
    let examined = set_up.examine();
    assert_eq!(examined.troubled(), ["plugins", "plugin pins"], "a folder that is open to all is found, too");
    assert!(format!("{:?}", examined.findings).contains("broken.wasm does not load"));
    assert_eq!(examined.code, 2);
}

#[test]
fn broken_a_plugin_that_is_not_the_pinned_one() {
    let set_up = SetUp::well();
    fs::write(set_up.path("plugins/plugins.lock"), format!("sha256:{}  rehearsal.wasm\n", "0".repeat(64))).unwrap();
    set_up.examine().shows("plugins", "fail", "rehearsal.wasm does not load");
}

#[test]
fn broken_a_mirror_without_the_provider_that_a_plugin_needs() {
    let mut set_up = SetUp::well();
    set_up.plugin("hetzner");
    fs::create_dir(set_up.path("mirror")).unwrap();
    set_up.set("CATALYST_PROVIDER_MIRROR", set_up.path("mirror").display());
    set_up.examine().shows("mirror", "fail", "hetznercloud/hcloud");
    let declared =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/hetzner/versions.tf")).unwrap();
    let version = declared.split("version = \"= ").nth(1).unwrap().split('"').next().unwrap();
    let folder = set_up.path("mirror/registry.opentofu.org/hetznercloud/hcloud");
    fs::create_dir_all(&folder).unwrap();
    for arch in ["amd64", "arm64"] {
        fs::write(folder.join(format!("terraform-provider-hcloud_{version}_linux_{arch}.zip")), "").unwrap();
    }
    assert!(set_up.examine().troubled().is_empty(), "{:#?}", set_up.examine().findings);
}

#[test]
fn what_plugins_may_do_and_what_is_done_with_their_memory_is_told() {
    let set_up = SetUp::well();
    let told = |set_up: &SetUp, check: &str| {
        let examined = set_up.examine();
        assert!(examined.troubled().is_empty(), "{:#?}", examined.findings);
        let found = examined.findings.iter().find(|one| one["check"] == check).unwrap_or_else(|| panic!("{check}"));
        found["found"].as_str().unwrap().to_owned()
    };
    let memory = told(&set_up, "plugin memory");
    assert!(memory.contains("and the rest is given back") || memory.contains("fresh memory"), "{memory}");
    let before = told(&set_up, "plugin grants");
    assert_eq!(before, "rehearsal may do what it declares, for plugins.lock has no grants: secret ghcr-pull-token");
    let lock = fs::read_to_string(set_up.path("plugins/plugins.lock")).unwrap();
    fs::write(set_up.path("plugins/plugins.lock"), format!("{lock}grant rehearsal.wasm secret ghcr-pull-token\n"))
        .unwrap();
    assert_eq!(told(&set_up, "plugin grants"), "rehearsal is granted: secret ghcr-pull-token");
}
