//! What a run that was killed with its host leaves on disk: its secrets are gone or sealed with the next start, and its retry and
//! its destroy have them all the same.

mod faults;

use crate::kit::*;
use catalyst_tests::host::wait_for;
use catalyst_tests::world::{LIMIT, PULL_TOKEN, TOKEN};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const KEY: &str = "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e";
const WITH_KEY: [(&str, &str); 1] = [("CATALYST_STATE_KEY", KEY)];
const VARIABLES: &str = "catalyst.auto.tfvars.json";
const PLAN: &str = "catalyst.tfplan";
/// Where an earlier release had what OpenTofu remembers of its backend.
const BACKEND: &str = ".terraform/terraform.tfstate";

/// A token as Hetzner Cloud has them: a provider that cannot do without.
const NEEDED: &str = "5entinel0fHetznerCloud5entinel0fHetznerCloud5entinel0fHetznerClo";

fn files(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        // What goes meanwhile is not there.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.is_symlink() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

impl Scene {
    fn work(&self, id: &str) -> PathBuf {
        self.host.folder().join("tofu").join(id)
    }

    /// What OpenTofu remembers of its backend.
    fn remembered(&self, id: &str) -> PathBuf {
        self.host.folder().join("tofu/.runs").join(id).join("data/terraform.tfstate")
    }

    fn sealed(&self, id: &str) -> PathBuf {
        self.host.folder().join("state/run-secrets").join(format!("{id}.sealed"))
    }

    /// Files below everything that the host keeps, its trace among it, that hold a credential in plain. OpenTofu's states hold
    /// what the servers were given, and are sealed where there is a key.
    fn in_plain(&self) -> Vec<PathBuf> {
        let states = self.host.folder().join("state");
        let holds = |path: &PathBuf| {
            if path.starts_with(&states) && path.extension().is_some_and(|end| end == "tfstate") {
                return false;
            }
            let bytes = std::fs::read(path).unwrap_or_default();
            [TOKEN, PULL_TOKEN, NEEDED]
                .iter()
                .any(|word| bytes.windows(word.len()).any(|window| window == word.as_bytes()))
        };
        files(self.host.folder()).into_iter().filter(holds).collect()
    }

    /// The start has done its work: no credential, and none of the files that could hold one.
    fn nothing_in_plain(&self, id: &str) {
        let risky = || {
            let mut left = self.in_plain();
            left.extend(
                [VARIABLES, PLAN, BACKEND]
                    .map(|name| self.work(id).join(name))
                    .into_iter()
                    .chain([self.remembered(id)])
                    .filter(|p| p.exists()),
            );
            left
        };
        wait_for("everything in plain to go", LIMIT, || risky().is_empty().then_some(()));
    }

    /// A deployment whose host is killed while OpenTofu is about to apply, and the next start.
    fn killed_in_apply(&mut self, fqdn: &str) -> String {
        self.close("apply");
        let id = self.create(&request(fqdn));
        self.wait_at("apply");
        self.host.crash();
        assert!(
            self.in_plain().contains(&self.work(&id).join(VARIABLES)),
            "else nothing is shown: {:?}",
            self.in_plain()
        );
        assert!(self.work(&id).join(PLAN).exists() && self.remembered(&id).exists());
        self.open("apply");
        id
    }

    /// The same for a cloud that needs its token, before OpenTofu looks for providers.
    fn killed_in_init(&mut self, fqdn: &str) -> String {
        self.close("init");
        let id = self.create(&json!({
            "orgName": "Acme", "orgEmail": "ops@acme.example", "sovereignFQDN": fqdn,
            "regions": [{"provider": "hetzner", "cloudRegion": "fsn1", "controlPlaneSize": "cx32", "workerCount": 0}],
            "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ ops",
            "hetznerToken": NEEDED, "hetznerProjectID": "p",
        }));
        self.wait_at("init");
        self.host.crash();
        assert!(
            self.in_plain().contains(&self.work(&id).join(VARIABLES)),
            "else nothing is shown: {:?}",
            self.in_plain()
        );
        self.open("init");
        id
    }

    /// A retry that is given nothing, and has the token of the first run.
    fn retries_with_its_token(&self, id: &str) {
        self.close("plan");
        check(&self.retry(id, ""), 200, "provisioning");
        self.wait_at("plan");
        assert!(std::fs::read_to_string(self.work(id).join(VARIABLES)).unwrap().contains(TOKEN));
        self.open("plan");
        self.until(id, "flux-bootstrapping");
    }

    fn retry(&self, id: &str, body: &str) -> catalyst_tests::api::Answer {
        self.api().post(&format!("/api/v1/deployments/{id}/phases/tofu-apply/retry"), body)
    }

    fn restart(&mut self) {
        self.host.down();
        self.host.up();
    }
}

fn asks_for_the_token(answer: &catalyst_tests::api::Answer) {
    check(answer, 409, "credentials-needed");
    assert_eq!(answer.json()["keys"], json!(["hetznerToken"]), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_a_killed_apply_are_gone_from_disk_at_the_start_and_its_retry_has_them_from_memory() {
    let _some = SOME.acquire().await.unwrap();
    let mut scene = Scene::start(&[]);
    let id = scene.killed_in_apply("memory.example");
    scene.host.up();
    scene.until(&id, "failed");
    scene.nothing_in_plain(&id);
    assert!(!scene.sealed(&id).exists(), "without a key nothing can be sealed");
    scene.retries_with_its_token(&id);
    scene.nothing_in_plain(&id);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_a_second_start_asks_for_the_secrets_by_their_keys() {
    let _some = SOME.acquire().await.unwrap();
    let mut scene = Scene::start(&[]);
    let id = scene.killed_in_init("asked.example");
    scene.host.up();
    scene.until(&id, "failed");
    scene.nothing_in_plain(&id);
    scene.restart();
    asks_for_the_token(&scene.retry(&id, ""));
    scene.close("init");
    check(&scene.retry(&id, &json!({"hetznerToken": NEEDED}).to_string()), 200, "provisioning");
    scene.wait_at("init");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_key_they_are_sealed_and_a_retry_has_them_after_two_starts_more() {
    let _some = SOME.acquire().await.unwrap();
    let mut scene = Scene::start(&WITH_KEY);
    let id = scene.killed_in_apply("sealed.example");
    scene.host.up();
    scene.until(&id, "failed");
    scene.nothing_in_plain(&id);
    for kill in [false, true] {
        assert!(scene.sealed(&id).exists());
        if kill {
            scene.host.crash()
        } else {
            scene.host.down()
        }
        scene.host.up();
    }
    // Killed in the retry as well: the secrets of that run are what the next start finds.
    scene.close("plan");
    check(&scene.retry(&id, ""), 200, "provisioning");
    scene.wait_at("plan");
    scene.host.crash();
    assert!(scene.sealed(&id).exists() && scene.work(&id).join(VARIABLES).exists());
    scene.open("plan");
    scene.host.up();
    scene.until(&id, "failed");
    scene.nothing_in_plain(&id);
    scene.restart();
    scene.retries_with_its_token(&id);
    wait_for("the used secrets to go", LIMIT, || (!scene.sealed(&id).exists()).then_some(()));
    scene.nothing_in_plain(&id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroy_that_was_killed_goes_on_with_sealed_secrets_and_leaves_none() {
    let _some = SOME.acquire().await.unwrap();
    let mut scene = Scene::start(&WITH_KEY);
    let id = scene.create(&request("killed-destroy.example"));
    scene.until(&id, "flux-bootstrapping");
    scene.close("destroy");
    check(&scene.destroy(&id, ""), 202, "destroying");
    scene.wait_at("destroy");
    scene.host.crash();
    assert!(scene.work(&id).join(VARIABLES).exists());
    scene.open("destroy");
    scene.host.up();
    scene.until(&id, "failed");
    scene.nothing_in_plain(&id);
    scene.restart();
    check(&scene.destroy(&id, ""), 202, "destroying");
    scene.until(&id, "destroyed");
    wait_for("the used secrets to go", LIMIT, || (!scene.sealed(&id).exists()).then_some(()));
    assert!(!scene.work(&id).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_any_two_steps_of_the_sealing_loses_nothing_and_leaves_nothing_in_plain() {
    let _some = SOME.acquire().await.unwrap();
    let mut scene = Scene::start(&WITH_KEY);
    let id = scene.killed_in_apply("between.example");
    let paths = [scene.work(&id).join(VARIABLES), scene.work(&id).join(PLAN), scene.remembered(&id)];
    let plain = paths.map(|path| (path.clone(), std::fs::read(path).unwrap()));
    scene.host.up();
    scene.until(&id, "failed");
    scene.nothing_in_plain(&id);
    // As the disk is after each step: sealed, then one file after the other removed. The first is before any of them.
    for (step, removed) in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 3)] {
        scene.host.crash();
        if step == 0 {
            std::fs::remove_file(scene.sealed(&id)).unwrap();
        }
        for (path, bytes) in &plain[removed..] {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        scene.host.up();
        scene.nothing_in_plain(&id);
        wait_for("the secrets to be sealed", LIMIT, || scene.sealed(&id).exists().then_some(()));
    }
    // What was sealed last is whole.
    scene.restart();
    scene.retries_with_its_token(&id);
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_secrets_that_cannot_be_opened_stop_neither_a_start_nor_a_retry_nor_a_destroy() {
    let _some = SOME.acquire().await.unwrap();
    let mut scene = Scene::start(&WITH_KEY);
    let id = scene.killed_in_init("broken.example");
    scene.host.up();
    scene.until(&id, "failed");
    scene.nothing_in_plain(&id);
    scene.host.down();
    let mut bytes = std::fs::read(scene.sealed(&id)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(scene.sealed(&id), bytes).unwrap();
    scene.host.up();
    asks_for_the_token(&scene.retry(&id, ""));
    assert!(scene.host.trace().contains("cannot be opened and count as gone"));
    check(&scene.destroy(&id, ""), 202, "destroying");
    scene.until(&id, "destroyed");
    wait_for("the broken file to go", LIMIT, || (!scene.sealed(&id).exists()).then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_in_plain_go_at_the_start_though_the_bundle_that_names_them_cannot_be_opened() {
    let _some = SOME.acquire().await.unwrap();
    let mut scene = Scene::start(&[WITH_KEY[0], ("CATALYST_SEAL", "all")]);
    let id = scene.killed_in_init("no-bundle.example");
    let bundle = scene.host.folder().join("state").join(&id).join("bundle.json");
    let sealed = std::fs::read(&bundle).unwrap();
    let mut broken = sealed.clone();
    *broken.last_mut().unwrap() ^= 1;
    let variables = std::fs::read(scene.work(&id).join(VARIABLES)).unwrap();
    for (key, seal, bytes) in [("", "", &sealed), (KEY, "all", &broken)] {
        std::fs::write(&bundle, bytes).unwrap();
        std::fs::write(scene.work(&id).join(VARIABLES), &variables).unwrap();
        scene.host.set("CATALYST_STATE_KEY", key);
        scene.host.set("CATALYST_SEAL", seal);
        scene.host.up();
        scene.nothing_in_plain(&id);
        assert!(scene.host.trace().contains("are not kept for its retry"), "{}", scene.host.trace());
        scene.host.down();
    }
    std::fs::write(&bundle, sealed).unwrap();
    scene.host.up();
    asks_for_the_token(&scene.retry(&id, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_time_is_over_or_who_is_to_be_remembered_for_no_time_is_gone_at_the_start() {
    let _some = SOME.acquire().await.unwrap();
    for ttl in ["0", "1s"] {
        let mut scene = Scene::start(&[WITH_KEY[0], ("CATALYST_SECRETS_TTL", ttl)]);
        let id = scene.killed_in_init("no-time.example");
        // The time counts from when the run last wrote: a late start does not lengthen it.
        let written = std::fs::metadata(scene.work(&id).join(VARIABLES)).unwrap().modified().unwrap();
        wait_for("its time to be over", LIMIT, || {
            (written.elapsed().unwrap_or_default() > std::time::Duration::from_secs(1)).then_some(())
        });
        scene.host.up();
        scene.until(&id, "failed");
        scene.nothing_in_plain(&id);
        assert!(!scene.sealed(&id).exists());
        asks_for_the_token(&scene.retry(&id, ""));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_in_plain_in_any_work_folder_goes_whoever_it_belonged_to() {
    let _some = SOME.acquire().await.unwrap();
    let mut scene = Scene::start(&[]);
    let up = scene.create(&request("up.example"));
    scene.until(&up, "flux-bootstrapping");
    let gone = scene.create(&failing("gone.example", "plan"));
    scene.until(&gone, "failed");
    check(&scene.destroy(&gone, ""), 202, "destroying");
    scene.until(&gone, "destroyed");
    scene.host.down();
    let unknown = "00000000000000aa".to_owned();
    let variables = json!({"rehearsal_token": TOKEN}).to_string();
    for id in [&up, &gone, &unknown] {
        for name in [VARIABLES, PLAN, BACKEND, "crash.log", "terraform.tfstate.backup"] {
            let path = scene.work(id).join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &variables).unwrap();
        }
    }
    // No folder of a deployment: it stays what it is.
    let other = scene.host.folder().join("tofu/notes");
    std::fs::create_dir_all(&other).unwrap();
    std::fs::write(other.join(PLAN), "of a person").unwrap();
    scene.host.up();
    for id in [&up, &gone, &unknown] {
        scene.nothing_in_plain(id);
    }
    assert!(other.join(PLAN).exists());
    assert_eq!(scene.state(&up)["status"], "flux-bootstrapping");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_a_dead_run_could_not_hand_over_is_taken_in_at_the_start() {
    let _some = SOME.acquire().await.unwrap();
    let mut scene = Scene::start(&[]);
    let id = scene.create(&request("errored.example"));
    scene.until(&id, "flux-bootstrapping");
    scene.host.down();
    let mut state: Value = serde_json::from_slice(&std::fs::read(scene.last_state(&id)).unwrap()).unwrap();
    let serial = state["serial"].as_u64().unwrap() + 5;
    state["serial"] = json!(serial);
    let errored = scene.work(&id).join("errored.tfstate");
    std::fs::write(&errored, state.to_string()).unwrap();
    scene.host.up();
    wait_for("the state to be taken in", LIMIT, || (!errored.exists()).then_some(()));
    let kept: Value = serde_json::from_slice(&std::fs::read(scene.last_state(&id)).unwrap()).unwrap();
    assert_eq!(kept["serial"], json!(serial));
}
