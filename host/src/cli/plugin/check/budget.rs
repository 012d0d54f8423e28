//! The time that a check has. It ends within a minute, whatever the component does: who waits longer takes it for hung.

use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// What is kept of the time for the end: what starts and ends around the calls, and OpenTofu's own end where it is asked.
const KEPT: Duration = Duration::from_secs(6);
/// A call that is cut off at the end of the time after so long is taken for one that does not end.
const TAKEN_FOR_A_LOOP: Duration = Duration::from_secs(5);

/// Counts down from the start of the check.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    begun: Instant,
    whole: Duration,
}

impl Budget {
    /// Begins now.
    pub(super) fn begin(whole: Duration) -> Self {
        Self { begun: Instant::now(), whole }
    }

    /// When no further call is made, and the last one is given up.
    fn end(self) -> Instant {
        self.begun + self.whole.saturating_sub(KEPT)
    }

    /// Time since the beginning.
    pub(super) fn spent(self) -> Duration {
        self.begun.elapsed()
    }

    /// Whether no further call is made.
    pub(super) fn is_over(self) -> bool {
        Instant::now() >= self.end()
    }

    /// Time for something that needs a while to end after it was asked to.
    pub(super) fn left(self) -> Duration {
        self.end().saturating_duration_since(Instant::now()).saturating_sub(KEPT)
    }

    /// Does something within the time; none where it did not end in it.
    pub(super) async fn within<T>(self, work: impl Future<Output = T>) -> Option<T> {
        timeout_at(self.end(), work).await.ok()
    }

    /// Whether a call that was cut off after so long would not have ended.
    pub(super) fn is_endless(self, took: Duration) -> bool {
        took >= TAKEN_FOR_A_LOOP.min(self.whole.saturating_sub(KEPT) / 2)
    }

    /// Why something was not done, or not to its end.
    pub(super) fn over(self) -> String {
        format!("the time of the check was over, which is {} s", self.whole.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_is_given_up_before_the_time_is_over() {
        let budget = Budget::begin(Duration::from_secs(60));
        assert_eq!(budget.within(async { 7 }).await, Some(7));
        assert_eq!(budget.left(), Duration::from_secs(48));
        assert_eq!(budget.within(std::future::pending::<()>()).await, None);
        assert_eq!(budget.spent().as_secs(), 54);
        assert!(budget.is_over() && budget.left().is_zero());
        assert!(budget.is_endless(Duration::from_secs(5)) && !budget.is_endless(Duration::from_secs(4)));
        assert!(Budget::begin(Duration::from_secs(10)).is_endless(Duration::from_secs(2)));
    }
}
