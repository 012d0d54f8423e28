//! Deployments of each subject that are live, and those whose run waits. A create takes a slot before it does anything costly
//! and gives it back unless it made a deployment, so that of racing creates exactly as many pass as there are slots.

use super::Subject;
use catalyst_domain::DeploymentId;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Deployments of a subject that are always looked at anew before it is refused; with more of them, only so often: a look asks
/// for the record of each.
const LOOKED_AT_EACH_TIME: usize = 64;
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Why no slot is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiveFault {
    /// So many deployments of this subject are live.
    Live(usize),
    /// So many runs of this subject wait.
    Waiting(usize),
}

/// Runs at this moment, as the order of runs tells them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunGoing {
    /// Of this subject.
    pub running: usize,
    /// Places that are free.
    pub free: usize,
}

/// The deployments of all subjects.
pub struct Ledger {
    most_live: usize,
    most_waiting: usize,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    subjects: HashMap<Subject, Held>,
    /// Whose a deployment is; kept as long as the process lives, as its record is.
    owners: HashMap<DeploymentId, Subject>,
    /// Those whose next run takes up one that failed.
    retried: HashSet<DeploymentId>,
}

#[derive(Default)]
struct Held {
    /// Slots of creates that are not done.
    pending: usize,
    live: HashSet<DeploymentId>,
    /// Those whose run was asked for and has not ended.
    runs: HashSet<DeploymentId>,
    looked: Option<Instant>,
}

/// Room for one more deployment, until it is dropped or a deployment has taken it.
pub struct Slot {
    ledger: Arc<Ledger>,
    subject: Subject,
}

impl Ledger {
    /// A ledger with these limits for each subject.
    pub fn new(most_live: usize, most_waiting: usize) -> Arc<Self> {
        Arc::new(Self { most_live, most_waiting, book: Mutex::default() })
    }

    /// Takes a slot. `is_live` is asked for deployments that may have ended meanwhile.
    ///
    /// # Errors
    /// [`LiveFault`].
    pub fn take(
        self: &Arc<Self>,
        subject: &Subject,
        going: RunGoing,
        is_live: impl Fn(&DeploymentId) -> bool,
    ) -> Result<Slot, LiveFault> {
        let mut book = self.book();
        let held = book.subjects.entry(subject.clone()).or_default();
        if held.pending + held.live.len() >= self.most_live {
            held.look(&is_live);
        }
        let fault = if held.pending + held.live.len() >= self.most_live {
            Some(LiveFault::Live(self.most_live))
        } else if held.pending + held.runs.len() >= self.most_waiting + going.free + going.running {
            // A run that goes on is among those that were asked for, and so is one that a free place would take at once.
            Some(LiveFault::Waiting(self.most_waiting))
        } else {
            held.pending += 1;
            None
        };
        book.forget_if_empty(subject);
        fault.map_or_else(|| Ok(Slot { ledger: self.clone(), subject: subject.clone() }), Err)
    }

    /// A deployment that was there before begins again, or goes on after a start.
    pub fn begins(&self, id: &DeploymentId, creator: Option<Subject>) {
        let mut book = self.book();
        let owner = book.owners.get(id).cloned().or(creator).unwrap_or_else(Subject::unknown);
        book.owners.insert(id.clone(), owner.clone());
        book.subjects.entry(owner).or_default().live.insert(id.clone());
    }

    /// Its run was asked for.
    pub fn run_begins(&self, id: &DeploymentId) {
        let mut book = self.book();
        let owner = book.owner(id);
        book.subjects.entry(owner).or_default().runs.insert(id.clone());
    }

    /// Its next run takes up one that failed.
    pub fn mark_retried(&self, id: &DeploymentId) {
        self.book().retried.insert(id.clone());
    }

    /// Whether the run that begins takes up one that failed; told once.
    pub fn take_retry_mark(&self, id: &DeploymentId) -> bool {
        self.book().retried.remove(id)
    }

    /// Its run ended.
    pub fn run_ends(&self, id: &DeploymentId) {
        let mut book = self.book();
        let owner = book.owner(id);
        if let Some(held) = book.subjects.get_mut(&owner) {
            held.runs.remove(id);
        }
        book.forget_if_empty(&owner);
    }

    /// It came to its end.
    pub fn ends(&self, id: &DeploymentId) {
        let mut book = self.book();
        let owner = book.owner(id);
        if let Some(held) = book.subjects.get_mut(&owner) {
            held.live.remove(id);
            held.runs.remove(id);
        }
        book.forget_if_empty(&owner);
    }

    /// Whose it is, as far as this process knows.
    pub fn owner(&self, id: &DeploymentId) -> Subject {
        self.book().owner(id)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn owner(&self, id: &DeploymentId) -> Subject {
        self.owners.get(id).cloned().unwrap_or_else(Subject::unknown)
    }

    fn forget_if_empty(&mut self, subject: &Subject) {
        let is_empty = |held: &Held| held.pending == 0 && held.live.is_empty() && held.runs.is_empty();
        if self.subjects.get(subject).is_some_and(is_empty) {
            self.subjects.remove(subject);
        }
    }
}

impl Held {
    fn look(&mut self, is_live: impl Fn(&DeploymentId) -> bool) {
        let lately = self.looked.is_some_and(|at| at.elapsed() < LOOK_PAUSE);
        if lately && self.live.len() > LOOKED_AT_EACH_TIME {
            return;
        }
        self.looked = Some(Instant::now());
        self.live.retain(is_live);
        let live = &self.live;
        self.runs.retain(|id| live.contains(id));
    }
}

impl Slot {
    /// A deployment was made: it has the slot now, and its run is asked for.
    pub fn assign_to(self, id: &DeploymentId) {
        let mut book = self.ledger.book();
        book.owners.insert(id.clone(), self.subject.clone());
        let held = book.subjects.entry(self.subject.clone()).or_default();
        held.live.insert(id.clone());
        held.runs.insert(id.clone());
        // Dropping it gives the pending one back.
        drop(book);
    }

    /// For whom it is.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut book = self.ledger.book();
        if let Some(held) = book.subjects.get_mut(&self.subject) {
            held.pending = held.pending.saturating_sub(1);
        }
        book.forget_if_empty(&self.subject);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Caller;

    fn subject(n: u8) -> Subject {
        Subject::of(&Caller::anybody(), [192, 0, 2, n].into())
    }

    fn id(n: u8) -> DeploymentId {
        DeploymentId::from_bytes([n; 8])
    }

    const IDLE: RunGoing = RunGoing { running: 0, free: 4 };

    fn take(ledger: &Arc<Ledger>, n: u8) -> Result<Slot, LiveFault> {
        ledger.take(&subject(n), IDLE, |_| true)
    }

    #[test]
    fn so_many_are_live_and_one_that_ended_makes_room() {
        let ledger = Ledger::new(2, 100);
        take(&ledger, 1).unwrap().assign_to(&id(1));
        let pending = take(&ledger, 1).unwrap();
        assert_eq!(take(&ledger, 1).err(), Some(LiveFault::Live(2)));
        assert!(take(&ledger, 2).is_ok(), "another subject");
        drop(pending);
        take(&ledger, 1).unwrap().assign_to(&id(2));
        assert_eq!(take(&ledger, 1).err(), Some(LiveFault::Live(2)));
        assert!(ledger.take(&subject(1), IDLE, |other| *other != id(1)).is_ok(), "its record says that it ended");
        ledger.ends(&id(2));
        assert!(take(&ledger, 1).is_ok());
    }

    #[test]
    fn racing_creates_get_as_many_slots_as_there_are() {
        let ledger = Ledger::new(10, 1_000);
        let slots = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..125 {
                        slots.lock().unwrap().extend(take(&ledger, 1));
                    }
                });
            }
        });
        assert_eq!(slots.into_inner().unwrap().len(), 10);
        assert!(ledger.book().subjects.is_empty(), "nothing is left of those that made none");
    }

    #[test]
    fn runs_that_go_on_or_would_at_once_do_not_wait() {
        let ledger = Ledger::new(100, 1);
        let ask = |going| ledger.take(&subject(1), going, |_| true);
        ask(RunGoing { running: 0, free: 1 }).unwrap().assign_to(&id(1));
        // It has its place, and none is free.
        let busy = RunGoing { running: 1, free: 0 };
        ask(busy).unwrap().assign_to(&id(2));
        assert_eq!(ask(busy).err(), Some(LiveFault::Waiting(1)));
        ledger.run_ends(&id(1));
        assert_eq!(ask(RunGoing { running: 1, free: 0 }).err(), None, "the second one has the place now");
    }

    #[test]
    fn one_that_begins_again_counts_for_whoever_made_it() {
        let ledger = Ledger::new(1, 100);
        take(&ledger, 1).unwrap().assign_to(&id(1));
        ledger.ends(&id(1));
        ledger.begins(&id(1), Some(subject(2)));
        assert_eq!(ledger.owner(&id(1)), subject(1));
        assert_eq!(take(&ledger, 1).err(), Some(LiveFault::Live(1)));
        ledger.begins(&id(9), None);
        assert_eq!(ledger.owner(&id(9)), Subject::unknown());
        ledger.begins(&id(3), Some(subject(3)));
        assert_eq!(take(&ledger, 3).err(), Some(LiveFault::Live(1)));
    }
}
