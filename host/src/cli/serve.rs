//! `catalyst serve`: signals → store → plugins → bind → run → drain → spans.

use super::signals::Signals;
use super::{banner, descriptors};
use crate::app::App;
use crate::audit::{Audit, Line};
use crate::auth::Auth;
use crate::compile::Apart;
use crate::config::Config;
use crate::dns::names::Names;
use crate::driver::{self, Driver};
use crate::egress;
use crate::engine::{self, Engine};
use crate::http;
use crate::metrics::{Measured, Metrics};
use crate::outbound::{self, Outbound};
use crate::telemetry::Spans;
use anyhow::Context;
use catalyst_sandbox::grants::Basis;
use catalyst_sandbox::{Compile, Follow, GrantChange, MEMO_BYTES, PluginLimits, Sandbox, SandboxError};
use catalyst_store::{FileStore, HeldFolder, Store};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::Signal;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

/// How long OpenTofu may take to stop and keep its state when the process goes down.
const STOP_GRACE: Duration = Duration::from_secs(20);
/// How long the end of all work may take: OpenTofu's grace, its second interrupt, and its last lines, which come to 50 s; then
/// the last records on a slow disk. One that does not answer at all must not keep the rest of the end from its turn.
const DRAIN: Duration = Duration::from_secs(60);
/// How long a start waits for plugins: a component made from Python is compiled in ten seconds.
const FIRST_LOAD: Duration = Duration::from_secs(20);
/// How often a start that waits for another process or a disk says so.
const STILL_WAITING: Duration = Duration::from_secs(15);
/// How long the last lines of the audit log may take: a sync of a slow disk, and far within what is left of a Pod's grace.
const LAST_LINES: Duration = Duration::from_secs(5);
/// Largest log of one deployment in bytes; a long apply with a long watch writes a few MiB.
const LOG_CAP: u64 = 64 * 1024 * 1024;

/// Serves until SIGTERM or SIGINT. `spans` are sent off last of all.
pub async fn serve(config: Config, spans: Option<Spans>) -> anyhow::Result<()> {
    let mut signals = Signals::take().context("cannot receive signals")?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if let Some(remark) = config.remark_on_unset_auth() {
        tracing::warn!("{remark}");
    }
    let stopping = CancellationToken::new();
    // Nothing was taken up yet, so a start may be left where it stands, as in a crash.
    let rooms = tokio::select! {
        biased;
        () = signals.end.asked() => {
            tracing::info!("asked to end before the start was done: down");
            return Ok(());
        }
        rooms = open(&config, spans.as_ref(), &stopping) => rooms?,
    };
    run(&config, signals, rooms, stopping).await?;
    if let Some(spans) = spans {
        spans.flush().await;
    }
    tracing::info!("down");
    Ok(())
}

/// What a start opens before it takes anything up.
struct Rooms {
    app: Arc<App>,
    listener: TcpListener,
    scraped: Option<TcpListener>,
    limits: http::Limits,
    tofu: String,
    /// Held for as long as this process lives.
    _work_folders: HeldFolder,
}

async fn open(config: &Config, spans: Option<&Spans>, stopping: &CancellationToken) -> anyhow::Result<Rooms> {
    // Before anything is opened.
    let limits = http::Limits::default();
    let connections = descriptors::room_for(limits.connections);
    let per_address = config.address_connections.unwrap_or(connections / 2).clamp(1, connections);
    let limits = http::Limits { connections, per_address, ..limits };
    let metrics = Arc::new(Metrics::of_folders(written_folders(config)));
    // Each of these may wait, for the process before this one or for a disk, and that must hold up no signal.
    let (settings, workdir, wait) = (store_settings(config), config.tofu.workdir.clone(), config.lock_wait);
    let store = apart("the store", move || FileStore::open(settings)).await?.context("cannot open the store")?;
    let store: Arc<dyn Store> = Measured::new(store, metrics.clone());
    let (path, end) = (config.audit_log.clone(), stopping.clone());
    let audit = apart("the audit log", move || Audit::open(path, end)).await?;
    let audit = audit.with_context(|| format!("cannot open the audit log {}", config.audit_log.display()))?;
    let held = apart("the work folders", move || HeldFolder::take(&workdir, wait)).await?;
    let _work_folders = held.context("cannot take OpenTofu's work folders")?;
    let given = config.clone();
    let (sandbox, cache_dir) = apart("the plugins' limits and cache", move || serving_sandbox(&given)).await??;
    if let Some(changes) = sandbox.grant_changes() {
        tokio::spawn(record_grants(changes, audit.clone()));
    }
    first_load(&sandbox, &config.plugins_dir).await;
    let how = outbound_settings(config);
    let outbound =
        apart("the trust store", move || Outbound::new(&how)).await?.context("cannot set up outgoing calls")?;
    if let Some(spans) = spans {
        spans.leave_by(outbound.clone());
    }
    let (settings, way_out, how) = (config.auth.clone(), outbound.clone(), outbound_settings(config));
    let auth = apart("what callers are known by", move || Auth::new(settings, &way_out, &how)).await?;
    let auth = Arc::new(auth.context("cannot set up authentication")?);
    let names = Names::new(&outbound, config.pool_domain_manager_url.clone(), config.managed_domains.clone());
    let engine = Engine::new(engine_settings(config, cache_dir), store.clone());
    let engine = told("OpenTofu", engine).await.context("cannot use OpenTofu")?;
    let tofu = engine.version().to_owned();
    let settings = driver_settings(config, outbound.clone());
    let driver = Driver::new(store.clone(), sandbox.clone(), engine, names.clone(), settings, stopping.child_token());
    let listener = listen(config.listen).await?;
    let scraped = match config.metrics_listen {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let stopping = stopping.clone();
    let app = Arc::new(App { store, sandbox, outbound, names, driver, auth, audit, metrics, stopping });
    Ok(Rooms { app, listener, scraped, limits, tofu, _work_folders })
}

async fn run(config: &Config, signals: Signals, rooms: Rooms, stopping: CancellationToken) -> anyhow::Result<()> {
    let Signals { mut end, plugins, audit: hangup } = signals;
    let Rooms { app, listener, scraped, limits, tofu, _work_folders } = rooms;
    let (driver, audit, sandbox) = (app.driver.clone(), app.audit.clone(), app.sandbox.clone());
    // What it has not taken up is as after a crash; what it has is drained.
    let asked = tokio::select! {
        biased;
        () = end.asked() => true,
        () = driver.start() => false,
    };
    if asked {
        tracing::info!("asked to end while deployments were taken up");
        stopping.cancel();
        driver.drain(DRAIN).await;
        return Ok(());
    }
    banner::show(config, &sandbox, &tofu, listener.local_addr()?);
    tokio::spawn(app.auth.clone().follow(stopping.child_token()));
    tokio::spawn(reopen_on_hangup(audit.clone(), hangup, stopping.child_token()));
    tokio::spawn(audit.clone().heal(stopping.child_token()));
    let closing = CancellationToken::new();
    let scraped = scraped.map(|listener| tokio::spawn(http::serve_metrics(listener, app.clone(), closing.clone())));
    let settings = http::Settings {
        allowed_origin: config.cors_origin.clone(),
        browsers: config.browsers.clone(),
        limits,
        trusted_proxies: config.trusted_proxies.clone(),
        subjects: config.limits,
        ..http::Settings::default()
    };
    let served = tokio::spawn(http::serve(listener, app, settings, closing.clone()));
    tokio::select! {
        () = end.asked() => {}
        () = follow_plugins(&sandbox, config, plugins) => {}
    }
    tracing::info!("going down: no new work is taken, runs are stopped and recorded");
    stopping.cancel();
    driver.drain(DRAIN).await;
    // Until here whoever asked was told why not; now nobody needs an answer any more.
    closing.cancel();
    let served = served.await.context("the server broke");
    // Whatever became of it: what was refused or left open must be on record.
    if let Err(error) = audit.flush(LAST_LINES).await {
        tracing::error!(%error, "the last lines of the audit log may be lost");
    }
    served??;
    if let Some(scraped) = scraped {
        scraped.await.context("the server of the metrics broke")??;
    }
    Ok(())
}

/// Waits for the plugins, but not for ever: what was compiled before serves at once, and a component that keeps the compiler busy
/// must not keep the host from serving.
async fn first_load(sandbox: &Arc<Sandbox>, plugins_dir: &Path) {
    let (loading, dir) = (Arc::clone(sandbox), plugins_dir.to_owned());
    let load = tokio::spawn(async move { loading.load_folder(&dir).await });
    if tokio::time::timeout(FIRST_LOAD, load).await.is_err() {
        tracing::warn!(
            "plugins take long to load: this host serves those that it has, and the others when they are compiled"
        );
    }
}

/// Writes each change of what plugins are granted to the audit log. It ends with the sandbox.
async fn record_grants(mut changes: UnboundedReceiver<GrantChange>, audit: Arc<Audit>) {
    while let Some(change) = changes.recv().await {
        let (plugin, file) = (change.plugin.clone(), change.file.clone());
        tracing::info!(
            plugin.id = plugin,
            plugin.file = file,
            plugin.basis = change.basis.map(Basis::name),
            plugin.granted = change.granted.join(", "),
            plugin.revoked = change.revoked.join(", "),
            "what a plugin is granted changed"
        );
        if let Err(error) = audit.write(&Line::grants(change)).await {
            tracing::error!(plugin.file = file, %error, "a change of grants is not in the audit log");
        }
    }
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// Does what may wait for another process or a disk, away from whoever hears signals.
async fn apart<T: Send + 'static>(what: &'static str, work: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<T> {
    told(what, tokio::task::spawn_blocking(work)).await.context("a part of the start broke")
}

/// Says what a start waits for, where it takes long.
async fn told<T>(what: &'static str, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        match tokio::time::timeout(STILL_WAITING, work.as_mut()).await {
            Ok(done) => return done,
            Err(_) => {
                tracing::warn!(what, "the start still waits: another process holds it, or a disk does not answer");
            }
        }
    }
}

fn serving_sandbox(config: &Config) -> anyhow::Result<(Arc<Sandbox>, Option<PathBuf>)> {
    let settings = catalyst_sandbox::Settings {
        memo_bytes: MEMO_BYTES,
        compile: Compile::Apart(Arc::new(Apart)),
        ..sandbox_settings(config)?
    };
    start_sandbox(config, settings).context("cannot start the sandbox")
}

/// Loads the plugins anew when their folder changes, and at once on SIGHUP. Ends only when there can be no such signal.
async fn follow_plugins(sandbox: &Sandbox, config: &Config, mut hangup: Signal) {
    let again = Notify::new();
    let heard = async {
        while hangup.recv().await.is_some() {
            tracing::info!("asked to load the plugins again");
            again.notify_one();
        }
    };
    tokio::select! {
        () = sandbox.follow(&config.plugins_dir, Follow::default(), &again) => {}
        () = heard => {}
    }
}

/// SIGHUP is how an operator says that the audit log was moved away.
async fn reopen_on_hangup(audit: Arc<Audit>, mut hangup: Signal, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = hangup.recv() => audit.reopen().await,
        }
    }
}

/// Where the host writes, as the metrics name it.
fn written_folders(config: &Config) -> [(&'static str, PathBuf); 5] {
    [
        ("audit", config.audit_log.clone()),
        ("deployments", config.deployments_dir.clone()),
        ("kubeconfigs", config.kubeconfigs_dir.clone()),
        ("state", config.state_dir.clone()),
        ("work", config.tofu.workdir.clone()),
    ]
}

/// How the store is opened, as the doctor is told as well.
pub(super) fn store_settings(config: &Config) -> catalyst_store::Settings {
    catalyst_store::Settings {
        deployments_dir: config.deployments_dir.clone(),
        kubeconfigs_dir: config.kubeconfigs_dir.clone(),
        state_dir: config.state_dir.clone(),
        lock_wait: config.lock_wait,
        log_cap_bytes: LOG_CAP,
        state_key: config.state_key.clone(),
        seal: config.seal,
    }
}

pub(super) fn outbound_settings(config: &Config) -> outbound::Settings {
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    outbound::Settings {
        https_proxy: given(&config.proxy.https_proxy),
        no_proxy: given(&config.proxy.no_proxy),
        trust_store: config.trust_store.clone(),
        addresses: Vec::new(),
        allowed_clouds: config.allowed_clouds.clone(),
    }
}

/// How plugins are held here, as every command that loads them is told.
///
/// # Errors
/// Names the variable, the file and the key that is wrong.
pub(super) fn sandbox_settings(config: &Config) -> anyhow::Result<catalyst_sandbox::Settings> {
    let limits = config.plugin_limits.as_deref().map(plugin_limits).transpose()?.unwrap_or_default();
    let cache_dir = config.cache_dir.clone();
    Ok(catalyst_sandbox::Settings { cache_dir, limits, keys: config.plugin_keys.clone(), ..Default::default() })
}

fn plugin_limits(file: &Path) -> anyhow::Result<PluginLimits> {
    let place = || format!("CATALYST_PLUGIN_LIMITS: {}", file.display());
    let text = std::fs::read_to_string(file).with_context(place)?;
    PluginLimits::parse(&text).map_err(anyhow::Error::msg).with_context(place)
}

/// The sandbox, and the cache folder as far as there is one. Where none was asked for and the usual one cannot be used, as in
/// a container whose home is not writable, a start is slower and no more.
pub(super) fn start_sandbox(
    config: &Config,
    settings: catalyst_sandbox::Settings,
) -> Result<(Arc<Sandbox>, Option<PathBuf>), SandboxError> {
    let without = catalyst_sandbox::Settings { cache_dir: None, ..settings.clone() };
    match Sandbox::new(settings) {
        Err(SandboxError::Cache(error)) if !config.cache_asked_for => {
            tracing::warn!(%error, "the usual cache folder cannot be used, so plugins are compiled at every start");
            Ok((Sandbox::new(without)?, None))
        }
        sandbox => Ok((sandbox?, config.cache_dir.clone())),
    }
}

pub(super) fn engine_settings(config: &Config, cache_dir: Option<PathBuf>) -> engine::Settings {
    engine::Settings {
        program: engine::THIS_PROGRAM.into(),
        tofu_bin: config.tofu.bin.clone(),
        workdir: config.tofu.workdir.clone(),
        pass_env: config.tofu.env.clone(),
        provider_mirror: config.tofu.provider_mirror.clone(),
        plugin_cache_dir: cache_dir
            .filter(|_| config.tofu.provider_mirror.is_none())
            .map(|dir| dir.join("tofu-providers")),
        max_runs: config.tofu.max_runs,
        apply_timeout: config.tofu.apply_timeout,
        stop_grace: STOP_GRACE,
        confine: config.tofu.confine,
        egress: egress::Settings {
            allowed_clouds: config.allowed_clouds.clone(),
            proxy: config.proxy.clone(),
            trust_store: config.trust_store.clone(),
        },
        without: Vec::new(),
    }
}

fn driver_settings(config: &Config, outbound: Outbound) -> driver::Settings {
    driver::Settings {
        default_provider: config.default_provider.clone(),
        public_url: config.public_url.clone(),
        gitops_repo_url: config.gitops_repo_url.clone(),
        gitops_branch: config.gitops_branch.clone(),
        ghcr_pull_token: config.ghcr_pull_token.clone(),
        destroy_timeout: config.destroy_timeout,
        kubeconfig_timeout: config.kubeconfig_timeout,
        phase1_timeout: config.phase1_timeout,
        phase1_settle: config.phase1_settle,
        phase1_expected: config.phase1_expected,
        proxy: config.proxy.clone(),
        destinations: outbound.destinations().clone(),
        outbound,
        secrets_ttl: config.secrets_ttl,
        limits: config.limits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_share_a_cache_of_providers_only_where_these_come_from_registries() {
        let cache = |pairs: &[(&str, &str)]| {
            let map = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            engine_settings(&Config::from_map(&map).unwrap(), Some("/cache".into())).plugin_cache_dir
        };
        assert_eq!(cache(&[]), Some("/cache/tofu-providers".into()));
        assert_eq!(cache(&[("CATALYST_PROVIDER_MIRROR", "/mirror")]), None);
    }
}
