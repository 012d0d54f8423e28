//! `plugins.lock`: only the named bytes serve, and nobody serves under a list that cannot be read.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::fixtures::{asks, brisk, folder, guest, rebuilt, sandbox};

fn pin(bytes: &[u8], name: &str) -> String {
    format!("sha256:{}  {name}\n", hex::encode(Sha256::digest(bytes)))
}

fn lock(folder: &Path, text: &str) {
    std::fs::write(folder.join("plugins.lock"), text).expect("a lock");
}

#[tokio::test]
async fn the_unpinned_and_the_differing_are_named_while_others_serve() {
    let good = guest("by_request");
    let dir = folder(&[("a.wasm", &good), ("b.wasm", &rebuilt(&good)), ("c.wasm", &good)]);
    lock(dir.path(), &format!("# reviewed\n{}{}", pin(&good, "b.wasm"), pin(&good, "c.wasm")));
    let sandbox = sandbox(brisk());
    let report = sandbox.load_folder(dir.path()).await;
    let failed: Vec<(&str, &str)> = report.failures.iter().map(|f| (f.file.as_str(), f.error.as_str())).collect();
    assert_eq!(failed[0], ("a.wasm", "is not named in plugins.lock"));
    assert_eq!(failed[1].0, "b.wasm");
    assert!(failed[1].1.contains("but plugins.lock has sha256:"), "{failed:?}");
    let served = sandbox.provider("hostile").expect("the pinned one serves");
    assert_eq!(served.file_name(), "c.wasm");
    assert_eq!(served.validate(&asks("behave")).await.expect("an answer").len(), 1);
}

#[tokio::test]
async fn a_provider_that_the_operator_does_not_allow_keeps_its_plugin_out() {
    let good = guest("by_request");
    let dir = folder(&[("a.wasm", &good)]);
    let sandbox = sandbox(brisk());
    lock(dir.path(), &format!("{}provider hashicorp/random\n", pin(&good, "a.wasm")));
    let report = sandbox.load_folder(dir.path()).await;
    assert!(report.serving.is_empty());
    let told = &report.failures[0].error;
    assert_eq!(told, "declares the OpenTofu provider acme/cloud, which plugins.lock does not allow");

    lock(dir.path(), &format!("{}provider acme/cloud\n", pin(&good, "a.wasm")));
    assert_eq!(sandbox.load_folder(dir.path()).await.serving.len(), 1);

    // Taken back, with the very same bytes in place.
    lock(dir.path(), &format!("{}provider hashicorp/random\n", pin(&good, "a.wasm")));
    let report = sandbox.load_folder(dir.path()).await;
    assert!(report.serving.is_empty() && !report.failures[0].previous_serves, "{:?}", report.failures);
}

#[tokio::test]
async fn a_lock_that_cannot_be_read_lets_nobody_in() {
    let good = guest("by_request");
    let dir = folder(&[("a.wasm", &good)]);
    for broken in
        [format!("{}oops\n", pin(&good, "a.wasm")), pin(&good, "a.wasm").repeat(2), "sha256:12  a.wasm".into()]
    {
        lock(dir.path(), &broken);
        let report = sandbox(brisk()).load_folder(dir.path()).await;
        assert!(report.serving.is_empty(), "{broken}");
        let [failure] = report.failures.as_slice() else { panic!("{:?}", report.failures) };
        assert_eq!(failure.file, "plugins.lock");
        assert!(failure.error.contains("line ") && failure.error.contains("no plugin is loaded"), "{}", failure.error);
    }
    // A lock that is taken away is not forgotten, be it whole or not.
    let running = sandbox(brisk());
    for text in ["not a lock".to_owned(), pin(&good, "other.wasm")] {
        lock(dir.path(), &text);
        running.load_folder(dir.path()).await;
        std::fs::remove_file(dir.path().join("plugins.lock")).expect("gone");
        let report = running.load_folder(dir.path()).await;
        assert!(report.serving.is_empty() && report.failures[0].error.contains("was there and is gone"), "{report:?}");
    }
    lock(dir.path(), "");
    assert!(sandbox(brisk()).load_folder(dir.path()).await.serving.is_empty(), "an empty list names nobody");
}

#[tokio::test]
async fn a_plugin_whose_pin_is_taken_back_ends_and_a_bad_lock_changes_nothing() {
    let good = guest("by_request");
    let dir = folder(&[("a.wasm", &good)]);
    lock(dir.path(), &pin(&good, "a.wasm"));
    let sandbox = sandbox(brisk());
    assert_eq!(sandbox.load_folder(dir.path()).await.serving.len(), 1);

    lock(dir.path(), "not a lock");
    let report = sandbox.load_folder(dir.path()).await;
    assert!(report.failures[0].previous_serves && report.serving.len() == 1, "what was allowed goes on");

    // A new file that nobody reviewed: the pinned bytes go on serving.
    lock(dir.path(), &pin(&good, "a.wasm"));
    std::fs::write(dir.path().join("a.wasm"), rebuilt(&good)).expect("a file");
    let report = sandbox.load_folder(dir.path()).await;
    assert!(report.failures[0].previous_serves && report.serving.len() == 1, "{:?}", report.failures);

    // Now it is reviewed, and the old bytes are allowed no more.
    lock(dir.path(), &pin(&rebuilt(&good), "a.wasm"));
    let report = sandbox.load_folder(dir.path()).await;
    assert_eq!(report.failures.len(), 0, "{:?}", report.failures);
    assert_eq!(report.serving[0].digest(), hex::encode(Sha256::digest(rebuilt(&good))));

    lock(dir.path(), "# nobody\n");
    let report = sandbox.load_folder(dir.path()).await;
    assert!(
        report.serving.is_empty() && !report.failures[0].previous_serves,
        "a pin that is taken back ends its plugin"
    );
}
