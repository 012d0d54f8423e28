//! Folders, what is kept in them, and who else has them.

use super::*;
use catalyst_domain::record::{NewRecord, ProviderRef};
use catalyst_domain::{DeploymentId, Record, Request, Timestamp};
use catalyst_store::{FileStore, HeldFolder, Settings, StateKey, Store as _};
use std::io::Write as _;

#[test]
fn broken_a_file_where_a_folder_is_wanted() {
    let set_up = SetUp::well();
    fs::create_dir(set_up.path("data")).unwrap();
    fs::write(set_up.path("data/kubeconfigs"), "").unwrap();
    set_up.examine().shows("kubeconfigs", "fail", "is no folder");
}

#[test]
fn broken_a_folder_that_cannot_be_made() {
    let mut set_up = SetUp::well();
    // Not even root makes one there.
    set_up.set("CATALYST_TOFU_WORKDIR", "/proc/catalyst/tofu");
    set_up.examine().shows(
        "work folders",
        "fail",
        "cannot be made below /proc: No such file or directory (os error 2)",
    );
}

#[test]
fn broken_an_audit_log_that_cannot_be_made_or_written() {
    let mut set_up = SetUp::well();
    set_up.set("CATALYST_AUDIT_LOG", "/proc/catalyst/audit.jsonl");
    set_up.examine().shows("audit log", "fail", "/proc/catalyst is not there and cannot be made below /proc");
    set_up.set("CATALYST_AUDIT_LOG", set_up.path("audit").display());
    fs::create_dir(set_up.path("audit")).unwrap();
    set_up.examine().shows("audit log", "fail", "is no file");
    // A start makes the folder, so one that is not there yet is well.
    set_up.set("CATALYST_AUDIT_LOG", set_up.path("data/audit/audit.jsonl").display());
    assert!(set_up.examine().troubled().is_empty(), "{:#?}", set_up.examine().findings);
}

#[test]
fn broken_a_folder_that_everybody_may_enter() {
    let set_up = SetUp::well();
    fs::create_dir_all(set_up.path("data/deployments")).unwrap();
    fs::set_permissions(set_up.path("data/deployments"), fs::Permissions::from_mode(0o777)).unwrap();
    set_up.examine().shows("records", "warn", "has mode 777");
}

#[test]
fn broken_a_record_that_cannot_be_read() {
    let set_up = SetUp::well();
    set_up.private("data/deployments");
    fs::write(set_up.path("data/deployments/0123456789abcdef.json"), "{\"id\": \"0123").unwrap();
    set_up.examine().shows("kept records", "fail", "1 of 1 records cannot be read, 0123456789abcdef.json");
}

#[test]
fn broken_records_from_the_future() {
    let set_up = SetUp::well();
    set_up.private("data/deployments");
    let file = fs::File::create(set_up.path("data/deployments/0123456789abcdef.json")).unwrap();
    { &file }.write_all(b"{}").unwrap();
    file.set_modified(std::time::SystemTime::now() + Duration::from_secs(86_400)).unwrap();
    set_up.examine().shows("clock", "fail", "1 of 1 records were written in the future");
}

#[test]
fn broken_a_folder_that_a_process_holds_without_serving() {
    let set_up = SetUp::well();
    let _held = HeldFolder::take(&set_up.path("data/deployments"), Duration::ZERO).unwrap();
    let examined = set_up.examine();
    examined.shows("lock", "fail", "and no host answers");
    let pid = format!("process {} (", std::process::id());
    assert!(format!("{:?}", examined.findings).contains(&pid), "{pid}: {:?}", examined.findings);
}

#[test]
fn broken_another_program_at_the_address() {
    let mut set_up = SetUp::well();
    let other = Double::http(|_| Some((200, "<html>".to_owned())));
    set_up.set("CATALYST_LISTEN", other.url().replace("http://", ""));
    set_up.examine().shows("address", "fail", "another program answers");
}

#[test]
fn broken_a_host_that_is_not_ready() {
    let mut set_up = SetUp::well();
    let said = r#"{"ready": false, "reasons": ["no provider plugin is loaded"]}"#;
    let other = Double::http(move |_| Some((503, said.to_owned())));
    set_up.set("CATALYST_LISTEN", other.url().replace("http://", ""));
    set_up.examine().shows("address", "fail", "is not ready: no provider plugin is loaded");
}

fn record(id: &DeploymentId) -> Record {
    Record::new(NewRecord {
        id: id.clone(),
        request: Request { sovereign_fqdn: "a.example".to_owned(), ..Request::default() },
        kubeconfig_bearer_hash: String::new(),
        provider: ProviderRef { id: "rehearsal".into(), version: "0".into(), digest: String::new() },
        at: Timestamp::UNIX_EPOCH,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_states_under_another_key() {
    let mut set_up = SetUp::well();
    let store = FileStore::open(Settings {
        deployments_dir: set_up.path("data/deployments"),
        kubeconfigs_dir: set_up.path("data/kubeconfigs"),
        state_dir: set_up.path("data/state"),
        lock_wait: Duration::ZERO,
        log_cap_bytes: 1 << 20,
        state_key: Some(StateKey::parse(&"7a".repeat(32)).unwrap()),
        seal: catalyst_store::Seal::States,
    });
    let store = store.unwrap();
    let id = DeploymentId::parse("0123456789abcdef").unwrap();
    store.create(record(&id)).await.unwrap();
    store.put_state(&id, br#"{"version": 4, "serial": 1}"#, None).await.unwrap();
    drop(store);
    set_up.examine().shows("state key", "fail", "the states of 1 deployments are encrypted with another key");
    set_up.env.remove("CATALYST_STATE_KEY");
    set_up.examine().shows("state key", "fail", "are encrypted, and no key is set");
    set_up.set("CATALYST_STATE_KEY", "7a".repeat(32));
    assert!(set_up.examine().troubled().is_empty());
}

#[test]
fn kubeconfigs_that_are_not_encrypted_yet_are_counted() {
    let mut set_up = SetUp::well();
    let folder = set_up.path("data/kubeconfigs");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("0123456789abcdef.yaml"), "kind: Config\n").unwrap();
    set_up.set("CATALYST_SEAL", "all");
    let seen = set_up.examine();
    let is_said = |one: &serde_json::Value| one["check"] == "state key" && one["verdict"] == "ok";
    let found = seen.findings.iter().find(|one| is_said(one)).unwrap_or_else(|| panic!("{:#?}", seen.findings));
    let found = found["found"].as_str().unwrap();
    assert!(found.contains("1 kubeconfigs are not encrypted yet: the start does that"), "{found}");
}

#[test]
fn broken_states_that_are_not_encrypted() {
    let mut set_up = SetUp::well();
    set_up.env.remove("CATALYST_STATE_KEY");
    set_up.examine().shows("state key", "warn", "states are kept as they come");
}

#[test]
fn broken_a_cache_that_cannot_be_used() {
    let mut set_up = SetUp::well();
    set_up.set("CATALYST_CACHE_DIR", "/proc/catalyst");
    set_up.examine().shows("cache", "fail", "/proc/catalyst cannot be used");
}
