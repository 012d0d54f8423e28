//! All plugins of a folder, as one map that is replaced as a whole. Calls in flight keep the plugin they began with.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Mutex, MutexGuard, Semaphore};

use crate::cache::Cache;
use crate::engine::{self, Allocator};
use crate::error::SandboxError;
use crate::gate::Gate;
use crate::lane::Lanes;
use crate::ledger::{GrantChange, Ledger};
use crate::limits::{CALLS_AT_ONCE, Settings};
use crate::load::{self, Shared};
use crate::loaded::{LoadFailure, Loaded, tell};
use crate::memo::Memo;
use crate::meters::SandboxStats;
use crate::reading::Readings;
use crate::served::Provider;

/// What became of a folder.
#[derive(Debug, Clone, Default)]
pub struct LoadReport {
    /// Plugins that serve now, by id.
    pub serving: Vec<Arc<Provider>>,
    /// Files that do not.
    pub failures: Vec<LoadFailure>,
}

/// The plugins and the engine that runs them.
pub struct Sandbox {
    shared: Arc<Shared>,
    keys: Option<PathBuf>,
    loaded: ArcSwap<Loaded>,
    /// What the operator's files said at the last load.
    gate: ArcSwap<Gate>,
    /// Held during a load: two at once would each miss what the other found.
    readings: Mutex<Readings>,
    counts: Counts,
    ledger: Ledger,
}

/// See [`SandboxStats`].
#[derive(Default)]
struct Counts {
    loads: AtomicU64,
    loaded: AtomicU64,
    load_failures: AtomicU64,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let loaded = self.loaded.load();
        f.debug_struct("Sandbox")
            .field("allocator", &self.allocator())
            .field("providers", &loaded.providers.keys())
            .finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Starts the engine and its clock. No plugin is loaded yet.
    ///
    /// # Errors
    /// When the engine cannot start, or the cache folder was given and cannot be used.
    pub fn new(settings: Settings) -> Result<Arc<Self>, SandboxError> {
        let (engine, target) = engine::start(&settings.limits)?;
        engine::start_ticker(&engine)?;
        let cache = settings.cache_dir.as_deref().map(Cache::open).transpose().map_err(SandboxError::Cache)?;
        let shared = Shared {
            linker: load::linker(&engine)?,
            engine,
            target,
            limits: settings.limits,
            compile: settings.compile,
            cache,
            memo: Memo::new(settings.memo_bytes),
            slots: Arc::new(Semaphore::new(CALLS_AT_ONCE as usize)),
            lanes: Lanes::start().map_err(SandboxError::Lanes)?,
            suspension: settings.suspension,
            recorder: settings.recorder,
        };
        Ok(Arc::new(Self {
            shared: Arc::new(shared),
            keys: settings.keys,
            loaded: ArcSwap::default(),
            gate: ArcSwap::default(),
            readings: Mutex::default(),
            counts: Counts::default(),
            ledger: Ledger::default(),
        }))
    }

    /// How memory for instances is given out on this machine.
    pub fn allocator(&self) -> Allocator {
        self.shared.target.allocator
    }

    /// The plugin with this id.
    pub fn provider(&self, id: &str) -> Option<Arc<Provider>> {
        self.loaded.load().providers.get(id).cloned()
    }

    /// Whether a grant, as the line that once stood for it in `plugins.lock`, was taken back since: the lock still speaks of its file,
    /// and grants it no more.
    pub fn took_back(&self, grant: &str) -> bool {
        self.gate.load().took_back(grant)
    }

    pub(crate) fn hold_to(&self, gate: &Arc<Gate>) {
        self.gate.store(Arc::clone(gate));
    }

    /// All plugins that serve, by id.
    pub fn providers(&self) -> Vec<Arc<Provider>> {
        self.loaded.load().providers.values().cloned().collect()
    }

    /// The files that did not pass at the last load.
    pub fn failures(&self) -> Vec<LoadFailure> {
        self.loaded.load().failures.clone()
    }

    /// Counts of the sandbox as a whole; those of a plugin are its own `stats`.
    pub fn stats(&self) -> SandboxStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (memo_bytes, answers) = self.shared.memo.as_ref().map(Memo::size).unwrap_or_default();
        SandboxStats {
            loads: read(&self.counts.loads),
            loaded: read(&self.counts.loaded),
            load_failures: read(&self.counts.load_failures),
            memo_bytes,
            memo_answers: answers as u64,
        }
    }

    /// Every change of what plugins are granted from now on, and what those that serve were granted so far. `None` when it was
    /// asked for before.
    pub fn grant_changes(&self) -> Option<UnboundedReceiver<GrantChange>> {
        self.ledger.changes()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Who serves now.
    pub(crate) fn current(&self) -> Arc<Loaded> {
        self.loaded.load_full()
    }

    pub(crate) async fn readings(&self) -> MutexGuard<'_, Readings> {
        self.readings.lock().await
    }

    pub(crate) fn count_loaded(&self) {
        self.counts.loaded.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn keys_file(&self) -> Option<&Path> {
        self.keys.as_deref()
    }

    /// Nothing can be said of the files, so what served goes on.
    pub(crate) async fn unusable(&self, failure: LoadFailure) -> LoadReport {
        let current = self.current();
        let failure = LoadFailure { previous_serves: !current.providers.is_empty(), ..failure };
        self.publish(Loaded { providers: current.providers.clone(), failures: vec![failure] }).await
    }

    /// What a reading came to.
    pub(crate) async fn publish(&self, new: Loaded) -> LoadReport {
        self.counts.loads.fetch_add(1, Ordering::Relaxed);
        self.counts.load_failures.fetch_add(new.failures.len() as u64, Ordering::Relaxed);
        let report = LoadReport { serving: new.providers.values().cloned().collect(), failures: new.failures.clone() };
        self.serve(new).await;
        report
    }

    /// From now on these serve.
    pub(crate) async fn serve(&self, new: Loaded) {
        let new = Arc::new(new);
        tell(&self.current(), &new);
        self.ledger.note(&new);
        self.loaded.store(Arc::clone(&new));
        for provider in new.providers.values() {
            load::keep(&self.shared, provider).await;
        }
    }
}
