//! Work of one subject that goes on at once. What comes beyond waits in its order, and holds up nobody else's.

use super::Subject;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So much at once, for each subject.
pub struct Lanes {
    most: usize,
    lanes: Mutex<HashMap<Subject, Lane>>,
}

struct Lane {
    places: Arc<Semaphore>,
    /// Those that wait or go on; with the last of them the lane goes.
    users: usize,
}

/// A piece of work that waits or goes on, until it is dropped.
pub struct InLane<'a> {
    lanes: &'a Lanes,
    subject: Subject,
    place: Option<OwnedSemaphorePermit>,
}

impl Lanes {
    /// So much at once, for each.
    pub fn new(most: usize) -> Self {
        Self { most, lanes: Mutex::default() }
    }

    /// Waits until this subject has room for one more.
    pub async fn enter(&self, subject: &Subject) -> InLane<'_> {
        let places = {
            let mut lanes = self.lanes();
            let lane = lanes
                .entry(subject.clone())
                .or_insert_with(|| Lane { places: Arc::new(Semaphore::new(self.most)), users: 0 });
            lane.users += 1;
            lane.places.clone()
        };
        // From here on a caller that leaves is counted off.
        let mut entered = InLane { lanes: self, subject: subject.clone(), place: None };
        // It is never closed.
        entered.place = places.acquire_owned().await.ok();
        entered
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<Subject, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InLane<'_> {
    fn drop(&mut self) {
        self.place = None;
        let mut lanes = self.lanes.lanes();
        if let Some(lane) = lanes.get_mut(&self.subject) {
            lane.users -= 1;
            if lane.users == 0 {
                lanes.remove(&self.subject);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Caller;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn a_subject_waits_for_itself_alone_and_its_lane_goes_with_the_last() {
        let (lanes, mut context) = (Lanes::new(1), Context::from_waker(Waker::noop()));
        let subject = |n: u8| Subject::of(&Caller::anybody(), [192, 0, 2, n].into());
        let (one, other) = (subject(1), subject(2));
        let mut first = Box::pin(lanes.enter(&one));
        let Poll::Ready(held) = first.as_mut().poll(&mut context) else { panic!("nobody was there") };
        let mut second = Box::pin(lanes.enter(&one));
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert!(pin!(lanes.enter(&other)).poll(&mut context).is_ready());
        let mut third = Box::pin(lanes.enter(&one));
        assert!(third.as_mut().poll(&mut context).is_pending());
        drop(second);
        drop(held);
        assert!(third.as_mut().poll(&mut context).is_ready(), "who left is passed over");
        drop((first, third));
        assert!(lanes.lanes().is_empty());
    }
}
