//! One after the other by name: what looks first and acts then must not be crossed by its like. It knows no deployment.

use std::hash::{BuildHasher, Hash, RandomState};
use tokio::sync::{Mutex, MutexGuard};

/// Names share this many places; two that share one wait for each other, which is only slow.
const PLACES: usize = 64;

/// Places that names are spread over.
pub(super) struct Turns {
    places: [Mutex<()>; PLACES],
    spread: RandomState,
}

impl Default for Turns {
    fn default() -> Self {
        Self { places: std::array::from_fn(|_| Mutex::default()), spread: RandomState::new() }
    }
}

impl Turns {
    /// Waits until nobody else has this name's turn, and keeps it until the guard is dropped.
    pub(super) async fn of(&self, name: &impl Hash) -> MutexGuard<'_, ()> {
        let place = self.spread.hash_one(name) % PLACES as u64;
        self.places[usize::try_from(place).unwrap_or_default()].lock().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    #[test]
    fn one_name_waits_for_itself_and_hardly_ever_for_another() {
        let turns = Turns::default();
        let mut context = Context::from_waker(Waker::noop());
        let mut taken = |name: &str| pin!(turns.of(&name)).poll(&mut context).is_pending();
        let first = pin!(turns.of(&"a")).poll(&mut Context::from_waker(Waker::noop()));
        assert!(first.is_ready() && taken("a"));
        let waiting = (0..1000).filter(|number| taken(&number.to_string())).count();
        assert!(waiting < 100, "about one in {PLACES}: {waiting}");
        drop(first);
        assert!(!taken("a"));
    }
}
