//! The engine on the real OpenTofu, and on a scripted one for the ends that the real one rarely has.

mod confined;
mod ending;
mod held;
mod left_over;
mod own_files;
mod real;
mod review;
mod scripted;
mod staging;
mod states;
mod validating;

use super::stage::WorkFolder;
use super::*;
use async_trait::async_trait;
use catalyst_domain::provider::{BundleFile, SecretVariable};
use catalyst_domain::record::Child;
use catalyst_domain::{Entry, Fact, Level, Record, SecretValue, Timestamp};
use catalyst_store::{
    AcceptError, CreateError, KubeconfigError, Numbered, Part, Progress as LogProgress, RecordError, RunSecrets,
    RunSecretsKept, SetAside, StateError, StorageError,
};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use tempfile::TempDir;
use tokio::sync::watch;

/// Must be found nowhere but in OpenTofu's state.
pub(super) const SENTINEL: &str = "sentinel-7f3a\"<&>91";

#[derive(Default)]
pub(super) struct States {
    pub(super) states: HashMap<DeploymentId, Vec<u8>>,
    pub(super) locks: HashMap<DeploymentId, (String, Vec<u8>)>,
    /// Nothing can be read or written.
    pub(super) broken: bool,
    /// Nothing can be written.
    pub(super) full: bool,
}

/// A store that keeps states in memory and refuses all the rest.
#[derive(Default)]
pub(super) struct StateStore(pub(super) Mutex<States>);

impl StateStore {
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut States) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    fn written<T>(&self, look: impl FnOnce(&mut States) -> Result<T, StateError>) -> Result<T, StateError> {
        self.used(|s| if s.full { Err(StateError::Storage(refused_here())) } else { look(s) })
    }

    fn used<T>(&self, look: impl FnOnce(&mut States) -> Result<T, StateError>) -> Result<T, StateError> {
        self.with(|s| if s.broken { Err(StateError::Storage(refused_here())) } else { look(s) })
    }
}

fn refused_here() -> StorageError {
    StorageError { doing: "use the store of this test", why: "no space left on device".to_owned() }
}

#[async_trait]
impl Store for StateStore {
    async fn create(&self, _: Record) -> Result<Arc<Record>, CreateError> {
        Err(CreateError::Storage(refused_here()))
    }
    fn get(&self, _: &DeploymentId) -> Option<Arc<Record>> {
        None
    }
    fn list(&self) -> Vec<Arc<Record>> {
        Vec::new()
    }
    async fn record(&self, _: &DeploymentId, _: &Fact, _: Timestamp) -> Result<Arc<Record>, RecordError> {
        Err(RecordError::Unknown)
    }
    async fn append(&self, _: &DeploymentId, _: Vec<Entry>) -> Result<u64, RecordError> {
        Err(RecordError::Unknown)
    }
    async fn read(&self, _: &DeploymentId, _: u64, _: usize) -> Result<Vec<Numbered>, RecordError> {
        Err(RecordError::Unknown)
    }
    fn watch(&self, _: &DeploymentId) -> Option<watch::Receiver<LogProgress>> {
        None
    }
    fn kubeconfig_present(&self, _: &DeploymentId) -> bool {
        false
    }
    async fn kubeconfig_missing(&self, _: &DeploymentId) -> bool {
        false
    }
    async fn state_is_empty(&self, _: &DeploymentId) -> Result<bool, StorageError> {
        Err(refused_here())
    }
    async fn count(&self, _: &DeploymentId) -> Result<u64, RecordError> {
        Err(RecordError::Unknown)
    }
    async fn accept_kubeconfig(
        &self,
        _: &DeploymentId,
        _: &str,
        _: &[u8],
        _: Timestamp,
    ) -> Result<Arc<Record>, AcceptError> {
        Err(AcceptError::Unknown)
    }
    async fn kubeconfig(&self, _: &DeploymentId) -> Result<Vec<u8>, KubeconfigError> {
        Err(KubeconfigError::Unknown)
    }
    async fn put_run_secrets(&self, _: &DeploymentId, _: RunSecrets) -> Result<RunSecretsKept, StorageError> {
        Err(refused_here())
    }
    async fn run_secrets(&self, _: &DeploymentId) -> Result<Option<RunSecrets>, StorageError> {
        Err(refused_here())
    }
    async fn forget_run_secrets(&self, _: &DeploymentId) -> Result<(), StorageError> {
        Err(refused_here())
    }
    async fn kept_run_secrets(&self) -> Result<Vec<(DeploymentId, Timestamp)>, StorageError> {
        Err(refused_here())
    }
    async fn put_bundle(&self, _: &DeploymentId, _: &[u8]) -> Result<(), StorageError> {
        Err(refused_here())
    }
    async fn bundle(&self, _: &DeploymentId) -> Result<Option<Vec<u8>>, StorageError> {
        Err(refused_here())
    }
    async fn state(&self, id: &DeploymentId) -> Result<Option<Vec<u8>>, StateError> {
        self.used(|s| Ok(s.states.get(id).cloned()))
    }
    async fn put_state(&self, id: &DeploymentId, state: &[u8], lock: Option<&str>) -> Result<(), StateError> {
        self.written(|s| match (s.locks.get(id), lock) {
            (Some((held, info)), given) if given != Some(held) => Err(StateError::Locked { info: info.clone() }),
            (None, Some(_)) => Err(StateError::NotLocked),
            _ => {
                s.states.insert(id.clone(), state.to_vec());
                Ok(())
            }
        })
    }
    async fn lock_state(&self, id: &DeploymentId, info: &[u8]) -> Result<(), StateError> {
        self.written(|s| {
            if let Some((_, info)) = s.locks.get(id) {
                return Err(StateError::Locked { info: info.clone() });
            }
            let parsed: serde_json::Value = serde_json::from_slice(info).unwrap();
            s.locks.insert(id.clone(), (parsed["ID"].as_str().unwrap().to_owned(), info.to_vec()));
            Ok(())
        })
    }
    async fn unlock_state(&self, id: &DeploymentId, lock: Option<&str>) -> Result<(), StateError> {
        self.used(|s| match (s.locks.get(id), lock) {
            (None, _) => Err(StateError::NotLocked),
            (Some((held, _)), Some(given)) if held != given => Err(StateError::NotLocked),
            _ => {
                s.locks.remove(id);
                Ok(())
            }
        })
    }
    async fn set_damaged_aside(&self, id: &DeploymentId, part: Part) -> Result<Vec<SetAside>, StorageError> {
        let damaged = |state: &Vec<u8>| serde_json::from_slice::<serde_json::Value>(state).is_err();
        let aside = self.with(|s| s.states.get(id).is_some_and(damaged).then(|| s.states.remove(id)));
        assert_eq!(part, Part::States);
        Ok(aside
            .map(|_| SetAside { file: "00000001.tfstate.1".to_owned(), why: "damaged".to_owned() })
            .into_iter()
            .collect())
    }
    async fn has_state_aside(&self, _: &DeploymentId) -> Result<bool, StorageError> {
        Err(refused_here())
    }
    fn has_unread_record(&self, _: &DeploymentId) -> bool {
        false
    }

    fn unusable(&self) -> Option<StorageError> {
        None
    }

    fn is_shut(&self) -> bool {
        false
    }
}

/// What a run waits for where the order does not matter.
pub(super) fn turn() -> Turn {
    Turn { class: RunClass::Create, subject: "a test".into() }
}

impl Engine {
    /// As the driver does it: waits for its turn, then applies.
    pub(super) async fn apply_alone(
        &self,
        run: Run,
        progress: mpsc::Sender<Progress>,
        stop: CancellationToken,
    ) -> Result<Outputs, RunError> {
        let permit = self.enter(&run.id, &turn(), &stop, async |_| {}).await?;
        self.apply(permit, run, progress, stop).await
    }

    /// The same for a destroy.
    pub(super) async fn destroy_alone(
        &self,
        run: Run,
        progress: mpsc::Sender<Progress>,
        stop: CancellationToken,
    ) -> Result<(), RunError> {
        let permit = self.enter(&run.id, &turn(), &stop, async |_| {}).await?;
        self.destroy(permit, run, progress, stop).await
    }
}

/// An engine with its folders and store.
pub(super) struct Bench {
    pub(super) engine: Arc<Engine>,
    pub(super) store: Arc<StateStore>,
    pub(super) folder: TempDir,
    pub(super) id: DeploymentId,
}

impl Bench {
    pub(super) async fn new(tofu: &Path, change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(StateStore::default());
        let engine = Engine::new(settings(tofu, folder.path(), change), store.clone()).await.unwrap();
        Self { engine, store, folder, id: DeploymentId::from_bytes([7; 8]) }
    }

    /// The same store and folders after a restart of the host.
    pub(super) async fn restarted(self, tofu: &Path) -> Self {
        let engine = Engine::new(settings(tofu, self.folder.path(), |_| {}), self.store.clone()).await.unwrap();
        Self { engine, ..self }
    }

    pub(super) fn work(&self) -> PathBuf {
        self.folder.path().join("work").join(self.id.as_str())
    }

    pub(super) fn run(&self, module: &str) -> Run {
        let mut secrets = Secrets::default();
        secrets.insert("cloud-token", SecretValue::new(SENTINEL));
        let (id, bundle) = (self.id.clone(), bundle(&[("main.tf", module)]));
        let (withheld, hosts, plan) = (Secrets::default(), RunHosts::default(), PlanSettings::default());
        Run { id, bundle, secrets, withheld, hosts, plan }
    }

    pub(super) async fn apply(&self, module: &str) -> (Result<Outputs, RunError>, Vec<Progress>) {
        self.apply_until(module, CancellationToken::new(), |_| false).await
    }

    /// Applies, and cancels when `until` says so of an entry.
    pub(super) async fn apply_until(
        &self,
        module: &str,
        stop: CancellationToken,
        until: impl Fn(&Progress) -> bool,
    ) -> (Result<Outputs, RunError>, Vec<Progress>) {
        self.apply_run(self.run(module), stop, until).await
    }

    pub(super) async fn apply_run(
        &self,
        run: Run,
        stop: CancellationToken,
        until: impl Fn(&Progress) -> bool,
    ) -> (Result<Outputs, RunError>, Vec<Progress>) {
        let (sender, mut receiver) = mpsc::channel(1024);
        let going = self.engine.apply_alone(run, sender, stop.clone());
        let listening = async {
            let mut seen = Vec::new();
            while let Some(progress) = receiver.recv().await {
                if until(&progress) {
                    stop.cancel();
                }
                seen.push(progress);
            }
            seen
        };
        let (result, seen) = tokio::join!(going, listening);
        let all = format!("{result:?}\n{seen:?}");
        assert!(!all.contains("sentinel-7f3a"), "a secret left the engine: {all}");
        (result, seen)
    }

    /// Nothing of a run that holds a secret may be left on disk.
    pub(super) fn assert_tidy(&self) {
        let mut folders = vec![self.work()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let name = entry.file_name().into_string().unwrap();
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                    continue;
                }
                assert!(!name.ends_with(".tfstate") && !name.ends_with("plan") && !name.contains("tfvars"), "{name}");
                let text = String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned();
                assert!(!text.contains("sentinel-7f3a"), "{name} holds a secret");
            }
        }
    }
}

/// What a thread among others cannot enter, and what would keep providers from doubles on loopback. All of it is shown on the real
/// program in `tests/tests/confinement`.
const NOT_IN_A_TEST: [Layer; 5] =
    [Layer::UserNamespace, Layer::PidNamespace, Layer::NetworkNamespace, Layer::MountNamespace, Layer::Ports];

pub(super) fn settings(tofu: &Path, folder: &Path, change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings {
        program: THIS_PROGRAM.into(),
        tofu_bin: tofu.to_owned(),
        workdir: folder.join("work"),
        pass_env: vec![("PATH".into(), "/usr/bin:/bin".into()), ("HOME".into(), folder.into())],
        plugin_cache_dir: None,
        provider_mirror: None,
        max_runs: 4,
        apply_timeout: Duration::from_secs(120),
        stop_grace: Duration::from_secs(20),
        // Scripts stand in for a whole system and look at more than OpenTofu may.
        confine: if tofu.starts_with(tempfile::env::temp_dir()) { Confine::Off } else { Confine::Auto },
        egress: egress::Settings::default(),
        without: NOT_IN_A_TEST.into(),
    };
    change(&mut settings);
    settings
}

pub(super) fn bundle(files: &[(&str, &str)]) -> Bundle {
    let file = |(path, text): &(&str, &str)| BundleFile {
        path: (*path).to_owned(),
        mode: 0o644,
        content: text.as_bytes().to_vec(),
    };
    let variables = serde_json::json!({"name": "acme"});
    Bundle {
        files: files.iter().map(file).collect(),
        variables: variables.as_object().unwrap().clone(),
        secret_variables: vec![SecretVariable { secret: "cloud-token".into(), variable: "token".into() }],
        deployment_id_variable: Some("deployment_id".to_owned()),
        cluster_exists_variable: None,
        nodes: Vec::new(),
        user_data: Vec::new(),
        warnings: Vec::new(),
    }
}

pub(super) fn phases(seen: &[Progress]) -> Vec<&'static str> {
    seen.iter().filter_map(|p| if let Progress::Phase(phase) = p { Some(*phase) } else { None }).collect()
}

pub(super) fn lines(seen: &[Progress]) -> Vec<(Level, &str)> {
    seen.iter()
        .filter_map(
            |p| if let Progress::Line { level, message, .. } = p { Some((*level, message.as_str())) } else { None },
        )
        .collect()
}

pub(super) fn has_line(seen: &[Progress], part: &str) -> bool {
    lines(seen).iter().any(|(_, message)| message.contains(part))
}

/// Does something with the rights of a usual user, who gets the files: root may do everything whatever the modes are.
pub(super) fn as_a_user(files: &Path, work: impl FnOnce() + Send) {
    const USER: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        return work();
    }
    let owner = format!("{USER}:{USER}");
    let changed = std::process::Command::new("chown").args(["-Rh", &owner]).arg(files).status().unwrap();
    assert!(changed.success());
    std::thread::scope(|scope| {
        // The right to files is a thread's own on Linux; without root's user the thread has none of root's rights to them.
        let with_rights = || {
            nix::unistd::setfsgid(nix::unistd::Gid::from_raw(USER));
            nix::unistd::setfsuid(nix::unistd::Uid::from_raw(USER));
            work();
        };
        scope.spawn(with_rights).join().unwrap();
    });
}
