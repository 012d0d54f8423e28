//! A host whose cloud is the double, by the real OpenTofu and provider, and a real API server as the cluster that comes of it.

use crate::kit::Turn;
use catalyst_tests::api::Answer as Answered;
use catalyst_tests::flux::Stage;
use catalyst_tests::hetzner::Project;
use catalyst_tests::hetzner::module::{MODULE, TOKEN};
use catalyst_tests::host::{Host, wait_for};
use catalyst_tests::kube::{Cluster, Options};
use catalyst_tests::tofu::pinned;
use catalyst_tests::world::LIMIT;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What Flux installs.
pub const KIT: [&str; 2] = ["bp-cilium", "bp-flux"];

/// A host with the double as its cloud, and the cluster that its servers would become.
pub struct Scene {
    pub host: Host,
    pub project: Project,
    pub cluster: Cluster,
    _mirror: tempfile::TempDir,
    _turn: Turn,
}

/// A mirror with Hetzner's provider.
fn mirror() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let version = pinned(MODULE).unwrap();
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let inside = folder.path().join(format!("registry.opentofu.org/hetznercloud/hcloud/{version}/linux_{arch}"));
    std::fs::create_dir_all(&inside).unwrap();
    let binary = catalyst_tests::tools::path("hcloud").unwrap();
    std::os::unix::fs::symlink(binary, inside.join(format!("terraform-provider-hcloud_v{version}"))).unwrap();
    folder
}

impl Scene {
    pub async fn start() -> Self {
        let turn = tokio::task::spawn_blocking(Turn::wait).await.unwrap();
        let project = Project::start(TOKEN);
        // Where the API server of this test is.
        project.balance_at("127.0.0.1");
        let (mirror, endpoint) = (mirror(), project.endpoint());
        let host = Host::start(&[
            // The double is on loopback, where a run of its own network reaches nothing.
            ("CATALYST_TOFU_CONFINE", "off"),
            ("CATALYST_PROVIDER_MIRROR", mirror.path().to_str().unwrap()),
            ("CATALYST_TOFU_PASS_ENV", "HCLOUD_ENDPOINT"),
            ("HCLOUD_ENDPOINT", &endpoint),
        ]);
        let cluster = Cluster::start(Options::default()).await.unwrap();
        Self { host, project, cluster, _mirror: mirror, _turn: turn }
    }

    pub fn create(&self, ha: bool, workers: usize) -> String {
        let body = json!({
            "orgName": "Acme", "orgEmail": "ops@acme.example", "sovereignFQDN": "acme.example.test",
            "sovereignDomainMode": "byo", "haEnabled": ha, "hetznerToken": TOKEN, "hetznerProjectID": "12345",
            "regions": [{"provider": "hetzner", "cloudRegion": "fsn1", "controlPlaneSize": "cpx42", "workerSize": "cpx32",
                         "workerCount": workers}],
            "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ ops",
        });
        let answer = self.host.api.post("/api/v1/deployments", &body.to_string());
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    pub fn state(&self, id: &str) -> Value {
        self.host.api.get(&format!("/api/v1/deployments/{id}")).json()
    }

    #[track_caller]
    pub fn until(&self, id: &str, status: &str) -> Value {
        wait_for(&format!("{status}, last {}", self.state(id)), LIMIT, || {
            let state = self.state(id);
            let lost = state["status"] == "failed" && status != "failed";
            assert!(!lost, "failed instead of {status}: {state}\n{}", self.host.trace());
            (state["status"] == status).then_some(state)
        })
    }

    pub fn retry(&self, id: &str, body: &Value) -> Answered {
        self.host.api.post(&format!("/api/v1/deployments/{id}/phases/tofu-apply/retry"), &body.to_string())
    }

    #[track_caller]
    pub fn retried(&self, id: &str, body: &Value) {
        let answer = self.retry(id, body);
        assert_eq!((answer.status, answer.json()["status"].clone()), (200, json!("provisioning")), "{}", answer.body);
    }

    pub fn put(&self, id: &str, bearer: &str, kubeconfig: &str) -> Answered {
        let path = format!("/api/v1/deployments/{id}/kubeconfig");
        self.host.api.put(&path, Some(&format!("Bearer {bearer}")), kubeconfig)
    }

    /// Name of a server by its end, such as `cp1`.
    pub fn name(&self, short: &str) -> String {
        let servers = self.project.all("servers");
        let mut names = servers.iter().map(|server| server["name"].as_str().unwrap());
        names.find(|name| name.ends_with(&format!("-{short}"))).unwrap().to_owned()
    }

    pub fn user_data(&self, short: &str) -> String {
        self.project.user_data(&self.name(short)).unwrap()
    }

    /// The bearer in the user data of the first server that was made last.
    pub fn bearer(&self) -> String {
        let user_data = self.user_data("cp1");
        let (_, rest) = user_data.split_once("Authorization: Bearer ").unwrap();
        rest.chars().take_while(char::is_ascii_hexdigit).collect()
    }

    /// Ids of the servers by the end of their names.
    pub fn servers(&self) -> BTreeMap<String, u64> {
        let short = |server: &Value| server["name"].as_str().unwrap().rsplit('-').next().unwrap().to_owned();
        self.project.all("servers").iter().map(|server| (short(server), server["id"].as_u64().unwrap())).collect()
    }

    pub fn record(&self, id: &str) -> Value {
        let path = self.host.folder().join("deployments").join(format!("{id}.json"));
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    fn last_state(&self, id: &str) -> PathBuf {
        let entries = std::fs::read_dir(self.host.folder().join("state").join(id)).unwrap();
        let mut versions: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        versions.retain(|path| path.extension().is_some_and(|extension| extension == "tfstate"));
        versions.sort();
        versions.pop().unwrap()
    }

    /// Servers of the control plane in the kept state.
    pub fn instances(&self, id: &str) -> Vec<Value> {
        let state: Value = serde_json::from_slice(&std::fs::read(self.last_state(id)).unwrap()).unwrap();
        let is_server = |each: &&Value| each["type"] == "hcloud_server" && each["name"] == "control_plane";
        let resources = state["resources"].as_array().unwrap().iter().filter(is_server);
        resources.flat_map(|each| each["instances"].as_array().unwrap().clone()).collect()
    }

    /// Changes the kept state as somebody does who marks, moves or removes an entry.
    pub fn edit_state(&mut self, id: &str, change: impl Fn(&mut Value)) {
        self.host.down();
        let path = self.last_state(id);
        let mut state: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut state);
        std::fs::write(&path, state.to_string()).unwrap();
        self.host.up();
    }

    /// Hands in the kubeconfig of the cluster, and lets Flux install the kit.
    pub async fn comes_up(&self, id: &str) {
        let answer = self.put(id, &self.bearer(), &self.cluster.kubeconfig());
        assert_eq!(answer.status, 204, "{}", answer.body);
        self.cluster.bootstrap_kit(Some(&KIT)).await.unwrap();
        for name in KIT {
            self.cluster.release(name, Stage::Installed).await.unwrap();
        }
        self.until(id, "ready");
    }

    /// From nothing to a cluster that was shown, and whose watch then failed.
    pub async fn shown_and_failed(&self, ha: bool, workers: usize) -> String {
        let id = self.create(ha, workers);
        self.until(&id, "flux-bootstrapping");
        assert_eq!(self.put(&id, &self.bearer(), &self.cluster.kubeconfig()).status, 204);
        self.cluster.bootstrap_kit(Some(&KIT)).await.unwrap();
        for name in KIT {
            self.cluster.release(name, Stage::RetriesExceeded).await.unwrap();
        }
        self.until(&id, "failed");
        id
    }

    pub fn says(&self, id: &str, words: &str) -> bool {
        let events = self.host.api.get(&format!("/api/v1/deployments/{id}/events")).json();
        let mut entries = events["events"].as_array().unwrap().iter();
        entries.any(|entry| entry["message"].as_str().is_some_and(|text| text.contains(words)))
    }
}

/// Does something with the instance of a resource.
pub fn instance<'a>(state: &'a mut Value, name: &str, index: usize) -> &'a mut Value {
    let resources = state["resources"].as_array_mut().unwrap();
    let resource = resources.iter_mut().find(|each| each["name"] == name && each["type"] == "hcloud_server").unwrap();
    let instances = resource["instances"].as_array_mut().unwrap();
    instances.iter_mut().find(|each| each["index_key"] == index).unwrap()
}

/// As a server hands it in that nobody will ever reach.
pub fn dead_kubeconfig() -> String {
    json!({"apiVersion": "v1", "kind": "Config", "current-context": "d",
        "clusters": [{"name": "d", "cluster": {"server": "https://127.0.0.1:1"}}],
        "contexts": [{"name": "d", "context": {"cluster": "d", "user": "d"}}],
        "users": [{"name": "d", "user": {"token": "t"}}]})
    .to_string()
}
