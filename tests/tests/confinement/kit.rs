//! An engine of this process, with runs that a supervisor of the real binary confines.

use catalyst::egress::RunHosts;
use catalyst::engine::{
    Confine, Engine, Layer, LayerState, Outputs, PlanSettings, Progress, Run, RunClass, RunError, Settings, Turn,
};
use catalyst_domain::provider::{Bundle, BundleFile};
use catalyst_domain::{DeploymentId, Secrets};
use catalyst_store::{FileStore, Store};
use catalyst_tests::host::built;
use catalyst_tests::storage::{plain_settings, record};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// An engine with its folders.
pub struct Bench {
    pub engine: Arc<Engine>,
    pub folder: TempDir,
    pub id: DeploymentId,
}

/// A run that ended.
pub type Ended = (Result<Outputs, RunError>, Vec<Progress>);

impl Bench {
    /// All layers, but for those that are left out.
    pub async fn without(without: &[Layer]) -> Self {
        Self::new(|settings| settings.without = without.to_vec()).await
    }

    /// All layers, with other settings.
    pub async fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("mirror")).unwrap();
        let store: Arc<dyn Store> = FileStore::open(plain_settings(folder.path())).unwrap();
        let mut settings = Settings {
            program: built("release/catalyst"),
            tofu_bin: catalyst_tests::tools::path("tofu").unwrap(),
            workdir: path("work"),
            pass_env: vec![("PATH".into(), "/usr/bin:/bin".into()), ("HOME".into(), folder.path().into())],
            plugin_cache_dir: None,
            provider_mirror: Some(path("mirror")),
            max_runs: 4,
            apply_timeout: Duration::from_secs(180),
            stop_grace: Duration::from_secs(20),
            confine: Confine::Auto,
            egress: Default::default(),
            without: Vec::new(),
        };
        change(&mut settings);
        let record = record(7);
        let id = record.id.clone();
        store.create(record).await.unwrap();
        let engine = Engine::new(settings, store).await.unwrap();
        Self { engine, folder, id }
    }

    /// The work folder of the run.
    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work").join(self.id.as_str())
    }

    /// Applies a module of these files, by a run that may reach no host.
    pub async fn apply(&self, files: &[(&str, &str)]) -> Ended {
        let (sender, mut receiver) = mpsc::channel(1024);
        let going = async {
            let (turn, stop) = (Turn { class: RunClass::Create, subject: "a test".into() }, CancellationToken::new());
            let permit = self.engine.enter(&self.id, &turn, &stop, async |_| {}).await?;
            self.engine.apply(permit, run(&self.id, files), sender, stop).await
        };
        let listening = async {
            let mut seen = Vec::new();
            while let Some(progress) = receiver.recv().await {
                seen.push(progress);
            }
            seen
        };
        tokio::join!(going, listening)
    }

    /// Fails where a layer that this kernel should have does not hold.
    pub fn assert_whole(&self, without: &[Layer]) {
        // Processes are counted by their namespace.
        let follows = |layer| layer == Layer::ProcessLimit && without.contains(&Layer::PidNamespace);
        let lacks = |state: &&LayerState| state.missing.is_some() && !follows(state.layer);
        let lacking: Vec<&LayerState> = self.engine.layers().iter().filter(lacks).collect();
        assert!(lacking.is_empty(), "this machine cannot show the confinement: {lacking:?}");
        assert_eq!(self.engine.layers().len() + without.len(), Layer::ALL.len());
    }
}

/// A run without secrets.
pub fn run(id: &DeploymentId, files: &[(&str, &str)]) -> Run {
    let file = |(path, text): &(&str, &str)| BundleFile {
        path: (*path).to_owned(),
        mode: 0o644,
        content: text.as_bytes().to_vec(),
    };
    let bundle = Bundle {
        files: files.iter().map(file).collect(),
        variables: serde_json::Map::new(),
        secret_variables: Vec::new(),
        deployment_id_variable: None,
        cluster_exists_variable: None,
        nodes: Vec::new(),
        user_data: Vec::new(),
        warnings: Vec::new(),
    };
    let (secrets, withheld) = (Secrets::default(), Secrets::default());
    let (hosts, plan) = (RunHosts::default(), PlanSettings::default());
    Run { id: id.clone(), bundle, secrets, withheld, hosts, plan }
}

/// Puts a program where OpenTofu takes it for the provider `acme/hostile` 1.0.0.
pub fn plant_provider(bench: &Bench, program: &Path) -> PathBuf {
    let arch = if cfg!(target_arch = "x86_64") { "linux_amd64" } else { "linux_arm64" };
    let package = format!("mirror/registry.opentofu.org/acme/hostile/1.0.0/{arch}");
    let folder = bench.folder.path().join(package);
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("terraform-provider-hostile_v1.0.0");
    // By another process: a descriptor that a parallel start inherits for writing would make the kernel refuse to run the file.
    let copied = std::process::Command::new("cp").arg(program).arg(&file).status().unwrap();
    assert!(copied.success());
    folder
}
