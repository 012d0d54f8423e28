//! OpenTofu as a child process: stage, run, stream, stop. A host that serves starts processes here and in `compile` alone; `rehearse`,
//! which plays a node, starts some as well.
//!
//! The engine takes a rendered bundle and the run's secrets and gives progress, public outputs, or a failure in words. It
//! knows the domain and the state methods of the store; never HTTP routes, kube, or wasmtime, and it decides no state of
//! a deployment.
//!
//! What it promises: nothing leaves it that holds a secret of the run; secrets are on disk only while a run goes; the
//! state is in the store and nowhere else; a slow listener never holds OpenTofu up.

mod backend;
mod busy;
mod child;
mod cli_config;
mod command;
mod confine;
mod environment;
mod failure;
mod ground;
mod hearing;
mod held;
mod interrupted;
mod leftover;
mod lines;
mod look;
mod mask;
mod orphan;
mod outputs;
mod probe;
mod procfs;
mod progress;
mod recovery;
mod review;
mod run;
mod run_folder;
mod run_queue;
mod stage;
mod state_words;
mod supervise;
mod tally;
#[cfg(test)]
mod tests;
mod undelivered;
mod unkept;
mod validate;

pub use command::RunStep;
pub use confine::Confine;
pub use failure::{EngineError, RunError, RunErrorKind};
pub use hearing::{masking, masking_whole, shown_line};
pub use look::{Seen, look};
pub use orphan::Reaped;
pub use outputs::Outputs;
pub use procfs::start_ticks as process_start_ticks;
pub use progress::Progress;
pub use review::{PlanReviewer, PlanSettings, Reviewed};
pub use run_queue::{RunClass, RunPlace, Turn};
pub use supervise::{
    Arguments as SuperviseArguments, Layer, LayerState, RUN_PORTS, THIS_PROGRAM, is_first_process,
    process as supervise, run_as_first_process,
};
pub use tally::Load;
pub use unkept::sentence as unkept_sentence;
pub use validate::{ModuleFault, ProviderRun, Validated, Validation, WithoutConfinement, validate};

use crate::egress::{self, RunHosts};
use crate::telemetry;
use busy::{Busy, Claim};
use catalyst_domain::provider::Bundle;
use catalyst_domain::{DeploymentId, Secrets};
use catalyst_store::Store;
use child::Limits;
use command::Version;
use confine::Confinement;
use ground::{Ground, WayOut};
use held::HeldStates;
use progress::Outlet;
use run::Aim;
use run_queue::{Entered, RunQueue};
use stage::WorkRoot;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tally::Tally;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// What the engine is told once. Only `config` reads the environment, so the children's is part of it. No
/// `Debug`: a proxy's address may hold a password.
#[derive(Clone)]
pub struct Settings {
    /// The file of this program, which supervises each run: [`THIS_PROGRAM`].
    pub program: PathBuf,
    /// The OpenTofu binary: a path, or a name that is looked up on the `PATH` of `pass_env`.
    pub tofu_bin: PathBuf,
    /// Folder of the work folders; made 0700 when it is not there.
    pub workdir: PathBuf,
    /// What children get of the host's environment: the engine takes out what must not pass, and adds what is a run's own.
    pub pass_env: Vec<(OsString, OsString)>,
    /// Providers that are shared between runs; `TF_PLUGIN_CACHE_DIR` of `pass_env` wins. None where providers come from a folder of this
    /// machine: `init` would put a link into the cache anew, while another run looks for the provider behind it.
    pub plugin_cache_dir: Option<PathBuf>,
    /// Filesystem mirror: providers come from here only.
    pub provider_mirror: Option<PathBuf>,
    /// Runs at once; at least one.
    pub max_runs: usize,
    /// Time of one run, from when it has its place and its module, staging included, where its permit says nothing else
    /// ([`RunPermit::within`]). Then it is interrupted, and killed after its grace and 10 s more.
    pub apply_timeout: Duration,
    /// Time to end after the first interrupt.
    pub stop_grace: Duration,
    /// Whether OpenTofu and its providers are kept from all that is not theirs.
    pub confine: Confine,
    /// How runs reach the network, unless `confine` is off.
    pub egress: egress::Settings,
    /// Layers of the confinement to leave out, as where the kernel lacks them.
    pub without: Vec<Layer>,
}

impl Settings {
    /// The binary as it is started. A relative path would be looked up again inside each work folder.
    fn binary(&self) -> PathBuf {
        match self.tofu_bin.components().count() {
            1 => self.tofu_bin.clone(),
            _ => std::path::absolute(&self.tofu_bin).unwrap_or_else(|_| self.tofu_bin.clone()),
        }
    }
}

/// One run's input.
#[derive(Clone)]
pub struct Run {
    /// The deployment; its work folder and state go by it.
    pub id: DeploymentId,
    /// The rendered module.
    pub bundle: Bundle,
    /// Values for [`Bundle::secret_variables`].
    pub secrets: Secrets,
    /// Values that it does not get and that a text of it must not show: an earlier run had them.
    pub withheld: Secrets,
    /// What it may reach, beside what the operator lets every run reach.
    pub hosts: RunHosts,
    /// How its plan is made. A destroy has none.
    pub plan: PlanSettings,
}

/// Runs OpenTofu.
pub struct Engine {
    settings: Settings,
    binary: PathBuf,
    version: Version,
    store: Arc<dyn Store>,
    held: Arc<HeldStates>,
    folders: Arc<WorkRoot>,
    confinement: Confinement,
    way_out: Option<WayOut>,
    queue: Arc<RunQueue>,
    busy: Arc<Busy>,
    heartbeat: Duration,
    /// How long OpenTofu waits for a store that does not take its state.
    state_wait: Duration,
    tally: Tally,
}

impl Engine {
    /// Takes out of the environment what runs may not get; makes the folders of work folders and of cached providers where they are
    /// not there; tries each layer of the confinement; asks the binary for its version behind those that hold, and tells the trace
    /// which do; and reads the operator's proxy for runs.
    ///
    /// # Errors
    /// - [`EngineError::Folder`]: a folder cannot be made or opened.
    /// - [`EngineError::Supervisor`]: no supervisor starts, or the layers that hold do not hold together.
    /// - [`EngineError::Confinement`]: [`Confine::Require`] is asked for, and a required layer does not hold.
    /// - [`EngineError::Binary`], [`EngineError::TooOld`]: OpenTofu cannot be run, or is older than 1.6.
    /// - [`EngineError::Proxy`]: the operator's proxy cannot be the way out of runs.
    /// - [`EngineError::Broke`]: a part of this panicked.
    pub async fn new(mut settings: Settings, store: Arc<dyn Store>) -> Result<Arc<Self>, EngineError> {
        environment::keep_what_may_pass(&mut settings);
        let Ground { settings, folders, binary, version, confinement, way_out } = Ground::find(settings).await?;
        let queue = RunQueue::new(settings.max_runs);
        let (busy, tally, held) = (Arc::default(), Tally::default(), Arc::default());
        let (heartbeat, state_wait) = (hearing::HEARTBEAT, backend::LONGEST_WAIT);
        Ok(Arc::new(Self {
            settings,
            binary,
            version,
            store,
            held,
            folders,
            confinement,
            way_out,
            queue,
            busy,
            heartbeat,
            state_wait,
            tally,
        }))
    }

    /// The layers between a run and all else; empty where none is asked for.
    pub fn layers(&self) -> &[LayerState] {
        self.confinement.states()
    }

    /// Version of OpenTofu.
    pub fn version(&self) -> &str {
        self.version.as_str()
    }

    /// Runs at this moment, and those that ended.
    pub fn load(&self) -> Load {
        self.tally.load()
    }

    /// Whether runs reach only the hosts that they are given.
    pub fn bounds_hosts(&self) -> bool {
        self.way_out.is_some()
    }

    /// Waits until it is this run's turn. `on_wait` is told how many runs go on, where it has to wait.
    ///
    /// # Errors
    /// [`RunErrorKind::Failed`] while another run of this deployment waits or goes on; [`RunErrorKind::Stopped`].
    pub async fn enter(
        &self,
        id: &DeploymentId,
        turn: &Turn,
        stop: &CancellationToken,
        on_wait: impl AsyncFnOnce(usize),
    ) -> Result<RunPermit, RunError> {
        let claim = self.claim(id).await?;
        let place = match self.queue.enter(turn) {
            Entered::Place(place) => place,
            Entered::Waiting(mut waiting) => {
                let _counted = self.tally.waiting();
                let stopped =
                    || RunError::new(RunStep::Init, RunErrorKind::Stopped, "stopped while it waited for its turn");
                on_wait(self.settings.max_runs.max(1)).await;
                tokio::select! {
                    place = waiting.place() => place.ok_or_else(stopped)?,
                    () = stop.cancelled() => return Err(stopped()),
                }
            }
        };
        Ok(RunPermit { _place: place, claim, limit: self.settings.apply_timeout })
    }

    /// Runs of a subject that go on, and places that are free.
    pub fn going(&self, subject: &str) -> (usize, usize) {
        self.queue.going(subject)
    }

    /// Creates or completes the infrastructure and reads its outputs. Stopping or dropping the future ends OpenTofu, which may write
    /// its state; only stopping waits for that.
    ///
    /// # Errors
    /// [`RunError`]; what OpenTofu did until then is in the store's state.
    pub async fn apply(
        &self,
        permit: RunPermit,
        run: Run,
        progress: mpsc::Sender<Progress>,
        stop: CancellationToken,
    ) -> Result<Outputs, RunError> {
        self.run(permit, run, Aim::Apply, progress, stop).await
    }

    /// Removes the infrastructure, and then the work folder.
    ///
    /// # Errors
    /// [`RunError`]; what is left is in the store's state, and the work folder stays.
    pub async fn destroy(
        &self,
        permit: RunPermit,
        run: Run,
        progress: mpsc::Sender<Progress>,
        stop: CancellationToken,
    ) -> Result<(), RunError> {
        let id = run.id.clone();
        self.run(permit, run, Aim::Destroy, progress, stop).await?;
        self.discard(&id).await;
        Ok(())
    }

    /// Removes the work folder of a deployment that is gone, secrets of an interrupted run among it. States that were set aside
    /// stay. Waits for another removal.
    pub async fn discard(&self, id: &DeploymentId) {
        self.remove_folder(id, WorkRoot::remove).await;
    }

    /// The same, and states that were set aside: for a deployment that left nothing of which they could tell.
    pub async fn discard_whole(&self, id: &DeploymentId) {
        self.remove_folder(id, WorkRoot::remove_whole).await;
    }

    async fn remove_folder(&self, id: &DeploymentId, remove: fn(&WorkRoot, &DeploymentId) -> io::Result<()>) {
        let removed = match self.busy.claim(id).await {
            Some(_claim) => remove(&self.folders, id),
            None => Err(io::Error::other("a run of it goes on")),
        };
        if let Err(why) = removed {
            tracing::warn!(deployment.id = %id, error = %why, "the work folder of a destroyed deployment stays");
        }
    }

    async fn run(
        &self,
        permit: RunPermit,
        run: Run,
        aim: Aim,
        progress: mpsc::Sender<Progress>,
        stop: CancellationToken,
    ) -> Result<Outputs, RunError> {
        if permit.claim.id != run.id {
            let why = "its permit is another deployment's";
            return Err(RunError::new(RunStep::Init, RunErrorKind::Failed, why));
        }
        let span = telemetry::tofu_run(aim.as_str());
        let _counted = self.tally.running();
        let mut limits = Limits::new(permit.limit, stop, self.settings.stop_grace);
        limits.heartbeat = self.heartbeat;
        // Boxed: a run holds a child, its pipes and its listener, and callers hold many runs.
        let going = Box::pin(run::run(self, permit, run, aim, Outlet::new(progress), limits));
        let ended = going.instrument(span.clone()).await;
        if let Err(error) = &ended {
            telemetry::tofu_failed(&span, error.kind);
        }
        self.tally.ended(aim, &ended);
        ended
    }

    async fn claim(&self, id: &DeploymentId) -> Result<Claim, RunError> {
        let claimed = self.busy.claim(id).await;
        claimed
            .ok_or_else(|| RunError::new(RunStep::Init, RunErrorKind::Failed, "another run of this deployment goes on"))
    }
}

/// The right to one run, until it is dropped: a place of those that go on, and the deployment for itself.
pub struct RunPermit {
    _place: RunPlace,
    claim: Claim,
    limit: Duration,
}

impl RunPermit {
    /// The same for a run that may take another time than [`Settings::apply_timeout`], which is counted as that is.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }
}
