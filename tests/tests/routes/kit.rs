//! One scene for all of them: a host whose OpenTofu waits and fails where a test wants it to.

use catalyst_tests::api::{Answer, Api};
use catalyst_tests::host::{Host, wait_for};
use catalyst_tests::world::{LIMIT, PULL_TOKEN, TOKEN, tofu_into};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Hosts and OpenTofu at once are much for a small machine.
pub static SOME: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(2);

/// A host whose OpenTofu is the real one behind a script: it waits before a command whose name lies as a file in `gates`;
/// with `half` there a destroy first removes the workers, then waits; with `refuse` there it removes the workers and fails.
pub struct Scene {
    pub host: Host,
    gates: tempfile::TempDir,
}

impl Scene {
    pub fn start(env: &[(&str, &str)]) -> Self {
        let mut scene = Self::prepare(env);
        scene.host.up();
        scene
    }

    pub fn prepare(env: &[(&str, &str)]) -> Self {
        let gates = tempfile::tempdir().unwrap();
        let tofu = tofu_into(gates.path());
        let (gates_path, tofu) = (gates.path().display(), tofu.display());
        let script = format!(
            r#"#!/bin/sh
cd_gates='{gates_path}'
echo "$1" >> "$cd_gates/commands"
gate() {{
    [ -e "$cd_gates/$1" ] || return 0
    : > "$cd_gates/$1.waiting"
    while [ -e "$cd_gates/$1" ]; do sleep 0.05; done
    rm -f "$cd_gates/$1.waiting"
}}
gate "$1"
if [ "$1" = destroy ] && [ -e "$cd_gates/half" -o -e "$cd_gates/refuse" ]; then
    '{tofu}' "$@" -target=terraform_data.worker || exit
    [ -e "$cd_gates/refuse" ] && exit 1
    gate half
fi
exec '{tofu}' "$@"
"#
        );
        let path = gates.path().join("tofu");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut all = vec![("CATALYST_TOFU_BIN", path.to_str().unwrap()), ("CATALYST_GHCR_PULL_TOKEN", PULL_TOKEN)];
        all.extend(env);
        Self { host: Host::prepare(&all), gates }
    }

    /// Retries a deployment, which the host takes.
    pub fn retried(&self, id: &str) {
        let answer = self.api().post(&format!("/api/v1/deployments/{id}/phases/tofu-apply/retry"), "");
        check(&answer, 200, "provisioning");
    }

    pub fn api(&self) -> &Api {
        &self.host.api
    }

    pub fn close(&self, gate: &str) {
        // Of one that was ended while it waited.
        let _ = std::fs::remove_file(self.gates.path().join(format!("{gate}.waiting")));
        std::fs::write(self.gates.path().join(gate), "").unwrap();
    }

    pub fn open(&self, gate: &str) {
        std::fs::remove_file(self.gates.path().join(gate)).unwrap();
    }

    pub fn wait_at(&self, gate: &str) {
        let waiting = self.gates.path().join(format!("{gate}.waiting"));
        wait_for("the gate", LIMIT, || waiting.exists().then_some(()));
    }

    /// How often OpenTofu was asked for this.
    pub fn asked(&self, command: &str) -> usize {
        let all = std::fs::read_to_string(self.gates.path().join("commands")).unwrap_or_default();
        all.lines().filter(|line| *line == command).count()
    }

    pub fn create(&self, request: &Value) -> String {
        let answer = self.api().post("/api/v1/deployments", &request.to_string());
        assert_eq!(answer.status, 201, "{}", answer.body);
        id_of(&answer)
    }

    pub fn destroy(&self, id: &str, body: &str) -> Answer {
        self.api().delete(&format!("/api/v1/deployments/{id}"), body)
    }

    pub fn state(&self, id: &str) -> Value {
        self.api().get(&format!("/api/v1/deployments/{id}")).json()
    }

    pub fn until(&self, id: &str, status: &str) -> Value {
        wait_for(&format!("status {status}, last {}", self.state(id)), LIMIT, || {
            let state = self.state(id);
            let now = state["status"].as_str().unwrap();
            let ended = ["ready", "failed", "destroyed"].contains(&now);
            assert!(now == status || !ended, "{now} instead of {status}: {state}");
            (now == status).then_some(state)
        })
    }

    pub fn resources(&self, id: &str) -> Vec<Value> {
        let state: Value = serde_json::from_slice(&std::fs::read(self.last_state(id)).unwrap()).unwrap();
        state["resources"].as_array().unwrap().clone()
    }

    pub fn last_state(&self, id: &str) -> PathBuf {
        let folder = self.host.folder().join("state").join(id);
        let mut versions: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
        versions.retain(|path| path.extension().is_some_and(|extension| extension == "tfstate"));
        versions.sort();
        versions.pop().unwrap()
    }

    /// The bearer in the user data of the first server, as OpenTofu's state keeps it.
    pub fn bearer(&self, id: &str) -> String {
        let state = std::fs::read_to_string(self.last_state(id)).unwrap();
        let (_, rest) = state.split_once("Authorization: Bearer ").unwrap();
        rest.chars().take_while(char::is_ascii_hexdigit).collect()
    }

    pub fn record(&self, id: &str) -> Value {
        let path = self.host.folder().join("deployments").join(format!("{id}.json"));
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    /// Ids of all records on disk.
    pub fn on_disk(&self) -> BTreeSet<String> {
        let names = std::fs::read_dir(self.host.folder().join("deployments")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter_map(|name| Some(name.strip_suffix(".json")?.to_owned())).collect()
    }

    pub fn plant(&self, folder: &str, name: &str, content: &Value) {
        let path = self.host.folder().join(folder);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join(name), content.to_string()).unwrap();
    }
}

pub fn id_of(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap_or_else(|| panic!("{}: {}", answer.status, answer.body)).to_owned()
}

pub fn request(fqdn: &str) -> Value {
    json!({
        "orgName": "Acme GmbH", "orgEmail": "ops@acme.example", "sovereignFQDN": fqdn, "sovereignDomainMode": "byo",
        "regions": [{"provider": "rehearsal", "cloudRegion": "local-1", "controlPlaneSize": "medium",
                     "workerSize": "small", "workerCount": 2}],
        "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ ops",
        "rehearsalToken": TOKEN,
    })
}

pub fn failing(fqdn: &str, at: &str) -> Value {
    let mut request = request(fqdn);
    request["rehearsalFail"] = json!(at);
    request
}

/// `error` and, where there are findings, their first pointer.
pub fn check(answer: &Answer, status: u16, word: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert!(answer.body.contains(word), "{word} is not in {}", answer.body);
}

pub fn kubeconfig(server: &str) -> String {
    json!({"apiVersion": "v1", "kind": "Config", "current-context": "d",
        "clusters": [{"name": "d", "cluster": {"server": server}}],
        "contexts": [{"name": "d", "context": {"cluster": "d", "user": "d"}}],
        "users": [{"name": "d", "user": {"token": "t"}}]})
    .to_string()
}
