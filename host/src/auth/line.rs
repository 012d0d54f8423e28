//! A line before work that costs something: a few places, and an end, so that neither the work nor the waiting grows with what
//! comes from outside. Who hangs up leaves it.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The line.
pub struct Line {
    places: Arc<Semaphore>,
    waiting: Semaphore,
}

/// A place, free for the next one when it is dropped.
pub struct Place(OwnedSemaphorePermit);

impl Line {
    /// So many at once, and so many who wait for that.
    pub fn new(at_once: usize, waiting: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(at_once)), waiting: Semaphore::new(waiting) }
    }

    /// A place, in the order of coming; `None` where too many wait already.
    pub async fn place(&self) -> Option<Place> {
        let _in_line = self.waiting.try_acquire().ok()?;
        self.places.clone().acquire_owned().await.ok().map(Place)
    }

    /// How many more may wait.
    #[cfg(test)]
    pub fn room(&self) -> usize {
        self.waiting.available_permits()
    }
}

impl Place {
    /// Leaves it free only after this time, for which its holder does not wait.
    pub fn rest(self, time: Duration) {
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            drop(self.0);
        });
    }
}
