//! A host whose disk is a small file system that fills in the middle of a run, and what must be true when there is room again: each
//! deployment can be retried or destroyed, and nothing that OpenTofu made is unknown to its state, to the record or to the log.
//!
//! What was made is known from OpenTofu's own words, which a script in front of it writes down on another disk. A disk that fills and is
//! not met shows nothing, so such a round is played again with less room, and it is counted in which step each full disk was met.

mod tmpfs;

use crate::api::Answer;
use crate::fuzz::Random;
use crate::host::{Host, wait_for};
use crate::world::{LIMIT, TOKEN, tofu_into};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use tmpfs::{SetAtEnd, Tmpfs};

/// Room for the records and logs of a hundred deployments.
const SIZE: &str = "32m";
/// Where the disk fills: right before the create, or before this command of OpenTofu; and most bytes that are left free there. A state has
/// some 40 KiB, so of what follows some writes pass and some do not. What `init` and `output` write themselves has some hundred bytes.
const STEPS: [(&str, usize); 6] = [
    ("apply", 96 * 1024),
    ("init", PAGE),
    ("destroy", 96 * 1024),
    ("output", 2 * PAGE),
    ("create", 96 * 1024),
    ("plan", 96 * 1024),
];
const PAGE: usize = 4096;
/// How often a round is played until its full disk is met. The last time nothing is left free.
const TRIES: usize = 4;
/// How OpenTofu and the host say that a disk is full.
const NO_SPACE: &str = "no space left on device";

/// How long a disk stays full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Until the host says so: what OpenTofu waits for is still to come.
    UntilItIsSeen,
    /// Now and then until OpenTofu has given up: half a minute each.
    AtTimesUntilTheRunHasEnded,
}

/// A host on such a disk.
pub struct FullDisk {
    // Given up first: what lies on it belongs to the host's folder.
    disk: Tmpfs,
    host: Host,
    gates: tempfile::TempDir,
    seed: u64,
    random: Random,
    rounds: usize,
    deployments: usize,
    met: BTreeMap<String, usize>,
}

impl FullDisk {
    /// A host whose records, logs, states and work folders are on a disk of their own.
    ///
    /// # Panics
    /// It does not start, or no file system can be mounted.
    pub fn start(seed: u64) -> Self {
        let gates = tempfile::tempdir().unwrap();
        let tofu = script(gates.path());
        let mut host = Host::prepare(&[("CATALYST_TOFU_BIN", tofu.to_str().unwrap())]);
        let disk = Tmpfs::mount(&host.folder().join("disk"), SIZE);
        for (variable, name) in [
            ("CATALYST_DEPLOYMENTS_DIR", "deployments"),
            ("CATALYST_KUBECONFIGS_DIR", "kubeconfigs"),
            ("CATALYST_STATE_DIR", "state"),
            ("CATALYST_TOFU_WORKDIR", "tofu"),
        ] {
            host.set(variable, disk.0.join(name).to_str().unwrap());
        }
        host.up();
        let (random, met) = (Random::new(seed), BTreeMap::new());
        Self { disk, host, gates, seed, random, rounds: 0, deployments: 0, met }
    }

    /// Rounds so far in which the host or OpenTofu met the full disk.
    pub fn rounds_met(&self) -> usize {
        self.met.values().sum()
    }

    /// In which commands of OpenTofu it was met, and how often; `create` where it was before the first of them.
    pub fn met(&self) -> &BTreeMap<String, usize> {
        &self.met
    }

    /// A deployment from its create to its destroy, in which the disk fills once. Where that was not met, another one with less room.
    ///
    /// # Panics
    /// Something is lost, or stands still.
    pub fn round(&mut self, full: Full) {
        let (step, mut most) = STEPS[self.rounds % STEPS.len()];
        self.rounds += 1;
        for attempt in 1..=TRIES {
            let left = if attempt == TRIES { 0 } else { self.random.below(most) };
            most = (most / 8).max(1);
            let waits = full == Full::AtTimesUntilTheRunHasEnded && self.random.one_in(3);
            if let Some(step) = self.plays(step, left, waits) {
                *self.met.entry(step).or_default() += 1;
                return;
            }
        }
    }

    /// One deployment. The command in which the full disk was met.
    fn plays(&mut self, step: &str, left: usize, waits: bool) -> Option<String> {
        self.deployments += 1;
        let (seed, round) = (self.seed, self.rounds);
        let context = format!("FULL_DISK_SEED={seed}, round {round}: {left} bytes left before {step}, {waits}");
        let (id, seen) = self.meets_a_full_disk(step, left, waits, &context);
        let state = self.settles(&id, &context);
        let met = seen.or_else(|| self.said_to_be_full(&id, &state));
        self.everything_is_known(&id, &state, &context);
        self.comes_to_its_end(step, &id, &state, &context);
        met
    }

    /// By a retry and a destroy, or by a destroy alone.
    fn comes_to_its_end(&mut self, step: &str, id: &str, state: &Value, context: &str) {
        if state["status"] == "destroyed" {
            return self.nothing_is_left(id, context);
        }
        // Either way out must be open; both lead to the same end here.
        if state["status"] == "failed" && (step != "destroy" || self.random.one_in(2)) {
            taken(&self.retry(id), 200, context);
            let state = self.settles(id, context);
            assert_eq!(state["status"], "flux-bootstrapping", "{context}: {state}");
            self.everything_is_known(id, &state, context);
        }
        taken(&self.destroy(id), 202, context);
        let state = self.settles(id, context);
        assert_eq!(state["status"], "destroyed", "{context}: {state}");
        self.nothing_is_left(id, context);
    }

    /// Begins a run on a disk that fills, and makes room again. Its deployment, and the command in which the host said that its disk is
    /// full.
    fn meets_a_full_disk(&self, step: &str, left: usize, waits: bool, context: &str) -> (String, Option<String>) {
        let body = request(&format!("disk-{}.example", self.deployments));
        if step == "create" {
            self.disk.fill(left);
            let answer = self.host.api.post("/api/v1/deployments", &body);
            if answer.status != 201 {
                assert_eq!(answer.status, 503, "{context}: {}", answer.body);
                self.room(context);
                let id = created(&self.host.api.post("/api/v1/deployments", &body), context);
                return (id, Some(step.to_owned()));
            }
            let id = created(&answer, context);
            let seen = self.is_seen(&id, context);
            self.room(context);
            return (id, seen);
        }
        let id = if step == "destroy" {
            let id = created(&self.host.api.post("/api/v1/deployments", &body), context);
            let state = self.settles(&id, context);
            assert_eq!(state["status"], "flux-bootstrapping", "{context}: {state}");
            self.close(step);
            taken(&self.destroy(&id), 202, context);
            id
        } else {
            self.close(step);
            created(&self.host.api.post("/api/v1/deployments", &body), context)
        };
        wait_for(&format!("{context}: the gate"), LIMIT, || self.gate(step, ".waiting").exists().then_some(()));
        self.disk.fill(left);
        let is_over = AtomicBool::new(false);
        let seen = std::thread::scope(|scope| {
            let end = SetAtEnd(&is_over);
            // After its outputs a run gives back room before its end is written down.
            let filler = (step == "output").then(|| scope.spawn(|| self.disk.keep_full(left, &is_over)));
            std::fs::remove_file(self.gate(step, "")).unwrap();
            let seen = self.is_seen(&id, context);
            drop(end);
            filler.into_iter().for_each(|filler| filler.join().unwrap());
            seen
        });
        if waits {
            wait_for(&format!("{context}: OpenTofu to end"), LIMIT, || {
                let done = std::fs::read_to_string(self.gates.path().join(format!("{id}.done"))).unwrap_or_default();
                let ended = done.lines().any(|line| line.starts_with(step) || !line.ends_with(" 0"));
                (ended || is_settled(&self.state(&id))).then_some(())
            });
        }
        self.room(context);
        (id, seen)
    }

    /// Waits until the host says that its disk is full, or the run came to its end all the same. The command in which it says so.
    fn is_seen(&self, id: &str, context: &str) -> Option<String> {
        wait_for(&format!("{context}: the disk to be met"), LIMIT, || {
            let ready = self.host.api.get("/readyz");
            if ready.status != 200 {
                return Some(says_full(&ready.body).then(|| self.command(id)));
            }
            is_settled(&self.state(id)).then_some(None)
        })
    }

    /// The command in which OpenTofu, or the error of its run, says that the disk is full.
    fn said_to_be_full(&self, id: &str, state: &Value) -> Option<String> {
        let said = std::fs::read_to_string(self.gates.path().join(format!("{id}.said"))).unwrap_or_default();
        (says_full(&said) || says_full(&state["error"].to_string())).then(|| self.command(id))
    }

    /// The command of OpenTofu that began last.
    fn command(&self, id: &str) -> String {
        let begun = std::fs::read_to_string(self.gates.path().join(format!("{id}.begun"))).unwrap_or_default();
        begun.lines().last().unwrap_or("create").to_owned()
    }

    fn room(&self, context: &str) {
        self.disk.empty();
        wait_for(&format!("{context}: the host to be ready"), LIMIT, || {
            (self.host.api.get("/readyz").status == 200).then_some(())
        });
    }

    fn settles(&self, id: &str, context: &str) -> Value {
        wait_for(&format!("{context}: the end of the run, {}", self.state(id)), LIMIT, || {
            let state = self.state(id);
            is_settled(&state).then_some(state)
        })
    }

    /// All that OpenTofu made and did not remove is in the kept state, on the record or in the log.
    fn everything_is_known(&self, id: &str, state: &Value, context: &str) {
        let kept = newest_state(&self.disk.0.join("state").join(id));
        let log = self.host.api.get(&format!("/api/v1/deployments/{id}/events")).body;
        let left = state["left"].to_string();
        for (address, resource) in self.made(id) {
            let known = [&kept, &log, &left].iter().any(|text| text.contains(&resource));
            assert!(known, "{context}: {address} ({resource}) is known nowhere:\n{state}\n{log}\n{kept}");
            if state["status"] == "failed" {
                assert!(left.contains(&resource), "{context}: {address} ({resource}) is not in {left}");
            }
        }
    }

    fn nothing_is_left(&self, id: &str, context: &str) {
        assert_eq!(self.made(id), BTreeMap::new(), "{context}: it is called destroyed, and this is left");
    }

    /// What OpenTofu said that it made and did not say that it removed: ids by address.
    fn made(&self, id: &str) -> BTreeMap<String, String> {
        let said = std::fs::read_to_string(self.gates.path().join(format!("{id}.said"))).unwrap_or_default();
        let mut made = BTreeMap::new();
        for line in said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let (hook, text) = (&line["hook"], |value: &Value| value.as_str().unwrap_or_default().to_owned());
            match (line["type"].as_str(), hook["action"].as_str()) {
                (Some("apply_complete"), Some("create")) => {
                    made.insert(text(&hook["resource"]["addr"]), text(&hook["id_value"]));
                }
                (Some("apply_complete"), Some("delete")) => {
                    made.remove(&text(&hook["resource"]["addr"]));
                }
                _ => {}
            }
        }
        made
    }

    fn retry(&self, id: &str) -> Answer {
        self.host.api.post(&format!("/api/v1/deployments/{id}/phases/tofu-apply/retry"), "")
    }

    fn destroy(&self, id: &str) -> Answer {
        self.host.api.delete(&format!("/api/v1/deployments/{id}"), "")
    }

    fn state(&self, id: &str) -> Value {
        self.host.api.get(&format!("/api/v1/deployments/{id}")).json()
    }

    fn close(&self, step: &str) {
        std::fs::write(self.gate(step, ""), "").unwrap();
    }

    fn gate(&self, step: &str, end: &str) -> PathBuf {
        self.gates.path().join(format!("{step}{end}"))
    }
}

fn says_full(text: &str) -> bool {
    text.to_lowercase().contains(NO_SPACE)
}

fn taken(answer: &Answer, status: u16, context: &str) {
    assert_eq!(answer.status, status, "{context}: {}", answer.body);
}

fn is_settled(state: &Value) -> bool {
    ["failed", "flux-bootstrapping", "destroyed"].contains(&state["status"].as_str().unwrap_or_default())
}

fn created(answer: &Answer, context: &str) -> String {
    assert_eq!(answer.status, 201, "{context}: {}", answer.body);
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn newest_state(folder: &Path) -> String {
    let all = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let newest = all.filter(|path| path.extension().is_some_and(|end| end == "tfstate")).max();
    newest.map(|path| std::fs::read_to_string(path).unwrap()).unwrap_or_default()
}

fn request(fqdn: &str) -> String {
    json!({
        "orgName": "Acme GmbH", "orgEmail": "ops@acme.example", "sovereignFQDN": fqdn, "sovereignDomainMode": "byo",
        "regions": [{"provider": "rehearsal", "cloudRegion": "local-1", "controlPlaneSize": "medium",
                     "workerSize": "small", "workerCount": 2}],
        "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ ops",
        "rehearsalToken": TOKEN,
    })
    .to_string()
}

/// The real OpenTofu behind a script: it waits before a command whose name lies as a file in `gates`, and writes down there what
/// the commands say, when each begins and how it ended.
fn script(gates: &Path) -> PathBuf {
    let tofu = tofu_into(gates);
    let text = format!(
        r#"#!/bin/bash
gates='{gates}'
id=${{PWD##*/}}
if [ -e "$gates/$1" ]; then
    : > "$gates/$1.waiting"
    while [ -e "$gates/$1" ]; do sleep 0.05; done
    rm -f "$gates/$1.waiting"
fi
echo "$1" >> "$gates/$id.begun"
'{tofu}' "$@" | tee -a "$gates/$id.said"; status=${{PIPESTATUS[0]}}
echo "$1 $status" >> "$gates/$id.done"
exit "$status"
"#,
        gates = gates.display(),
        tofu = tofu.display(),
    );
    let path = gates.join("tofu");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}
