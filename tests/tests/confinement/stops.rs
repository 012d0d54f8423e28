//! What a run leaves when it ends with its host: word of what it made, and no file.

use crate::hosts::{Hanging, create, hanging_in, spool, until};
use catalyst_tests::host::{Host, wait_for};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// A line of OpenTofu on what it made, which no state knows.
const MADE: &str = r#"{"@level":"info","@message":"made","type":"apply_complete","hook":{"resource":{"addr":"cloud_server.late"},"action":"create","id_key":"id","id_value":"4711"}}"#;
/// Words of the log on it.
const WORDS: &str = "made, but not in the kept state: cloud_server.late (4711)";

/// How often the log says it.
fn told(host: &Host, id: &str) -> usize {
    host.api.get(&format!("/api/v1/deployments/{id}/events")).body.matches(WORDS).count()
}

#[test]
fn what_a_run_made_that_was_stopped_with_its_host_is_in_the_log_once() {
    for step in ["apply", "destroy"] {
        let tofu = Hanging::new("auto", &format!("echo '\\''{MADE}'\\''; exit 1"));
        let mut host = tofu.host(&[]);
        let id = hanging_in(step, &tofu, &host);
        host.down();
        assert!(!spool(&host, &id).exists(), "{step}: it would be said again");
        tofu.go_on();
        host.up();
        let failed = until(&host, &id, "failed");
        assert!(failed["error"].as_str().unwrap().contains("catalyst-api restarted during"), "{step}: {failed}");
        assert_eq!(told(&host, &id), 1, "{step}");
        host.down();
    }
}

#[test]
fn what_an_earlier_process_could_not_say_is_said_at_the_start_whatever_the_record_is_and_nobodys_goes() {
    let tofu = Hanging::new("auto", "exit 1");
    let mut host = tofu.host(&[]);
    let id = create(&host, "untold.example");
    until(&host, &id, "flux-bootstrapping");
    host.down();
    let (left, nobodys) = (spool(&host, &id), spool(&host, "00000000000000aa"));
    for file in [&left, &nobodys] {
        std::fs::write(file, format!("{MADE}\n")).unwrap();
    }
    host.up();
    wait_for("both to go", LIMIT, || (!left.exists() && !nobodys.exists()).then_some(()));
    assert_eq!(told(&host, &id), 1);
    until(&host, &id, "flux-bootstrapping");
    host.down();
    host.up();
    assert_eq!(told(&host, &id), 1, "once for all");
    host.down();
}

#[test]
fn a_killed_host_leaves_no_temporary_folder_of_its_run() {
    for confine in ["auto", "off"] {
        let tofu = Hanging::new(confine, "mkdir -p \"$TMPDIR/a/b\"; chmod 0 \"$TMPDIR/a\"; exit 1");
        let temporary = tempfile::tempdir().unwrap();
        let mut host = tofu.host(&[("TMPDIR", temporary.path().to_str().unwrap())]);
        hanging_in("apply", &tofu, &host);
        let of_runs = || {
            let all = std::fs::read_dir(temporary.path()).unwrap().filter_map(Result::ok);
            all.filter(|entry| entry.file_name().to_string_lossy().starts_with("catalyst-")).count()
        };
        assert_eq!(of_runs(), 1, "{confine}");
        host.crash();
        tofu.gone_within(Duration::from_secs(10));
        wait_for("the folder to go", LIMIT, || (of_runs() == 0).then_some(()));
    }
}
