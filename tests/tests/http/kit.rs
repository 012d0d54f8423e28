//! A server in this process, on folders of its own, and records to begin with.

use crate::client::{Reply, raw, request};
use catalyst::app::App;
use catalyst::audit::Audit;
use catalyst::auth::{self, Auth};
use catalyst::dns::managed::ManagedDomains;
use catalyst::dns::names::Names;
use catalyst::driver::{self, Driver};
use catalyst::engine::{self, Engine};
use catalyst::http::{self, AllowedOrigin, BrowserSettings, Limits, TrustedProxies};
use catalyst::limits;
use catalyst::metrics::{Measured, Metrics};
use catalyst::outbound::{AllowedClouds, Outbound};
use catalyst_domain::kubeconfig::sha256_hex;
use catalyst_domain::record::{NewRecord, ProviderRef};
use catalyst_domain::{DeploymentId, Record, Request, SecretValue, Status, Timestamp};
use catalyst_sandbox::Sandbox;
use catalyst_store::{FileStore, Store};
use catalyst_tests::host::{built, target_dir};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The bearer of every record here.
pub const BEARER: &str = "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0";
/// Registry token of the host.
pub const PULL_TOKEN: &str = "sentinel-of-the-host";

/// Compiling plugins takes seconds, so all servers share them.
static SANDBOX: OnceCell<Arc<Sandbox>> = OnceCell::const_new();

async fn sandbox() -> Arc<Sandbox> {
    let start = async || {
        let cache_dir = Some(target_dir().join("test-cache"));
        let sandbox = Sandbox::new(catalyst_sandbox::Settings { cache_dir, ..Default::default() }).unwrap();
        let report = sandbox.load_folder(&built("plugins")).await;
        assert!(report.serving.len() >= 2, "{:?}", report.failures);
        sandbox
    };
    SANDBOX.get_or_init(start).await.clone()
}

/// How a server begins.
pub struct Setup {
    pub records: Vec<Record>,
    pub limits: Limits,
    pub origin: &'static str,
    /// Names of the host, and its public pages.
    pub browsers: BrowserSettings,
    /// Where it listens.
    pub listen: &'static str,
    pub pull_token: &'static str,
    /// Who may call.
    pub auth: auth::Settings,
    /// A file lies where the folder of kubeconfigs should be.
    pub kubeconfigs_blocked: bool,
    /// The file of each record that names one.
    pub stored_kubeconfig: Option<String>,
    /// Networks of proxies that are believed.
    pub trusted_proxies: &'static str,
    /// Private clouds that requests may name.
    pub allowed_clouds: &'static str,
    /// How often the right to follow a deployment is asked again.
    pub recheck: Duration,
    /// What each subject may ask for.
    pub subjects: limits::Settings,
    /// Runs at once, and what stands in OpenTofu's place.
    pub max_runs: usize,
    pub tofu: Option<PathBuf>,
}

impl Default for Setup {
    fn default() -> Self {
        let limits = Limits::default();
        let auth = auth::Settings::default();
        Self {
            records: Vec::new(),
            limits,
            origin: "*",
            browsers: BrowserSettings::default(),
            listen: "127.0.0.1:0",
            pull_token: PULL_TOKEN,
            auth,
            kubeconfigs_blocked: false,
            stored_kubeconfig: None,
            trusted_proxies: "",
            allowed_clouds: "",
            recheck: http::Settings::default().recheck,
            subjects: limits::Settings::default(),
            max_runs: 2,
            tofu: None,
        }
    }
}

pub struct Server {
    pub address: SocketAddr,
    pub store: Arc<dyn Store>,
    pub app: Arc<App>,
    driver: Arc<Driver>,
    folder: tempfile::TempDir,
    stop: CancellationToken,
    served: JoinHandle<std::io::Result<()>>,
}

impl Server {
    /// A server with these records. Nothing drives them: they stay as they are until a request changes them.
    pub async fn with(records: &[Record]) -> Self {
        Self::start(Setup { records: records.to_vec(), ..Setup::default() }).await
    }

    pub async fn start(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("deployments")).unwrap();
        for record in &setup.records {
            let file = path("deployments").join(format!("{}.json", record.id));
            std::fs::write(file, serde_json::to_string(record).unwrap()).unwrap();
            if record.has_kubeconfig() {
                std::fs::create_dir_all(path("kubeconfigs")).unwrap();
                let text = setup.stored_kubeconfig.clone().unwrap_or_else(|| kubeconfig("stored"));
                std::fs::write(path("kubeconfigs").join(format!("{}.yaml", record.id)), text).unwrap();
            }
        }
        if setup.kubeconfigs_blocked {
            std::fs::write(path("kubeconfigs"), "").unwrap();
        }
        let written = ["deployments", "kubeconfigs", "state", "tofu"].map(|name| (name, path(name)));
        let metrics = Arc::new(Metrics::of_folders(written));
        let store = FileStore::open(catalyst_tests::storage::plain_settings(folder.path())).unwrap();
        let store: Arc<dyn Store> = Measured::new(store, metrics.clone());
        let engine = Engine::new(engine_settings(folder.path(), &setup), store.clone()).await.unwrap();
        let stop = CancellationToken::new();
        let sandbox = sandbox().await;
        let allowed_clouds = AllowedClouds::parse(setup.allowed_clouds).unwrap();
        let outbound = catalyst::outbound::Settings { allowed_clouds, ..Default::default() };
        let outbound = Outbound::new(&outbound).unwrap();
        let settings = driver_settings(&setup, &outbound);
        // No test here asks it: nothing listens there.
        let manager = "http://127.0.0.1:9/".parse().unwrap();
        let names = Names::new(&outbound, manager, ManagedDomains::from_config(None, None));
        let driver = Driver::new(store.clone(), sandbox.clone(), engine, names.clone(), settings, stop.child_token());
        let listener = TcpListener::bind(setup.listen).await.unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port()));
        let auth = Auth::new(setup.auth, &outbound, &catalyst::outbound::Settings::default()).unwrap();
        let app = Arc::new(App {
            store: store.clone(),
            sandbox,
            outbound,
            names,
            driver: driver.clone(),
            auth: Arc::new(auth),
            audit: Audit::open(path("audit.jsonl"), stop.clone()).unwrap(),
            metrics,
            stopping: stop.clone(),
        });
        tokio::spawn(app.auth.clone().follow(stop.child_token()));
        let settings = http::Settings {
            allowed_origin: AllowedOrigin::parse(setup.origin).unwrap(),
            browsers: setup.browsers,
            limits: setup.limits,
            trusted_proxies: TrustedProxies::parse(setup.trusted_proxies).unwrap(),
            recheck: setup.recheck,
            subjects: setup.subjects,
        };
        let served = tokio::spawn(http::serve(listener, app.clone(), settings, app.stopping.clone()));
        Self { address, store, app, driver, folder, stop, served }
    }

    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        raw(self.address, &request(method, path, headers, body)).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[], b"").await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.ask("POST", path, &[], body.to_string().as_bytes()).await
    }

    /// `PUT` of a kubeconfig with an `Authorization` header.
    pub async fn put(&self, id: &DeploymentId, authorization: Option<&str>, body: &str) -> Reply {
        let headers: Vec<(&str, &str)> = authorization.map(|value| ("authorization", value)).into_iter().collect();
        self.ask("PUT", &format!("/api/v1/deployments/{id}/kubeconfig"), &headers, body.as_bytes()).await
    }

    /// File of a deployment's kubeconfig.
    pub fn kubeconfig_file(&self, id: &DeploymentId) -> PathBuf {
        self.folder.path().join("kubeconfigs").join(format!("{id}.yaml"))
    }

    /// The record as it is on disk.
    pub fn on_disk(&self, id: &DeploymentId) -> Record {
        let file = self.folder.path().join("deployments").join(format!("{id}.json"));
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    }

    /// The lines of its audit log.
    pub fn audited(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("audit.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// An orderly end.
    pub async fn down(self) {
        self.stop.cancel();
        self.driver.drain(std::time::Duration::from_secs(60)).await;
        self.served.await.unwrap().unwrap();
    }

    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until the server, once stopped, is down.
    pub async fn ended(self) {
        self.served.await.unwrap().unwrap();
    }
}

fn engine_settings(folder: &Path, setup: &Setup) -> engine::Settings {
    // A script looks at more than OpenTofu may.
    let confine = if setup.tofu.is_some() { engine::Confine::Off } else { engine::Confine::Auto };
    engine::Settings {
        program: catalyst_tests::host::built("release/catalyst"),
        without: Vec::new(),
        tofu_bin: setup.tofu.clone().unwrap_or_else(|| catalyst_tests::tools::path("tofu").unwrap()),
        workdir: folder.join("tofu"),
        pass_env: vec![("HOME".into(), folder.into())],
        provider_mirror: None,
        plugin_cache_dir: None,
        max_runs: setup.max_runs,
        apply_timeout: Duration::from_secs(120),
        stop_grace: Duration::from_secs(5),
        confine,
        egress: catalyst::egress::Settings::default(),
    }
}

fn driver_settings(setup: &Setup, outbound: &Outbound) -> driver::Settings {
    driver::Settings {
        default_provider: None,
        public_url: "https://catalyst.example".to_owned(),
        gitops_repo_url: "https://git.example/kit".to_owned(),
        gitops_branch: "main".to_owned(),
        ghcr_pull_token: SecretValue::new(setup.pull_token),
        destroy_timeout: Duration::from_secs(120),
        kubeconfig_timeout: Duration::from_secs(600),
        phase1_timeout: Duration::from_secs(600),
        phase1_settle: Duration::from_secs(5),
        phase1_expected: None,
        proxy: catalyst::outbound::ProxyConfig::default(),
        destinations: outbound.destinations().clone(),
        outbound: outbound.clone(),
        secrets_ttl: Duration::from_secs(600),
        limits: setup.subjects,
    }
}

/// The id of record number `n`.
pub fn id(n: u8) -> DeploymentId {
    DeploymentId::from_bytes([n; 8])
}

/// A record of the rehearsal cloud in this state.
pub fn record(n: u8, status: Status) -> Record {
    let text = create_body(&format!("c{n}.example")).to_string();
    let mut request: Request = catalyst_domain::request::parse(text.as_bytes()).unwrap().without_extra();
    request.region.clone_from(&request.regions[0].cloud_region);
    let provider = ProviderRef { id: "rehearsal".into(), version: "0".into(), digest: String::new() };
    let hash = sha256_hex(BEARER.as_bytes());
    let at = Timestamp::from_second(1_750_000_000).unwrap();
    let mut record = Record::new(NewRecord { id: id(n), request, kubeconfig_bearer_hash: hash, provider, at });
    record.status = status;
    record
}

/// A kubeconfig that is accepted, laid out as k3s lays out its own, and unlike any with another word.
pub fn kubeconfig(word: &str) -> String {
    format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    server: https://192.0.2.7:6443\n  name: d\ncontexts:\n- context:\n    \
         cluster: d\n    user: d\n  name: d\ncurrent-context: d\nkind: Config\nusers:\n- name: d\n  user:\n    \
         token: {word}\n"
    )
}

/// A record whose outputs are known: its cluster answers at the server of [`kubeconfig`].
pub fn applied(n: u8, status: Status) -> Record {
    let mut record = record(n, status);
    record.phase0_finished_at = Some(record.started_at);
    record.kubeconfig_hosts = vec!["192.0.2.7".to_owned()];
    record
}

/// A create that the rehearsal cloud accepts.
pub fn create_body(fqdn: &str) -> Value {
    json!({
        "orgName": "Acme", "orgEmail": "ops@acme.example", "sovereignFQDN": fqdn, "sovereignDomainMode": "byo-manual",
        "regions": [{"provider": "rehearsal", "cloudRegion": "local-1", "controlPlaneSize": "medium",
                     "workerSize": "small", "workerCount": 1}],
        "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ ops",
        "rehearsalApiPort": 16443, "rehearsalToken": "sentinel-of-the-request",
    })
}
