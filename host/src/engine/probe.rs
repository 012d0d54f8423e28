//! Tries the layers of the confinement and asks the binary for its version, once, at start: the way it will be run, so that what
//! needs more than it gets is known at once.

use super::EngineError;
use super::command::Version;
use super::confine::{Confine, Confinement, trial};
use super::environment;
use super::supervise::{CommandSpec, Event, Layer, LayerState, Places, RunEvent, Supervised, deadline_ms};
use crate::egress::{Reach, StepReach};
use rustix::fs::{Access, access};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::timeout;

/// It answers in milliseconds; a cold disk may take seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where a name is looked up when there is no `PATH`, as the C library has it.
const SEARCH: &str = "/bin:/usr/bin";
/// What to do about a binary that is not there. It is no matter of the confinement, which the binary itself is let through.
const GET: &str =
    "get OpenTofu 1.12 or later (https://opentofu.org/docs/intro/install), or name its file by CATALYST_TOFU_BIN";
/// Trials until the layers that hold alone also hold together.
const TRIALS: usize = 3;

/// What is to be found out.
pub(super) struct Probe<'a> {
    /// The file of this program, which supervises.
    pub(super) program: &'a Path,
    pub(super) binary: &'a Path,
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) confine: Confine,
    /// The layers to try.
    pub(super) layers: Vec<Layer>,
    pub(super) places: Places,
}

impl Probe<'_> {
    /// The version of the binary, if it is one that the engine knows, and the confinement.
    ///
    /// # Errors
    /// [`EngineError`] when the binary cannot be run, is too old, or is not confined as it must be.
    pub(super) async fn run(self) -> Result<(Version, Confinement), EngineError> {
        look_up(self.binary, environment::variable(&self.environment, "PATH"))
            .map_err(|why| EngineError::Binary { binary: self.binary.display().to_string(), why })?;
        let supervisor = |why: io::Error| EngineError::Supervisor { why: why.to_string() };
        let folder = tempfile::Builder::new().prefix("catalyst-").tempdir_in(&self.places.temporary);
        let folder = folder.map_err(supervisor)?;
        let (supervised, states) = self.try_layers(&folder).await.map_err(supervisor)?;
        let confinement = Confinement::new(self.confine, states, self.places.clone())?;
        let version = self.version(supervised, &folder).await?;
        Ok((version, confinement))
    }

    /// A supervisor behind the layers that hold, and the states of all of them.
    async fn try_layers(&self, folder: &TempDir) -> io::Result<(Supervised, Vec<LayerState>)> {
        let (mut wanted, mut lacking) = (self.layers.clone(), Vec::new());
        for _ in 0..TRIALS {
            let setup = trial(wanted.clone(), self.places.clone(), folder.path(), deadline_ms(PATIENCE));
            let supervised = Supervised::start(self.program, setup).await?;
            let (held, missing): (Vec<_>, Vec<_>) =
                supervised.layers().iter().cloned().partition(|state| state.missing.is_none());
            if missing.is_empty() {
                let mut states = [held, lacking].concat();
                states.sort_by_key(|state| state.layer);
                return Ok((supervised, states));
            }
            wanted = held.into_iter().map(|state| state.layer).collect();
            lacking.extend(missing);
            supervised.end().await?;
        }
        Err(io::Error::other("the layers of the confinement do not hold together"))
    }

    async fn version(&self, supervised: Supervised, folder: &TempDir) -> Result<Version, EngineError> {
        let hint = match self.confine {
            Confine::Off => "",
            _ => "; it is confined to its own files, which CATALYST_TOFU_CONFINE=off would end",
        };
        let binary = self.binary.display().to_string();
        let refuse = |why: String| EngineError::Binary { binary: binary.clone(), why: format!("{why}{hint}") };
        let answer = timeout(PATIENCE, self.ask(supervised, folder.path()))
            .await
            .map_err(|_| refuse(format!("no answer within {} s", PATIENCE.as_secs())))?
            .map_err(|why| refuse(why.to_string()))?;
        let answer: serde_json::Value =
            serde_json::from_slice(&answer).map_err(|_| refuse("`version -json` gave no JSON".to_owned()))?;
        let text = answer.get("terraform_version").and_then(serde_json::Value::as_str);
        let version =
            text.and_then(Version::parse).ok_or_else(|| refuse("`version -json` named no version".to_owned()))?;
        if !version.is_accepted() {
            return Err(EngineError::TooOld { found: version.as_str().to_owned() });
        }
        if !version.is_current() {
            tracing::warn!(version = version.as_str(), "OpenTofu is older than 1.12, with which the host is tested");
        }
        Ok(version)
    }

    async fn ask(&self, mut supervised: Supervised, folder: &Path) -> io::Result<Vec<u8>> {
        let mut environment = self.environment.clone();
        environment::add(&mut environment, [("TMPDIR".into(), folder.into())]);
        supervised.command(CommandSpec {
            binary: self.binary.to_owned(),
            arguments: ["version", "-json"].map(OsString::from).into(),
            environment,
            own: vec![PathBuf::from(folder)],
            step: StepReach { step: "version".into(), reach: Reach::Cloud },
            whole_output: true,
        });
        let mut answer = Vec::new();
        while let Some(event) = supervised.next().await? {
            match event {
                RunEvent::Output(output) => answer = output.to_vec(),
                RunEvent::Event(Event::NotStarted(why)) => return Err(io::Error::other(why)),
                RunEvent::Event(Event::Ended(_)) => break,
                _ => {}
            }
        }
        supervised.end().await?;
        Ok(answer)
    }
}

/// Looks for a program as the system does that starts it: by its path, or by its name in the folders of a search path.
fn look_up(binary: &Path, search: Option<&OsStr>) -> Result<(), String> {
    let (files, place): (Vec<PathBuf>, String) = match binary.components().count() {
        1 => {
            let folders = search.unwrap_or_else(|| OsStr::new(SEARCH));
            let place = format!("it was looked for in the folders of PATH ({})", folders.display());
            (std::env::split_paths(folders).map(|folder| folder.join(binary)).collect(), place)
        }
        _ => (vec![binary.to_owned()], "CATALYST_TOFU_BIN names it".to_owned()),
    };
    if files.iter().any(|file| file.is_file() && access(file, Access::EXEC_OK).is_ok()) {
        return Ok(());
    }
    let why = match files.iter().find(|file| file.exists()) {
        Some(file) => format!("{} is no program that this user may run", file.display()),
        None => "there is no such file".to_owned(),
    };
    Err(format!("{why}; {place}; {GET}"))
}
