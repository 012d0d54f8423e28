//! Every file that a run or a crash leaves half, damaged in every way: the next start takes the deployment up, its retry and its
//! destroy come to their end, and what was set aside is named. All deployments are copies of one that failed in its apply, so that
//! one host meets them all in one start.

use crate::kit::*;
use catalyst_domain::DeploymentId;
use catalyst_store::{FileStore, Settings, StateKey, Store};
use catalyst_tests::host::wait_for;
use catalyst_tests::storage::{copy, plain_settings};
use catalyst_tests::world::{LIMIT, TOKEN};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What OpenTofu says of a resource that is in no state.
const MADE: &str = r#"{"@level":"info","@message":"made_thing.x: Creation complete after 0s [id=m-1]","type":"apply_complete","hook":{"resource":{"addr":"made_thing.x"},"action":"create","id_key":"id","id_value":"m-1","elapsed_seconds":0}}"#;
const LOCK_INFO: &str = r#"{"ID":"of-a-dead-run","Operation":"OperationTypeApply"}"#;
const KEY: &str = "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e";
const LOCK: &str =
    "provider \"registry.opentofu.org/acme/spy\" {\n  version = \"1.0.0\"\n  hashes = [\n    \"h1:abc=\",\n  ]\n}\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum File {
    Errored,
    Plan,
    Variables,
    Bundle,
    /// OpenTofu's lock file, and the lock of the state.
    Lock,
    Log,
    /// What the supervisor left of what was made.
    Spool,
    /// The newest state that is kept, with a newer one left over.
    Kept,
}

const FILES: [File; 8] =
    [File::Errored, File::Plan, File::Variables, File::Bundle, File::Lock, File::Log, File::Spool, File::Kept];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Empty,
    Cut,
    Binary,
    Folder,
    Unreadable,
}

const DAMAGES: [Damage; 5] = [Damage::Empty, Damage::Cut, Damage::Binary, Damage::Folder, Damage::Unreadable];

impl Damage {
    fn does(self, path: &Path) {
        match self {
            Self::Empty => std::fs::write(path, "").unwrap(),
            Self::Cut => {
                let whole = std::fs::read(path).unwrap();
                std::fs::write(path, &whole[..whole.len() * 2 / 3]).unwrap();
            }
            Self::Binary => std::fs::write(path, b"\x7fELF\xff\xfe\0\0\n\0\x01\n").unwrap(),
            Self::Folder => {
                std::fs::remove_file(path).unwrap();
                std::fs::create_dir_all(path.join("deep")).unwrap();
            }
            Self::Unreadable => {
                // A superuser reads whatever has a mode, but nobody opens a link to itself.
                std::fs::remove_file(path).unwrap();
                std::os::unix::fs::symlink(path.file_name().unwrap(), path).unwrap();
            }
        }
    }
}

/// A deployment as a crash left it, of which one file is damaged.
struct Case {
    id: String,
    file: File,
    damage: Damage,
}

/// The folders of a host that was stopped, with the deployment that the others are copies of.
struct Template<'a> {
    root: &'a Path,
    id: String,
    record: Value,
}

impl Template<'_> {
    fn paths(&self, id: &str, file: File) -> Vec<PathBuf> {
        let (work, state) = (self.root.join("tofu").join(id), self.root.join("state").join(id));
        match file {
            File::Errored => vec![work.join("errored.tfstate")],
            File::Plan => vec![work.join("catalyst.tfplan")],
            File::Variables => vec![work.join("catalyst.auto.tfvars.json")],
            File::Bundle => vec![state.join("bundle.json")],
            File::Lock => vec![work.join(".terraform.lock.hcl"), state.join("lock.json")],
            File::Log => vec![self.root.join("deployments").join(format!("{id}.log.jsonl"))],
            File::Spool => vec![self.root.join("tofu/.made").join(id)],
            File::Kept => vec![self.newest_state(id)],
        }
    }

    fn newest_state(&self, id: &str) -> PathBuf {
        let all = std::fs::read_dir(self.root.join("state").join(id)).unwrap().map(|entry| entry.unwrap().path());
        all.filter(|path| path.extension().is_some_and(|end| end == "tfstate")).max().unwrap()
    }

    /// A copy as a host leaves it that is killed in an apply: every file is there, and whole.
    fn copy(&self, number: usize) -> String {
        let id = format!("{number:016x}");
        let mut record = self.record.clone();
        record["id"] = json!(id);
        record["status"] = json!("tofu-applying");
        record["request"]["sovereignFQDN"] = json!(format!("damaged-{number}.example"));
        for key in ["error", "finishedAt", "left", "child"] {
            record.as_object_mut().unwrap().remove(key);
        }
        let records = self.root.join("deployments");
        std::fs::write(records.join(format!("{id}.json")), record.to_string()).unwrap();
        std::fs::copy(records.join(format!("{}.log.jsonl", self.id)), records.join(format!("{id}.log.jsonl"))).unwrap();
        for folder in ["state", "tofu"] {
            let to = self.root.join(folder).join(&id);
            std::fs::create_dir(&to).unwrap();
            copy(&self.root.join(folder).join(&self.id), &to);
        }
        let mut state: Value = serde_json::from_slice(&std::fs::read(self.newest_state(&id)).unwrap()).unwrap();
        state["serial"] = json!(state["serial"].as_u64().unwrap() + 5);
        let write = |file, content: &str| std::fs::write(&self.paths(&id, file)[0], content).unwrap();
        write(File::Errored, &state.to_string());
        write(File::Plan, "PK\u{3}\u{4} a plan");
        write(File::Variables, &json!({"rehearsal_token": TOKEN, "region": "local-1"}).to_string());
        write(File::Lock, LOCK);
        write(File::Spool, &format!("{MADE}\n"));
        std::fs::write(&self.paths(&id, File::Lock)[1], LOCK_INFO).unwrap();
        id
    }

    /// One for each damage of the newest kept state, all of whose versions are sealed. Without a left-over one it is the version before
    /// it that counts.
    async fn sealed_cases(&self, first: usize, has_errored: bool) -> Vec<Case> {
        let ids: Vec<String> = (first..first + DAMAGES.len()).map(|number| self.copy(number)).collect();
        let settings = Settings { state_key: Some(StateKey::parse(KEY).unwrap()), ..plain_settings(self.root) };
        let store = FileStore::open(settings).unwrap();
        let mut cases = Vec::new();
        for (id, damage) in ids.into_iter().zip(DAMAGES) {
            let of = DeploymentId::parse(&id).unwrap();
            let newest = store.state(&of).await.unwrap().unwrap();
            store.unlock_state(&of, None).await.unwrap();
            // The next one that is written seals those that are kept.
            store.put_state(&of, &newest, None).await.unwrap();
            store.lock_state(&of, LOCK_INFO.as_bytes()).await.unwrap();
            let newest = self.newest_state(&id);
            assert!(catalyst_store::is_sealed(&std::fs::read(&newest).unwrap()), "else nothing is shown");
            damage.does(&newest);
            if !has_errored {
                std::fs::remove_file(self.paths(&id, File::Errored).remove(0)).unwrap();
            }
            cases.push(Case { id, file: File::Kept, damage });
        }
        cases
    }

    /// One for each file and damage.
    fn cases(&self, first: usize) -> Vec<Case> {
        let each = FILES.into_iter().flat_map(|file| DAMAGES.map(|damage| (file, damage)));
        let case = |(number, (file, damage)): (usize, (File, Damage))| {
            let id = self.copy(first + number);
            self.paths(&id, file).iter().for_each(|path| damage.does(path));
            Case { id, file, damage }
        };
        each.enumerate().map(case).collect()
    }
}

impl Scene {
    /// A deployment that failed in the middle of its apply, on a host that is stopped since.
    fn template(&mut self) -> Template<'_> {
        let mut asked = failing("template.example", "apply-once");
        asked["regions"][0]["workerCount"] = json!(1);
        let id = self.create(&asked);
        self.until(&id, "failed");
        let record = self.record(&id);
        self.host.down();
        let root = self.host.folder();
        std::fs::create_dir_all(root.join("tofu/.made")).unwrap();
        Template { root, id, record }
    }

    fn said(&self, id: &str) -> String {
        let answer = self.api().get(&format!("/api/v1/deployments/{id}/events"));
        let events = answer.json()["events"].as_array().cloned().unwrap_or_default();
        events.iter().map(|entry| format!("{}\n", entry["message"].as_str().unwrap())).collect()
    }
}

/// What the start made of one: it failed as interrupted, what it has is named, and so is what was set aside.
fn check_taken_up(scene: &Scene, case: &Case) {
    let Case { id, file, damage } = case;
    let context = format!("{file:?} {damage:?}");
    let state = scene.until(id, "failed");
    assert!(state["error"].as_str().unwrap().contains("restarted during provisioning"), "{context}: {state}");
    let left = state["left"].as_array().unwrap_or_else(|| panic!("{context}: nothing is left: {state}"));
    let is_there = |address: &str, in_state: bool| {
        left.iter().any(|r| r["address"] == address && r["inState"] == in_state && r["id"].as_str().unwrap() != "")
    };
    assert!(is_there("terraform_data.network", true), "{context}: {left:?}");
    assert_eq!(is_there("made_thing.x", false), *file != File::Spool, "{context}: {left:?}");
    if matches!((file, damage), (File::Log, Damage::Folder | Damage::Unreadable)) {
        let answer = scene.api().get(&format!("/api/v1/deployments/{id}/events"));
        check(&answer, 503, &format!("{id}.log.jsonl"));
        return;
    }
    let said = scene.said(id);
    let words: &[&str] = match file {
        File::Errored => {
            &["errored.tfstate.1", "CATALYST_TOFU_WORKDIR", "the log says that this was created: terraform_data."]
        }
        File::Kept => &[".tfstate.1", "CATALYST_STATE_DIR", "the log says that this was created: terraform_data."],
        File::Spool if matches!(damage, Damage::Folder | Damage::Unreadable) => &["cannot be read"],
        _ => &[],
    };
    words.iter().for_each(|word| assert!(said.contains(word), "{context}: {word} is not in {said}"));
    assert_eq!(said.contains("not in the kept state: made_thing.x (m-1)"), *file != File::Spool, "{context}: {said}");
}

/// Where a left-over state is that could not be used.
fn aside(root: &Path, id: &str) -> PathBuf {
    root.join(format!("tofu/.set-aside/{id}.errored.tfstate.1"))
}

/// Nothing in plain stays where a person would have to remove it, and evidence does.
fn check_tidy(scene: &Scene, case: &Case) {
    let work = scene.host.folder().join("tofu").join(&case.id);
    for name in ["catalyst.auto.tfvars.json", "catalyst.tfplan"] {
        let path = work.join(name);
        wait_for(&format!("{} to go", path.display()), LIMIT, || {
            std::fs::symlink_metadata(&path).is_err().then_some(())
        });
    }
    let aside = aside(scene.host.folder(), &case.id);
    assert_eq!(std::fs::symlink_metadata(aside).is_ok(), case.file == File::Errored);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_damaged_of_what_a_crash_leaves_the_start_the_retry_and_the_destroy_work() {
    let _some = SOME.acquire().await.unwrap();
    let mut scene = Scene::start(&[]);
    let template = scene.template();
    let (to_retry, to_destroy) = (template.cases(0x1000), template.cases(0x2000));
    scene.host.up();
    for case in to_retry.iter().chain(&to_destroy) {
        check_taken_up(&scene, case);
        check_tidy(&scene, case);
    }
    assert_eq!(scene.api().get("/readyz").status, 200);
    // All at once: they take their turns.
    to_retry.iter().for_each(|case| scene.retried(&case.id));
    to_destroy.iter().for_each(|case| check(&scene.destroy(&case.id, ""), 202, "destroying"));
    for Case { id, file, damage } in &to_retry {
        let state = scene.until(id, "flux-bootstrapping");
        assert!(state.get("left").is_none(), "{file:?} {damage:?}: {state}");
        let said = scene.said(id);
        let aside = match (file, damage) {
            (File::Bundle, _) => "bundle.json.1",
            (File::Log, Damage::Folder | Damage::Unreadable) => "log.jsonl.1",
            _ => "",
        };
        assert!(said.contains(aside) && said.contains("retry asked for"), "{file:?} {damage:?}: {said}");
    }
    for Case { id, file, damage } in &to_destroy {
        let state = scene.until(id, "destroyed");
        let lost: Vec<&Value> = state["left"].as_array().into_iter().flatten().map(|left| &left["address"]).collect();
        let expect: &[&str] = if *file == File::Spool { &[] } else { &["made_thing.x"] };
        assert_eq!(lost, expect, "{file:?} {damage:?}: {state}");
        assert!(scene.resources(id).is_empty(), "{file:?} {damage:?}");
    }
    assert_eq!(scene.api().get("/readyz").status, 200);
    assert!(!scene.host.trace().contains("panicked"), "{}", scene.host.trace());
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_damaged_of_an_encrypted_state_the_start_the_retry_and_the_destroy_work() {
    let _some = SOME.acquire().await.unwrap();
    let mut scene = Scene::start(&[]);
    let template = scene.template();
    let mut cases = Vec::new();
    for (first, has_errored) in [(0x4000, true), (0x5000, false)] {
        cases.extend(template.sealed_cases(first, has_errored).await);
        cases.extend(template.sealed_cases(first + 0x100, has_errored).await);
    }
    scene.host.set("CATALYST_STATE_KEY", KEY);
    scene.host.up();
    cases.iter().for_each(|case| check_taken_up(&scene, case));
    assert_eq!(scene.api().get("/readyz").status, 200);
    let (to_retry, to_destroy): (Vec<_>, Vec<_>) =
        cases.chunks(DAMAGES.len()).enumerate().partition(|(n, _)| n % 2 == 0);
    let (to_retry, to_destroy) = (to_retry.iter().flat_map(|(_, c)| *c), to_destroy.iter().flat_map(|(_, c)| *c));
    to_retry.clone().for_each(|case| scene.retried(&case.id));
    to_destroy.clone().for_each(|case| check(&scene.destroy(&case.id, ""), 202, "destroying"));
    for Case { id, damage, .. } in to_retry {
        let state = scene.until(id, "flux-bootstrapping");
        assert!(state.get("left").is_none(), "{damage:?}: {state}");
    }
    for Case { id, damage, .. } in to_destroy {
        let state = scene.until(id, "destroyed");
        assert_eq!(state["left"][0]["address"], "made_thing.x", "{damage:?}: {state}");
    }
    assert_eq!(scene.api().get("/readyz").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_left_over_state_of_another_lineage_and_a_deployment_without_any_state_are_no_dead_ends() {
    let _some = SOME.acquire().await.unwrap();
    let mut scene = Scene::start(&[]);
    let template = scene.template();
    let (foreign, stateless) = (template.copy(0x3001), template.copy(0x3002));
    let errored = template.paths(&foreign, File::Errored).remove(0);
    let mut state: Value = serde_json::from_slice(&std::fs::read(&errored).unwrap()).unwrap();
    state["lineage"] = json!("of-somebody-else");
    std::fs::write(&errored, state.to_string()).unwrap();
    // Nothing of the state can be read: the log is all that tells.
    let folder = template.root.join("state").join(&stateless);
    for path in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.extension().is_some_and(|end| end == "tfstate") {
            std::fs::write(path, "{").unwrap();
        }
    }
    std::fs::write(template.paths(&stateless, File::Errored).remove(0), "").unwrap();
    scene.host.up();
    scene.until(&foreign, "failed");
    let said = scene.said(&foreign);
    assert!(said.contains("of-somebody-else") && said.contains("errored.tfstate.1"), "{said}");
    let state = scene.until(&stateless, "failed");
    let said = scene.said(&stateless);
    assert!(
        said.contains("the log says that this was created: terraform_data.") && said.contains(".tfstate.1"),
        "{said}"
    );
    let names =
        |state: &Value| state["left"].as_array().unwrap().iter().map(|r| r["address"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&state), ["made_thing.x"]);
    scene.retried(&foreign);
    scene.until(&foreign, "flux-bootstrapping");
    check(&scene.destroy(&foreign, ""), 202, "destroying");
    scene.until(&foreign, "destroyed");
    // What may still tell of something stays, and its name is said.
    assert!(aside(scene.host.folder(), &foreign).exists());
    check(&scene.destroy(&stateless, ""), 202, "destroying");
    let state = scene.until(&stateless, "destroyed");
    assert_eq!(names(&state), ["made_thing.x"]);
    assert!(scene.said(&stateless).contains("neither a retry nor a destroy knows of it: made_thing.x (m-1)"));
}
