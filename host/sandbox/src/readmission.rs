//! What is taken back while a component is being compiled: a compiler may take a minute, and a pin, a key or a file that is gone
//! must not go on for that long.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::LoadError;
use crate::folder::{Candidate, Judged, Refusal, is_candidate};
use crate::follow::Look;
use crate::gate::Gate;
use crate::load::{self, blocking};
use crate::pins::Before;
use crate::sandbox::Sandbox;

/// How often the folder is looked at while a compiler is at work, and how long it has to hold still: a lock or a file that is
/// being written must not be taken for one that is cut short.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Looks after which a folder that never holds still is read all the same.
const RESTLESS_LOOKS: usize = 20;

/// Who may serve, as far as it is known while a folder is read.
pub(crate) struct Admission<'a> {
    pub dir: &'a Path,
    /// What the folder looked like when this was last known.
    pub seen: Look,
    pub gate: Arc<Gate>,
    /// What was known of the lock when the folder was read.
    pub before: Before,
}

impl Sandbox {
    /// Returns when the folder looks different from `seen` and holds still, with what it looks like.
    pub(crate) async fn changed(&self, dir: &Path, seen: &Look) -> Look {
        let (mut last, mut restless) = (seen.clone(), 0);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.look(dir).await;
            restless = if now == *seen { 0 } else { restless + 1 };
            if now != *seen && (now == last || restless > RESTLESS_LOOKS) {
                return now;
            }
            last = now;
        }
    }

    /// Holds every file against the lock and the keys as they are now. One that may serve and has the bytes that were judged
    /// stays as it was judged; one with other bytes is judged in the next reading, and what it served goes on until then where the
    /// operator allows those bytes; one that is gone, or not allowed any more, ends. A lock or keys that cannot be read change
    /// nothing.
    pub(crate) async fn readmit(&self, candidates: &mut [Candidate], admission: &mut Admission<'_>) {
        let (dir, keys, before) = (admission.dir.to_owned(), self.keys_file().map(Path::to_owned), admission.before);
        let Ok(Ok(gate)) = blocking(move || Ok(Gate::read(&dir, keys.as_deref(), before))).await else { return };
        admission.before = gate.known();
        admission.gate = Arc::new(gate);
        self.hold_to(&admission.gate);
        for candidate in candidates {
            let judged = self.judged_anew(candidate, &admission.gate).await;
            if let Some(judged) = judged {
                candidate.judged = judged;
            }
        }
    }

    /// What a file is now; `None` where it is what it was.
    async fn judged_anew(&self, candidate: &Candidate, gate: &Arc<Gate>) -> Option<Judged> {
        let (path, name, gate_then) = (candidate.path.clone(), candidate.name.clone(), Arc::clone(gate));
        let limit = self.shared().limits.of(&name).component_bytes;
        let admitted = blocking(move || {
            if !is_candidate(&path) {
                return Ok(None);
            }
            let bytes = load::read(&path, limit)?;
            let digest = load::digest(&bytes);
            let signer = gate_then.admit(&path, &name, &digest, &bytes)?;
            Ok(Some((digest, signer)))
        });
        let refused = |error: &LoadError| Some(Judged::Refused(Refusal::here(error)));
        match (admitted.await, &candidate.judged) {
            (Ok(None), _) => Some(Judged::Gone),
            (Err(error), _) => refused(&error),
            (Ok(Some((digest, signer))), Judged::Fit(provider)) => {
                if provider.digest() != digest || provider.signer() != signer.as_ref() {
                    return Some(Judged::NotYet);
                }
                gate.admit_descriptor(&candidate.name, provider.descriptor()).err().and_then(|error| refused(&error))
            }
            (Ok(Some(_)), _) => None,
        }
    }
}
