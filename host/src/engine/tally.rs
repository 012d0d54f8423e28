//! How many runs go on, wait, and ended how: plain counts for whoever asks.

use super::command::RunStep;
use super::run::Aim;
use super::{RunError, RunErrorKind};
use crate::egress::RefusalRule;
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
    /// Connections of runs that were not made: the step, the rule, and how many.
    pub refused: Vec<(&'static str, &'static str, u64)>,
}

/// The counts.
#[derive(Default)]
pub(super) struct Tally(Mutex<Counts>);

struct Counts {
    running: usize,
    waiting: usize,
    ended: BTreeMap<(&'static str, &'static str), u64>,
    refused: BTreeMap<(&'static str, &'static str), u64>,
}

impl Default for Counts {
    /// Every way to end, and every way to be refused, is there from the start, at 0, so that the first one is seen to be one more.
    fn default() -> Self {
        let ends = || RunErrorKind::ALL.map(Some).into_iter().chain([None]);
        let each = Aim::ALL.into_iter().flat_map(|aim| ends().map(move |end| ((aim.as_str(), word(end)), 0)));
        let every =
            RunStep::ALL.iter().flat_map(|step| RefusalRule::ALL.map(|rule| ((step.as_str(), rule.as_str()), 0)));
        Self { running: 0, waiting: 0, ended: each.collect(), refused: every.collect() }
    }
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
        let outcome = word(outcome.as_ref().err().map(|error| error.kind));
        *self.counts().ended.entry((aim.as_str(), outcome)).or_default() += 1;
    }

    /// The proxy of a run did not make connections in a step.
    pub fn refused(&self, step: RunStep, counts: &[(RefusalRule, u64)]) {
        let mut all = self.counts();
        for (rule, count) in counts {
            *all.refused.entry((step.as_str(), rule.as_str())).or_default() += count;
        }
    }

    /// The counts of now.
    pub fn load(&self) -> Load {
        let counts = self.counts();
        let listed = |counts: &BTreeMap<(&'static str, &'static str), u64>| {
            counts.iter().map(|((first, second), count)| (*first, *second, *count)).collect()
        };
        let (ended, refused) = (listed(&counts.ended), listed(&counts.refused));
        Load { running: counts.running, waiting: counts.waiting, ended, refused }
    }

    fn at(&self, place: Place) -> Counted<'_> {
        *self.counts().at(place) += 1;
        Counted { tally: self, place }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a run ended.
fn word(error: Option<RunErrorKind>) -> &'static str {
    match error {
        None => "done",
        Some(RunErrorKind::Failed) => "failed",
        Some(RunErrorKind::Timeout) => "timeout",
        Some(RunErrorKind::Stopped) => "stopped",
        Some(RunErrorKind::Staging) => "staging",
        Some(RunErrorKind::Storage) => "storage",
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
