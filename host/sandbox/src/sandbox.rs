//! All plugins of a folder, as one map that is replaced as a whole. Calls in flight keep the plugin they began with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, Semaphore};

use crate::cache::Cache;
use crate::engine::{self, Allocator};
use crate::error::{LoadError, SandboxError};
use crate::lane::Lanes;
use crate::limits::{CALLS_AT_ONCE, PLUGINS_IN_FOLDER, Settings};
use crate::load::{self, Shared};
use crate::pins::{self, Pins};
use crate::served::Provider;

/// A component file that does not serve.
#[derive(Debug, Clone)]
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

/// The plugins and the engine that runs them.
pub struct Sandbox {
    shared: Arc<Shared>,
    allocator: Allocator,
    loaded: ArcSwap<Loaded>,
    /// Two loads at once would each miss what the other found.
    loading: Mutex<()>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let loaded = self.loaded.load();
        f.debug_struct("Sandbox")
            .field("allocator", &self.allocator)
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
        let (engine, allocator) = engine::start(&settings.limits)?;
        engine::start_ticker(&engine)?;
        let cache = settings.cache_dir.as_deref().map(Cache::open).transpose().map_err(SandboxError::Cache)?;
        let shared = Shared {
            linker: load::linker(&engine)?,
            engine,
            limits: settings.limits,
            cache,
            slots: Semaphore::new(CALLS_AT_ONCE as usize),
            lanes: Lanes::start().map_err(SandboxError::Lanes)?,
        };
        Ok(Arc::new(Self { shared: Arc::new(shared), allocator, loaded: ArcSwap::default(), loading: Mutex::new(()) }))
    }

    /// How memory for instances is given out on this machine.
    pub fn allocator(&self) -> Allocator {
        self.allocator
    }

    /// Loads every `*.wasm` of a folder in the order of their names, and serves those that pass. A component that is
    /// unchanged is not loaded again; a bad new file leaves the old one of its name serving; a file that is gone ends its
    /// plugin. Where the folder has a `plugins.lock`, only what it names is loaded, byte for byte; one that cannot be read
    /// lets nothing new in.
    pub async fn load_folder(&self, dir: &Path) -> LoadReport {
        let _one_at_a_time = self.loading.lock().await;
        let old = self.loaded.load_full();
        let files = match list(dir).await {
            Ok(files) => files,
            Err(error) => return self.unreadable(dir, &error, &old),
        };
        let folder = dir.to_owned();
        let pins = match blocking(move || Pins::read(&folder)).await {
            Ok(pins) => pins,
            Err(error) => return self.unusable(failure(pins::FILE.to_owned(), &error), &old),
        };
        let mut new = Loaded::default();
        for (index, path) in files.into_iter().enumerate() {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let loaded = if index < PLUGINS_IN_FOLDER {
                self.load_file(path, &file, &old, &pins).await.and_then(|provider| {
                    pins.allow_providers(provider.descriptor())?;
                    unique(provider, &new)
                })
            } else {
                Err(LoadError::TooMany { limit: PLUGINS_IN_FOLDER })
            };
            match loaded {
                Ok(provider) => {
                    new.providers.insert(provider.descriptor().id.clone(), provider);
                }
                Err(error) => new.failures.push(failure(file, &error)),
            }
        }
        keep_previous(&old, &mut new, &pins);
        for failure in &new.failures {
            tracing::error!(
                plugin.file = failure.file,
                plugin.previous_serves = failure.previous_serves,
                "plugin not loaded: {}",
                failure.error
            );
        }
        self.publish(new)
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

    async fn load_file(
        &self,
        path: PathBuf,
        file: &str,
        old: &Loaded,
        pins: &Pins,
    ) -> Result<Arc<Provider>, LoadError> {
        let limits = self.shared.limits.clone();
        let (bytes, digest) = blocking(move || {
            let bytes = load::read(&path, &limits)?;
            let digest = load::digest(&bytes);
            Ok((bytes, digest))
        })
        .await?;
        pins.allow(file, &digest)?;
        let unchanged = |provider: &&Arc<Provider>| provider.file_name() == file && provider.digest() == digest;
        if let Some(provider) = old.providers.values().find(unchanged) {
            return Ok(Arc::clone(provider));
        }
        load::load(&self.shared, file, bytes).await.map(Arc::new)
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
        tracing::error!(plugin.file = failure.file, "no plugin is loaded: {}", failure.error);
        self.publish(Loaded { providers: old.providers.clone(), failures: vec![failure] })
    }

    fn publish(&self, new: Loaded) -> LoadReport {
        let report = LoadReport { serving: new.providers.values().cloned().collect(), failures: new.failures.clone() };
        self.loaded.store(Arc::new(new));
        report
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
fn keep_previous(old: &Loaded, new: &mut Loaded, pins: &Pins) {
    for failure in &mut new.failures {
        let previous = old.providers.values().find(|provider| provider.file_name() == failure.file);
        if let Some(previous) = previous
            && !new.providers.contains_key(&previous.descriptor().id)
            && pins.allow(&failure.file, previous.digest()).is_ok()
            && pins.allow_providers(previous.descriptor()).is_ok()
        {
            new.providers.insert(previous.descriptor().id.clone(), Arc::clone(previous));
            failure.previous_serves = true;
        }
    }
}

/// The text of an error with its causes.
fn failure(file: String, error: &LoadError) -> LoadFailure {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    LoadFailure { file, error: text, previous_serves: false }
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

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| LoadError::Read(std::io::Error::other(error)))?
}
