//! check, inspect, render and bench: good components, bad ones, wrong usage.

use super::{command, component, plugin, ran, repository, text};
use catalyst_tests::host::built;
use catalyst_tests::{tofu, tools};
use serde_json::json;
use std::path::Path;

/// Puts the provider of a module of `infra/` into a mirror, in the version that it pins.
fn provide(mirror: &Path, module: &str, source: &str) {
    let version = tofu::pinned(&text(&repository("infra").join(module))).unwrap();
    let name = source.rsplit('/').next().unwrap();
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let package = mirror.join(format!("registry.opentofu.org/{source}/{version}/linux_{arch}"));
    std::fs::create_dir_all(&package).unwrap();
    // By another process: a descriptor that a parallel start inherits for writing would make the kernel refuse to run the file.
    let copied = std::process::Command::new("cp")
        .arg(tools::path(name).unwrap())
        .arg(package.join(format!("terraform-provider-{name}_v{version}")))
        .status();
    assert!(copied.unwrap().success());
}

#[test]
fn our_own_plugins_pass_and_every_rule_was_held_to() {
    let mirror = tempfile::tempdir().unwrap();
    for (name, provider) in
        [("hetzner", "hetznercloud/hcloud"), ("openstack", "terraform-provider-openstack/openstack")]
    {
        provide(mirror.path(), name, provider);
    }
    for name in ["rehearsal", "hetzner", "openstack"] {
        let mut checking = command();
        checking.env("CATALYST_TOFU_BIN", tools::path("tofu").unwrap()).env("CATALYST_PROVIDER_MIRROR", mirror.path());
        let checked = ran(&checking.args(["check", &component(name), "--json"]).output().unwrap());
        let report = checked.ended(0).json();
        assert_eq!((&report["verdict"], &report["id"]), (&json!("pass"), &json!(name)));
        let rules = report["rules"].as_array().unwrap();
        assert_eq!(rules.len(), 14);
        for rule in rules {
            assert_eq!((&rule["verdict"], rule["held"].as_u64() > Some(0)), (&json!("pass"), true), "{rule}");
        }
        assert!(report["calls"].as_u64() > Some(300), "{report}");
        assert!(report["permissions"]["secrets"].as_array().unwrap().len() >= 4);
        let page = plugin(&["check", &component(name)]);
        assert!(page.ended(0).stdout.contains("deterministic") && page.stdout.ends_with("\npass\n"), "{}", page.stdout);
    }
}

#[test]
fn a_request_can_take_the_place_of_those_that_are_made() {
    let request = text(&repository("scripts/rehearsal.json"));
    plugin(&["check", &component("rehearsal"), "--request", &request]).ended(0);
    let foreign = plugin(&["check", &component("hetzner"), "--request", &request]);
    assert!(foreign.ended(2).stderr.contains("this component is `hetzner`"), "{}", foreign.stderr);
}

#[test]
fn what_a_host_would_not_load_fails_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let good = std::fs::read(component("rehearsal")).unwrap();
    for (name, bytes, why) in [
        ("text.wasm", b"(component)".to_vec(), "does not begin with the magic number"),
        ("empty.wasm", Vec::new(), "does not begin with the magic number"),
        ("core.wasm", b"\0asm\x01\0\0\0".to_vec(), "core WebAssembly module"),
        ("cut.wasm", good[..good.len() / 2].to_vec(), "not a valid component"),
        ("bare.wasm", b"\0asm\x0d\0\x01\0".to_vec(), "another world"),
        // A name that a host would not even look at is judged by its bytes.
        ("good.bin", good.clone(), ""),
    ] {
        let file = text(&folder.path().join(name));
        std::fs::write(&file, bytes).unwrap();
        if why.is_empty() {
            plugin(&["check", &file]).ended(0);
            continue;
        }
        let report = plugin(&["check", &file, "--json"]).ended(1).json();
        assert_eq!((&report["verdict"], &report["rules"][0]["rule"]), (&json!("fail"), &json!("load")));
        let reason = report["rules"][0]["reasons"][0].as_str().unwrap();
        assert!(reason.contains(why), "{name}: {reason}");
        assert_eq!(report["rules"][1]["verdict"], "not-run");
        for command in
            [vec!["inspect"], vec!["bench"], vec!["test"], vec!["render", "--out", "/nowhere", "--request", "-"]]
        {
            let cases = text(&repository("plugins/template/rust/cases"));
            let mut arguments = command.clone();
            arguments.insert(1, &file);
            if command[0] == "test" {
                arguments.push(&cases);
            }
            let refused = plugin(&arguments);
            assert!(refused.ended(1).stderr.contains(why) && refused.stderr.contains(name), "{}", refused.stderr);
        }
    }
}

#[test]
fn wrong_usage_ends_with_2_and_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (there, rehearsal) = (text(folder.path()), component("rehearsal"));
    let bad = text(&folder.path().join("bad.json"));
    std::fs::write(&bad, "{\"orgName\": ").unwrap();
    let list = text(&folder.path().join("list.json"));
    std::fs::write(&list, "[]").unwrap();
    for (arguments, words) in [
        (vec![], "Usage"),
        (vec!["fly"], "fly"),
        (vec!["check"], "<FILE>"),
        (vec!["check", "/no/such.wasm"], "/no/such.wasm: No such file"),
        (vec!["inspect", &there], "is no file"),
        (vec!["check", &rehearsal, "--request", &bad], "bad.json: invalid request body: malformed JSON at line 1"),
        (vec!["bench", &rehearsal, "--request", &list], "list.json: invalid request body: it must be a JSON object"),
        (vec!["bench", &rehearsal, "--calls", "0"], "--calls"),
        (vec!["bench", &rehearsal, "--request", "/no/such.json"], "/no/such.json"),
        (vec!["render", &rehearsal, "--request", &bad], "--out"),
        (vec!["test", &rehearsal, "/no/such"], "/no/such: No such file"),
    ] {
        let refused = plugin(&arguments);
        assert!(refused.ended(2).stderr.contains(words), "{arguments:?}: {}", refused.stderr);
        assert_eq!(refused.stdout, "", "{arguments:?}");
    }
}

#[test]
fn inspect_shows_what_it_is_and_what_it_may_do() {
    let file = component("hetzner");
    let report = plugin(&["inspect", &file, "--json"]).ended(0).json();
    let sum = ran(&std::process::Command::new("sha256sum").arg(&file).output().unwrap()).stdout;
    assert_eq!(report["digest"], format!("sha256:{}", sum.split(' ').next().unwrap()));
    assert_eq!(report["bytes"], std::fs::metadata(&file).unwrap().len());
    assert_eq!(report["interface"], "1.1.0");
    let imports = report["imports"].as_array().unwrap();
    assert!(imports.iter().all(|name| !name.as_str().unwrap().contains("sockets")), "{imports:?}");
    assert_eq!(report["permissions"]["apiHosts"], json!(["api.hetzner.cloud"]));
    let explained = report["permissions"]["component"].as_array().unwrap();
    let named: usize = explained.iter().map(|grant| grant["imports"].as_array().unwrap().len()).sum();
    assert_eq!(named, imports.len(), "every import is explained once");
    assert!(!report.to_string().contains("does not know"), "{report}");
    assert_eq!(report["descriptor"]["settings_schema"]["type"], "object");

    let page = plugin(&["inspect", &file]);
    for words in ["network         none", "OpenTofu        hetznercloud/hcloud", "sha256:", "Catalogue", "Limits"] {
        assert!(page.ended(0).stdout.contains(words), "{words}: {}", page.stdout);
    }
}

#[test]
fn render_writes_the_module_with_a_placeholder_for_each_secret() {
    let folder = tempfile::tempdir().unwrap();
    let (out, request) = (folder.path().join("out"), folder.path().join("request.json"));
    let mut body: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(repository("scripts/rehearsal.json")).unwrap()).unwrap();
    body["rehearsalToken"] = json!("a-secret-that-goes-nowhere");
    std::fs::write(&request, body.to_string()).unwrap();
    let (file, out, request) = (component("rehearsal"), text(&out), text(&request));
    let arguments = ["render", &file, "--request", &request, "--out", &out, "--json"];
    let report = plugin(&arguments).ended(0).json();
    assert_eq!(report["refused"], false);
    assert!(report["files"].as_array().unwrap().contains(&json!("main.tf")));
    let secrets = std::fs::read_to_string(format!("{out}/secrets.tfvars.example")).unwrap();
    assert!(secrets.contains("rehearsal_token = \"{{secret:rehearsal-token}}\""), "{secrets}");
    let variables = std::fs::read_to_string(format!("{out}/terraform.tfvars.json")).unwrap();
    assert!(variables.contains("one.rehearsal.example.test"), "{variables}");
    for entry in std::fs::read_dir(&out).unwrap() {
        let path = entry.unwrap().path();
        assert!(!std::fs::read_to_string(&path).unwrap().contains("goes-nowhere"), "{}", path.display());
    }
    let again = plugin(&arguments);
    assert!(again.ended(2).json()["error"].as_str().unwrap().contains("is not empty"), "{}", again.stdout);

    body["regions"][0]["cloudRegion"] = json!("nowhere");
    body["orgName"] = json!(7);
    std::fs::write(&request, body.to_string()).unwrap();
    let other = text(&folder.path().join("other"));
    let refused = plugin(&["render", &file, "--request", &request, "--out", &other, "--json"]);
    let told = refused.ended(1).json();
    assert_eq!((&told["refused"], refused.stderr.as_str()), (&json!(true), ""));
    let page = plugin(&["render", &file, "--request", &request, "--out", &other]);
    for pointer in ["/orgName", "/regions/0/cloudRegion"] {
        assert!(told["findings"].as_array().unwrap().iter().any(|finding| finding["pointer"] == pointer), "{told}");
        assert!(page.ended(1).stderr.contains(&format!("error: {pointer}: ")), "{pointer}: {}", page.stderr);
    }
    assert!(!std::path::Path::new(&other).exists(), "nothing is written for a refused request");

    // The same code serves the older command, which took a field of a wrong type for one that was not given.
    let mut older = std::process::Command::new(built("release/catalyst"));
    older.args(["render", &request, "--out", &other]).env("CATALYST_PLUGINS_DIR", built("plugins"));
    let older = ran(&older.output().unwrap());
    assert!(older.ended(1).stderr.contains("/orgName must be a string"), "{}", older.stderr);
}

#[test]
fn bench_tells_percentiles_and_whose_they_are() {
    let report = plugin(&["bench", &component("rehearsal"), "--calls", "20", "--json"]).ended(0).json();
    assert_eq!((&report["calls"], &report["machine"]["build"]), (&json!(20), &json!("release")));
    assert!(report["machine"]["cores"].as_u64() > Some(0) && report["bundleBytes"].as_u64() > Some(1000));
    for series in ["load", "diagnose", "validate", "render"] {
        let figure = |name: &str| report[series][name].as_u64().unwrap();
        assert!(0 < figure("p50") && figure("p50") <= figure("p99") && figure("p99") <= figure("max"), "{series}");
    }
    let again = plugin(&["bench", &component("rehearsal"), "--calls", "2", "--json"]).ended(0).json();
    assert_eq!(report["counted"], again["counted"], "what is counted does not depend on the run");
    for function in ["diagnose", "validate", "render"] {
        let figure = |name: &str| report["counted"][function][name].as_u64().unwrap();
        assert!(figure("instructions") > 1000 && figure("memoryBytes") > 64 * 1024, "{function}: {report}");
    }
    let page = plugin(&["bench", &component("rehearsal"), "--calls", "3"]);
    assert!(page.ended(0).stdout.contains("this machine alone"), "{}", page.stdout);
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    let file = component("rehearsal");
    let with =
        |name: &str, value: &str| ran(&command().args(["inspect", &file]).env(name, value).output().unwrap()).stdout;
    let piped = plugin(&["inspect", &file]).stdout;
    assert!(!piped.contains('\u{1b}'), "{piped:?}");
    assert!(with("CLICOLOR_FORCE", "1").contains("\u{1b}["), "the colours are there for who asks");
    assert!(!with("NO_COLOR", "1").contains('\u{1b}'));
}

#[test]
fn every_help_has_an_example_and_names_its_json() {
    for name in ["new", "check", "inspect", "render", "test", "bench"] {
        let help = plugin(&[name, "--help"]);
        assert!(help.ended(0).stdout.contains(&format!("catalyst plugin {name}")), "{}", help.stdout);
        assert!(help.stdout.contains("Example") && help.stdout.contains("JSON"), "{}", help.stdout);
    }
}
