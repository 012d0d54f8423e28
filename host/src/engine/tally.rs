//! How many runs go on, wait, and ended how: plain counts for whoever asks.

use super::run::Aim;
use super::{RunError, RunErrorKind};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Runs at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Load {
    /// Runs that go on.
    pub running: usize,
    /// Runs that wait for their turn.
    pub waiting: usize,
    /// What a run was for, how it ended, and how many did.
    pub ended: Vec<(&'static str, &'static str, u64)>,
}

/// The counts.
#[derive(Default)]
pub(super) struct Tally(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    running: usize,
    waiting: usize,
    ended: BTreeMap<(&'static str, &'static str), u64>,
}

/// Where a run is, until this is dropped.
pub(super) struct Counted<'a> {
    tally: &'a Tally,
    place: Place,
}

#[derive(Clone, Copy)]
enum Place {
    Running,
    Waiting,
}

impl Tally {
    /// A run goes on.
    pub fn running(&self) -> Counted<'_> {
        self.at(Place::Running)
    }

    /// A run waits.
    pub fn waiting(&self) -> Counted<'_> {
        self.at(Place::Waiting)
    }

    /// A run ended.
    pub fn ended<T>(&self, aim: Aim, outcome: &Result<T, RunError>) {
        let aim = match aim {
            Aim::Apply => "apply",
            Aim::Destroy => "destroy",
        };
        let outcome = match outcome.as_ref().map_err(|error| error.kind) {
            Ok(_) => "done",
            Err(RunErrorKind::Failed) => "failed",
            Err(RunErrorKind::Timeout) => "timeout",
            Err(RunErrorKind::Stopped) => "stopped",
            Err(RunErrorKind::Staging) => "staging",
            Err(RunErrorKind::Storage) => "storage",
        };
        *self.counts().ended.entry((aim, outcome)).or_default() += 1;
    }

    /// The counts of now.
    pub fn load(&self) -> Load {
        let counts = self.counts();
        let ended = counts.ended.iter().map(|((aim, outcome), count)| (*aim, *outcome, *count)).collect();
        Load { running: counts.running, waiting: counts.waiting, ended }
    }

    fn at(&self, place: Place) -> Counted<'_> {
        *self.counts().at(place) += 1;
        Counted { tally: self, place }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn at(&mut self, place: Place) -> &mut usize {
        match place {
            Place::Running => &mut self.running,
            Place::Waiting => &mut self.waiting,
        }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let mut counts = self.tally.counts();
        let count = counts.at(self.place);
        *count = count.saturating_sub(1);
    }
}
