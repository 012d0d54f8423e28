//! Grants: who wants more than it is granted stays out, and a change of grants is told and holds at once.

use std::path::Path;

use catalyst_sandbox::grants::Basis;
use catalyst_sandbox::{CallFailure, GrantChange, Settings};
use sha2::{Digest as _, Sha256};

use crate::fixtures::{asks, context, edited, folder, guest, limits, rebuilt, sandbox};

fn lock(folder: &Path, pinned: &[u8], grants: &[&str]) {
    let pin = format!("sha256:{}  p.wasm\n", hex::encode(Sha256::digest(pinned)));
    let grants: String = grants.iter().map(|grant| format!("grant p.wasm {grant}\n")).collect();
    std::fs::write(folder.join("plugins.lock"), pin + &grants).expect("a lock");
}

const HOST: &str = "host api.cloud.example";
const TOKEN: &str = "argument acme/cloud token secret:token";

#[tokio::test]
async fn without_grants_a_plugin_has_what_it_declares_and_with_them_what_they_say() {
    let good = guest("by_request");
    let dir = folder(&[("p.wasm", &good)]);
    let running = sandbox(limits());
    let plugin = running.load_folder(dir.path()).await.serving.remove(0);
    assert_eq!((plugin.rights().basis(), plugin.rights().any_argument()), (Basis::Declared, true));
    lock(dir.path(), &good, &[]);
    let running = sandbox(limits());
    let plugin = running.load_folder(dir.path()).await.serving.remove(0);
    assert_eq!((plugin.rights().basis(), plugin.rights().any_argument()), (Basis::BeforeGrants, true));
    lock(dir.path(), &good, &[HOST, TOKEN]);
    let report = running.load_folder(dir.path()).await;
    assert_eq!(report.serving[0].digest(), plugin.digest());
    let rights = plugin.rights();
    assert_eq!((rights.basis(), rights.any_argument()), (Basis::Granted, false), "the one that serves is held to it");
    assert!(rights.covers("api.cloud.example") && !rights.covers("evil.example"));
}

#[tokio::test]
async fn who_wants_more_is_not_loaded_and_what_served_before_goes_on_while_it_is_granted() {
    let good = guest("by_request");
    let dir = folder(&[("p.wasm", &good)]);
    let sandbox = sandbox(limits());
    for grants in [&["nothing"][..], &[TOKEN]] {
        lock(dir.path(), &good, grants);
        let report = sandbox.load_folder(dir.path()).await;
        assert!(report.serving.is_empty());
        assert_eq!(
            report.failures[0].error,
            "wants more than plugins.lock grants, which lacks `grant p.wasm host api.cloud.example`"
        );
    }
    // Of a lock with grants, a file without one is nothing that anybody granted.
    let pin = format!("sha256:{}  p.wasm\ngrant q.wasm nothing\n", hex::encode(Sha256::digest(&good)));
    std::fs::write(dir.path().join("plugins.lock"), pin).expect("a lock");
    assert!(sandbox.load_folder(dir.path()).await.serving.is_empty());

    lock(dir.path(), &good, &[HOST]);
    assert_eq!(sandbox.load_folder(dir.path()).await.serving.len(), 1);
    // A version that wants another host is pinned, and the one before serves on until it is granted.
    let more = edited(&good, "api.cloud.example", "api.cloud.exmaple");
    std::fs::write(dir.path().join("p.wasm"), &more).expect("a file");
    lock(dir.path(), &more, &[HOST]);
    let report = sandbox.load_folder(dir.path()).await;
    assert!(report.failures[0].previous_serves && report.serving.len() == 1, "{report:?}");
    assert!(report.failures[0].error.ends_with("which lacks `grant p.wasm host api.cloud.exmaple`"), "{report:?}");
    lock(dir.path(), &more, &[HOST, "host .cloud.exmaple"]);
    let report = sandbox.load_folder(dir.path()).await;
    assert_eq!(report.serving[0].digest(), hex::encode(Sha256::digest(&more)));
    // A right that is taken back ends the plugin that wants it, with its bytes in place.
    std::fs::write(dir.path().join("p.wasm"), &good).expect("a file");
    lock(dir.path(), &good, &["nothing"]);
    let report = sandbox.load_folder(dir.path()).await;
    assert!(report.serving.is_empty() && !report.failures[0].previous_serves, "{report:?}");
}

#[tokio::test]
async fn a_render_from_before_is_no_answer_under_other_grants() {
    let good = guest("by_request");
    let dir = folder(&[("p.wasm", &good)]);
    lock(dir.path(), &good, &[HOST, TOKEN]);
    let settings =
        Settings { limits: limits().into(), memo_bytes: catalyst_sandbox::MEMO_BYTES, ..Settings::default() };
    let sandbox = catalyst_sandbox::Sandbox::new(settings).expect("a sandbox");
    let plugin = sandbox.load_folder(dir.path()).await.serving.remove(0);
    let module = "terraform {\n  required_providers {\n    cloud = { source = \"acme/cloud\", version = \"1.2.3\" }\n  }\n}\n\
                  provider \"cloud\" {\n  token = var.cloud_token\n}\n";
    let text = format!("main.tf\n{module}");
    let mut request = asks("module");
    request.extra.insert("module".into(), text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>().into());
    for _ in 0..2 {
        assert!(plugin.render(&request, &context()).await.expect("an answer").is_ok());
    }
    lock(dir.path(), &good, &[HOST]);
    sandbox.load_folder(dir.path()).await;
    let refused = plugin.render(&request, &context()).await.expect_err("it is granted no more");
    let CallFailure::BadOutput(why) = refused.reason else { panic!("{refused}") };
    assert!(
        why.contains("main.tf:7: provider-argument: the argument \"token\" of \"acme/cloud\" is not granted"),
        "{why}"
    );
    lock(dir.path(), &good, &[HOST, TOKEN]);
    sandbox.load_folder(dir.path()).await;
    assert!(plugin.render(&request, &context()).await.expect("an answer").is_ok(), "a refusal is remembered no longer");
}

#[tokio::test]
async fn every_change_of_grants_is_told_once() {
    let good = guest("by_request");
    let dir = folder(&[("p.wasm", &good)]);
    let sandbox = sandbox(limits());
    let mut changes = sandbox.grant_changes().expect("nobody listens yet");
    assert!(sandbox.grant_changes().is_none());
    let change = |basis, granted: &[&str], revoked: &[&str]| {
        let lines = |lines: &[&str]| lines.iter().map(ToString::to_string).collect();
        GrantChange {
            file: "p.wasm".into(),
            plugin: "hostile".into(),
            basis,
            granted: lines(granted),
            revoked: lines(revoked),
        }
    };
    sandbox.load_folder(dir.path()).await;
    let declared = changes.try_recv().expect("a start says what holds, without a lock as well");
    assert_eq!((declared.basis, declared.revoked.len()), (Some(Basis::Declared), 0), "{declared:?}");
    lock(dir.path(), &good, &[HOST]);
    for _ in 0..2 {
        sandbox.load_folder(dir.path()).await;
    }
    lock(dir.path(), &good, &[HOST, TOKEN]);
    sandbox.load_folder(dir.path()).await;
    // Other bytes with the same rights.
    std::fs::write(dir.path().join("p.wasm"), rebuilt(&good)).expect("a file");
    lock(dir.path(), &rebuilt(&good), &[HOST, TOKEN]);
    sandbox.load_folder(dir.path()).await;
    std::fs::remove_file(dir.path().join("p.wasm")).expect("gone");
    sandbox.load_folder(dir.path()).await;
    let told: Vec<GrantChange> = std::iter::from_fn(|| changes.try_recv().ok()).collect();
    let granted = Some(Basis::Granted);
    let was_declared = declared.granted.iter().any(|line| line == HOST);
    let came: &[&str] = if was_declared { &[] } else { &[HOST] };
    let went: Vec<&str> = declared.granted.iter().map(String::as_str).filter(|line| *line != HOST).collect();
    let gone = change(None, &[], &[TOKEN, HOST]);
    assert_eq!(told, [change(granted, came, &went), change(granted, &[TOKEN], &[]), gone]);
}
