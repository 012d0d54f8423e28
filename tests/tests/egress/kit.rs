//! An engine with a store, and runs on it.

use catalyst::egress::{self, HostGrant, RunHosts};
use catalyst::engine::{
    Confine, Engine, Layer, Outputs, PlanSettings, Progress, Run, RunClass, RunError, Settings, Turn,
};
use catalyst::outbound::{NamedBy, ProxyConfig};
use catalyst_domain::provider::{Bundle, BundleFile, SecretVariable};
use catalyst_domain::{DeploymentId, Level, SecretValue, Secrets};
use catalyst_plugin_sdk::Rendered;
use catalyst_store::{FileStore, Store};
use catalyst_tests::host::built;
use catalyst_tests::storage::{plain_settings, record};
use catalyst_tests::tofu::{pinned, secret_value};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What a run is told and left behind.
pub struct Bench {
    pub engine: Arc<Engine>,
    pub id: DeploymentId,
    _folder: tempfile::TempDir,
}

/// A provider for a mirror: source, version and binary.
pub struct Package {
    pub source: &'static str,
    /// The module that pins its version.
    pub module: &'static str,
    /// Another version.
    pub version: Option<&'static str>,
    pub binary: PathBuf,
}

/// How an engine differs from the usual one.
pub struct Setup {
    pub package: Package,
    pub trust: PathBuf,
    pub proxy: ProxyConfig,
    pub confine: Confine,
    /// Layers of the confinement to leave out.
    pub without: Vec<Layer>,
    /// Further variables that the operator hands on.
    pub pass: Vec<(&'static str, String)>,
}

/// `host` leads to this address.
pub fn grant(host: &str, address: SocketAddr) -> HostGrant {
    HostGrant { address: Some(address), ..HostGrant::parse(host, NamedBy::Stranger).unwrap() }
}

/// What a run may reach beside its providers.
pub fn cloud(grants: Vec<HostGrant>) -> RunHosts {
    RunHosts { cloud: grants, ..RunHosts::default() }
}

impl Bench {
    pub async fn new(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mirror = mirror_of(&path("mirror"), &setup.package);
        let mut pass_env: Vec<(OsString, OsString)> =
            vec![("PATH".into(), "/usr/bin:/bin".into()), ("SSL_CERT_FILE".into(), setup.trust.clone().into())];
        pass_env.extend(setup.pass.iter().map(|(name, value)| ((*name).into(), value.into())));
        let store = FileStore::open(plain_settings(folder.path()));
        let store: Arc<dyn Store> = store.unwrap();
        let settings = Settings {
            program: built("release/catalyst"),
            without: setup.without,
            tofu_bin: catalyst_tests::tools::path("tofu").unwrap(),
            workdir: path("work"),
            pass_env,
            plugin_cache_dir: Some(path("cache")),
            provider_mirror: Some(mirror),
            max_runs: 1,
            apply_timeout: Duration::from_secs(300),
            stop_grace: Duration::from_secs(20),
            confine: setup.confine,
            egress: egress::Settings { proxy: setup.proxy, ..egress::Settings::default() },
        };
        let engine = Engine::new(settings, store.clone()).await.unwrap();
        let record = record(7);
        let id = record.id.clone();
        store.create(record).await.unwrap();
        Self { engine, id, _folder: folder }
    }

    /// A run of this bundle. `secrets` are by variable; what is not among them gets a value of its own.
    pub fn run(&self, rendered: &Rendered, secrets: &[(&str, &str)], hosts: RunHosts) -> Run {
        let mut given = Secrets::default();
        for filled in &rendered.secret_variables {
            let known = secrets.iter().find(|(variable, _)| *variable == filled.variable);
            let value = known.map_or_else(|| secret_value(&filled.variable), |(_, value)| (*value).to_owned());
            given.insert(filled.secret.clone(), SecretValue::new(value));
        }
        let (id, bundle, plan) = (self.id.clone(), bundle(rendered), PlanSettings::default());
        Run { id, bundle, secrets: given, withheld: Secrets::default(), hosts, plan }
    }

    pub async fn apply(&self, run: Run) -> (Result<Outputs, RunError>, Vec<(Level, String)>) {
        let stop = CancellationToken::new();
        let (sender, receiver) = mpsc::channel(1_024);
        let turn = Turn { class: RunClass::Create, subject: "a test".into() };
        let permit = self.engine.enter(&run.id, &turn, &stop, async |_| {}).await.unwrap();
        tokio::join!(self.engine.apply(permit, run, sender, stop), lines(receiver))
    }

    pub async fn destroy(&self, run: Run) -> (Result<(), RunError>, Vec<(Level, String)>) {
        let stop = CancellationToken::new();
        let (sender, receiver) = mpsc::channel(1_024);
        let turn = Turn { class: RunClass::TakeUp, subject: "a test".into() };
        let permit = self.engine.enter(&run.id, &turn, &stop, async |_| {}).await.unwrap();
        tokio::join!(self.engine.destroy(permit, run, sender, stop), lines(receiver))
    }

    /// Connections that were refused, by step and rule.
    pub fn refused(&self) -> Vec<(&'static str, &'static str, u64)> {
        self.engine.load().refused.into_iter().filter(|(.., count)| *count > 0).collect()
    }
}

async fn lines(mut receiver: mpsc::Receiver<Progress>) -> Vec<(Level, String)> {
    let mut lines = Vec::new();
    while let Some(progress) = receiver.recv().await {
        if let Progress::Line { level, message, .. } = progress {
            lines.push((level, message));
        }
    }
    lines
}

fn bundle(rendered: &Rendered) -> Bundle {
    let files = rendered.files.iter().map(|file| BundleFile {
        path: file.path.clone(),
        mode: file.mode,
        content: file.content.clone(),
    });
    let filled = rendered
        .secret_variables
        .iter()
        .map(|filled| SecretVariable { secret: filled.secret.clone(), variable: filled.variable.clone() });
    Bundle {
        files: files.collect(),
        variables: serde_json::from_str(&rendered.variables).unwrap(),
        secret_variables: filled.collect(),
        deployment_id_variable: rendered.deployment_id_variable.clone(),
        cluster_exists_variable: rendered.cluster_exists_variable.clone(),
        nodes: Vec::new(),
        user_data: Vec::new(),
        warnings: Vec::new(),
    }
}

/// A mirror with the one provider, as a site without a registry has it. The program itself lies in it: what a link leads to
/// outside, a confined run does not start.
pub fn mirror_of(folder: &Path, package: &Package) -> PathBuf {
    let version = package.version.map_or_else(|| pinned(package.module).unwrap(), str::to_owned);
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let inside = folder.join(format!("registry.opentofu.org/{}/{version}/linux_{arch}", package.source));
    std::fs::create_dir_all(&inside).unwrap();
    let name = package.source.rsplit('/').next().unwrap();
    std::fs::copy(&package.binary, inside.join(format!("terraform-provider-{name}_v{version}"))).unwrap();
    folder.to_owned()
}
