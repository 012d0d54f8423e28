//! The lines by which the guide and the README pin a folder, as a person's shell runs them beside a host that serves.

use super::guide::{self, Shell};
use super::{repository, text};
use catalyst_tests::components::rebuilt;
use catalyst_tests::host::{Host, built, wait_for};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
const PROVIDER: &str = "provider terraform-provider-openstack/openstack";

/// Every heading of the guide below which there are commands; a test plays each.
const PLAYED: [&str; 4] = ["Rust", "Python", "JavaScript", "Pins"];

#[test]
fn every_section_of_the_guide_that_has_commands_is_played() {
    let guide = std::fs::read_to_string(repository("docs/plugins.md")).unwrap();
    let sections = guide.split("\n## ").skip(1).filter(|section| section.contains("```sh\n"));
    let headings: Vec<&str> = sections.map(|section| section.lines().next().unwrap()).collect();
    assert_eq!(headings, PLAYED);
}

/// The README's block of commands that writes a lock.
fn readme() -> String {
    let readme = std::fs::read_to_string(repository("README.md")).unwrap();
    let mut blocks = readme.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.find(|block| block.contains("plugins.lock")).unwrap().to_owned()
}

fn put(folder: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(folder.join("new"), bytes).unwrap();
    std::fs::rename(folder.join("new"), folder.join(name)).unwrap();
}

fn serving(host: &Host) -> Vec<String> {
    let providers = host.api.get("/api/v1/providers").json();
    let id = |provider: &Value| provider["id"].as_str().unwrap().to_owned();
    providers["providers"].as_array().unwrap().iter().map(id).collect()
}

fn failure(host: &Host, file: &str) -> Option<String> {
    let all = host.api.get("/api/v1/providers").json();
    let of = all["failures"].as_array().unwrap().iter().find(|failure| failure["file"] == file)?.clone();
    Some(of["error"].as_str().unwrap().to_owned())
}

#[test]
fn the_recipes_pin_every_plugin_of_the_folder_at_once_and_none_ends() {
    let plugins = tempfile::tempdir().unwrap();
    let folder = plugins.path();
    for name in ["openstack", "rehearsal"] {
        put(folder, &format!("{name}.wasm"), &std::fs::read(built(&format!("plugins/{name}.wasm"))).unwrap());
    }
    let mut host = Host::start(&[("CATALYST_PLUGINS_DIR", &text(folder))]);
    assert_eq!(serving(&host), ["openstack", "rehearsal"]);
    let guide = guide::blocks("Pins").concat();
    let readme = readme();
    assert_eq!(readme.matches("cd /plugins\n").count(), 1, "{readme}");
    let shell = Shell::fresh("pins").with("PLUGINS", &text(folder));
    let stranger = rebuilt(&std::fs::read(built("plugins/rehearsal.wasm")).unwrap());
    for recipe in [&guide, &readme.replace("/plugins\n", &format!("{}\n", folder.display())), &guide] {
        assert!(!recipe.contains("> plugins.lock\n"), "written in place, half a list would end the rest: {recipe}");
        shell.plays("", recipe);
        let lock = std::fs::read_to_string(folder.join("plugins.lock")).unwrap();
        let pinned = lock.lines().filter(|line| line.starts_with("sha256:"));
        let named: Vec<&str> = pinned.map(|line| line.rsplit(' ').next().unwrap()).collect();
        assert_eq!(named, ["openstack.wasm", "rehearsal.wasm"], "{lock}");
        // The lock holds as soon as somebody is not on it.
        put(folder, "stranger.wasm", &stranger);
        let error = wait_for("a word on the stranger", SOON, || {
            failure(&host, "stranger.wasm").filter(|error| error.contains("plugins.lock"))
        });
        assert!(error.contains("is not named"), "{error}");
        assert_eq!(serving(&host), ["openstack", "rehearsal"]);
        std::fs::remove_file(folder.join("stranger.wasm")).unwrap();
        wait_for("a folder in order", SOON, || failure(&host, "stranger.wasm").is_none().then_some(()));
        // What a lock says of providers outlives the next recipe, once.
        if !lock.contains(PROVIDER) {
            std::fs::write(folder.join("lock"), format!("{PROVIDER}\n{lock}")).unwrap();
            std::fs::rename(folder.join("lock"), folder.join("plugins.lock")).unwrap();
        }
    }
    let lock = std::fs::read_to_string(folder.join("plugins.lock")).unwrap();
    assert_eq!(lock.matches(PROVIDER).count(), 1, "{lock}");
    assert!(!host.trace().contains("plugin gone"), "{}", host.trace());
    host.down();
}
