//! One run from staging to its last command.

mod end;

use super::backend::{Backend, Patience};
use super::child::{self, Cut, End, Limits};
use super::cli_config::CliSettings;
use super::command::RunStep;
use super::environment::{self, Proxied};
use super::failure::{RunError, RunErrorKind};
use super::hearing::{Explanation, one_line};
use super::mask::Masker;
use super::outputs::{self, Outputs};
use super::progress::{Outlet, Progress};
use super::review::Reviewed;
use super::run_folder::RunFolder;
use super::stage::{SecretsOnDisk, WorkFolder, disk_words, unwritten};
use super::supervise::{CommandSpec, Setup, Supervised, deadline_ms};
use super::{Engine, Run, RunPermit, leftover, unkept};
use crate::egress::StepReach;
use crate::telemetry;
use catalyst_domain::provider::Diagnostic;
use catalyst_domain::replace::PlannedChange;
use catalyst_domain::{DeploymentId, Level, SecretValue, Secrets, phase};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::Instrument;

/// How long a run waits at its end for somebody to take its last entries.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// A run that has its place, its folder and its way to the state.
pub(super) struct Going<'a> {
    engine: &'a Engine,
    id: &'a DeploymentId,
    run: &'a Run,
    folder: Arc<WorkFolder>,
    masker: Arc<Masker>,
    environment: Vec<(OsString, OsString)>,
    settings: CliSettings,
    backend: Backend,
    outlet: Outlet,
    limits: Limits,
    own: Arc<RunFolder>,
    supervised: Supervised,
    /// What the failed command had made, and an earlier run whose end nobody saw: ids by address.
    made: BTreeMap<String, String>,
    /// Changes of the plan.
    planned: Vec<PlannedChange>,
    /// Whether these are all of its changes.
    plan_is_whole: bool,
}

/// What the commands of a run are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    Apply,
    Destroy,
}

impl Aim {
    /// All of them.
    pub(super) const ALL: [Self; 2] = [Self::Apply, Self::Destroy];

    /// Its name in spans and counts.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Destroy => "destroy",
        }
    }
}

/// Does a whole run. The secrets are on disk only inside of this function.
pub(super) async fn run(
    engine: &Engine,
    permit: RunPermit,
    run: Run,
    aim: Aim,
    mut outlet: Outlet,
    limits: Limits,
) -> Result<Outputs, RunError> {
    let staging = |why: String| RunError::new(RunStep::Init, RunErrorKind::Staging, why);
    let folder = engine.folders.folder(&run.id);
    let folder = Arc::new(folder.map_err(|why| staging(format!("no work folder: {}", disk_words(&why))))?);
    let tidied = leftover::tidy(&*engine.store, &engine.held, &run.id, Some(&folder)).await.map_err(storage)?;
    tidied.into_iter().for_each(|notice| outlet.line(phase::HOST, Level::Warn, notice));
    // What a run before this one made was told by now, but of one whose end nobody saw in this process.
    let (made, untold) = engine.unkept(&run.id, &run.secrets).await;
    untold.into_iter().for_each(|text| outlet.line(phase::HOST, Level::Error, text));
    engine.folders.reserve_spool(&run.id).map_err(|why| staging(unwritten(&why)))?;
    let on_disk = Arc::new(SecretsOnDisk(folder.clone()));
    let Staged { own, settings, notice } = stage(engine, &run, &folder, on_disk.clone()).await.map_err(staging)?;
    notice.into_iter().for_each(|notice| outlet.line(phase::HOST, Level::Warn, notice));
    let unsupervised = |why: std::io::Error| staging(format!("it cannot be supervised: {why}"));
    let setup = setup(engine, &run, &folder, &own, &limits);
    let mut supervised = Supervised::start(&engine.settings.program, setup).await.map_err(unsupervised)?;
    let own = Arc::new(own);
    supervised.hold((permit, own.clone()));
    let listener = supervised.take_state_listener().ok_or_else(|| staging("its state has no listener".to_owned()))?;
    let (longest, deadline, stop) = (engine.state_wait, limits.deadline(), limits.stop().clone());
    let patience = Patience { longest, deadline, stop, log: outlet.downgrade() };
    let backend = Backend::serve(engine.store.clone(), engine.held.clone(), &run.id, listener, patience);
    let backend = backend.map_err(|why| staging(format!("its state cannot be served on loopback: {why}")))?;
    let mut masked = run.secrets.clone();
    masked.merge(run.withheld.clone());
    masked.merge(run.plan.renewed.renamed(|name| format!("the new {name}")));
    masked.insert("the password of its state", SecretValue::new(backend.password()));
    let proxy = supervised.proxy();
    if let Some(proxy) = proxy {
        masked.insert("the password of its proxy", SecretValue::new(proxy.password.as_str()));
    }
    let masker = Arc::new(Masker::new(&masked).map_err(staging)?);
    let proxied = if proxy.is_some() { Proxied::ByItsOwn } else { Proxied::AsTheHost };
    let mut environment = environment::of_every_command(&engine.settings, proxied);
    environment::add(&mut environment, backend.environment());
    environment::add(&mut environment, proxy.iter().flat_map(|proxy| proxy.environment.clone()));
    environment::add(&mut environment, settings.environment());
    environment::add(&mut environment, own.environment());
    let (id, run, planned) = (&run.id, &run, Vec::new());
    let going = Going {
        engine,
        id,
        run,
        folder,
        masker,
        environment,
        settings,
        backend,
        outlet,
        limits,
        own,
        supervised,
        made,
        planned,
        plan_is_whole: true,
    };
    going.finish(aim).await
}

/// What the supervisor of the run is told: its folders, its time, and its proxy, where runs have one.
fn setup(engine: &Engine, run: &Run, folder: &WorkFolder, own: &RunFolder, limits: &Limits) -> Setup {
    let mut every = own_folders(folder, own);
    every.extend(engine.settings.plugin_cache_dir.clone());
    let setup = engine.confinement.setup(folder.path(), every, deadline_ms(limits.left()), limits.grace());
    let spool = engine.folders.spool(&run.id);
    let proxy = engine.way_out.as_ref().map(|way_out| way_out.of_run(&run.hosts));
    Setup { proxy, spool, temporary: Some(own.temporary().to_owned()), ..setup }
}

/// The folders of a run alone.
fn own_folders(folder: &WorkFolder, own: &RunFolder) -> Vec<PathBuf> {
    own.own().into_iter().chain([folder.path()]).map(PathBuf::from).collect()
}

/// What a run finds on disk.
struct Staged {
    own: RunFolder,
    settings: CliSettings,
    /// What could not be kept of an earlier run.
    notice: Option<String>,
}

/// Writes the work folder, and makes the run's own one beside it.
async fn stage(
    engine: &Engine,
    run: &Run,
    folder: &Arc<WorkFolder>,
    on_disk: Arc<SecretsOnDisk>,
) -> Result<Staged, String> {
    let (run, folder, folders) = (run.clone(), folder.clone(), engine.folders.clone());
    let masker = Masker::new(&run.secrets)?;
    let settings = engine.settings.clone();
    let staged = spawn_blocking(move || {
        // Held by the writer too: when the run is dropped meanwhile, the files go after they were written.
        let _on_disk = on_disk;
        let disk = |why: std::io::Error| unwritten(&why);
        let notice = folder.stage(&run.bundle).map_err(|why| one_line(&masker.mask(&why)))?;
        folder.write_variables(&run.id, &run.bundle, &run.secrets, run.plan.cluster_exists).map_err(disk)?;
        let written = CliSettings::write(&folder, &settings)?;
        let own = RunFolder::make(&folders, &run.id, environment::variable(&settings.pass_env, "TMPDIR"));
        let own = own.map_err(|why| format!("no folder for the run's own files: {why}"))?;
        Ok(Staged { own, settings: written, notice })
    });
    staged.await.map_err(|_| "the staging was cut off".to_owned())?
}

fn storage(why: String) -> RunError {
    RunError::new(RunStep::Init, RunErrorKind::Storage, why)
}

impl Going<'_> {
    async fn finish(mut self, aim: Aim) -> Result<Outputs, RunError> {
        let mut result = match aim {
            Aim::Apply => self.apply().await,
            Aim::Destroy => self.destroy().await,
        };
        if result.is_ok() {
            self.supervised.kept();
        }
        if let Err(why) = self.supervised.end().await {
            tracing::warn!(deployment.id = %self.id, error = %why, "a run did not end as it should");
        }
        // OpenTofu is gone now, however it went: what it left is taken in at once, not at the next run.
        let in_memory_only = end::tidy(self.engine, self.id, &self.folder, &mut self.outlet).await;
        end::clean_up(self.engine, self.id, self.folder.clone(), self.own.clone()).await;
        if let Err(error) = &mut result {
            let state = self.engine.newest_state(self.id).await.ok().flatten();
            error.unkept = unkept::not_in(state.as_deref(), std::mem::take(&mut self.made));
            error.in_memory_only = in_memory_only;
        }
        if timeout(LAST_WORDS, self.outlet.drain()).await.is_err() {
            tracing::warn!(deployment.id = %self.id, "nobody took the last entries of a run");
        }
        result
    }

    async fn apply(&mut self) -> Result<Outputs, RunError> {
        self.step(RunStep::Init, &[]).await?;
        self.plan().await?;
        self.step(RunStep::Apply, &[]).await?;
        let end = self.step(RunStep::Output, &[]).await?;
        let failed = |why: String| RunError::new(RunStep::Output, RunErrorKind::Failed, why);
        let text = end.output.ok_or_else(|| failed("the outputs are too long or were cut off".to_owned()))?;
        outputs::public(&text, &self.masker).map_err(failed)
    }

    async fn destroy(&mut self) -> Result<Outputs, RunError> {
        self.step(RunStep::Init, &[]).await?;
        self.step(RunStep::Destroy, &[]).await?;
        Ok(Outputs { public_json: "{}".to_owned() })
    }

    /// Plans, and plans once more where the review asks for that.
    async fn plan(&mut self) -> Result<(), RunError> {
        self.step(RunStep::Plan, &[]).await?;
        let Some(reviewer) = self.run.plan.reviewer.clone() else { return Ok(()) };
        if !self.plan_is_whole {
            let why = "OpenTofu wrote more than could be read, so it is not known what becomes of the servers; nothing was applied";
            return Err(RunError::new(RunStep::Plan, RunErrorKind::Failed, why));
        }
        let reviewed = tokio::select! {
            reviewed = reviewer.review(&self.planned) => reviewed,
            () = self.limits.over() => return Err(self.cut_off(RunStep::Plan)),
        };
        match reviewed {
            Ok(Reviewed::Apply) => Ok(()),
            Ok(Reviewed::PlanAgain { replace, renew_secrets, cluster_exists }) => {
                let mut secrets = self.run.secrets.clone();
                if renew_secrets {
                    secrets.merge(self.run.plan.renewed.clone());
                }
                self.write_variables(secrets, cluster_exists).await?;
                let replace: Vec<String> = replace.iter().map(|address| format!("-replace={address}")).collect();
                self.step(RunStep::Plan, &replace).await.map(drop)
            }
            Err(why) => Err(RunError::new(RunStep::Plan, RunErrorKind::Failed, why)),
        }
    }

    async fn write_variables(&self, secrets: Secrets, cluster_exists: bool) -> Result<(), RunError> {
        let (folder, run) = (self.folder.clone(), self.run.clone());
        let write = move || folder.write_variables(&run.id, &run.bundle, &secrets, cluster_exists);
        let written = spawn_blocking(write).await.map_err(std::io::Error::other).flatten();
        written.map_err(|why| RunError::new(RunStep::Plan, RunErrorKind::Staging, unwritten(&why)))
    }

    fn cut_off(&self, step: RunStep) -> RunError {
        let cut = self.limits.cut().unwrap_or(Cut::Timeout);
        RunError::new(step, kind_of(cut), self.limits.words(cut))
    }

    async fn step(&mut self, step: RunStep, more: &[String]) -> Result<End, RunError> {
        if self.limits.cut().is_some() {
            return Err(self.cut_off(step));
        }
        self.outlet.mark(Progress::Phase(step.phase()), &self.limits).await;
        if step == RunStep::Apply {
            self.outlet.mark(Progress::ApplyBegan, &self.limits).await;
        }
        let (mut own, mut environment) = (own_folders(&self.folder, &self.own), self.environment.clone());
        if step == RunStep::Init {
            self.settings.prepare_install(&self.engine.settings, &self.own, &mut own, &mut environment);
        }
        let command = CommandSpec {
            binary: self.engine.binary.clone(),
            arguments: step.arguments(&self.engine.version, more).into_iter().map(OsString::from).collect(),
            environment,
            own,
            step: StepReach { step: step.as_str().into(), reach: step.reach() },
            whole_output: step == RunStep::Output,
        };
        let span = telemetry::tofu(step);
        let (ended, said) =
            child::run(&mut self.supervised, step, command, &self.masker, &mut self.outlet, &self.limits)
                .instrument(span.clone())
                .await;
        if step == RunStep::Init {
            // From here on code of providers runs.
            let removed = self.folder.remove_install_settings();
            removed.map_err(|why| {
                let why = format!("the operator's settings cannot be taken out of the work folder: {why}");
                RunError::new(step, RunErrorKind::Staging, why)
            })?;
        }
        let end = match ended {
            Ok(end) => end,
            Err(why) => {
                self.made.extend(said.made);
                return Err(RunError::new(step, RunErrorKind::Failed, format!("it cannot be run: {why}")));
            }
        };
        telemetry::tofu_ended(&span, end.how.status());
        self.engine.tally.refused(step, &end.refused);
        if !end.how.is_success() {
            return Err(self.failed(step, &end, said));
        }
        (self.planned, self.plan_is_whole) = (said.planned, said.is_whole);
        Ok(end)
    }

    fn failed(&mut self, step: RunStep, end: &End, said: Explanation) -> RunError {
        let Explanation { diagnostics, text, made, refused, .. } = said;
        self.made.extend(made);
        let said = diagnostics.first().map(|first| in_words(first, diagnostics.len())).or(text);
        let ended = match said {
            // Its last words say nothing of what ended it from outside.
            Some(said) if !end.how.is_exit() => format!("{}; before that: {said}", end.how),
            Some(said) => said,
            None => end.how.to_string(),
        };
        let (kind, reason) = match (end.cut, self.backend.failure()) {
            (Some(cut), _) => (kind_of(cut), self.limits.words(cut)),
            (None, Some(why)) => (RunErrorKind::Storage, format!("the store failed: {why}")),
            (None, None) => (RunErrorKind::Failed, ended),
        };
        let signal = if kind == RunErrorKind::Failed { end.how.signal() } else { None };
        let error = RunError { diagnostics, refused, signal, ..RunError::new(step, kind, reason) };
        match error.refused_words() {
            Some(words) => RunError { reason: format!("{}; {words}", error.reason), ..error },
            None => error,
        }
    }
}

fn kind_of(cut: Cut) -> RunErrorKind {
    match cut {
        Cut::Timeout => RunErrorKind::Timeout,
        Cut::Stopped | Cut::SupervisorSignal => RunErrorKind::Stopped,
    }
}

fn in_words(first: &Diagnostic, count: usize) -> String {
    let detail = if first.detail.is_empty() { String::new() } else { format!(": {}", first.detail) };
    let address = first.address.as_ref().map(|address| format!(" ({address})")).unwrap_or_default();
    let more = if count > 1 { format!(" [and {} more]", count - 1) } else { String::new() };
    one_line(&format!("{}{detail}{address}{more}", first.summary))
}
