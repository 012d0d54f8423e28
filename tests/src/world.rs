//! The whole story on real parts: the host's binary, OpenTofu, a kube-apiserver with etcd, and nodes that are booted from
//! their own user data.

use crate::api::Api;
use crate::flux::Stage;
use crate::host::{Host, wait_for};
use crate::ingress::Ingress;
use crate::kube::{Cluster, Options};
use catalyst::rehearse::node::{Boot, BootReport, boot};
use catalyst_domain::kubeconfig::sha256_hex;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Values that must be seen nowhere but where a run needs them.
pub const TOKEN: &str = "sentinel-of-the-request-4f1c9a7e";
/// The registry's pull token.
pub const PULL_TOKEN: &str = "sentinel-of-the-host-8b2d6c30";

/// How long anything here may take on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(90);

/// A host and the cluster that its deployments will become.
pub struct World {
    /// The host.
    pub host: Host,
    /// The cluster.
    pub cluster: Cluster,
    gates: Gates,
}

/// The real OpenTofu behind gates, so that a test can act in the middle of a step.
pub struct Gates(tempfile::TempDir);

impl Default for Gates {
    fn default() -> Self {
        Self::new()
    }
}

impl Gates {
    /// Open ones.
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The binary to run.
    pub fn tofu(&self) -> PathBuf {
        gated_tofu(self.0.path())
    }

    /// OpenTofu will wait before (`plan`, `apply`) or after (`applied`) this step, until the gate is opened.
    pub fn close(&self, gate: &str) {
        // Of one that was ended while it waited.
        let _ = std::fs::remove_file(self.0.path().join(format!("{gate}.waiting")));
        std::fs::write(self.0.path().join(gate), "").unwrap();
    }

    /// Lets OpenTofu go on.
    pub fn open(&self, gate: &str) {
        std::fs::remove_file(self.0.path().join(gate)).unwrap();
    }

    /// Whether OpenTofu waits at the gate.
    pub fn waits_at(&self, gate: &str) -> bool {
        self.0.path().join(format!("{gate}.waiting")).exists()
    }
}

impl World {
    /// Starts both. OpenTofu is the real one behind gates: see [`World::close`].
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// The same behind an ingress that authenticates: people and nodes come through it alone.
    pub async fn behind(ingress: &Ingress) -> Self {
        let mut world = Self::with(&ingress.env()).await;
        world.host.api = Api::new(&ingress.address());
        world
    }

    /// The same with further variables for the host.
    pub async fn with(env: &[(&str, String)]) -> Self {
        let gates = Gates::new();
        let tofu = gates.tofu();
        let mut all = vec![
            ("CATALYST_TOFU_BIN", tofu.to_str().unwrap()),
            ("CATALYST_GHCR_PULL_TOKEN", PULL_TOKEN),
            ("CATALYST_PHASE1_SETTLE", "2s"),
        ];
        all.extend(env.iter().map(|(name, value)| (*name, value.as_str())));
        let host = Host::start(&all);
        let cluster = Cluster::start(Options::default()).await.unwrap();
        Self { host, cluster, gates }
    }

    /// OpenTofu will wait before (`plan`, `apply`) or after (`applied`) this step, until the gate is opened.
    pub fn close(&self, gate: &str) {
        self.gates.close(gate);
    }

    /// Lets OpenTofu go on.
    pub fn open(&self, gate: &str) {
        self.gates.open(gate);
    }

    /// Whether OpenTofu waits at the gate.
    pub fn waits_at(&self, gate: &str) -> bool {
        self.gates.waits_at(gate)
    }

    /// A request whose cluster is the one of this world.
    pub fn request(&self, fqdn: &str) -> Value {
        json!({
            "orgName": "Acme ${file(\"/etc/shadow\")} GmbH",
            "orgEmail": "ops@acme.example",
            "sovereignFQDN": fqdn,
            "sovereignDomainMode": "byo-manual",
            "regions": [{"provider": "rehearsal", "cloudRegion": "local-1", "controlPlaneSize": "medium",
                         "workerSize": "small", "workerCount": 1}],
            "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ ops",
            "rehearsalApiPort": self.cluster.address().port(),
            "rehearsalToken": TOKEN,
        })
    }

    /// Creates a deployment and returns its id.
    pub fn create(&self, request: &Value) -> String {
        let answer = self.host.api.post("/api/v1/deployments", &request.to_string());
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// The deployment's state.
    pub fn state(&self, id: &str) -> Value {
        let answer = self.host.api.get(&format!("/api/v1/deployments/{id}"));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    /// Waits for a status; fails at once when the deployment failed instead.
    pub fn until(&self, id: &str, status: &str) -> Value {
        wait_for(&format!("status {status}"), LIMIT, || {
            let state = self.state(id);
            let now = state["status"].as_str().unwrap().to_owned();
            let lost = now == "failed" && status != "failed";
            assert!(!lost, "failed instead of {status}: {state}");
            (now == status).then_some(state)
        })
    }

    /// The entries so far.
    pub fn events(&self, id: &str) -> Vec<Value> {
        let answer = self.host.api.get(&format!("/api/v1/deployments/{id}/events"));
        answer.json()["events"].as_array().unwrap().clone()
    }

    /// The user data of the first node, out of the state that the host keeps.
    pub fn user_data(&self, id: &str) -> String {
        let outputs = self.tofu_state(id)["outputs"]["user_data"]["value"].clone();
        outputs["cp1"].as_str().unwrap_or_else(|| panic!("the state has no user data yet")).to_owned()
    }

    /// The one-time bearer of a deployment, which its first node finds in its user data.
    pub fn bearer(&self, id: &str) -> String {
        let record = self.host.folder().join("deployments").join(format!("{id}.json"));
        let record: Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
        let user_data = self.user_data(id);
        let words = user_data.split(|c: char| !c.is_ascii_hexdigit()).filter(|word| word.len() == 64);
        let is_it = |word: &&str| sha256_hex(word.as_bytes()) == record["kubeconfigBearerHash"].as_str().unwrap();
        words.into_iter().find(is_it).unwrap_or_else(|| panic!("the user data holds no bearer")).to_owned()
    }

    /// The newest state that the host keeps.
    pub fn tofu_state(&self, id: &str) -> Value {
        let folder = self.host.folder().join("state").join(id);
        let mut versions: Vec<PathBuf> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        versions.retain(|path| path.extension().is_some_and(|extension| extension == "tfstate"));
        versions.sort();
        serde_json::from_slice(&std::fs::read(versions.last().unwrap()).unwrap()).unwrap()
    }

    /// Boots the first node from its user data, with the real curl for the PUT.
    pub async fn boot_first_node(&self, id: &str) -> BootReport {
        let root = tempfile::tempdir().unwrap();
        let mut node = Boot::new(self.user_data(id), root.path().to_owned(), self.cluster.k3s_kubeconfig());
        node.limit = LIMIT;
        node.env.insert("CATALYST_POLL_SECONDS".into(), "1".into());
        node.env.insert("CATALYST_POSTBACK_DELAY_SECONDS".into(), "1".into());
        let report = boot(node).await.unwrap();
        let failed = report.commands.iter().chain(&report.units).find(|ran| ran.status != 0);
        assert!(failed.is_none(), "{failed:?} failed on the node:\n{}", report.log);
        report
    }

    /// Lets Flux install the kit: the releases move through pending and installing to installed.
    pub async fn install_releases(&self) {
        let kit = ["bp-cilium", "bp-cert-manager", "bp-flux"];
        self.cluster.bootstrap_kit(Some(&kit)).await.unwrap();
        for stages in [Stage::New, Stage::Installing, Stage::Installed] {
            for name in kit {
                self.cluster.release(name, stages).await.unwrap();
            }
        }
    }
}

/// The real OpenTofu as a file of this folder, for a script that stands in front of it: confined as it is, the script can
/// run nothing that lies elsewhere in somebody's home.
///
/// # Panics
/// It cannot be put there.
pub fn tofu_into(folder: &Path) -> PathBuf {
    let (real, here) = (crate::tools::path("tofu").unwrap(), folder.join("real-tofu"));
    // By another process where it must be copied: a parallel start could inherit the descriptor that writes it, and the
    // kernel runs no file that is being written.
    let copy = || std::process::Command::new("cp").args([&real, &here]).status().is_ok_and(|status| status.success());
    assert!(std::fs::hard_link(&real, &here).is_ok() || copy(), "cannot put {} into a folder", real.display());
    here
}

/// The real OpenTofu behind a script that waits where a gate is closed, so that a test can act in the middle of a step.
fn gated_tofu(gates: &Path) -> PathBuf {
    let tofu = tofu_into(gates);
    let script = format!(
        r#"#!/bin/sh
gate() {{
    [ -e '{gates}'/"$1" ] || return 0
    : > '{gates}'/"$1.waiting"
    while [ -e '{gates}'/"$1" ]; do sleep 0.05; done
    rm -f '{gates}'/"$1.waiting"
}}
gate "$1"
[ "$1" = apply ] || exec '{tofu}' "$@"
'{tofu}' "$@"; status=$?
gate applied
exit "$status"
"#,
        gates = gates.display(),
        tofu = tofu.display()
    );
    let path = gates.join("tofu");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}
