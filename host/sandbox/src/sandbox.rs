//! All plugins of a folder, as one map that is replaced as a whole. Calls in flight keep the plugin they began with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use futures::{StreamExt, stream};
use tokio::sync::{Mutex, Semaphore};

use crate::cache::Cache;
use crate::engine::{self, Allocator};
use crate::error::{LoadError, SandboxError};
use crate::folder::{self, Outcome, Refusal, Refused};
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

/// Files that are loaded at the same time, so that one that keeps the compiler busy does not hold up all others.
const AT_ONCE: usize = 2;

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

/// Who serves, and who does not.
#[derive(Default)]
pub(crate) struct Loaded {
    pub providers: BTreeMap<String, Arc<Provider>>,
    pub failures: Vec<LoadFailure>,
}

impl Loaded {
    /// Whether a plugin of this file serves.
    pub fn serves_from(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default();
        self.providers.values().any(|provider| provider.file_name() == name)
    }
}

/// The plugins and the engine that runs them.
pub struct Sandbox {
    shared: Arc<Shared>,
    keys: Option<PathBuf>,
    loaded: ArcSwap<Loaded>,
    /// Held during a load: two at once would each miss what the other found.
    reading: Mutex<Reading>,
    counts: Counts,
}

/// What is kept from one load to the next.
#[derive(Default)]
struct Reading {
    /// What the folder looked like.
    look: Look,
    refused: Refused,
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
            reading: Mutex::default(),
            counts: Counts::default(),
        }))
    }

    /// How memory for instances is given out on this machine.
    pub fn allocator(&self) -> Allocator {
        self.shared.target.allocator
    }

    /// Loads every `*.wasm` of a folder and serves those that pass. A component that is unchanged is not loaded again; a bad
    /// new file leaves the old one of its name serving; a file that is gone ends its plugin. Where the folder has a
    /// `plugins.lock`, only what it names is loaded, byte for byte; where there are keys, only what one of them signed. A lock
    /// or keys that cannot be read let nothing new in.
    pub async fn load_folder(&self, dir: &Path) -> LoadReport {
        let mut reading = self.reading.lock().await;
        // Before the files are read: what changes meanwhile looks changed afterwards.
        reading.look = self.look(dir).await;
        let old = self.loaded.load_full();
        let files = match folder::list(dir, &old).await {
            Ok(files) => files,
            Err(error) => return self.unreadable(dir, &error, &old),
        };
        let (path, keys) = (dir.to_owned(), self.keys.clone());
        let gate = match blocking(move || Ok(Gate::read(&path, keys.as_deref()))).await {
            Ok(Ok(gate)) => Arc::new(gate),
            Ok(Err(failure)) => return self.unusable(failure, &old),
            Err(error) => {
                return self.unusable(LoadFailure::new(&dir.display().to_string(), LoadFailure::text(&error)), &old);
            }
        };
        let old = self.revoke(old, &gate);
        let files = stream::iter(files.into_iter().enumerate());
        let outcomes: Vec<Outcome> = files
            .map(|(index, path)| self.read(index, path, &old, &gate, &reading.refused))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        reading.refused = Refused::among(&outcomes);
        self.publish(folder::settle(outcomes, &old, &gate), &old)
    }

    /// What was refused is looked at again, as if it had not been seen before.
    pub(crate) async fn forget_refused(&self) {
        self.reading.lock().await.refused = Refused::default();
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

    /// Whether the folder looks as it did when it was last loaded.
    pub(crate) async fn has_seen(&self, look: &Look) -> bool {
        self.reading.lock().await.look == *look
    }

    pub(crate) fn keys_file(&self) -> Option<&Path> {
        self.keys.as_deref()
    }

    async fn read(&self, index: usize, path: PathBuf, old: &Loaded, gate: &Arc<Gate>, refused: &Refused) -> Outcome {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let plugin = if index < PLUGINS_IN_FOLDER {
            self.load_file(path, &file, old, gate, refused).await
        } else {
            Err(Refusal::now(&LoadError::TooMany { limit: PLUGINS_IN_FOLDER }))
        };
        Outcome { file, plugin }
    }

    async fn load_file(
        &self,
        path: PathBuf,
        file: &str,
        old: &Loaded,
        gate: &Arc<Gate>,
        refused: &Refused,
    ) -> Result<Arc<Provider>, Refusal> {
        let (limit, asked, file_name) =
            (self.shared.limits.of(file).component_bytes, Arc::clone(gate), file.to_owned());
        let (bytes, origin) = blocking(move || {
            let bytes = load::read(&path, limit)?;
            let digest = load::digest(&bytes);
            let signer = asked.admit(&path, &file_name, &digest, &bytes)?;
            Ok((bytes, Origin { file_name, digest, signer }))
        })
        .await
        .map_err(|error| Refusal::now(&error))?;
        if let Some(refusal) = refused.recall(file, &origin.digest) {
            return Err(refusal);
        }
        let unchanged = |provider: &&Arc<Provider>| {
            provider.file_name() == file
                && provider.digest() == origin.digest
                && provider.signer() == origin.signer.as_ref()
        };
        let provider = match old.providers.values().find(unchanged) {
            Some(provider) => Arc::clone(provider),
            None => {
                let digest = origin.digest.clone();
                let loaded = load::load(&self.shared, origin, bytes).await;
                let provider = loaded.map_err(|error| Refusal::of(digest, &error))?;
                self.counts.loaded.fetch_add(1, Ordering::Relaxed);
                Arc::new(provider)
            }
        };
        gate.admit_descriptor(provider.descriptor()).map_err(|error| Refusal::now(&error))?;
        Ok(provider)
    }

    /// Ends at once what the operator allows no more: loading what is new may take a minute.
    fn revoke(&self, old: Arc<Loaded>, gate: &Gate) -> Arc<Loaded> {
        let (allowed, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            old.providers.clone().into_iter().partition(|(_, provider)| gate.still_admits(provider));
        if gone.is_empty() {
            return old;
        }
        let left = Arc::new(Loaded { providers: allowed, failures: old.failures.clone() });
        tell(&old, &left);
        self.loaded.store(Arc::clone(&left));
        left
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
    pub(crate) fn new(file: &str, error: String) -> Self {
        Self { file: file.to_owned(), error, previous_serves: false }
    }

    /// The text of an error with its causes.
    pub(crate) fn text(error: &LoadError) -> String {
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
        text
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
