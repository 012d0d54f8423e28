//! A host whose cloud is a double, by the real OpenTofu and provider, and a real API server as the cluster that comes of it. What
//! differs between clouds is in [`SceneCloud`].

pub mod replace;

use crate::api::Answer as Answered;
use crate::flux::Stage;
use crate::host::{Host, wait_for};
use crate::kube::{Cluster, Options};
use crate::tofu::pinned;
use crate::world::LIMIT;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What Flux installs.
pub const KIT: [&str; 2] = ["bp-cilium", "bp-flux"];

/// What a scene asks of the double of a cloud.
pub trait SceneCloud: Send + Sized + 'static {
    /// Type of the resource that is a server.
    const SERVER: &'static str;
    /// Folder of the module, which pins the version of its provider.
    const MODULE: &'static str;
    /// Source address of that provider.
    const PROVIDER: &'static str;
    /// Tool that is the provider's binary, for [`crate::tools::path`].
    const TOOL: &'static str;

    /// An empty double, whose clusters are reached at `127.0.0.1`, where the API server of a scene is. May wait for its turn.
    fn start() -> Self;

    /// What the host is told beside what every host of a scene is.
    fn env(&self) -> Vec<(&'static str, String)>;

    /// Keys of a request that only this cloud has, without credentials.
    fn settings(&self) -> Value;

    /// Keys of a request that are its credentials.
    fn credentials(&self) -> Value;

    /// The first entry of `regions`.
    fn region(&self, workers: usize) -> Value;

    /// All servers, as the API shows them.
    fn servers(&self) -> Vec<Value>;

    /// What the server of this name was made with.
    fn user_data(&self, name: &str) -> Option<String>;

    /// The run that makes the next first server fails when the server is there, so that OpenTofu keeps it as tainted.
    fn damage_next_first_server(&self);

    /// The cloud refuses the next deletion.
    fn refuse_next_deletion(&self);

    /// Removes a server as a person does in the cloud's console.
    fn remove_server(&self, name: &str);
}

/// A host with the double as its cloud, and the cluster that its servers would become.
pub struct Scene<C> {
    /// The host.
    pub host: Host,
    /// The double.
    pub cloud: C,
    /// The cluster.
    pub cluster: Cluster,
    _mirror: tempfile::TempDir,
}

/// A mirror with the cloud's provider.
fn mirror<C: SceneCloud>() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let version = pinned(C::MODULE).unwrap();
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let inside = folder.path().join(format!("registry.opentofu.org/{}/{version}/linux_{arch}", C::PROVIDER));
    std::fs::create_dir_all(&inside).unwrap();
    let (_, name) = C::PROVIDER.split_once('/').unwrap();
    let binary = crate::tools::path(C::TOOL).unwrap();
    std::os::unix::fs::symlink(binary, inside.join(format!("terraform-provider-{name}_v{version}"))).unwrap();
    folder
}

/// Puts the keys of one object over those of another.
fn with(mut object: Value, over: &Value) -> Value {
    for (key, value) in over.as_object().into_iter().flatten() {
        object[key] = value.clone();
    }
    object
}

impl<C: SceneCloud> Scene<C> {
    /// Starts all of it.
    pub async fn start() -> Self {
        let cloud = tokio::task::spawn_blocking(C::start).await.unwrap();
        let (mirror, own) = (mirror::<C>(), cloud.env());
        let mut env = vec![
            // The double is on loopback, where a run of its own network reaches nothing.
            ("CATALYST_TOFU_CONFINE", "off"),
            ("CATALYST_PROVIDER_MIRROR", mirror.path().to_str().unwrap()),
        ];
        env.extend(own.iter().map(|(name, value)| (*name, value.as_str())));
        let host = Host::start(&env);
        let cluster = Cluster::start(Options::default()).await.unwrap();
        Self { host, cloud, cluster, _mirror: mirror }
    }

    /// Creates a deployment and returns its id.
    pub fn create(&self, ha: bool, workers: usize) -> String {
        let body = json!({
            "orgName": "Acme", "orgEmail": "ops@acme.example", "sovereignFQDN": "acme.example.test",
            "sovereignDomainMode": "byo", "haEnabled": ha, "regions": [self.cloud.region(workers)],
            "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ ops",
        });
        let body = self.with_credentials(&with(body, &self.cloud.settings()));
        let answer = self.host.api.post("/api/v1/deployments", &body.to_string());
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// A body with the credentials of the cloud beside what it has.
    pub fn with_credentials(&self, body: &Value) -> Value {
        with(body.clone(), &self.cloud.credentials())
    }

    /// The state of a deployment, once it has this status after its cluster was waited for in vain.
    pub fn after_silence(&self, id: &str, status: &str) -> Value {
        wait_for(status, LIMIT * 3, || Some(self.state(id)).filter(|state| state["status"] == status))
    }

    /// The state of a deployment.
    pub fn state(&self, id: &str) -> Value {
        self.host.api.get(&format!("/api/v1/deployments/{id}")).json()
    }

    /// Waits for a status.
    #[track_caller]
    pub fn until(&self, id: &str, status: &str) -> Value {
        wait_for(&format!("{status}, last {}", self.state(id)), LIMIT, || {
            let state = self.state(id);
            let lost = state["status"] == "failed" && status != "failed";
            assert!(!lost, "failed instead of {status}: {state}\n{}", self.host.trace());
            (state["status"] == status).then_some(state)
        })
    }

    /// Asks for a retry.
    pub fn retry(&self, id: &str, body: &Value) -> Answered {
        self.host.api.post(&format!("/api/v1/deployments/{id}/phases/tofu-apply/retry"), &body.to_string())
    }

    /// A retry that is taken.
    #[track_caller]
    pub fn retried(&self, id: &str, body: &Value) {
        let answer = self.retry(id, body);
        assert_eq!((answer.status, answer.json()["status"].clone()), (200, json!("provisioning")), "{}", answer.body);
    }

    /// Hands in a kubeconfig.
    pub fn put(&self, id: &str, bearer: &str, kubeconfig: &str) -> Answered {
        let path = format!("/api/v1/deployments/{id}/kubeconfig");
        self.host.api.put(&path, Some(&format!("Bearer {bearer}")), kubeconfig)
    }

    /// Name of a server by its end, such as `cp1`.
    pub fn name(&self, short: &str) -> String {
        let servers = self.cloud.servers();
        let mut names = servers.iter().map(|server| server["name"].as_str().unwrap());
        names.find(|name| name.ends_with(&format!("-{short}"))).unwrap().to_owned()
    }

    /// What the server with this end of its name was made with.
    pub fn user_data(&self, short: &str) -> String {
        self.cloud.user_data(&self.name(short)).unwrap()
    }

    /// The bearer in the user data of the first server that was made last.
    pub fn bearer(&self) -> String {
        let user_data = self.user_data("cp1");
        let (_, rest) = user_data.split_once("Authorization: Bearer ").unwrap();
        rest.chars().take_while(char::is_ascii_hexdigit).collect()
    }

    /// Ids of the servers by the end of their names.
    pub fn servers(&self) -> BTreeMap<String, String> {
        let short = |server: &Value| server["name"].as_str().unwrap().rsplit('-').next().unwrap().to_owned();
        let id = |server: &Value| server["id"].as_str().map_or_else(|| server["id"].to_string(), str::to_owned);
        self.cloud.servers().iter().map(|server| (short(server), id(server))).collect()
    }

    /// The record of a deployment on disk.
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
        let is_server = |each: &&Value| each["type"] == C::SERVER && each["name"] == "control_plane";
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

    /// Marks servers in the kept state as damaged, each by the name of its resource and its index.
    pub fn taint(&mut self, id: &str, servers: &[(&str, usize)]) {
        self.edit_state(id, |state| {
            for (name, index) in servers {
                instance(state, C::SERVER, name, *index)["status"] = json!("tainted");
            }
            state["serial"] = json!(state["serial"].as_u64().unwrap() + 1);
        });
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

    /// Whether an entry of the log has these words.
    pub fn says(&self, id: &str, words: &str) -> bool {
        let events = self.host.api.get(&format!("/api/v1/deployments/{id}/events")).json();
        let mut entries = events["events"].as_array().unwrap().iter();
        entries.any(|entry| entry["message"].as_str().is_some_and(|text| text.contains(words)))
    }
}

/// The instance of a resource in a state.
fn instance<'a>(state: &'a mut Value, kind: &str, name: &str, index: usize) -> &'a mut Value {
    let resources = state["resources"].as_array_mut().unwrap();
    let resource = resources.iter_mut().find(|each| each["name"] == name && each["type"] == kind).unwrap();
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
