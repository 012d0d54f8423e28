//! What the engine stands on, found once at the start: its folders, the binary and the confinement. All of it asks disks.

use super::command::Version;
use super::confine::{self, Confinement};
use super::probe::Probe;
use super::stage::WorkRoot;
use super::supervise::Places;
use super::{EngineError, Settings};
use std::path::{Path, PathBuf};

const WORK_FOLDERS: &str = "OpenTofu's work folders";
const PROVIDER_CACHE: &str = "the cache of OpenTofu's providers";

/// What was found.
pub(super) struct Ground {
    pub(super) settings: Settings,
    pub(super) folders: WorkRoot,
    pub(super) binary: PathBuf,
    pub(super) version: Version,
    pub(super) confinement: Confinement,
}

impl Ground {
    /// Looks, apart from whoever must not wait for a disk; then tries the binary behind the layers that hold.
    ///
    /// # Errors
    /// [`EngineError`] when a folder or the binary cannot be used, or the confinement is not what it must be.
    pub(super) async fn find(settings: Settings) -> Result<Self, EngineError> {
        let (settings, folders) =
            tokio::task::spawn_blocking(move || folders(settings)).await.map_err(|_| EngineError::Broke)??;
        let binary = settings.binary();
        let (version, confinement) = probe(&settings, &binary).run().await?;
        confine::tell(settings.confine, confinement.states());
        Ok(Self { settings, folders, binary, version, confinement })
    }
}

fn folders(settings: Settings) -> Result<(Settings, WorkRoot), EngineError> {
    let folders = WorkRoot::open(&settings.workdir);
    let folders = folders.map_err(|(doing, source)| EngineError::Folder { doing, what: WORK_FOLDERS, source })?;
    if let Some(cache) = &settings.plugin_cache_dir {
        // OpenTofu refuses every command when it is not there.
        let made = std::fs::create_dir_all(cache);
        made.map_err(|source| EngineError::Folder { doing: "create", what: PROVIDER_CACHE, source })?;
    }
    Ok((settings, folders))
}

/// How OpenTofu is tried.
pub(super) fn probe<'a>(settings: &'a Settings, binary: &'a Path) -> Probe<'a> {
    let (cache, mirror) = (settings.plugin_cache_dir.as_deref(), settings.provider_mirror.as_deref());
    let places = Places::new(binary, &settings.pass_env, cache, mirror);
    let mut layers = settings.confine.wanted(settings.network);
    layers.retain(|layer| !settings.without.contains(layer));
    let (program, environment, confine) = (&settings.program, &settings.pass_env, settings.confine);
    Probe { program, binary, environment, confine, layers, places }
}
