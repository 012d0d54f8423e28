//! One reading of the folder of plugins. What is quick serves first: nothing waits for a compiler that another file keeps busy.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use futures::{StreamExt, stream};

use crate::error::LoadError;
use crate::folder::{self, Candidate, Holds, Judged, Refusal, Refused};
use crate::follow::Look;
use crate::gate::Gate;
use crate::limits::PLUGINS_IN_FOLDER;
use crate::load::{self, Effort, blocking};
use crate::loaded::{LoadFailure, Loaded};
use crate::pins::{self, Before};
use crate::provider::Origin;
use crate::readmission::Admission;
use crate::sandbox::{LoadReport, Sandbox};
use crate::served::Provider;

/// Files that are read at the same time. Compilers run one after the other: each may take as much memory as there is for all.
const AT_ONCE: usize = 4;

/// What is kept from one reading to the next.
#[derive(Default)]
pub(crate) struct Readings {
    /// What the folder looked like.
    pub look: Look,
    refused: Refused,
    /// What was known of `plugins.lock`.
    before: Before,
    /// Whether something failed for a reason that may pass.
    trouble: bool,
}

impl Sandbox {
    /// Loads every `*.wasm` of a folder and serves those that pass. A component that is unchanged is not loaded again; a bad
    /// new file leaves the old one of its name serving; a file that is gone ends its plugin. Where the folder has a
    /// `plugins.lock`, only what it names is loaded, byte for byte; where there are keys, only what one of them signed. A lock
    /// or keys that cannot be read let nothing new in, and so does a lock that was there and is gone.
    pub async fn load_folder(&self, dir: &Path) -> LoadReport {
        let mut readings = self.readings().await;
        // Before the files are read: what changes meanwhile looks changed afterwards.
        let look = self.look(dir).await;
        match self.open(dir, &readings).await {
            Ok((gate, candidates)) => self.read(gate, candidates, dir, &look, &mut readings).await,
            Err(failure) => {
                readings.trouble = true;
                readings.before.lock |= pins::is_there(dir);
                readings.look = look;
                self.unusable(failure).await
            }
        }
    }

    /// Forgets what was refused: somebody wants it looked at anew.
    pub(crate) async fn forget_refused(&self) {
        self.readings().await.refused = Refused::default();
    }

    /// Whether the folder looks as it did when it was last read.
    pub(crate) async fn has_seen(&self, look: &Look) -> bool {
        self.readings().await.look == *look
    }

    /// Whether another reading of the same may come to more.
    pub(crate) async fn has_trouble(&self) -> bool {
        self.readings().await.trouble
    }

    async fn open(&self, dir: &Path, readings: &Readings) -> Result<(Arc<Gate>, Vec<Candidate>), LoadFailure> {
        let name = || dir.display().to_string();
        let candidates = folder::list(dir, &self.current()).await;
        let candidates = candidates.map_err(|error| LoadFailure::new(&name(), format!("cannot be read: {error}")))?;
        let (path, keys, before) = (dir.to_owned(), self.keys_file().map(Path::to_owned), readings.before);
        let gate = blocking(move || Ok(Gate::read(&path, keys.as_deref(), before))).await;
        let gate = gate.map_err(|error| LoadFailure::new(&name(), LoadFailure::text(&error)))??;
        Ok((Arc::new(gate), candidates))
    }

    async fn read(
        &self,
        gate: Arc<Gate>,
        mut candidates: Vec<Candidate>,
        dir: &Path,
        look: &Look,
        readings: &mut Readings,
    ) -> LoadReport {
        readings.before = gate.known();
        self.hold_to(&gate);
        let before = readings.before;
        for surplus in candidates.iter_mut().skip(PLUGINS_IN_FOLDER) {
            surplus.judged = Judged::Refused(Refusal::here(&LoadError::TooMany { limit: PLUGINS_IN_FOLDER }));
        }
        let (held, refused) = (self.current(), &readings.refused);
        stream::iter(candidates.iter_mut().filter(|candidate| candidate.is_open()))
            .for_each_concurrent(AT_ONCE, |candidate| self.judge(candidate, &held, &gate, refused, Effort::Glance))
            .await;
        // What is gone, or allowed no more, ends here.
        self.serve(folder::settle(&candidates, &held, &held, &gate).under(&gate)).await;
        // An update serves as soon as it is compiled. Newcomers, and updates that claim another id, are judged together, for two
        // may claim the same.
        let mut set_aside = Vec::new();
        let mut admission = Admission { dir, seen: look.clone(), gate, before };
        let (updates, newcomers): (Vec<usize>, Vec<usize>) = (0..candidates.len())
            .filter(|index| candidates[*index].is_open())
            .partition(|index| held.of_file(&candidates[*index].name).is_some());
        for index in updates.iter().chain(&newcomers) {
            // What was changed or taken back meanwhile comes first, so a reading ends with the compiler that is at work.
            if self.look(dir).await != *look {
                break;
            }
            self.compile(*index, &mut candidates, &held, refused, &mut admission).await;
            if candidates[*index].claims_another_id(&held) {
                set_aside.push((*index, std::mem::replace(&mut candidates[*index].judged, Judged::NotYet)));
            } else {
                self.serve(folder::settle(&candidates, &held, &self.current(), &admission.gate).under(&admission.gate))
                    .await;
            }
        }
        // Where it was broken off, or nobody waited for its end, it is not done, and not all who claim an id are known.
        let done = candidates.iter().filter(|candidate| candidate.is_open()).count() == set_aside.len();
        for (index, judged) in set_aside.into_iter().filter(|_| done) {
            candidates[index].judged = judged;
        }
        readings.look = if done { look.clone() } else { Look::default() };
        readings.before = admission.before;
        readings.refused = Refused::among(&candidates);
        readings.trouble = candidates.iter().any(Candidate::has_trouble);
        self.publish(folder::settle(&candidates, &held, &self.current(), &admission.gate).under(&admission.gate)).await
    }

    /// Judges a file that has to be compiled. What is taken back meanwhile ends at once: a compiler may take a minute.
    async fn compile(
        &self,
        index: usize,
        candidates: &mut [Candidate],
        held: &Loaded,
        refused: &Refused,
        admission: &mut Admission<'_>,
    ) {
        let (candidate, gate) = (candidates[index].unjudged(), Arc::clone(&admission.gate));
        let mut judging = pin!(self.try_load(&candidate, held, &gate, refused, Effort::Whole));
        let judged = loop {
            tokio::select! {
                judged = &mut judging => break judged.unwrap_or_else(Judged::Refused),
                seen = self.changed(admission.dir, &admission.seen) => admission.seen = seen,
            }
            self.readmit(candidates, admission).await;
            self.serve(folder::settle(candidates, held, &self.current(), &admission.gate).under(&admission.gate)).await;
        };
        // One that was taken back itself stays out.
        if candidates[index].is_open() {
            candidates[index].judged = judged;
        }
        let seen = self.look(admission.dir).await;
        if seen != admission.seen {
            admission.seen = seen;
            self.readmit(candidates, admission).await;
        }
    }

    /// Judges a file, or leaves it open when that needs more effort.
    async fn judge(
        &self,
        candidate: &mut Candidate,
        current: &Loaded,
        gate: &Arc<Gate>,
        refused: &Refused,
        effort: Effort,
    ) {
        let judged = self.try_load(candidate, current, gate, refused, effort).await;
        candidate.judged = judged.unwrap_or_else(Judged::Refused);
    }

    async fn try_load(
        &self,
        candidate: &Candidate,
        current: &Loaded,
        gate: &Arc<Gate>,
        refused: &Refused,
        effort: Effort,
    ) -> Result<Judged, Refusal> {
        let (path, name) = (candidate.path.clone(), candidate.name.clone());
        let (limit, asked) = (self.shared().limits.of(&name).component_bytes, Arc::clone(gate));
        let (bytes, origin) = blocking(move || {
            let bytes = load::read(&path, limit)?;
            let digest = load::digest(&bytes);
            let signer = asked.admit(&path, &name, &digest, &bytes)?;
            Ok((bytes, Origin { file_name: name, digest, signer }))
        })
        .await
        .map_err(|error| Refusal::here(&error))?;
        if let Some(refusal) = refused.recall(&origin.file_name, &origin.digest) {
            return Err(refusal);
        }
        let same = |provider: &&Arc<Provider>| {
            provider.digest() == origin.digest && provider.signer() == origin.signer.as_ref()
        };
        let provider = match current.of_file(&origin.file_name).filter(same) {
            Some(provider) => Arc::clone(provider),
            None => {
                let digest = origin.digest.clone();
                let loaded = load::load(self.shared(), origin, bytes, effort).await;
                let Some(provider) = loaded.map_err(|error| Refusal::of(digest, &error))? else {
                    return Ok(Judged::NotYet);
                };
                self.count_loaded();
                Arc::new(provider)
            }
        };
        gate.admit_descriptor(provider.file_name(), provider.descriptor()).map_err(|error| Refusal::here(&error))?;
        Ok(Judged::Fit(provider))
    }
}

impl Candidate {
    /// Whether it is still to be judged.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.judged, Judged::NotYet)
    }

    /// The same file, not judged yet.
    fn unjudged(&self) -> Self {
        Self { name: self.name.clone(), path: self.path.clone(), judged: Judged::NotYet }
    }

    /// Whether it is fit, and wants an id that its file does not have.
    fn claims_another_id(&self, held: &Loaded) -> bool {
        let Judged::Fit(provider) = &self.judged else { return false };
        held.of_file(&self.name).is_none_or(|before| before.descriptor().id != provider.descriptor().id)
    }

    fn has_trouble(&self) -> bool {
        matches!(&self.judged, Judged::Refused(refusal) if refusal.holds == Holds::Unknown)
    }
}
