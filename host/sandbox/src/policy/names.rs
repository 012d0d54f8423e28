//! Names of files that change what OpenTofu does by being there.

use super::{Findings, Rule};

/// First segments that OpenTofu or the host owns. `terraform.d` is searched for provider binaries.
const FOLDERS: [&str; 3] = [".terraform", "terraform.d", ".terraform.d"];

/// Settings of the command line tool.
const SETTINGS: [&str; 6] = [".tofurc", ".terraformrc", "tofurc", "terraformrc", "tofu.rc", "terraform.rc"];

/// Ends of names that `tofu test` would run: they may hold what no other file may.
const TESTS: [&str; 4] = [".tofutest.hcl", ".tofutest.json", ".tftest.hcl", ".tftest.json"];

/// Ends of names that OpenTofu reads as configuration.
const CONFIGURATION: [&str; 2] = [".tf", ".tf.json"];

pub(super) fn check(path: &str, found: &mut Findings) {
    if let Some(why) = reserved(path) {
        found.add(path, None, Rule::ReservedName, why);
    }
}

fn reserved(path: &str) -> Option<&'static str> {
    // Some file systems do not tell upper from lower case.
    let path = path.to_ascii_lowercase();
    let first = path.split('/').next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    if FOLDERS.contains(&first) {
        return Some("the folder belongs to OpenTofu, which looks for providers in it");
    }
    if first.starts_with("catalyst.") || first.starts_with("catalyst_") {
        return Some("names that begin with `catalyst.` or `catalyst_` are the host's");
    }
    if name.contains(".tfstate") {
        return Some("states are the host's");
    }
    if name.ends_with(".tofu") || name.ends_with(".tofu.json") {
        return Some("a .tofu file takes the place of the .tf file of its name");
    }
    if SETTINGS.contains(&name) || name.ends_with(".tofurc") || name.ends_with(".terraformrc") {
        return Some("settings of OpenTofu are the operator's");
    }
    if TESTS.iter().any(|end| name.ends_with(end)) {
        return Some("tests are the author's; they have no place in a bundle");
    }
    let stem = CONFIGURATION.iter().find_map(|end| name.strip_suffix(end));
    if stem.is_some_and(|stem| stem == "override" || stem.ends_with("_override")) {
        return Some("an override could undo what the host sets");
    }
    let automatic = name.ends_with(".auto.tfvars") || name.ends_with(".auto.tfvars.json");
    if automatic || name == "terraform.tfvars" || name == "terraform.tfvars.json" {
        return Some("variables are given by the host; this file would give others");
    }
    None
}
