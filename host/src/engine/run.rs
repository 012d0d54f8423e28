//! One run from staging to its last command.

use super::backend::Backend;
use super::child::{self, Cut, End, Limits, Order};
use super::command::RunStep;
use super::environment::{self, CLI_CONFIG, PROVIDER_CACHE, Proxied};
use super::failure::{RunError, RunErrorKind};
use super::hearing::one_line;
use super::listeners::RunListeners;
use super::mask::Masker;
use super::outputs::{self, Outputs};
use super::progress::{Outlet, Progress};
use super::run_folder::RunFolder;
use super::stage::{SecretsOnDisk, WorkFolder};
use super::{Engine, Run, leftover, unkept};
use crate::egress::{Refusal, RunProxy, StepReach};
use crate::telemetry;
use catalyst_domain::provider::Diagnostic;
use catalyst_domain::{DeploymentId, SecretValue};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::Instrument;

/// How long a run waits at its end for somebody to take its last entries.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Hosts that the reason of a failure names as refused.
const REFUSED_NAMED: usize = 3;

/// A run that has its place, its folder and its way to the state.
pub(super) struct Going<'a> {
    engine: &'a Engine,
    id: &'a DeploymentId,
    folder: Arc<WorkFolder>,
    masker: Arc<Masker>,
    environment: Vec<(OsString, OsString)>,
    backend: Backend,
    proxy: Option<RunProxy>,
    outlet: Outlet,
    limits: Limits,
    own: RunFolder,
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
    let folder = Arc::new(engine.folders.folder(&run.id).map_err(|why| staging(format!("no work folder: {why}")))?);
    leftover::release(&*engine.store, &run.id).await.map_err(storage)?;
    leftover::take_in(&*engine.store, &run.id, &folder).await.map_err(storage)?;
    let unserved = |why: std::io::Error| staging(format!("its state cannot be served on loopback: {why}"));
    let listeners = RunListeners::on_loopback().map_err(unserved)?;
    let backend = Backend::serve(engine.store.clone(), &run.id, listeners.backend).map_err(unserved)?;
    let mut masked = run.secrets.clone();
    masked.insert("the password of its state", SecretValue::new(backend.password()));
    let proxy = proxy(engine, &run, listeners.proxy, &outlet).map_err(staging)?;
    if let Some(proxy) = &proxy {
        masked.insert("the password of its proxy", SecretValue::new(proxy.password()));
    }
    let masker = Arc::new(Masker::new(&masked).map_err(staging)?);
    let on_disk = Arc::new(SecretsOnDisk(folder.clone()));
    let (own, settings_file) = stage(engine, &run, &folder, &masker, on_disk.clone()).await.map_err(staging)?;
    let proxied = if proxy.is_some() { Proxied::ByItsOwn } else { Proxied::AsTheHost };
    let mut environment = environment::of_every_command(&engine.settings, proxied);
    environment::add(&mut environment, backend.environment());
    environment::add(&mut environment, proxy.iter().flat_map(RunProxy::environment));
    environment::add(&mut environment, settings_file.map(|path| (CLI_CONFIG.into(), path.into())));
    environment::add(&mut environment, own.environment());
    let (id, folder, made) = (&run.id, folder.clone(), BTreeMap::new());
    let going = Going { engine, id, folder, masker, environment, backend, proxy, outlet, limits, own, made };
    going.finish(aim).await
}

/// The run's proxy, where runs have one. What it refuses is said in the run's log, without the run's secrets.
fn proxy(
    engine: &Engine,
    run: &Run,
    listener: std::net::TcpListener,
    outlet: &Outlet,
) -> Result<Option<RunProxy>, String> {
    let Some(way_out) = &engine.way_out else { return Ok(None) };
    let mut hosts = run.hosts.clone();
    hosts.install.extend(way_out.hosts.install.iter().cloned());
    hosts.cloud.extend(way_out.hosts.cloud.iter().cloned());
    let (say, masker) = (outlet.aside(), Masker::new(&run.secrets)?);
    let told = move |refusal: &Refusal| say(one_line(&masker.mask(&format!("{}: {refusal}", refusal.step))));
    let started = way_out.egress.serve(listener, hosts, told);
    started.map(Some).map_err(|why| format!("its proxy cannot be served on loopback: {why}"))
}

/// Writes the work folder, and makes the run's own one beside it. Also gives the file of OpenTofu's settings, where it is the host's.
async fn stage(
    engine: &Engine,
    run: &Run,
    folder: &Arc<WorkFolder>,
    masker: &Arc<Masker>,
    on_disk: Arc<SecretsOnDisk>,
) -> Result<(RunFolder, Option<PathBuf>), String> {
    let (run, folder, masker, folders) = (run.clone(), folder.clone(), masker.clone(), engine.folders.clone());
    let mirror = engine.settings.provider_mirror.clone();
    let given = &engine.settings.pass_env;
    let temporary = environment::variable(given, "TMPDIR").map(std::ffi::OsStr::to_owned);
    let is_ours = mirror.is_some() || environment::variable(given, CLI_CONFIG).is_none();
    let staged = spawn_blocking(move || {
        // Held by the writer too: when the run is dropped meanwhile, the files go after they were written.
        let _on_disk = on_disk;
        let disk = |why: std::io::Error| format!("cannot write the work folder: {why}");
        folder.stage(&run.bundle).map_err(|why| one_line(&masker.mask(&why)))?;
        folder.write_variables(&run.id, &run.bundle, &run.secrets).map_err(disk)?;
        let settings_file = is_ours.then(|| folder.write_settings(mirror.as_deref())).transpose().map_err(disk)?;
        let own = RunFolder::make(&folders, &run.id, temporary.as_deref());
        Ok((own.map_err(|why| format!("no folder for the run's own files: {why}"))?, settings_file))
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
        if let Some(proxy) = &self.proxy {
            proxy.begin(StepReach { step: step.as_str(), reach: step.reach() });
        }
        let mut own: Vec<&Path> = self.own.own().into_iter().chain([self.folder.path()]).collect();
        let mut environment = self.environment.clone();
        // Written only while no code of a provider runs: what one run could change, others would run.
        if let (RunStep::Init, Some(cache)) = (step, &self.engine.settings.plugin_cache_dir) {
            own.push(cache);
            environment::add(&mut environment, [(PROVIDER_CACHE.into(), cache.into())]);
        }
        let order = Order {
            binary: &self.engine.binary,
            step,
            arguments: step.arguments(&self.engine.version),
            folder: self.folder.path(),
            environment: &environment,
            own: &own,
            confinement: &self.engine.confinement,
        };
        let span = telemetry::tofu(step);
        let end = child::run(order, &self.masker, &mut self.outlet, &self.limits)
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
        let (kind, mut reason) = match (end.cut, self.backend.failure()) {
            (Some(cut), _) => (kind_of(cut), self.limits.words(cut)),
            (None, Some(why)) => (RunErrorKind::Storage, format!("the store failed: {why}")),
            (None, None) => (RunErrorKind::Failed, said.unwrap_or(ended)),
        };
        if let Some(refused) = self.refused() {
            reason = format!("{reason}; {refused}");
        }
        RunError { step, kind, diagnostics, reason }
    }

    /// What the step asked for and was not let through to: often why it failed.
    fn refused(&self) -> Option<String> {
        let refused = self.proxy.as_ref()?.refused_in_step();
        let mut words: Vec<String> = refused.iter().take(REFUSED_NAMED).map(ToString::to_string).collect();
        if refused.len() > REFUSED_NAMED {
            words.push(format!("and {} more", refused.len() - REFUSED_NAMED));
        }
        (!words.is_empty()).then(|| one_line(&self.masker.mask(&words.join("; "))))
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
