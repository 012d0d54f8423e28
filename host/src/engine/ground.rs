//! What the engine stands on, found once at the start: its folders, the binary and the confinement. All of it asks disks.

use super::confine::{self, Confine, Confinement, Places};
use super::environment::{self, CLI_CONFIG};
use super::stage::WorkRoot;
use super::{EngineError, Settings};
use crate::egress::{Egress, HostGrant, REGISTRY_HOSTS, RunHosts};
use crate::outbound::NamedBy;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const WORK_FOLDERS: &str = "OpenTofu's work folders";
/// Bytes of OpenTofu's settings that are read for addresses; they have some hundred.
const CLI_CONFIG_LIMIT: u64 = 1024 * 1024;
const PROVIDER_CACHE: &str = "the cache of OpenTofu's providers";

/// What was found.
pub(super) struct Ground {
    pub(super) settings: Settings,
    pub(super) folders: Arc<WorkRoot>,
    pub(super) binary: PathBuf,
    pub(super) confinement: Confinement,
    pub(super) way_out: Option<WayOut>,
}

/// How runs reach the network where they do so by a proxy of their own, and what every run may reach by the operator's word.
pub(super) struct WayOut {
    pub(super) egress: Arc<Egress>,
    pub(super) hosts: RunHosts,
}

impl WayOut {
    /// `None` where runs use the network as any process does.
    fn new(settings: &Settings) -> Result<Option<Self>, EngineError> {
        if settings.confine != Confine::Require {
            return Ok(None);
        }
        let egress = Egress::new(&settings.egress).map_err(EngineError::Proxy)?;
        let cloud = environment::named_hosts(&settings.pass_env);
        Ok(Some(Self { egress, hosts: RunHosts { install: install_hosts(settings), cloud } }))
    }
}

/// Where providers come from: nowhere but a folder, where the operator has one; else the registry, and what OpenTofu's settings of
/// the operator name.
fn install_hosts(settings: &Settings) -> Vec<HostGrant> {
    if settings.provider_mirror.is_some() {
        return Vec::new();
    }
    let registry = REGISTRY_HOSTS.iter().filter_map(|host| HostGrant::parse(host, NamedBy::Stranger).ok());
    let named = environment::variable(&settings.pass_env, CLI_CONFIG).map(|file| {
        let mut text = String::new();
        // OpenTofu itself says what is wrong with a file that cannot be read.
        if let Ok(file) = std::fs::File::open(file) {
            let _ = file.take(CLI_CONFIG_LIMIT).read_to_string(&mut text);
        }
        environment::quoted_hosts(&text)
    });
    registry.chain(named.into_iter().flatten()).collect()
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
        if settings.confine == Confine::Require && matches!(confinement, Confinement::None) {
            return Err(EngineError::Unconfined);
        }
        let way_out = WayOut::new(&settings)?;
        Ok(Self { settings, folders: Arc::new(folders), binary, confinement, way_out })
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
