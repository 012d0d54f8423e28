//! All plugins of a folder, as one map that is replaced as a whole. Calls in flight keep the plugin they began with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, MutexGuard, Semaphore};

use crate::cache::Cache;
use crate::engine::{self, Allocator};
use crate::error::{LoadError, SandboxError};
use crate::follow::Look;
use crate::gate::Gate;
use crate::lane::Lanes;
use crate::limits::{CALLS_AT_ONCE, PLUGINS_IN_FOLDER, Settings};
use crate::load::{self, Shared, blocking};
use crate::memo::Memo;
use crate::meters::SandboxStats;
use crate::provider::Origin;
use crate::served::Provider;
use crate::words;

/// Longest text on a file that does not serve.
const ERROR_BYTES: usize = 2048;

/// A component file that does not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadFailure {
    /// File name without a folder; the folder itself when that cannot be read.
    pub file: String,
    /// What is wrong with it, causes included.
    pub error: String,
    /// Whether an earlier component of the same file goes on serving.
    pub previous_serves: bool,
}

/// What became of a folder.
#[derive(Debug, Clone, Default)]
pub struct LoadReport {
    /// Plugins that serve now, by id.
    pub serving: Vec<Arc<Provider>>,
    /// Files that do not.
    pub failures: Vec<LoadFailure>,
}

#[derive(Default)]
struct Loaded {
    providers: BTreeMap<String, Arc<Provider>>,
    failures: Vec<LoadFailure>,
}

impl Loaded {
    fn serves_from(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default();
        self.providers.values().any(|provider| provider.file_name() == name)
    }
}

/// The plugins and the engine that runs them.
pub struct Sandbox {
    shared: Arc<Shared>,
    keys: Option<PathBuf>,
    loaded: ArcSwap<Loaded>,
    /// What the folder looked like when it was last loaded. Held during a load: two at once would each miss what the other
    /// found.
    loading: Mutex<Look>,
    counts: Counts,
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
            slots: Semaphore::new(CALLS_AT_ONCE as usize),
            lanes: Lanes::start().map_err(SandboxError::Lanes)?,
        };
        Ok(Arc::new(Self {
            shared: Arc::new(shared),
            keys: settings.keys,
            loaded: ArcSwap::default(),
            loading: Mutex::default(),
            counts: Counts::default(),
        }))
    }

    /// How memory for instances is given out on this machine.
    pub fn allocator(&self) -> Allocator {
        self.shared.target.allocator
    }

    /// Loads every `*.wasm` of a folder in the order of their names, and serves those that pass. A component that is
    /// unchanged is not loaded again; a bad new file leaves the old one of its name serving; a file that is gone ends its
    /// plugin. Where the folder has a `plugins.lock`, only what it names is loaded, byte for byte; where there are keys, only
    /// what one of them signed. A lock or keys that cannot be read let nothing new in.
    pub async fn load_folder(&self, dir: &Path) -> LoadReport {
        let mut seen = self.loading.lock().await;
        // Before the files are read: what changes meanwhile looks changed afterwards.
        *seen = self.look(dir).await;
        let old = self.loaded.load_full();
        let files = match list(dir).await {
            Ok(files) => files,
            Err(error) => return self.unreadable(dir, &error, &old),
        };
        let (folder, keys) = (dir.to_owned(), self.keys.clone());
        let gate = match blocking(move || Ok(Gate::read(&folder, keys.as_deref()))).await {
            Ok(Ok(gate)) => Arc::new(gate),
            Ok(Err(failure)) => return self.unusable(failure, &old),
            Err(error) => return self.unusable(LoadFailure::new(&dir.display().to_string(), &error), &old),
        };
        let mut files = files;
        // Who serves an id keeps it: a file that comes later and claims the same is the one that is refused.
        files.sort_by_key(|path| !old.serves_from(path));
        let mut new = Loaded::default();
        for (index, path) in files.into_iter().enumerate() {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let loaded = if index < PLUGINS_IN_FOLDER {
                self.load_file(path, &file, &old, &gate).await.and_then(|provider| {
                    gate.admit_descriptor(provider.descriptor())?;
                    unique(provider, &new)
                })
            } else {
                Err(LoadError::TooMany { limit: PLUGINS_IN_FOLDER })
            };
            match loaded {
                Ok(provider) => {
                    new.providers.insert(provider.descriptor().id.clone(), provider);
                }
                Err(error) => new.failures.push(LoadFailure::new(&file, &error)),
            }
        }
        keep_previous(&old, &mut new, &gate);
        self.publish(new, &old)
    }

    /// The plugin with this id.
    pub fn provider(&self, id: &str) -> Option<Arc<Provider>> {
        self.loaded.load().providers.get(id).cloned()
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

    pub(crate) async fn seen(&self) -> MutexGuard<'_, Look> {
        self.loading.lock().await
    }

    pub(crate) fn keys_file(&self) -> Option<&Path> {
        self.keys.as_deref()
    }

    async fn load_file(
        &self,
        path: PathBuf,
        file: &str,
        old: &Loaded,
        gate: &Arc<Gate>,
    ) -> Result<Arc<Provider>, LoadError> {
        let (limit, gate, file_name) = (self.shared.limits.of(file).component_bytes, Arc::clone(gate), file.to_owned());
        let (bytes, origin) = blocking(move || {
            let bytes = load::read(&path, limit)?;
            let digest = load::digest(&bytes);
            let signer = gate.admit(&path, &file_name, &digest, &bytes)?;
            Ok((bytes, Origin { file_name, digest, signer }))
        })
        .await?;
        let unchanged = |provider: &&Arc<Provider>| {
            provider.file_name() == file
                && provider.digest() == origin.digest
                && provider.signer() == origin.signer.as_ref()
        };
        if let Some(provider) = old.providers.values().find(unchanged) {
            return Ok(Arc::clone(provider));
        }
        let provider = load::load(&self.shared, origin, bytes).await?;
        self.counts.loaded.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(provider))
    }

    fn unreadable(&self, dir: &Path, error: &std::io::Error, old: &Loaded) -> LoadReport {
        let failure = LoadFailure {
            file: dir.display().to_string(),
            error: format!("cannot be read: {error}"),
            previous_serves: false,
        };
        self.unusable(failure, old)
    }

    /// Nothing can be said of the files, so what served goes on.
    fn unusable(&self, failure: LoadFailure, old: &Loaded) -> LoadReport {
        let failure = LoadFailure { previous_serves: !old.providers.is_empty(), ..failure };
        self.publish(Loaded { providers: old.providers.clone(), failures: vec![failure] }, old)
    }

    fn publish(&self, new: Loaded, old: &Loaded) -> LoadReport {
        self.counts.loads.fetch_add(1, Ordering::Relaxed);
        self.counts.load_failures.fetch_add(new.failures.len() as u64, Ordering::Relaxed);
        tell(old, &new);
        let report = LoadReport { serving: new.providers.values().cloned().collect(), failures: new.failures.clone() };
        self.loaded.store(Arc::new(new));
        report
    }
}

impl LoadFailure {
    /// The text of an error with its causes.
    pub(crate) fn new(file: &str, error: &LoadError) -> Self {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        // The engine's words quote names of the component.
        words::clean(&mut text);
        text.truncate(text.floor_char_boundary(ERROR_BYTES));
        Self { file: file.to_owned(), error: text, previous_serves: false }
    }
}

/// What changed, once: a folder that is read again and again says nothing new.
fn tell(old: &Loaded, new: &Loaded) {
    for failure in new.failures.iter().filter(|failure| !old.failures.contains(failure)) {
        tracing::error!(
            plugin.file = failure.file,
            plugin.previous_serves = failure.previous_serves,
            "plugin not loaded: {}",
            failure.error
        );
    }
    for (id, provider) in &new.providers {
        let before = old.providers.get(id).map(|before| before.digest());
        if before != Some(provider.digest()) {
            tracing::info!(
                plugin.id = id,
                plugin.file = provider.file_name(),
                plugin.version = provider.descriptor().version,
                plugin.digest = provider.digest(),
                plugin.imports = provider.imports().join(","),
                plugin.replaces = before,
                "plugin loaded"
            );
        }
    }
    for id in old.providers.keys().filter(|id| !new.providers.contains_key(*id)) {
        tracing::info!(plugin.id = id, "plugin gone");
    }
}

fn unique(provider: Arc<Provider>, new: &Loaded) -> Result<Arc<Provider>, LoadError> {
    match new.providers.get(&provider.descriptor().id) {
        Some(first) => {
            Err(LoadError::DuplicateId { id: provider.descriptor().id.clone(), other: first.file_name().to_owned() })
        }
        None => Ok(provider),
    }
}

/// A file that went bad leaves what it served before, unless another file took over its id or the operator allows it no more.
fn keep_previous(old: &Loaded, new: &mut Loaded, gate: &Gate) {
    for failure in &mut new.failures {
        let previous = old.providers.values().find(|provider| provider.file_name() == failure.file);
        if let Some(previous) = previous
            && !new.providers.contains_key(&previous.descriptor().id)
            && gate.still_admits(previous)
        {
            new.providers.insert(previous.descriptor().id.clone(), Arc::clone(previous));
            failure.previous_serves = true;
        }
    }
}

async fn list(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let dir = dir.to_owned();
    let list = move || {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&dir)? {
            let path = entry?.path();
            // Follows links: a mounted ConfigMap or Secret is made of them.
            if path.extension().is_some_and(|ext| ext == "wasm") && path.is_file() {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    };
    tokio::task::spawn_blocking(list).await.map_err(std::io::Error::other)?
}
