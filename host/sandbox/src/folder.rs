//! One reading of the folder of plugins: what became of each file, and who serves then.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::LoadError;
use crate::gate::Gate;
use crate::sandbox::{LoadFailure, Loaded};
use crate::served::Provider;

/// What a file came to.
pub(crate) struct Outcome {
    /// Its name.
    pub file: String,
    /// The plugin, or why there is none.
    pub plugin: Result<Arc<Provider>, Refusal>,
}

/// Why a file does not serve.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    /// In words, causes included.
    pub text: String,
    /// Digest of the bytes, where they will never do better.
    pub never: Option<String>,
}

impl Refusal {
    /// One that depends on more than the bytes.
    pub fn now(error: &LoadError) -> Self {
        Self { text: LoadFailure::text(error), never: None }
    }

    /// One of these bytes.
    pub fn of(digest: String, error: &LoadError) -> Self {
        Self { never: error.is_final().then_some(digest), ..Self::now(error) }
    }
}

/// Files that were refused for what they are. A folder is read again whenever anything in it changes, and a component that
/// keeps the compiler busy for a minute must not do so each time.
#[derive(Debug, Default)]
pub(crate) struct Refused(HashMap<(String, String), Refusal>);

impl Refused {
    /// What these bytes came to before, under this name: limits go by the name.
    pub fn recall(&self, file: &str, digest: &str) -> Option<Refusal> {
        self.0.get(&(file.to_owned(), digest.to_owned())).cloned()
    }

    /// Those of a reading; what is gone is forgotten.
    pub fn among(outcomes: &[Outcome]) -> Self {
        let refused = outcomes.iter().filter_map(|outcome| {
            let refusal = outcome.plugin.as_ref().err()?;
            Some(((outcome.file.clone(), refusal.never.clone()?), refusal.clone()))
        });
        Self(refused.collect())
    }
}

/// Who serves after a reading. Who serves an id keeps it: a file that comes later and claims the same is refused. Where none
/// of those that claim it serves, none will: the order of names must not decide who gets a cloud's secrets.
pub(crate) fn settle(mut outcomes: Vec<Outcome>, old: &Loaded, gate: &Gate) -> Loaded {
    outcomes.sort_by(|one, other| one.file.cmp(&other.file));
    let mut new = Loaded::default();
    let mut claims: BTreeMap<String, Vec<Arc<Provider>>> = BTreeMap::new();
    for Outcome { file, plugin } in outcomes {
        match plugin {
            Ok(provider) => claims.entry(provider.descriptor().id.clone()).or_default().push(provider),
            Err(refusal) => new.failures.push(LoadFailure::new(&file, refusal.text)),
        }
    }
    for (id, claimants) in claims {
        let serves = |provider: &&Arc<Provider>| {
            old.providers.get(&id).is_some_and(|serving| serving.file_name() == provider.file_name())
        };
        let winner = if let [only] = claimants.as_slice() { Some(only) } else { claimants.iter().find(serves) };
        for loser in claimants.iter().filter(|claimant| winner.is_none_or(|winner| !Arc::ptr_eq(winner, claimant))) {
            let error = twice(&id, loser, winner, &claimants);
            new.failures.push(LoadFailure::new(loser.file_name(), LoadFailure::text(&error)));
        }
        if let Some(winner) = winner {
            new.providers.insert(id, Arc::clone(winner));
        }
    }
    new.failures.sort_by(|one, other| one.file.cmp(&other.file));
    keep_previous(old, &mut new, gate);
    new
}

fn twice(id: &str, loser: &Provider, winner: Option<&Arc<Provider>>, claimants: &[Arc<Provider>]) -> LoadError {
    let id = id.to_owned();
    match winner {
        Some(winner) => LoadError::DuplicateId { id, other: winner.file_name().to_owned() },
        None => {
            let others = claimants.iter().map(|other| other.file_name()).filter(|file| *file != loser.file_name());
            LoadError::ClaimedTwice { id, others: others.collect::<Vec<_>>().join(" and ") }
        }
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

/// Component files, those that serve first and else by name.
pub(crate) async fn list(dir: &Path, old: &Loaded) -> std::io::Result<Vec<PathBuf>> {
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
        Ok::<_, std::io::Error>(files)
    };
    let mut files = tokio::task::spawn_blocking(list).await.map_err(std::io::Error::other)??;
    files.sort_by_cached_key(|path| (!old.serves_from(path), path.clone()));
    Ok(files)
}
