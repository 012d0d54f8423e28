//! What the release before left on disk opens with this one: records, logs, kubeconfigs, states and the audit log of a frozen
//! folder, and what was made by it can be retried, goes on waiting, and is destroyed.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use catalyst_domain::kubeconfig::sha256_hex;
use catalyst_tests::host::{Host, wait_for};
use catalyst_tests::pdm::Pdm;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The newest frozen release; see its README.md.
const RELEASE: &str = "fixtures/release-0.1";
/// SHA-256 of the list of its files and their digests, the README left out.
const DIGEST: &str = "9759fd35887cb98ec955985288381cae4fff85dc100fd076b4941a62bfc5921c";
/// The time since it was frozen must not count: waits that it left are not over for that.
const FOR_EVER: &str = "876000h";
/// How long anything here may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);

fn frozen(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(RELEASE).join(path)
}

fn deployments() -> Value {
    serde_json::from_slice(&std::fs::read(frozen("deployments.json")).unwrap()).unwrap()
}

/// The id of a deployment by its name in the README.
fn id(name: &str) -> String {
    let all = deployments();
    let found = all["deployments"].as_array().unwrap().iter().find(|one| one["name"] == name);
    found.unwrap_or_else(|| panic!("no deployment {name}"))["id"].as_str().unwrap().to_owned()
}

/// Copies a folder, with the modes that a host gives.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700)).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::write(&target, std::fs::read(entry.path()).unwrap()).unwrap();
            std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

/// A host on a copy of one of the frozen folders, which is not started.
fn prepared(set: &str, env: &[(&str, &str)]) -> Host {
    let times = [("CATALYST_KUBECONFIG_TIMEOUT", FOR_EVER), ("CATALYST_PHASE1_WATCH_TIMEOUT", FOR_EVER)];
    let host = Host::prepare(&[&times, env].concat());
    copy(&frozen(set), host.folder());
    host
}

fn opened(set: &str, env: &[(&str, &str)]) -> Host {
    let mut host = prepared(set, env);
    host.up();
    host
}

fn state(host: &Host, id: &str) -> Value {
    let answer = host.api.get(&format!("/api/v1/deployments/{id}"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

fn until(host: &Host, id: &str, status: &str) -> Value {
    wait_for(&format!("{id} to be {status}"), LIMIT, || {
        let state = state(host, id);
        let lost = state["status"] == "failed" && status != "failed";
        assert!(!lost, "{state}\n{}", host.trace());
        (state["status"] == status).then_some(state)
    })
}

/// Sends what takes credentials: where this process does not know them any more it says which, and is given them.
fn with_credentials(send: impl Fn(&str) -> catalyst_tests::api::Answer) -> Value {
    let mut answer = send("");
    if answer.status == 409 && answer.json()["error"] == "credentials-needed" {
        assert_eq!(answer.json()["keys"], json!(["rehearsalToken"]), "{}", answer.body);
        answer = send(r#"{"rehearsalToken": "given-again"}"#);
    }
    assert!((200..300).contains(&answer.status), "{} {}", answer.status, answer.body);
    answer.json()
}

fn retry(host: &Host, id: &str) -> Value {
    let path = format!("/api/v1/deployments/{id}/phases/tofu-apply/retry");
    with_credentials(|body| host.api.post(&path, body))
}

fn destroy(host: &Host, id: &str) {
    with_credentials(|body| host.api.delete(&format!("/api/v1/deployments/{id}"), body));
    until(host, id, "destroyed");
}

/// The newest state of OpenTofu in a folder of states.
fn tofu_state(folder: &Path, id: &str) -> Vec<u8> {
    let entries = std::fs::read_dir(folder.join("state").join(id)).unwrap();
    let mut versions: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    versions.retain(|path| path.extension().is_some_and(|extension| extension == "tfstate"));
    versions.sort();
    std::fs::read(versions.last().unwrap()).unwrap()
}

/// The bearer that the first node of a deployment was given.
fn bearer(state: &[u8]) -> String {
    let state: Value = serde_json::from_slice(state).unwrap();
    let user_data = state["outputs"]["user_data"]["value"]["cp1"].as_str().unwrap();
    let (_, rest) = user_data.split_once("Authorization: Bearer ").unwrap();
    rest.split_whitespace().next().unwrap().to_owned()
}

fn entries(set: &str, id: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(frozen(set).join("deployments").join(format!("{id}.log.jsonl"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_deployment_of_the_release_before_is_there_with_its_status() {
    let host = opened("plain", &[]);
    for (name, after) in [
        ("ready", "ready"),
        ("failed", "failed"),
        ("waiting", "flux-bootstrapping"),
        ("pool", "flux-bootstrapping"),
        ("destroyed", "destroyed"),
        ("early", "phase1-watching"),
    ] {
        let state = state(&host, &id(name));
        assert_eq!(state["status"], after, "{name}: {state}");
    }
    // A start ends what a process left in the midst of an apply.
    until(&host, &id("interrupted"), "failed");
    // Those that wait for something go on with it, and say so.
    for name in ["waiting", "early"] {
        let before = entries("plain", &id(name)).len();
        wait_for(&format!("a word on {name}"), LIMIT, || {
            let events = host.api.get(&format!("/api/v1/deployments/{}/events", id(name))).json();
            (events["done"] == false && events["events"].as_array().unwrap().len() > before).then_some(())
        });
    }
    let listed = host.api.get("/api/v1/deployments").json();
    let listed: Vec<&str> =
        listed["deployments"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    for one in deployments()["deployments"].as_array().unwrap().iter().filter(|one| one["name"] != "sealed") {
        assert!(listed.contains(&one["id"].as_str().unwrap()), "{one} is not in {listed:?}");
    }
    let pool = state(&host, &id("pool"));
    assert_eq!(pool["dns"]["state"], "published", "{pool}");
}

#[test]
fn its_logs_are_read_whole_and_go_on_with_the_next_number() {
    let host = opened("plain", &[]);
    for name in ["ready", "failed", "waiting", "destroyed", "early", "interrupted"] {
        let id = id(name);
        let frozen = entries("plain", &id);
        let served = host.api.get(&format!("/api/v1/deployments/{id}/events")).json()["events"].clone();
        let served = served.as_array().unwrap();
        assert!(served.len() >= frozen.len(), "{name}: {} of {} entries", served.len(), frozen.len());
        for (old, new) in frozen.iter().zip(served) {
            for key in ["time", "phase", "level", "message", "component", "state"] {
                assert_eq!(old.get(key), new.get(key), "{name}: entry {}", old["n"]);
            }
        }
        let log = host.folder().join("deployments").join(format!("{id}.log.jsonl"));
        let numbers: Vec<u64> = std::fs::read_to_string(log)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["n"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "{name}");
    }
    // One that ended is streamed from where a viewer left off.
    let id = id("ready");
    let last = entries("plain", &id).len();
    let path = format!("/api/v1/deployments/{id}/logs");
    let stream = host.api.get(&path).body;
    assert!(stream.contains(&format!("id: {last}\n")) && stream.contains("event: done"), "{stream}");
}

#[test]
fn its_kubeconfigs_are_served_byte_for_byte() {
    let host = opened("plain", &[]);
    for name in ["ready", "early"] {
        let id = id(name);
        let answer = host.api.get(&format!("/api/v1/deployments/{id}/kubeconfig"));
        let frozen = std::fs::read_to_string(frozen("plain").join("kubeconfigs").join(format!("{id}.yaml"))).unwrap();
        assert_eq!((answer.status, answer.body), (200, frozen), "{name}");
    }
}

#[test]
fn an_unsafe_kubeconfig_that_it_stored_is_set_aside_and_its_bearer_counts_again() {
    let mut host = opened("plain", &[]);
    let id = id("unsafe");
    let (path, kept) = (format!("/api/v1/deployments/{id}/kubeconfig"), host.folder().join("kubeconfigs"));
    for restarted in [false, true] {
        if restarted {
            host.down();
            host.up();
        }
        let answer = host.api.get(&path);
        assert_eq!(
            (answer.status, answer.json()["error"].as_str().unwrap()),
            (409, "kubeconfig-refused"),
            "{restarted}"
        );
        assert!(answer.body.contains("merge key") && !answer.body.contains("/bin/sh"), "{}", answer.body);
    }
    let frozen_file = frozen("plain").join("kubeconfigs").join(format!("{id}.yaml"));
    let aside = kept.join(format!("{id}.yaml.refused"));
    assert_eq!(std::fs::read(aside).unwrap(), std::fs::read(frozen_file).unwrap());
    assert!(!kept.join(format!("{id}.yaml")).exists());
    let events = host.api.get(&format!("/api/v1/deployments/{id}/events")).body;
    assert!(events.contains("is set aside as") && events.contains("merge key"), "{events}");
    let safe = std::fs::read_to_string(frozen("plain").join("kubeconfigs").join(format!("{}.yaml", self::id("early"))));
    let bearer = format!("Bearer {}", bearer(&tofu_state(&frozen("plain"), &id)));
    let safe = safe.unwrap();
    let answer = host.api.put(&path, Some(&bearer), &safe);
    assert_eq!(answer.status, 204, "{}", answer.body);
    assert_eq!(host.api.get(&path).body, safe);
}

#[test]
fn a_failed_apply_goes_on_from_its_state() {
    let host = opened("plain", &[]);
    let id = id("failed");
    let before: Value = serde_json::from_slice(&tofu_state(&frozen("plain"), &id)).unwrap();
    retry(&host, &id);
    until(&host, &id, "flux-bootstrapping");
    let after: Value = serde_json::from_slice(&tofu_state(host.folder(), &id)).unwrap();
    assert_eq!(before["lineage"], after["lineage"], "everything was made anew");
    assert!(before["serial"].as_u64() < after["serial"].as_u64(), "{} {}", before["serial"], after["serial"]);
}

#[test]
fn an_interrupted_apply_can_be_retried_and_keeps_its_servers() {
    let host = opened("plain", &[]);
    let id = id("interrupted");
    let taken_up = until(&host, &id, "failed");
    assert!(taken_up["error"].as_str().is_some_and(|why| !why.is_empty()), "{taken_up}");
    // What it left in plain is taken in, so nothing has to be given again.
    let answer = host.api.post(&format!("/api/v1/deployments/{id}/phases/tofu-apply/retry"), "");
    assert_eq!(answer.status, 200, "{}", answer.body);
    until(&host, &id, "flux-bootstrapping");
    let (before, after) = (tofu_state(&frozen("plain"), &id), tofu_state(host.folder(), &id));
    assert_eq!(bearer(&before), bearer(&after), "its first server was made a second time");
    assert!(!host.folder().join("tofu").join(&id).join("catalyst.auto.tfvars.json").exists(), "secrets are left");
}

#[test]
fn who_waits_for_a_node_takes_its_kubeconfig_with_the_bearer_of_before() {
    let host = opened("plain", &[]);
    let id = id("waiting");
    let path = format!("/api/v1/deployments/{id}/kubeconfig");
    let body = std::fs::read_to_string(frozen("plain").join("kubeconfigs").join(format!("{}.yaml", self::id("early"))));
    let body = body.unwrap();
    let wrong = host.api.put(&path, Some("Bearer of-somebody-else"), &body);
    assert_eq!(wrong.status, 403, "{}", wrong.body);
    let bearer = format!("Bearer {}", bearer(&tofu_state(&frozen("plain"), &id)));
    let answer = host.api.put(&path, Some(&bearer), &body);
    assert_eq!(answer.status, 204, "{}", answer.body);
    until(&host, &id, "phase1-watching");
    assert_eq!(host.api.get(&path).body, body);
}

#[test]
fn what_it_made_can_be_destroyed() {
    let manager = Pdm::start();
    manager.give("frozen", "active", &format!("catalyst-api/deployment-{}", id("pool")));
    let host = opened("plain", &[("POOL_DOMAIN_MANAGER_URL", &manager.http.url())]);
    for name in ["ready", "early", "unsafe", "pool"] {
        destroy(&host, &id(name));
        let state: Value = serde_json::from_slice(&tofu_state(host.folder(), &id(name))).unwrap();
        assert_eq!(state["resources"], json!([]), "{name}");
    }
    wait_for("the name to be given back", LIMIT, || manager.name("frozen").is_none().then_some(()));
}

#[test]
fn its_sealed_states_open_with_their_key_and_no_other() {
    let key = deployments()["stateKey"].as_str().unwrap().to_owned();
    let id = id("sealed");
    let trace = prepared("sealed", &[("CATALYST_STATE_KEY", &"0".repeat(64))]).refused();
    assert!(trace.contains("CATALYST_STATE_KEY is not the key of"), "{trace}");
    let host = opened("sealed", &[("CATALYST_STATE_KEY", &key)]);
    assert_eq!(state(&host, &id)["status"], "flux-bootstrapping");
    destroy(&host, &id);
}

/// Its files of this folder that are not sealed.
fn plain(host: &Host, folder: &str, end: &str) -> Vec<String> {
    let kept = files(&host.folder().join(folder)).into_iter().filter(|(name, _)| name.ends_with(end));
    kept.filter(|(_, bytes)| !catalyst_store::is_sealed(bytes)).map(|(name, _)| name).collect()
}

#[test]
fn with_all_sealed_everything_of_it_is_sealed_and_served_and_goes_on() {
    let key = [("CATALYST_STATE_KEY", "7b".repeat(32)), ("CATALYST_SEAL", "all".to_owned())];
    let key = key.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut host = opened("plain", &key);
    let served = |host: &Host| {
        for name in ["ready", "early"] {
            let id = id(name);
            let answer = host.api.get(&format!("/api/v1/deployments/{id}/kubeconfig"));
            let frozen =
                std::fs::read_to_string(frozen("plain").join("kubeconfigs").join(format!("{id}.yaml"))).unwrap();
            assert_eq!((answer.status, answer.body), (200, frozen), "{name}");
        }
    };
    served(&host);
    let left = |host: &Host| {
        let mut left = plain(host, "kubeconfigs", "");
        left.extend(plain(host, "state", ".tfstate"));
        left.extend(plain(host, "state", "bundle.json"));
        // Of a run that ended, the checksums of its providers alone.
        left.extend(plain(host, "tofu", "").into_iter().filter(|name| !name.ends_with("/.terraform.lock.hcl")));
        left
    };
    wait_for("everything to be sealed", LIMIT, || left(&host).is_empty().then_some(()));
    host.crash();
    host.up();
    served(&host);
    let id = id("interrupted");
    until(&host, &id, "failed");
    retry(&host, &id);
    until(&host, &id, "flux-bootstrapping");
    for name in ["ready", "early", "unsafe"] {
        destroy(&host, &self::id(name));
    }
    assert!(left(&host).is_empty(), "{:?}", left(&host));
}

#[test]
fn its_audit_log_goes_on() {
    let host = opened("plain", &[]);
    let frozen = std::fs::read_to_string(frozen("plain").join("audit.jsonl")).unwrap();
    destroy(&host, &id("waiting"));
    let log = std::fs::read_to_string(host.folder().join("audit.jsonl")).unwrap();
    let new = log.strip_prefix(&frozen).unwrap_or_else(|| panic!("{log}"));
    assert!(new.contains("\"action\":\"destroy\""), "{new}");
}

/// The files below a folder, with their paths from there, in order.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn no_frozen_file_was_changed() {
    let each = files(&frozen("")).into_iter().filter(|(name, _)| name != "README.md");
    let list: String = each.map(|(name, bytes)| format!("{} {name}\n", sha256_hex(&bytes))).collect();
    assert_eq!(sha256_hex(list.as_bytes()), DIGEST, "what is on somebody's volume does not change:\n{list}");
}

#[test]
fn no_frozen_file_names_the_machine_that_made_it() {
    let files = files(&frozen(""));
    for (name, bytes) in &files {
        let text = String::from_utf8_lossy(bytes);
        for word in ["/home/", "/tmp/", "/Users/", "/builds/", "/workspace"] {
            assert!(!text.contains(word), "{name} names {word}");
        }
    }
    let size: usize = files.values().map(Vec::len).sum();
    assert!((1..1 << 20).contains(&size), "{size} bytes: a frozen folder is a fixture, not an archive");
}
