//! One component file, loaded exactly as a host loads those of its plugins folder: a stranger's bytes reach the
//! compiler in a process apart, with its limits.

use super::super::serve::{sandbox_settings, start_sandbox};
use super::Usage;
use super::guest::GuestOutput;
use crate::compile::Apart;
use crate::config::Config;
use anyhow::Context as _;
use catalyst_sandbox::{Compile, GuestRecorder, Provider, Sandbox, Settings, Suspension};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How the calls of a load are named.
pub(super) const LOAD: &str = "the load";

/// A file that was looked at.
pub(super) enum Opened {
    /// It would serve.
    Loaded(Component),
    /// It would not; in the sandbox's words.
    Refused(String),
}

/// A component that would serve.
pub(super) struct Component {
    /// Its answers.
    pub provider: Arc<Provider>,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// How long the load took, from the file to the checked descriptor.
    pub loaded_in: Duration,
}

/// Loads a file in a sandbox of its own: nothing that another load remembers is used, but for machine code. What the component
/// writes is recorded where there is a recorder. It is never left alone because it fails: each fault is to be seen.
///
/// # Errors
/// [`Usage`] when there is no such file; otherwise why there is no sandbox.
pub(super) async fn open(config: &Config, file: &Path, recorder: Option<Arc<GuestRecorder>>) -> anyhow::Result<Opened> {
    let usage = |why: &str| Usage(format!("{}: {why}", file.display()));
    let metadata = std::fs::metadata(file).map_err(|error| usage(&error.to_string()))?;
    if !metadata.is_file() {
        return Err(usage("is no file; give the .wasm of a component").into());
    }
    // A file that is judged here is not served: nobody has to have signed it.
    let compile = Compile::Apart(Arc::new(Apart));
    let suspension = Suspension::Never;
    let settings = Settings { keys: None, compile, suspension, recorder, ..sandbox_settings(config)? };
    let (sandbox, _) = start_sandbox(config, settings).context("cannot start the sandbox")?;
    load(&sandbox, file, metadata.len()).await
}

/// A host knows folders only, so the file gets one of its own.
async fn load(sandbox: &Sandbox, file: &Path, bytes: u64) -> anyhow::Result<Opened> {
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let target = std::path::absolute(file).with_context(|| format!("cannot name {}", file.display()))?;
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let link = folder.path().join(format!("{stem}.wasm"));
    std::os::unix::fs::symlink(&target, &link).context("cannot link the file")?;
    let begun = Instant::now();
    let mut report = sandbox.load_folder(folder.path()).await;
    let loaded_in = begun.elapsed();
    Ok(match report.serving.pop() {
        Some(provider) => Opened::Loaded(Component { provider, bytes, loaded_in }),
        None => {
            Opened::Refused(report.failures.pop().map_or_else(|| "was not loaded".to_owned(), |failure| failure.error))
        }
    })
}

/// As [`open`], where a component that would not serve ends the command. What it says is taken for the command's output.
///
/// # Errors
/// As for [`open`], and why the component would not serve.
pub(super) async fn open_loaded(config: &Config, file: &Path, guest: &GuestOutput) -> anyhow::Result<Component> {
    let opened = open(config, file, Some(guest.recorder())).await;
    let fault = guest.take(LOAD);
    match opened? {
        Opened::Loaded(component) => Ok(component),
        Opened::Refused(why) => {
            let said = fault.map(|fault| fault.words()).unwrap_or_default();
            anyhow::bail!("{} would not be loaded: it {why}{said}", file.display())
        }
    }
}
