//! The order of runs. So many go on at once; of those that wait, destroys and retries come before creates, subjects take turns
//! within a class, and what one subject asked for goes in its order.
//!
//! A create that waits is passed by so many destroys and retries only: who retries without an end holds up no create of another
//! for ever.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Destroys and retries that begin in a row while a create waits: most of the places are theirs, and a create still begins
/// after a few runs.
const TAKE_UPS_IN_A_ROW: usize = 3;

/// What a run is for, as far as the order goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RunClass {
    /// It removes infrastructure, or takes up what failed: somebody waits for what is there already.
    TakeUp,
    /// It makes something new.
    Create,
}

/// Whose turn a run waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Its class.
    pub class: RunClass,
    /// Subjects take turns.
    pub subject: Arc<str>,
}

/// All places, and those that wait for one.
pub(super) struct RunQueue(Mutex<Line>);

struct Line {
    free: usize,
    running: HashMap<Arc<str>, usize>,
    take_up: Class,
    create: Class,
    /// Destroys and retries that began since the last create, or since none waited.
    in_a_row: usize,
    next: u64,
}

/// Those of a class that wait.
#[derive(Default)]
struct Class {
    /// Subjects in the order of their turns; each of them has somebody who waits.
    turns: VecDeque<Arc<str>>,
    waiting: HashMap<Arc<str>, VecDeque<Waiter>>,
}

struct Waiter {
    number: u64,
    place: oneshot::Sender<RunPlace>,
}

/// A place, until it is dropped. It goes to exactly one of those that wait.
pub struct RunPlace {
    /// `None` once it went on to another.
    queue: Option<Arc<RunQueue>>,
    subject: Arc<str>,
}

/// Somebody who waits for a place. Dropped, it leaves the line, and a place that it was just given goes on to the next.
pub(super) struct Waiting {
    queue: Arc<RunQueue>,
    turn: Turn,
    number: u64,
    place: oneshot::Receiver<RunPlace>,
}

/// A place at once, or a wait for one.
pub(super) enum Entered {
    Place(RunPlace),
    Waiting(Waiting),
}

impl RunQueue {
    /// So many places; at least one.
    pub(super) fn new(places: usize) -> Arc<Self> {
        let (take_up, create) = (Class::default(), Class::default());
        Arc::new(Self(Mutex::new(Line {
            free: places.max(1),
            running: HashMap::new(),
            take_up,
            create,
            in_a_row: 0,
            next: 0,
        })))
    }

    /// Takes a free place, or stands in line.
    pub(super) fn enter(self: &Arc<Self>, turn: &Turn) -> Entered {
        let mut line = self.line();
        // A place is free only while nobody waits.
        if line.free > 0 {
            line.free -= 1;
            line.runs(&turn.subject);
            return Entered::Place(RunPlace { queue: Some(self.clone()), subject: turn.subject.clone() });
        }
        let (sender, place) = oneshot::channel();
        let number = line.next;
        line.next += 1;
        line.class(turn.class).push(&turn.subject, Waiter { number, place: sender });
        Entered::Waiting(Waiting { queue: self.clone(), turn: turn.clone(), number, place })
    }

    /// Runs of a subject that go on, and places that are free.
    pub(super) fn going(&self, subject: &str) -> (usize, usize) {
        let line = self.line();
        (line.running.get(subject).copied().unwrap_or_default(), line.free)
    }

    /// A place is free: it goes to the next who still waits. Nobody is woken under the lock, because who left meanwhile gives
    /// the place back here.
    fn freed(self: &Arc<Self>, subject: &Arc<str>) {
        self.line().ran(subject);
        loop {
            let (next, waiter) = {
                let mut line = self.line();
                let Some((next, waiter)) = line.pop() else {
                    line.free += 1;
                    return;
                };
                line.runs(&next);
                (next, waiter)
            };
            let place = RunPlace { queue: Some(self.clone()), subject: next.clone() };
            let Err(mut place) = waiter.place.send(place) else { return };
            // It is offered to the next one here, and not once more when it is dropped.
            place.queue = None;
            self.line().ran(&next);
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn class(&mut self, class: RunClass) -> &mut Class {
        match class {
            RunClass::TakeUp => &mut self.take_up,
            RunClass::Create => &mut self.create,
        }
    }

    /// The next of those that wait.
    fn pop(&mut self) -> Option<(Arc<str>, Waiter)> {
        let creates_turn = self.in_a_row >= TAKE_UPS_IN_A_ROW && !self.create.turns.is_empty();
        let taken_up = if creates_turn { None } else { self.take_up.pop() };
        let create_waits = !self.create.turns.is_empty();
        self.in_a_row = if taken_up.is_some() && create_waits { self.in_a_row + 1 } else { 0 };
        taken_up.or_else(|| self.create.pop())
    }

    fn runs(&mut self, subject: &Arc<str>) {
        *self.running.entry(subject.clone()).or_default() += 1;
    }

    fn ran(&mut self, subject: &Arc<str>) {
        if let Some(count) = self.running.get_mut(subject) {
            *count -= 1;
            if *count == 0 {
                self.running.remove(subject);
            }
        }
    }
}

impl Class {
    fn push(&mut self, subject: &Arc<str>, waiter: Waiter) {
        let own = self.waiting.entry(subject.clone()).or_default();
        if own.is_empty() {
            self.turns.push_back(subject.clone());
        }
        own.push_back(waiter);
    }

    fn pop(&mut self) -> Option<(Arc<str>, Waiter)> {
        let subject = self.turns.pop_front()?;
        let own = self.waiting.get_mut(&subject)?;
        let waiter = own.pop_front()?;
        if own.is_empty() {
            self.waiting.remove(&subject);
        } else {
            self.turns.push_back(subject.clone());
        }
        Some((subject, waiter))
    }

    fn leave(&mut self, subject: &Arc<str>, number: u64) {
        let Some(own) = self.waiting.get_mut(subject) else { return };
        own.retain(|waiter| waiter.number != number);
        if own.is_empty() {
            self.waiting.remove(subject);
            self.turns.retain(|other| other != subject);
        }
    }
}

impl Waiting {
    /// Waits for the place; `None` never comes while the queue lives.
    pub(super) async fn place(&mut self) -> Option<RunPlace> {
        (&mut self.place).await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.queue.line().class(self.turn.class).leave(&self.turn.subject, self.number);
        // A place that was given meanwhile lies in the channel, and goes on when that is dropped after this.
    }
}

impl Drop for RunPlace {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            queue.freed(&self.subject);
        }
    }
}

#[cfg(test)]
#[path = "run_queue_tests.rs"]
mod tests;
