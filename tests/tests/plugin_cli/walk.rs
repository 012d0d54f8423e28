//! From an empty folder to a running cloud, by the commands of `docs/plugins.md`: new, build, check, into the plugins
//! folder of a host that runs, a deployment that ends ready. Then the same plugin with faults, each of which `check`
//! names.

use super::guide::{self, Shell};
use super::{plugin, ran, text};
use catalyst_tests::host::{Host, built, free_port};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// From `new` to `ready` on two cores with warm caches: a person who tries it out stays with it so long.
const WALK: Duration = Duration::from_secs(120);
const COMPONENT: &str = "target/wasm32-wasip2/release/plugin.wasm";

/// As a person's shell runs it: without what cargo tells its tests, and with nothing from the network.
#[expect(clippy::disallowed_methods, reason = "a shell inherits its environment, but for what is taken out here")]
fn cargo(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(folder);
    let told = [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_CRATE_",
        "CARGO_BIN_",
        "CARGO_TARGET_DIR",
        "OUT_DIR",
        "LD_LIBRARY_PATH",
    ];
    for (name, _) in std::env::vars().filter(|(name, _)| told.iter().any(|prefix| name.starts_with(prefix))) {
        command.env_remove(name);
    }
    let output = ran(&command.stdin(Stdio::null()).output().unwrap());
    assert_eq!(output.code, 0, "cargo {arguments:?}:\n{}", output.stderr);
}

fn build(folder: &Path) {
    cargo(folder, &["build", "--release", "--offline", "--target", "wasm32-wasip2"]);
}

#[test]
fn the_guide_leads_from_an_empty_folder_to_a_deployment_that_is_ready_in_a_host_that_runs() {
    let home = tempfile::tempdir().unwrap();
    let plugins = home.path().join("plugins");
    std::fs::create_dir(&plugins).unwrap();
    std::fs::copy(built("plugins/rehearsal.wasm"), plugins.join("rehearsal.wasm")).unwrap();
    let mut host = Host::start(&[("CATALYST_PLUGINS_DIR", &text(&plugins))]);
    assert_eq!(host.api.get("/api/v1/providers/mycloud").status, 404);

    let mut blocks = guide::blocks("Rust");
    let afterwards = blocks.pop().unwrap();
    let mut commands = blocks.concat();
    for (written, here) in [
        ("http://127.0.0.1:8080", format!("http://{}", host.address())),
        ("/var/lib/catalyst/plugins", text(&plugins)),
        ("16443", free_port().to_string()),
    ] {
        assert_eq!(commands.matches(written).count(), 1, "the guide says {written} once");
        commands = commands.replace(written, &here);
    }
    // What `rehearse` is to know of the host, as the guide says.
    let state = text(&host.folder().join("state"));
    let shell = Shell::fresh("walk").with("CATALYST_STATE_DIR", &state).with("CATALYST_PHASE1_SETTLE", "2s");
    let begun = Instant::now();
    let said = shell.plays("", &commands);
    let took = begun.elapsed();
    assert!(said.contains("\npass\n") && said.ends_with("\nready\n"), "{said}");
    println!("from new to ready in {took:.1?}");
    assert!(took < WALK, "from new to ready took {took:?}");
    host.down();

    assert_eq!(afterwards, "cargo test\n");
    shell.plays("mycloud", &afterwards);
    let folder = shell.folder().join("mycloud");
    the_readme_works(&shell, &folder, &plugins);
    cargo(&folder, &["fmt", "--check"]);
    faults_are_named(&folder);
}

/// The commands of the new folder's own README, in that folder.
fn the_readme_works(shell: &Shell, folder: &Path, plugins: &Path) {
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let blocks: Vec<&str> = readme.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 2, "{readme}");
    let said = shell.plays("mycloud", blocks[0]);
    assert!(said.contains("\npass\n") && said.contains("cases are as they were"), "{said}");
    std::fs::remove_file(plugins.join("mycloud.wasm")).unwrap();
    shell.plays("mycloud", &blocks[1].replace("/plugins/", &format!("{}/", plugins.display())));
    assert!(plugins.join("mycloud.wasm").is_file() && !plugins.join("mycloud.wasm.new").exists());
}

/// One fault for each rule that a component which loads can break, all in one build.
fn faults_are_named(folder: &Path) {
    for (file, good, bad) in [
        // Endpoints out of nothing.
        ("src/lib.rs", "outputs.address(\"control_plane_ip\")?", "\"192.0.2.1\".to_owned()"),
        ("src/lib.rs", "outputs.address(\"load_balancer_ip\")?", "\"192.0.2.1\".to_owned()"),
        ("src/lib.rs", "outputs.text(\"console_url\")?", "\"https://console.example\".to_owned()"),
        // validate passes what render refuses.
        (
            "src/lib.rs",
            "plan::read(request, &mut findings);\n        findings\n",
            "findings.iter().next();\n        findings\n",
        ),
        // A text of the request as a part of the module.
        (
            "src/render.rs",
            "let mut user_data = Vec::new();",
            "files.push(bundle::file(\"org.tf\", format!(\"locals {{\\n  org = \\\"{}\\\"\\n}}\\n\", request.org_name)));\n    \
             let mut user_data = Vec::new();",
        ),
        // A variable that the module does not have, and user data that is no cloud-config.
        ("src/render.rs", "(K3S_TOKEN, \"k3s_token\")", "(K3S_TOKEN, \"k3s_tokens\")"),
        ("module/cloudinit-worker.tftpl", "write_files:\n", "write_files: [\n"),
        // Advice that says nothing.
        ("src/lib.rs", "\"Read OpenTofu's words.\"", "\"\""),
    ] {
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(good), "{file}: {good}");
        std::fs::write(&path, text.replacen(good, bad, 1)).unwrap();
    }
    build(folder);
    let component = text(&folder.join(COMPONENT));
    let report = plugin(&["check", &component, "--json"]).ended(1).json();
    assert_eq!(report["verdict"], "fail");
    let failed: Vec<&str> = report["rules"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|rule| rule["verdict"] == "fail")
        .map(|rule| rule["rule"].as_str().unwrap())
        .collect();
    for rule in ["bundle", "secrets", "user-data", "agreement", "settings", "text-stays-text", "outputs", "answers"] {
        assert!(failed.contains(&rule), "{rule}: {report:#}");
    }
    let page = plugin(&["check", &component]);
    assert!(page.ended(1).stdout.contains("FAIL    outputs"), "{}", page.stdout);
    let differs = plugin(&["test", &component, &text(&folder.join("cases"))]);
    assert!(differs.ended(1).stdout.contains("org.tf: is new"), "{}", differs.stdout);
}
