//! Who may begin one more deployment, and whose turn a run is.

use super::{Driver, Hand};
use crate::engine::{RunClass, RunError, RunPermit, Turn};
use crate::limits::{LiveFault, RunGoing, Slot, Subject};
use catalyst_domain::{Level, Record, phase};

impl Driver {
    /// Room for one more deployment of this subject.
    ///
    /// # Errors
    /// [`LiveFault`].
    pub fn slot(&self, subject: &Subject) -> Result<Slot, LiveFault> {
        let (running, free) = self.engine.going(&subject.key());
        self.ledger.take(subject, RunGoing { running, free }, |id| {
            self.store.get(id).is_some_and(|record| !record.status.is_terminal())
        })
    }

    /// Counts a deployment that has its task from now on for whoever made it.
    pub(super) fn counts(&self, record: &Record) {
        self.ledger.begins(&record.id, record.created_by.as_ref().map(Subject::of_creator));
    }
}

impl Hand {
    /// Waits until it is this run's turn, and says so where it has to.
    pub(super) async fn permit(&self, class: RunClass) -> Result<RunPermit, RunError> {
        let turn = Turn { class, subject: self.driver.ledger.owner(&self.id).key() };
        let waits = async |running: usize| {
            let text = format!("waiting for its turn: {running} other runs are going");
            self.say(phase::HOST, Level::Info, text).await;
        };
        self.driver.engine.enter(&self.id, &turn, &self.stop, waits).await
    }

    /// Counts a run from now until this is dropped.
    pub(super) fn run_asked(&self) -> RunAsked<'_> {
        self.driver.ledger.run_begins(&self.id);
        RunAsked(self)
    }

    /// A first run, or one that takes up what failed.
    pub(super) fn class_of_provision(&self) -> RunClass {
        if self.driver.ledger.take_retry_mark(&self.id) { RunClass::TakeUp } else { RunClass::Create }
    }
}

/// A run that waits or goes on.
pub(super) struct RunAsked<'a>(&'a Hand);

impl Drop for RunAsked<'_> {
    fn drop(&mut self) {
        self.0.driver.ledger.run_ends(&self.0.id);
    }
}
