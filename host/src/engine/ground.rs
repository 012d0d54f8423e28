//! What the engine stands on, found once at the start: its folders, the binary and the confinement. All of it asks disks.

use super::cli_config::{CliConfig, override_folders};
use super::command::Version;
use super::confine::{self, Confine, Confinement};
use super::environment::{self, Proxied};
use super::probe::Probe;
use super::stage::WorkRoot;
use super::supervise::{Places, ProxySetup};
use super::{EngineError, Settings};
use crate::egress::{self, Egress, HostGrant, REGISTRY_HOSTS, RunHosts};
use crate::outbound::NamedBy;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const WORK_FOLDERS: &str = "OpenTofu's work folders";
const PROVIDER_CACHE: &str = "the cache of OpenTofu's providers";

/// What was found.
pub(super) struct Ground {
    pub(super) settings: Settings,
    pub(super) folders: Arc<WorkRoot>,
    pub(super) binary: PathBuf,
    pub(super) version: Version,
    pub(super) confinement: Confinement,
    pub(super) way_out: Option<WayOut>,
}

/// How runs reach the network where they do so by a proxy of their own, and what every run may reach by the operator's word.
pub(super) struct WayOut {
    settings: egress::Settings,
    hosts: RunHosts,
}

impl WayOut {
    /// `None` where runs use the network as any process does.
    fn new(settings: &Settings) -> Result<Option<Self>, EngineError> {
        if settings.confine == Confine::Off {
            return Ok(None);
        }
        // Each supervisor takes them anew; what is wrong with them is said at the start.
        Egress::new(&settings.egress).map_err(EngineError::Proxy)?;
        let cloud = environment::named_hosts(&settings.pass_env);
        let hosts = RunHosts { install: install_hosts(settings), cloud };
        Ok(Some(Self { settings: settings.egress.clone(), hosts }))
    }

    /// The proxy of a run that may reach these hosts, too.
    pub(super) fn of_run(&self, hosts: &RunHosts) -> ProxySetup {
        let mut hosts = hosts.clone();
        hosts.install.extend(self.hosts.install.iter().cloned());
        hosts.cloud.extend(self.hosts.cloud.iter().cloned());
        ProxySetup { settings: self.settings.clone(), hosts }
    }
}

/// Where providers come from: nowhere but a folder, where the operator has one; else the registry, and what OpenTofu's settings of
/// the operator name.
fn install_hosts(settings: &Settings) -> Vec<HostGrant> {
    if settings.provider_mirror.is_some() {
        return Vec::new();
    }
    let registry = REGISTRY_HOSTS.iter().filter_map(|host| HostGrant::parse(host, NamedBy::Stranger).ok());
    // What is wrong with the file is said by now.
    let named = CliConfig::read(settings).ok().flatten().map(|config| environment::quoted_hosts(config.text()));
    registry.chain(named.into_iter().flatten()).collect()
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
        let way_out = WayOut::new(&settings)?;
        Ok(Self { settings, folders: Arc::new(folders), binary, version, confinement, way_out })
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
    let mut places = Places::new(binary, &settings.pass_env, cache, mirror);
    places.run.extend(override_folders(settings));
    let layers = settings.confine.wanted().iter().copied().filter(|layer| !settings.without.contains(layer)).collect();
    let (program, confine) = (&settings.program, settings.confine);
    let environment = environment::of_every_command(settings, Proxied::AsTheHost);
    Probe { program, binary, environment, confine, layers, places }
}
