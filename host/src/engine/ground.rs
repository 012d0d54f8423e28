//! What the engine stands on, found once at the start: its folders, the binary and the confinement. All of it asks disks.

use super::confine::{self, Confinement, Places};
use super::stage::WorkRoot;
use super::{EngineError, Settings};
use std::path::{Path, PathBuf};

const WORK_FOLDERS: &str = "OpenTofu's work folders";
const PROVIDER_CACHE: &str = "the cache of OpenTofu's providers";

/// What was found.
pub(super) struct Ground {
    pub(super) settings: Settings,
    pub(super) folders: WorkRoot,
    pub(super) binary: PathBuf,
    pub(super) confinement: Confinement,
}

impl Ground {
    /// Looks, apart from whoever must not wait for a disk.
    ///
    /// # Errors
    /// [`EngineError`] when a folder cannot be used.
    pub(super) async fn find(settings: Settings) -> Result<Self, EngineError> {
        tokio::task::spawn_blocking(move || Self::look(settings)).await.map_err(|_| EngineError::Broke)?
    }

    fn look(settings: Settings) -> Result<Self, EngineError> {
        let folders = WorkRoot::open(&settings.workdir);
        let folders = folders.map_err(|(doing, source)| EngineError::Folder { doing, what: WORK_FOLDERS, source })?;
        if let Some(cache) = &settings.plugin_cache_dir {
            // OpenTofu refuses every command when it is not there.
            let made = std::fs::create_dir_all(cache);
            made.map_err(|source| EngineError::Folder { doing: "create", what: PROVIDER_CACHE, source })?;
        }
        let binary = settings.binary();
        let confinement = confinement(&settings, &binary);
        Ok(Self { settings, folders, binary, confinement })
    }
}

/// How OpenTofu is started here; says what an operator has to know of it.
pub(super) fn confinement(settings: &Settings, binary: &Path) -> Confinement {
    let kernel = confine::kernel();
    if let Some(warning) = confine::warning(settings.confine, kernel) {
        tracing::warn!("{warning}");
    }
    let (cache, mirror) = (settings.plugin_cache_dir.as_deref(), settings.provider_mirror.as_deref());
    Confinement::new(settings.confine, kernel, Places::new(binary, &settings.pass_env, cache, mirror))
}
