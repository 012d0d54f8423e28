//! The files of the folder of plugins: what became of each, and who serves then.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::LoadError;
use crate::gate::Gate;
use crate::loaded::{LoadFailure, Loaded};
use crate::served::Provider;

/// A component file.
pub(crate) struct Candidate {
    /// Its name.
    pub name: String,
    pub path: PathBuf,
    pub judged: Judged,
}

/// What a file came to.
pub(crate) enum Judged {
    /// Its bytes are allowed and have to be compiled; what it served before goes on until then.
    NotYet,
    /// It may serve.
    Fit(Arc<Provider>),
    /// It may not.
    Refused(Refusal),
    /// It was there when the folder was read, and is there no more.
    Gone,
}

/// Why a file does not serve.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    /// In words, causes included.
    pub text: String,
    pub holds: Holds,
}

/// For how long a refusal holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holds {
    /// As long as the file has the bytes with this digest.
    WithBytes(String),
    /// Until something in the folder changes.
    InFolder,
    /// Until the operator grants what it wants. Its bytes are allowed, so what its file served before goes on.
    UntilGranted,
    /// Nobody knows: a disk, a compiler or a machine had trouble of its own.
    Unknown,
}

impl Refusal {
    /// One that depends on more than the bytes.
    pub fn here(error: &LoadError) -> Self {
        let holds = match error {
            LoadError::NotGranted { .. } => Holds::UntilGranted,
            error if error.passes() => Holds::Unknown,
            _ => Holds::InFolder,
        };
        Self { text: LoadFailure::text(error), holds }
    }

    /// One of these bytes.
    pub fn of(digest: String, error: &LoadError) -> Self {
        let here = Self::here(error);
        if here.holds == Holds::Unknown { here } else { Self { holds: Holds::WithBytes(digest), ..here } }
    }
}

/// Files that were refused for what they are. A folder is read again whenever anything in it changes, and a component that
/// keeps the compiler busy for a minute must not do so each time.
#[derive(Debug, Default)]
pub(crate) struct Refused(HashMap<(String, String), Refusal>);

impl Refused {
    /// What these bytes came to before, under this name: limits go by the name.
    pub fn recall(&self, name: &str, digest: &str) -> Option<Refusal> {
        self.0.get(&(name.to_owned(), digest.to_owned())).cloned()
    }

    /// Those of a reading; what is gone is forgotten.
    pub fn among(candidates: &[Candidate]) -> Self {
        let refused = candidates.iter().filter_map(|candidate| {
            let Judged::Refused(refusal) = &candidate.judged else { return None };
            let Holds::WithBytes(digest) = &refusal.holds else { return None };
            Some(((candidate.name.clone(), digest.clone()), refusal.clone()))
        });
        Self(refused.collect())
    }
}

/// Component files, those that serve first and else by name.
pub(crate) async fn list(dir: &Path, current: &Loaded) -> std::io::Result<Vec<Candidate>> {
    let dir = dir.to_owned();
    let list = move || {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ext| ext == "wasm") && is_candidate(&path) {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                files.push(Candidate { name, path, judged: Judged::NotYet });
            }
        }
        Ok::<_, std::io::Error>(files)
    };
    let mut files = tokio::task::spawn_blocking(list).await.map_err(std::io::Error::other)??;
    files.sort_by_cached_key(|file| (current.of_file(&file.name).is_none(), file.name.clone()));
    Ok(files)
}

/// Follows links: a mounted ConfigMap or Secret is made of them. Only what is surely gone is gone: a disk that has trouble must
/// not end a plugin, or give away its id.
pub(crate) fn is_candidate(path: &Path) -> bool {
    match std::fs::metadata(path) {
        Ok(data) => data.is_file(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// Who serves, as far as the files are judged. `held` is who served before this reading, `current` who serves now.
///
/// A file that is not fit leaves what it served before, unless the operator allows that no more. Who held an id keeps it: another
/// file that claims it is refused. Where none of those that claim it held it, none will: neither the order of names nor that of
/// the compiler may decide who gets a cloud's secrets.
pub(crate) fn settle(candidates: &[Candidate], held: &Loaded, current: &Loaded, gate: &Gate) -> Loaded {
    let mut new = Loaded::default();
    let mut claims: BTreeMap<&str, Vec<&Arc<Provider>>> = BTreeMap::new();
    for candidate in candidates {
        let previous = current.of_file(&candidate.name);
        let serves = match &candidate.judged {
            Judged::Fit(provider) => Some(provider),
            // An operator who pins an update takes the old pin away, and wants no gap between the two.
            Judged::NotYet => {
                let previous = previous.filter(|provider| gate.trusts(provider));
                new.failures.extend(current.failures.iter().filter(|old| old.file == candidate.name).cloned());
                previous
            }
            Judged::Refused(refusal) => {
                let stays = |provider: &&Arc<Provider>| match refusal.holds {
                    // As above: its pin is that of an update.
                    Holds::UntilGranted => gate.trusts(provider),
                    _ => gate.still_admits(provider),
                };
                let previous = previous.filter(stays);
                let failure = LoadFailure::new(&candidate.name, refusal.text.clone());
                new.failures.push(LoadFailure { previous_serves: previous.is_some(), ..failure });
                previous
            }
            Judged::Gone => None,
        };
        if let Some(provider) = serves {
            claims.entry(&provider.descriptor().id).or_default().push(provider);
        }
    }
    let mut losers = Vec::new();
    for (id, claimants) in claims {
        let holder = held.providers.get(id).map(|holder| holder.file_name());
        let winner = match claimants.as_slice() {
            [only] => Some(*only),
            several => several.iter().copied().find(|claimant| Some(claimant.file_name()) == holder),
        };
        for loser in claimants.iter().filter(|claimant| winner.is_none_or(|winner| !Arc::ptr_eq(winner, claimant))) {
            let error = twice(id, loser, winner, &claimants);
            losers.push(LoadFailure::new(loser.file_name(), LoadFailure::text(&error)));
        }
        if let Some(winner) = winner {
            new.providers.insert(id.to_owned(), Arc::clone(winner));
        }
    }
    // A file that was to serve another id, and may not, leaves what it served before, as one that is broken does.
    for mut failure in losers {
        let previous = held.of_file(&failure.file).filter(|provider| gate.still_admits(provider));
        if let Some(previous) = previous
            && !new.providers.contains_key(&previous.descriptor().id)
        {
            new.providers.insert(previous.descriptor().id.clone(), Arc::clone(previous));
            failure.previous_serves = true;
        }
        new.failures.push(failure);
    }
    new.failures.sort_by(|one, other| one.file.cmp(&other.file));
    new
}

fn twice(id: &str, loser: &Provider, winner: Option<&Arc<Provider>>, claimants: &[&Arc<Provider>]) -> LoadError {
    let id = id.to_owned();
    match winner {
        Some(winner) => LoadError::DuplicateId { id, other: winner.file_name().to_owned() },
        None => {
            let others = claimants.iter().map(|other| other.file_name()).filter(|file| *file != loser.file_name());
            let mut others: Vec<&str> = others.collect();
            others.sort_unstable();
            LoadError::ClaimedTwice { id, others: others.join(" and ") }
        }
    }
}
