//! One run from staging to its last command.

use super::backend::Access;
use super::child::{self, Cut, End, Limits};
use super::command::RunStep;
use super::failure::{RunError, RunErrorKind};
use super::hearing::one_line;
use super::mask::Masker;
use super::outputs::{self, Outputs};
use super::probe::ports;
use super::progress::{Outlet, Progress};
use super::stage::{SecretsOnDisk, WorkFolder};
use super::supervise::{CommandSpec, Layer, Supervised, deadline_ms};
use super::{Engine, Run, leftover, unkept};
use crate::telemetry;
use catalyst_domain::DeploymentId;
use catalyst_domain::provider::Diagnostic;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::Instrument;

/// How long a run waits at its end for somebody to take its last entries.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// A run that has its place, its folder and its way to the state.
pub(super) struct Going<'a> {
    engine: &'a Engine,
    id: &'a DeploymentId,
    folder: Arc<WorkFolder>,
    masker: Arc<Masker>,
    environment: Vec<(OsString, OsString)>,
    access: Access,
    outlet: Outlet,
    limits: Limits,
    supervised: Supervised,
    /// TCP ports that it may connect to.
    ports: Vec<u16>,
    temporary: Option<TempDir>,
    /// What the failed command had made: ids by address.
    made: BTreeMap<String, String>,
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
    run: Run,
    aim: Aim,
    outlet: Outlet,
    limits: Limits,
) -> Result<Outputs, RunError> {
    let staging = |why: String| RunError::new(RunStep::Init, RunErrorKind::Staging, why);
    let masker = Arc::new(Masker::new(&run.secrets).map_err(staging)?);
    let folder = Arc::new(engine.folders.folder(&run.id).map_err(|why| staging(format!("no work folder: {why}")))?);
    leftover::release(&*engine.store, &run.id).await.map_err(storage)?;
    leftover::take_in(&*engine.store, &run.id, &folder).await.map_err(storage)?;
    let temporary = engine.confinement.temporary();
    let temporary = temporary.map_err(|why| staging(format!("no folder for temporary files: {why}")))?;
    let own = own_folders(&folder, temporary.as_ref());
    let setup = engine.confinement.setup(folder.path(), own, deadline_ms(limits.left()), limits.grace());
    let supervised = Supervised::start(&engine.settings.program, setup).await;
    let mut supervised = supervised.map_err(|why| staging(format!("it cannot be supervised: {why}")))?;
    let mut access = engine.backend.open(&run.id).map_err(staging)?;
    let mut ports_of_run = Vec::new();
    if let Some(listeners) = supervised.take_listeners() {
        ports_of_run = ports(&listeners);
        if engine.confinement.has(Layer::NetworkNamespace) {
            access.listen(listeners.state).map_err(|why| staging(format!("no way to the state: {why}")))?;
        }
    }
    let on_disk = Arc::new(SecretsOnDisk(folder.clone()));
    let mut environment = stage(engine, &run, &folder, &masker, &access, on_disk.clone()).await.map_err(staging)?;
    if let Some(folder) = &temporary {
        environment.retain(|(name, _)| name != "TMPDIR");
        environment.push(("TMPDIR".into(), folder.path().into()));
    }
    let (id, folder, made, ports) = (&run.id, folder.clone(), BTreeMap::new(), ports_of_run);
    let going =
        Going { engine, id, folder, masker, environment, access, outlet, limits, supervised, ports, temporary, made };
    going.finish(aim).await
}

async fn stage(
    engine: &Engine,
    run: &Run,
    folder: &Arc<WorkFolder>,
    masker: &Arc<Masker>,
    access: &Access,
    on_disk: Arc<SecretsOnDisk>,
) -> Result<Vec<(OsString, OsString)>, String> {
    let (run, folder, masker) = (run.clone(), folder.clone(), masker.clone());
    let mirror = engine.settings.provider_mirror.clone();
    let staged = spawn_blocking(move || {
        // Held by the writer too: when the run is dropped meanwhile, the files go after they were written.
        let _on_disk = on_disk;
        let disk = |why: std::io::Error| format!("cannot write the work folder: {why}");
        folder.stage(&run.bundle).map_err(|why| one_line(&masker.mask(&why)))?;
        folder.write_variables(&run.id, &run.bundle, &run.secrets).map_err(disk)?;
        mirror.map(|mirror| folder.write_settings(&mirror)).transpose().map_err(disk)
    });
    let settings_file = staged.await.map_err(|_| "the staging was cut off".to_owned())??;
    let mut environment = engine.base_environment();
    environment.extend(access.environment());
    environment.extend(settings_file.map(|path| ("TF_CLI_CONFIG_FILE".into(), path.into())));
    Ok(environment)
}

/// The folders of a run alone.
fn own_folders(folder: &WorkFolder, temporary: Option<&TempDir>) -> Vec<PathBuf> {
    std::iter::once(folder.path()).chain(temporary.map(TempDir::path)).map(PathBuf::from).collect()
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
        if let Err(why) = self.supervised.end().await {
            tracing::warn!(deployment.id = %self.id, error = %why, "a run did not end as it should");
        }
        // OpenTofu is gone now, however it went: what it left is taken in at once, not at the next run.
        let tidied = match leftover::release(&*self.engine.store, self.id).await {
            Ok(()) => leftover::take_in(&*self.engine.store, self.id, &self.folder).await,
            Err(why) => Err(why),
        };
        if let Err(why) = tidied {
            tracing::warn!(deployment.id = %self.id, error = why, "left for the next run of this deployment");
        }
        if let Err(error) = &mut result
            && let Some(lost) = unkept::sentence(&*self.engine.store, self.id, &self.made).await
        {
            error.reason = format!("{}; {lost}", error.reason);
        }
        if timeout(LAST_WORDS, self.outlet.drain()).await.is_err() {
            tracing::warn!(deployment.id = %self.id, "nobody took the last entries of a run");
        }
        result
    }

    async fn apply(&mut self) -> Result<Outputs, RunError> {
        self.step(RunStep::Init).await?;
        self.step(RunStep::Plan).await?;
        self.step(RunStep::Apply).await?;
        let end = self.step(RunStep::Output).await?;
        let failed = |why: String| RunError::new(RunStep::Output, RunErrorKind::Failed, why);
        let text = end.output.ok_or_else(|| failed("the outputs are too long or were cut off".to_owned()))?;
        outputs::public(&text, &self.masker).map_err(failed)
    }

    async fn destroy(&mut self) -> Result<Outputs, RunError> {
        self.step(RunStep::Init).await?;
        self.step(RunStep::Destroy).await?;
        Ok(Outputs { public_json: "{}".to_owned() })
    }

    async fn step(&mut self, step: RunStep) -> Result<End, RunError> {
        if let Some(cut) = self.limits.cut() {
            return Err(RunError::new(step, kind_of(cut), self.limits.words(cut)));
        }
        self.outlet.mark(Progress::Phase(step.phase()), &self.limits).await;
        if step == RunStep::Apply {
            self.outlet.mark(Progress::ApplyBegan, &self.limits).await;
        }
        let command = CommandSpec {
            binary: self.engine.binary.clone(),
            arguments: step.arguments(&self.engine.version).into_iter().map(OsString::from).collect(),
            environment: self.environment.clone(),
            own: own_folders(&self.folder, self.temporary.as_ref()),
            ports: self.ports.clone(),
            whole_output: step == RunStep::Output,
        };
        let span = telemetry::tofu(step);
        let end = child::run(&mut self.supervised, step, command, &self.masker, &mut self.outlet, &self.limits)
            .instrument(span.clone())
            .await
            .map_err(|why| RunError::new(step, RunErrorKind::Failed, format!("it cannot be run: {why}")))?;
        telemetry::tofu_ended(&span, end.status);
        if end.status.success() { Ok(end) } else { Err(self.failed(step, end)) }
    }

    fn failed(&mut self, step: RunStep, end: End) -> RunError {
        self.made = end.explanation.made;
        let diagnostics = end.explanation.diagnostics;
        let said = diagnostics.first().map(|first| in_words(first, diagnostics.len())).or(end.explanation.text);
        let ended = match end.status.signal() {
            Some(signal) => format!("killed by signal {signal}"),
            None => format!("exit status {}", end.status.code().unwrap_or_default()),
        };
        let (kind, reason) = match (end.cut, self.access.failure()) {
            (Some(cut), _) => (kind_of(cut), self.limits.words(cut)),
            (None, Some(why)) => (RunErrorKind::Storage, format!("the store failed: {why}")),
            (None, None) => (RunErrorKind::Failed, said.unwrap_or(ended)),
        };
        RunError { step, kind, diagnostics, reason }
    }
}

fn kind_of(cut: Cut) -> RunErrorKind {
    match cut {
        Cut::Timeout => RunErrorKind::Timeout,
        Cut::Stopped => RunErrorKind::Stopped,
    }
}

fn in_words(first: &Diagnostic, count: usize) -> String {
    let detail = if first.detail.is_empty() { String::new() } else { format!(": {}", first.detail) };
    let address = first.address.as_ref().map(|address| format!(" ({address})")).unwrap_or_default();
    let more = if count > 1 { format!(" [and {} more]", count - 1) } else { String::new() };
    one_line(&format!("{}{detail}{address}{more}", first.summary))
}
