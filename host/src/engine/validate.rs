//! `tofu validate` of a rendered module, for who checks a plugin: no deployment, no state, no secret, and no call to a cloud.
//!
//! Providers are installed as for a run, because OpenTofu asks them for the schema of their resources, and everything runs behind
//! the same layers and the same proxy as a run's `init`. A module that OpenTofu could not be asked about is no fault of the module.

use super::Settings;
use super::cli_config::CliSettings;
use super::environment::{self, Proxied};
use super::ground::Ground;
use super::hearing::one_line;
use super::run_folder::RunFolder;
use super::stage::WorkFolder;
use super::supervise::{CommandSpec, Event, ProcessEnd, RunEvent, Setup, Supervised, deadline_ms};
use crate::egress::{Reach, RunHosts, StepReach};
use catalyst_domain::DeploymentId;
use catalyst_domain::provider::Bundle;
use serde_json::Value;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The command that installs providers.
const INIT: &str = "init";
/// Time to end after an interrupt; nothing is lost where it is killed.
const GRACE: Duration = Duration::from_secs(1);
/// Time for the supervisor beyond that of OpenTofu.
const SUPERVISOR_LATE: Duration = Duration::from_secs(3);
/// Longest text of one fault, in bytes.
const FAULT_BYTES: usize = 1024;
/// Faults that are told.
const FAULTS: usize = 20;
/// Words of errors without a place in the module that are about providers, their installation or OpenTofu's own settings.
const NOT_THE_MODULES: [&str; 4] = ["plugin", "provider", "dependency lock file", "cli configuration"];

/// What OpenTofu said of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validation {
    /// The module is valid.
    Valid,
    /// The module is not valid, and why. At least one, at most twenty.
    Invalid(Vec<ModuleFault>),
    /// OpenTofu could not be asked, and why.
    NotTried(String),
    /// OpenTofu was not asked, because nothing would confine the module's providers, and what is missing.
    NotConfined(String),
}

/// What is done where the layers of the confinement do not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutConfinement {
    /// The module is not asked about: its providers are programs of strangers.
    Refuse,
    /// It is all the same, as somebody said.
    Run,
}

/// Whether providers of a module were run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderRun {
    /// None was started, as far as was seen.
    NotRun,
    /// Behind the layers of a run.
    Confined,
    /// As any program of this user.
    Unconfined,
}

/// What came of asking OpenTofu about a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validated {
    /// What it said.
    pub validation: Validation,
    /// Whether the module's providers were run for that.
    pub providers: ProviderRun,
}

impl From<Validation> for Validated {
    /// Without a run of providers.
    fn from(validation: Validation) -> Self {
        Self { validation, providers: ProviderRun::NotRun }
    }
}

/// One error of OpenTofu about a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleFault {
    /// File and line, such as `main.tf:12`; blank where OpenTofu names none.
    pub place: String,
    /// Summary and detail in one line.
    pub text: String,
}

/// Asks OpenTofu about a module, within the budget. Where the layers of the confinement do not hold, `without` says what is done. The folders of `settings` are not used; its cache of providers is.
pub async fn validate(
    mut settings: Settings,
    bundle: &Bundle,
    budget: Duration,
    without: WithoutConfinement,
) -> Validated {
    environment::keep_what_may_pass(&mut settings);
    let end = Instant::now() + budget;
    let late = end + GRACE * 2 + SUPERVISOR_LATE;
    match timeout_at(late, ask(settings, bundle, end, without)).await {
        Ok(Ok(validated)) => validated,
        Ok(Err(why)) => Validation::NotTried(why).into(),
        Err(_) => Validation::NotTried(too_long(budget)).into(),
    }
}

fn too_long(budget: Duration) -> String {
    format!("OpenTofu was not done within {} s", budget.as_secs())
}

async fn ask(
    mut settings: Settings,
    bundle: &Bundle,
    end: Instant,
    without: WithoutConfinement,
) -> Result<Validated, String> {
    let budget = end.saturating_duration_since(Instant::now());
    let folder = tempfile::tempdir().map_err(|why| format!("there is no folder for the module: {why}"))?;
    settings.workdir = folder.path().join("work");
    let ground = Ground::find(settings).await.map_err(|error| one_line(&with_causes(&error)))?;
    let lack = ground.confinement.lack(ground.settings.confine);
    let providers = match (&lack, without) {
        (None, _) => ProviderRun::Confined,
        (Some(lack), WithoutConfinement::Refuse) => return Ok(Validation::NotConfined(lack.clone()).into()),
        (Some(_), WithoutConfinement::Run) => ProviderRun::Unconfined,
    };
    let id = DeploymentId::from_bytes([0; 8]);
    let broken = |why: io::Error| format!("OpenTofu could not be run: {why}");
    let mut asking = Asking::begin(&ground, &id, bundle, end).await.map_err(broken)?;
    let mut init = vec!["-backend=false", "-input=false", "-no-color"];
    init.extend(ground.version.reports_init().then_some("-json"));
    let initialised = asking.run(&ground, INIT, &init).await.map_err(broken)?;
    // From here on code of providers runs: the operator's own settings are not there for it.
    asking.folder.remove_install_settings().map_err(broken)?;
    let validated = match initialised.success {
        true => Some(asking.run(&ground, "validate", &["-json", "-no-color"]).await.map_err(broken)?),
        false => None,
    };
    if let Err(error) = asking.supervised.end().await {
        tracing::warn!(%error, "a check of a module did not end as it should");
    }
    // Installing runs none of them.
    let providers = if validated.is_some() { providers } else { ProviderRun::NotRun };
    let validation = match validated {
        Some(Ended { cut: true, .. }) => Validation::NotTried(too_long(budget)),
        Some(validated) => judge_validate(&validated),
        None if initialised.cut => Validation::NotTried(too_long(budget)),
        None => judge_init(&initialised),
    };
    Ok(Validated { validation, providers })
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A module that is staged, with a supervisor.
struct Asking {
    supervised: Supervised,
    environment: Vec<(OsString, OsString)>,
    own: Vec<PathBuf>,
    settings: CliSettings,
    folder: WorkFolder,
    /// Removed at the end.
    run_folder: RunFolder,
}

/// What a command came to.
#[derive(Debug, Default)]
struct Ended {
    success: bool,
    /// Whether its time was over.
    cut: bool,
    output: Vec<u8>,
    errors: Vec<String>,
    /// Connections that its proxy did not make.
    refused: Vec<String>,
}

impl Asking {
    async fn begin(ground: &Ground, id: &DeploymentId, bundle: &Bundle, end: Instant) -> io::Result<Self> {
        let settings = &ground.settings;
        let given = &settings.pass_env;
        let folder = ground.folders.folder(id)?;
        folder.stage(bundle).map_err(io::Error::other)?;
        let written = CliSettings::write(&folder, settings).map_err(io::Error::other)?;
        let run_folder = RunFolder::make(&ground.folders, id, environment::variable(given, "TMPDIR"))?;
        let own: Vec<PathBuf> = run_folder.own().into_iter().chain([folder.path()]).map(PathBuf::from).collect();
        let mut every = own.clone();
        every.extend(settings.plugin_cache_dir.clone());
        let time = end.saturating_duration_since(Instant::now());
        let setup = ground.confinement.setup(folder.path(), every, deadline_ms(time), GRACE);
        let proxy = ground.way_out.as_ref().map(|way_out| way_out.of_run(&RunHosts::default()));
        let supervised = Supervised::start(&settings.program, Setup { proxy, ..setup }).await?;
        let proxied = if supervised.proxy().is_some() { Proxied::ByItsOwn } else { Proxied::AsTheHost };
        let mut environment = environment::of_every_command(settings, proxied);
        environment::add(&mut environment, supervised.proxy().iter().flat_map(|proxy| proxy.environment.clone()));
        environment::add(&mut environment, written.environment());
        environment::add(&mut environment, run_folder.environment());
        Ok(Self { supervised, environment, own, settings: written, folder, run_folder })
    }

    async fn run(&mut self, ground: &Ground, step: &'static str, arguments: &[&str]) -> io::Result<Ended> {
        let (mut own, mut environment) = (self.own.clone(), self.environment.clone());
        let reach = if step == INIT { Reach::Install } else { Reach::Cloud };
        if reach == Reach::Install {
            self.settings.prepare_install(&ground.settings, &self.run_folder, &mut own, &mut environment);
        }
        self.supervised.command(CommandSpec {
            binary: ground.binary.clone(),
            arguments: [step].iter().chain(arguments).map(OsString::from).collect(),
            environment,
            own,
            step: StepReach { step: step.into(), reach },
            whole_output: true,
        });
        self.ended().await
    }

    async fn ended(&mut self) -> io::Result<Ended> {
        let mut ended = Ended::default();
        while let Some(event) = self.supervised.next().await? {
            match event {
                RunEvent::Output(output) => ended.output = output.to_vec(),
                RunEvent::Line(line) => ended.errors.push(String::from_utf8_lossy(&line.bytes).into_owned()),
                RunEvent::Event(Event::NotStarted(why)) => return Err(io::Error::other(why)),
                RunEvent::Event(Event::Interrupted(_) | Event::Killed) => ended.cut = true,
                RunEvent::Event(Event::ConnectionRefused(refusal)) => ended.refused.push(refusal.to_string()),
                RunEvent::Event(Event::Ended(exit)) => {
                    ended.success = exit.end == ProcessEnd::WaitStatus(0);
                    return Ok(ended);
                }
                RunEvent::Event(_) => {}
            }
        }
        Err(io::Error::other("its supervisor is gone"))
    }
}

/// An error diagnostic in OpenTofu's JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Diagnosed {
    place: String,
    text: String,
    /// Whether it is about something that the module does not say.
    foreign: bool,
}

fn diagnosed(diagnostic: &Value) -> Option<Diagnosed> {
    let text = |key: &str| diagnostic.get(key).and_then(Value::as_str).unwrap_or_default();
    if text("severity") != "error" {
        return None;
    }
    let file = diagnostic.pointer("/range/filename").and_then(Value::as_str);
    let line = diagnostic.pointer("/range/start/line").and_then(Value::as_u64);
    let place = match (file, line) {
        (Some(file), Some(line)) => format!("{file}:{line}"),
        (Some(file), None) => file.to_owned(),
        (None, _) => String::new(),
    };
    let said = if text("detail").is_empty() {
        text("summary").to_owned()
    } else {
        format!("{}: {}", text("summary"), text("detail"))
    };
    let summary = text("summary").to_lowercase();
    let foreign = place.is_empty() && NOT_THE_MODULES.iter().any(|name| summary.contains(name));
    Some(Diagnosed { place, text: cut(&one_line(&said)), foreign })
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(FAULT_BYTES)].to_owned()
}

/// `tofu validate -json` writes one object.
fn judge_validate(ended: &Ended) -> Validation {
    let Ok(answer) = serde_json::from_slice::<Value>(&ended.output) else {
        return Validation::NotTried(format!("`tofu validate` gave no JSON{}", beside(ended)));
    };
    let diagnostics = answer.get("diagnostics").and_then(Value::as_array).cloned().unwrap_or_default();
    let found: Vec<Diagnosed> = diagnostics.iter().filter_map(diagnosed).collect();
    if answer.get("valid").and_then(Value::as_bool) == Some(true) && found.is_empty() {
        return Validation::Valid;
    }
    match (of_module(&found), found.first()) {
        (Some(faults), _) => Validation::Invalid(faults),
        (None, Some(foreign)) => Validation::NotTried(format!("`tofu validate`: {}{}", foreign.text, beside(ended))),
        (None, None) => Validation::NotTried(format!("`tofu validate` did not say what is wrong{}", beside(ended))),
    }
}

/// It reads the module before it gets the providers.
fn judge_init(ended: &Ended) -> Validation {
    let lines = ended.output.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let found: Vec<Diagnosed> = lines.filter_map(|line| diagnosed(line.get("diagnostic")?)).collect();
    if let Some(faults) = of_module(&found) {
        return Validation::Invalid(faults);
    }
    let said = found.first().map(|first| first.text.clone()).unwrap_or_else(|| {
        // OpenTofu before 1.12 explains an `init` in words.
        let words = [String::from_utf8_lossy(&ended.output).into_owned(), ended.errors.join(" ")].join(" ");
        let error = words.find("Error: ").map_or(words.as_str(), |at| &words[at..]);
        cut(&one_line(error))
    });
    Validation::NotTried(format!("`tofu init` failed: {said}{}", refused(ended)))
}

/// The errors that are the module's, if any is.
fn of_module(found: &[Diagnosed]) -> Option<Vec<ModuleFault>> {
    let own = found.iter().filter(|one| !one.foreign).take(FAULTS);
    let faults: Vec<ModuleFault> =
        own.map(|one| ModuleFault { place: one.place.clone(), text: one.text.clone() }).collect();
    (!faults.is_empty()).then_some(faults)
}

fn beside(ended: &Ended) -> String {
    let errors = one_line(&ended.errors.join(" "));
    let errors = if errors.is_empty() { String::new() } else { format!(": {}", cut(&errors)) };
    format!("{errors}{}", refused(ended))
}

fn refused(ended: &Ended) -> String {
    ended.refused.first().map(|refusal| format!("; {}", one_line(refusal))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(output: &str) -> Ended {
        Ended { output: output.as_bytes().to_vec(), ..Ended::default() }
    }

    #[test]
    fn an_error_with_a_place_is_the_modules() {
        let said = ended(
            r#"{"valid":false,"diagnostics":[{"severity":"warning","summary":"w"},
                {"severity":"error","summary":"Reference to undeclared input variable","detail":"An input variable\nwith the name \"x\"",
                 "range":{"filename":"main.tf","start":{"line":12,"column":3}}}]}"#,
        );
        let text = "Reference to undeclared input variable: An input variable with the name \"x\"".to_owned();
        assert_eq!(
            judge_validate(&said),
            Validation::Invalid(vec![ModuleFault { place: "main.tf:12".to_owned(), text }])
        );
        assert_eq!(judge_validate(&ended(r#"{"valid":true,"diagnostics":[]}"#)), Validation::Valid);
    }

    #[test]
    fn a_cycle_has_no_place_and_is_the_modules_and_a_provider_that_does_not_start_is_not() {
        let said = |summary: &str| {
            ended(&format!(
                r#"{{"valid":false,"diagnostics":[{{"severity":"error","summary":"{summary}","detail":""}}]}}"#
            ))
        };
        assert!(matches!(judge_validate(&said("Cycle: terraform_data.a, terraform_data.b")), Validation::Invalid(_)));
        for summary in ["Failed to load plugin schemas", "Inconsistent dependency lock file"] {
            assert!(matches!(judge_validate(&said(summary)), Validation::NotTried(_)), "{summary}");
        }
        assert!(matches!(judge_validate(&ended("")), Validation::NotTried(_)));
    }

    #[test]
    fn an_init_without_a_registry_is_no_fault_and_one_that_names_a_place_is() {
        let line = |place: &str| {
            format!(
                "{{\"@level\":\"info\",\"type\":\"init_output\"}}\n{{\"@level\":\"error\",\"type\":\"diagnostic\",\"diagnostic\":\
                 {{\"severity\":\"error\",\"summary\":\"Failed to query available provider packages\",\"detail\":\"no such host\"{place}}}}}\n"
            )
        };
        let away = judge_init(&ended(&line("")));
        let Validation::NotTried(why) = away else { panic!("{away:?}") };
        assert!(why.starts_with("`tofu init` failed: Failed to query") && why.contains("no such host"), "{why}");
        let own = judge_init(&ended(&line(r#","range":{"filename":"a.tf","start":{"line":1}}"#)));
        assert!(matches!(own, Validation::Invalid(faults) if faults[0].place == "a.tf:1"));
        let old = judge_init(&ended("Initializing\n\nError: Failed to install provider\n\nx\n"));
        assert_eq!(old, Validation::NotTried("`tofu init` failed: Error: Failed to install provider x".to_owned()));
    }
}
