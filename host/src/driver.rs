//! One task per live deployment: read the record, see which steps are due, run one hand for each, report facts. A first run,
//! a retry and a restart are the same loop. The only caller of engine and cluster for a deployment.

mod await_node;
pub mod create;
mod destroy;
mod diagnosis;
pub mod dns;
mod provision;
mod proxy;
mod report;
pub mod retry;
mod secrets;
mod tofu_state;
mod vault;
mod watching;

use crate::dns::names::Names;
use crate::engine::Engine;
use catalyst_domain::provider::RenderContext;
use catalyst_domain::restart::{KubeconfigFile, on_start};
use catalyst_domain::step::next_steps;
use catalyst_domain::{DeploymentId, Record, SecretValue, Step};
use catalyst_sandbox::{Provider, Sandbox};
use catalyst_store::{Progress, Store};
pub use secrets::{NoRandomness, random};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vault::Vault;

/// A hand that ended although its step is still due waits so long before it is begun anew.
const PAUSE: Duration = Duration::from_secs(1);
/// How long an OpenTofu process that outlived its host may take to write its state.
const ORPHAN_GRACE: Duration = Duration::from_secs(20);
/// How often forgotten secrets are looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// What the driver is told from outside.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Provider of requests that name none.
    pub default_provider: Option<String>,
    /// Public base URL of this host.
    pub public_url: String,
    /// Repository that Flux follows.
    pub gitops_repo_url: String,
    /// Its branch.
    pub gitops_branch: String,
    /// Pull token of the registry; may be blank.
    pub ghcr_pull_token: SecretValue,
    /// How long a deployment waits for its node.
    pub kubeconfig_timeout: Duration,
    /// How a new cluster is watched.
    pub phase1_timeout: Duration,
    /// Quiet time that ends a watch.
    pub phase1_settle: Duration,
    /// Number of releases, where no inventory tells.
    pub phase1_expected: Option<usize>,
    /// Proxy for the new cluster's API.
    pub proxy: crate::config::ProxyConfig,
    /// How long secrets are remembered after a run.
    pub secrets_ttl: Duration,
}

/// The tasks and what they share.
pub struct Driver {
    store: Arc<dyn Store>,
    sandbox: Arc<Sandbox>,
    engine: Arc<Engine>,
    names: Arc<Names>,
    settings: Settings,
    vault: Vault,
    live: Mutex<HashMap<DeploymentId, ()>>,
    tasks: TaskTracker,
    stop: CancellationToken,
    retrying: tokio::sync::Mutex<()>,
}

/// What one hand works with.
#[derive(Clone)]
struct Hand {
    driver: Arc<Driver>,
    id: DeploymentId,
    /// Cancelled when the step is no longer due or the process goes down.
    stop: CancellationToken,
}

impl Driver {
    /// The driver over its rooms. Nothing runs until [`Driver::start`].
    pub fn new(
        store: Arc<dyn Store>,
        sandbox: Arc<Sandbox>,
        engine: Arc<Engine>,
        names: Arc<Names>,
        settings: Settings,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let vault = Vault::new(settings.secrets_ttl);
        let tasks = TaskTracker::new();
        let (live, retrying) = (Mutex::default(), tokio::sync::Mutex::default());
        Arc::new(Self { store, sandbox, engine, names, settings, vault, live, tasks, stop, retrying })
    }

    /// Takes up every record where it stands.
    pub async fn start(self: &Arc<Self>) {
        for record in self.store.list() {
            self.adopt(&record).await;
            self.wake(&record.id);
        }
        let driver = self.clone();
        self.tasks.spawn(async move {
            while !driver.stop.is_cancelled() {
                driver.vault.sweep();
                tokio::select! {
                    () = driver.stop.cancelled() => {}
                    () = tokio::time::sleep(SWEEP) => {}
                }
            }
        });
    }

    /// Sees to it that a live deployment has its task. Carries no data: the task reads the record.
    pub fn wake(self: &Arc<Self>, id: &DeploymentId) {
        if self.stop.is_cancelled() || !self.is_due(id) {
            return;
        }
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if live.insert(id.clone(), ()).is_none() {
            let (driver, id) = (self.clone(), id.clone());
            self.tasks.spawn(async move { driver.drive(id).await });
        }
    }

    /// Ends all tasks: OpenTofu gets its signal and its grace, and what happened is recorded.
    pub async fn drain(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    // What a crash left running is stopped before anything else touches its state.
    async fn adopt(self: &Arc<Self>, record: &Record) {
        if let Some(child) = record.child {
            match self.engine.reap_orphan(&record.id, &child, ORPHAN_GRACE).await {
                Ok(reaped) => tracing::warn!(deployment.id = %record.id, ?reaped, "an OpenTofu run outlived its host"),
                Err(error) => {
                    tracing::error!(deployment.id = %record.id, %error, "cannot end an orphaned OpenTofu run")
                }
            }
        }
        let present = self.store.kubeconfig_present(&record.id);
        let file = if present { KubeconfigFile::Present } else { KubeconfigFile::Absent };
        if let Some(fact) = on_start(record, file) {
            let hand = Hand { driver: self.clone(), id: record.id.clone(), stop: self.stop.child_token() };
            hand.interrupted(record, fact).await;
        }
    }

    fn is_due(&self, id: &DeploymentId) -> bool {
        self.store.get(id).is_some_and(|record| !next_steps(&record).is_empty())
    }

    async fn drive(self: Arc<Self>, id: DeploymentId) {
        loop {
            self.run(&id).await;
            // Under the lock that `wake` takes, so that no wake-up falls between the look and the leave.
            let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            if self.stop.is_cancelled() || !self.is_due(&id) {
                live.remove(&id);
                return;
            }
        }
    }

    /// Runs the hands of the steps that are due until none is.
    async fn run(self: &Arc<Self>, id: &DeploymentId) {
        let Some(mut changes) = self.store.watch(id) else { return };
        let mut hands = JoinSet::new();
        let mut running: HashMap<Step, CancellationToken> = HashMap::new();
        loop {
            let version = changes.borrow_and_update().version;
            let due = match self.store.get(id) {
                Some(record) if !self.stop.is_cancelled() => next_steps(&record),
                _ => Vec::new(),
            };
            running.iter().filter(|(step, _)| !due.contains(step)).for_each(|(_, token)| token.cancel());
            for step in due {
                if running.keys().any(|other| step.excludes(*other)) {
                    continue;
                }
                if let std::collections::hash_map::Entry::Vacant(free) = running.entry(step) {
                    let stop = free.insert(self.stop.child_token()).clone();
                    let hand = Hand { driver: self.clone(), id: id.clone(), stop };
                    hands.spawn(async move {
                        hand.act(step).await;
                        step
                    });
                }
            }
            if running.is_empty() {
                return;
            }
            tokio::select! {
                ended = hands.join_next() => self.ended(id, ended, &mut running).await,
                there = changed(&mut changes, version) => if !there { return },
                () = self.stop.cancelled(), if running.values().any(|token| !token.is_cancelled()) => {}
            }
        }
    }

    async fn ended(
        &self,
        id: &DeploymentId,
        ended: Option<Result<Step, tokio::task::JoinError>>,
        running: &mut HashMap<Step, CancellationToken>,
    ) {
        match ended {
            Some(Ok(step)) => {
                running.remove(&step);
                let again = self.store.get(id).is_some_and(|record| next_steps(&record).contains(&step));
                if again && !self.stop.is_cancelled() {
                    tokio::time::sleep(PAUSE).await;
                }
            }
            Some(Err(error)) => {
                tracing::error!(deployment.id = %id, %error, "a hand broke; its step is begun anew");
                running.clear();
                tokio::time::sleep(PAUSE).await;
            }
            None => running.clear(),
        }
    }

    /// The plugin of a record's provider.
    fn provider_of(&self, record: &Record) -> Option<Arc<Provider>> {
        let id = record.provider.as_ref().map(|p| p.id.as_str()).or_else(|| record.request.provider());
        id.or(self.settings.default_provider.as_deref()).and_then(|id| self.sandbox.provider(id))
    }

    fn render_context(&self, present_secrets: Vec<String>) -> RenderContext {
        RenderContext {
            public_url: self.settings.public_url.clone(),
            gitops_repo_url: self.settings.gitops_repo_url.clone(),
            gitops_branch: self.settings.gitops_branch.clone(),
            present_secrets,
        }
    }
}

/// Waits until the record is another one; `false` when the deployment is gone.
async fn changed(changes: &mut watch::Receiver<Progress>, version: u64) -> bool {
    changes.wait_for(|progress| progress.version != version).await.is_ok()
}

impl Hand {
    async fn act(&self, step: Step) {
        match step {
            Step::Provision => self.provision().await,
            Step::AwaitKubeconfig => self.await_node().await,
            Step::Watch => self.watch().await,
            Step::Destroy => self.destroy().await,
            Step::PublishDns => self.publish_dns().await,
            Step::ReleaseDns => self.release_dns().await,
        }
    }

    fn record(&self) -> Option<Arc<Record>> {
        self.driver.store.get(&self.id)
    }
}
