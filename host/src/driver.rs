//! One task per live deployment: read the record, see which steps are due, run one hand for each, report facts. A first run,
//! a retry and a restart are the same loop. The only caller of engine and cluster for a deployment.

mod await_node;
pub mod create;
mod created;
pub mod credentials;
pub mod destroy;
mod diagnosis;
pub mod dns;
mod drain;
pub mod examine;
pub mod idempotency;
mod left;
mod leftovers;
mod order;
pub mod preview;
mod provision;
mod proxy;
mod read_tokens;
mod render;
mod report;
pub mod retry;
mod run_hosts;
mod secrets;
mod server_address;
mod servers;
mod start;
pub mod take_up;
mod tofu_state;
mod turns;
mod unkept;
mod vault;
mod watching;

use crate::dns::names::Names;
use crate::engine::{Engine, Load};
use crate::limits::{self, CREATES_AT_ONCE, Lanes, Ledger};
use crate::telemetry;
use bytes::Bytes;
use catalyst_domain::provider::RenderContext;
use catalyst_domain::step::next_steps;
use catalyst_domain::{DeploymentId, Record, SecretValue, Step, Timestamp};
use catalyst_sandbox::{Provider, Sandbox};
use catalyst_store::{AcceptError, Progress, StorageError, Store};
pub use secrets::{NoRandomness, random};
use std::collections::{HashMap, HashSet, hash_map};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use turns::Turns;
use vault::Vault;

/// A hand that ended although its step is still due waits so long before it is begun anew.
const PAUSE: Duration = Duration::from_secs(1);
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
    /// Time of a destroy: the work in its cluster and its run, without the wait for its turn.
    pub destroy_timeout: Duration,
    /// How long a deployment waits for its node.
    pub kubeconfig_timeout: Duration,
    /// How a new cluster is watched.
    pub phase1_timeout: Duration,
    /// Quiet time that ends a watch.
    pub phase1_settle: Duration,
    /// Number of releases, where no inventory tells.
    pub phase1_expected: Option<usize>,
    /// Proxy for the new cluster's API.
    pub proxy: crate::outbound::ProxyConfig,
    /// Where requests may lead.
    pub destinations: crate::outbound::Destinations,
    /// How a cloud is asked for its services.
    pub outbound: crate::outbound::Outbound,
    /// How long secrets are remembered after a run.
    pub secrets_ttl: Duration,
    /// What each subject may have at once.
    pub limits: limits::Settings,
}

/// The tasks and what they share.
pub struct Driver {
    store: Arc<dyn Store>,
    sandbox: Arc<Sandbox>,
    engine: Arc<Engine>,
    names: Arc<Names>,
    settings: Settings,
    vault: Vault,
    live: Mutex<HashSet<DeploymentId>>,
    started: Timestamp,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Held by deployment while a retry or a destroy looks and claims.
    claims: Turns,
    /// Held by idempotency key while a create looks and claims.
    creating: Turns,
    /// Deployments of each subject.
    ledger: Arc<Ledger>,
    /// Creates and previews of each subject that are worked on.
    creates: Lanes,
    previews: Lanes,
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
        let (vault, tasks) = (Vault::new(settings.secrets_ttl), TaskTracker::new());
        let (live, started) = (Mutex::default(), Timestamp::now());
        let (claims, creating) = (Turns::default(), Turns::default());
        let ledger = Ledger::new(settings.limits.live, settings.limits.waiting);
        let (creates, previews) = (Lanes::new(CREATES_AT_ONCE), Lanes::new(CREATES_AT_ONCE));
        Arc::new(Self {
            store,
            sandbox,
            engine,
            names,
            settings,
            vault,
            live,
            started,
            tasks,
            stop,
            claims,
            creating,
            ledger,
            creates,
            previews,
        })
    }

    /// Sees to it that a live deployment has its task. Carries no data: the task reads the record.
    pub fn wake(self: &Arc<Self>, id: &DeploymentId) {
        let Some(record) = self.store.get(id).filter(|record| !next_steps(record).is_empty()) else { return };
        if !self.stop.is_cancelled() && self.lives().insert(id.clone()) {
            self.counts(&record);
            let (driver, id, span) = (self.clone(), id.clone(), telemetry::deployment(id));
            self.tasks.spawn(async move { driver.drive(id).await }.instrument(span));
        }
    }

    /// Takes the node's kubeconfig and wakes the deployment, whether the caller waits for it or not.
    ///
    /// # Errors
    /// [`AcceptError`]; the bearer is not used up.
    pub async fn accept_kubeconfig(
        self: &Arc<Self>,
        id: DeploymentId,
        bearer: SecretValue,
        body: Bytes,
        at: Timestamp,
    ) -> Result<(), AcceptError> {
        let driver = self.clone();
        let whole = async move {
            driver.store.accept_kubeconfig(&id, bearer.expose(), &body, at).await?;
            driver.wake(&id);
            Ok(())
        };
        let whole = self.tasks.spawn(whole.in_current_span());
        let broken = StorageError { doing: "accept the kubeconfig", why: "its task broke".to_owned() };
        whole.await.unwrap_or(Err(AcceptError::Storage(broken)))
    }

    /// OpenTofu's runs at this moment, and those that ended.
    pub fn engine_load(&self) -> Load {
        self.engine.load()
    }

    fn is_due(&self, id: &DeploymentId) -> bool {
        self.store.get(id).is_some_and(|record| !next_steps(&record).is_empty())
    }

    fn lives(&self) -> MutexGuard<'_, HashSet<DeploymentId>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pause(&self, time: Duration) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(time) => {}
        }
    }

    /// Request keys of all secrets of all providers.
    fn secret_keys(&self) -> Vec<String> {
        let providers = self.sandbox.providers();
        let keys = providers.iter().flat_map(|p| p.descriptor().request_secrets().map(|(_, key)| key.to_owned()));
        keys.collect()
    }

    async fn drive(self: Arc<Self>, id: DeploymentId) {
        loop {
            // In a task of its own, so that even a panic leaves the place free.
            let (driver, own) = (self.clone(), id.clone());
            if let Err(error) = tokio::spawn(async move { driver.run(&own).await }.in_current_span()).await {
                tracing::error!(deployment.id = %id, %error, "a deployment's task broke; it begins anew");
                self.pause(PAUSE).await;
            }
            // Under the lock that `wake` takes, so that no wake-up falls between the look and the leave.
            let mut lives = self.lives();
            if self.stop.is_cancelled() || !self.is_due(&id) {
                lives.remove(&id);
                self.ledger.ends(&id);
                return;
            }
        }
    }

    /// Runs the hands of the steps that are due until none is.
    async fn run(self: &Arc<Self>, id: &DeploymentId) {
        let Some(mut changes) = self.store.watch(id) else { return };
        let mut hands = JoinSet::new();
        let mut running: HashMap<Step, (CancellationToken, tokio::task::Id)> = HashMap::new();
        loop {
            let version = changes.borrow_and_update().version;
            let due = match self.store.get(id) {
                Some(record) if !self.stop.is_cancelled() => next_steps(&record),
                _ => Vec::new(),
            };
            running.iter().filter(|(step, _)| !due.contains(step)).for_each(|(_, (token, _))| token.cancel());
            for step in due {
                if running.keys().any(|other| step.excludes(*other)) {
                    continue;
                }
                if let hash_map::Entry::Vacant(free) = running.entry(step) {
                    let stop = self.stop.child_token();
                    let hand = Hand { driver: self.clone(), id: id.clone(), stop: stop.clone() };
                    let task = hands.spawn(async move { hand.take(step).await }.instrument(telemetry::step(step)));
                    free.insert((stop, task.id()));
                }
            }
            if running.is_empty() {
                return;
            }
            tokio::select! {
                ended = hands.join_next_with_id() => {
                    let task = match ended {
                        Some(Ok((task, ()))) => task,
                        Some(Err(error)) => {
                            tracing::error!(deployment.id = %id, %error, "a hand broke; its step is begun anew");
                            self.pause(PAUSE).await;
                            error.id()
                        }
                        None => return,
                    };
                    running.retain(|_, (_, id)| *id != task);
                }
                there = changed(&mut changes, version) => if !there { return },
                () = self.stop.cancelled(), if running.values().any(|(token, _)| !token.is_cancelled()) => {}
            }
        }
    }

    /// The plugin of a record's provider.
    fn provider_of(&self, record: &Record) -> Option<Arc<Provider>> {
        record.provider_id().or(self.settings.default_provider.as_deref()).and_then(|id| self.sandbox.provider(id))
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
    /// Does a step to its end. Where it is still due then, it waits a little, so that nothing spins.
    async fn take(&self, step: Step) {
        self.act(step).await;
        if self.record().is_some_and(|record| next_steps(&record).contains(&step)) {
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

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
