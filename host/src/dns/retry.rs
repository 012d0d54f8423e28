//! How long to wait between tries, and a wait that ends early when it is called off. Pure but for the wait itself.

use backon::{BackoffBuilder, ExponentialBuilder};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A growing wait with an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// First wait.
    pub first: Duration,
    /// Longest wait.
    pub longest: Duration,
    /// Sum of the waits after which trying ends. A restart of the host begins anew.
    pub give_up_after: Duration,
    /// Whether waits are spread.
    pub spread: Spread,
}

/// Whether waits are spread, so that many deployments do not return to a recovering service at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// The waits as they are computed.
    Exact,
    /// Up to twice as long, at random.
    Random,
}

impl Default for RetryPolicy {
    /// One second at first: a hiccup is over by then. A minute at most: a name should work soon after its service does.
    /// Six hours in all: longer than an outage that nobody looks at, short enough not to hide one.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            give_up_after: Duration::from_secs(6 * 60 * 60),
            spread: Spread::Random,
        }
    }
}

impl RetryPolicy {
    /// The waits, in order; it ends when trying should.
    pub fn waits(&self) -> impl Iterator<Item = Duration> + Send + use<> {
        let exact = ExponentialBuilder::new()
            .with_min_delay(self.first)
            .with_max_delay(self.longest)
            .with_total_delay(Some(self.give_up_after))
            .without_max_times();
        match self.spread {
            Spread::Exact => exact.build(),
            Spread::Random => exact.with_jitter().build(),
        }
    }
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// The time is over.
    Out,
    /// It was called off.
    Cancelled,
}

/// Waits, or returns at once when `cancel` is called.
pub async fn wait(duration: Duration, cancel: &CancellationToken) -> Waited {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Waited::Cancelled,
        () = tokio::time::sleep(duration) => Waited::Out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_end() {
        let policy = RetryPolicy {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(4),
            give_up_after: Duration::from_secs(15),
            spread: Spread::Exact,
        };
        let waits: Vec<u64> = policy.waits().map(|d| d.as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 4, 4]);
    }

    #[test]
    fn the_default_tries_for_hours_and_then_ends() {
        let policy = RetryPolicy { spread: Spread::Exact, ..RetryPolicy::default() };
        let waits: Vec<Duration> = policy.waits().collect();
        assert!(waits.iter().all(|w| *w <= Duration::from_secs(60)));
        let sum: Duration = waits.iter().sum();
        assert!(sum <= policy.give_up_after && sum > policy.give_up_after - Duration::from_secs(61), "{sum:?}");
    }

    #[test]
    fn spread_waits_are_at_most_twice_as_long() {
        let policy = RetryPolicy { first: Duration::from_secs(1), ..RetryPolicy::default() };
        for (spread, exact) in policy.waits().zip([1_u64, 2, 4, 8]) {
            assert!(spread >= Duration::from_secs(exact) && spread <= Duration::from_secs(2 * exact), "{spread:?}");
        }
    }

    #[tokio::test]
    async fn a_wait_ends_when_it_is_called_off() {
        let cancel = CancellationToken::new();
        assert_eq!(wait(Duration::from_millis(1), &cancel).await, Waited::Out);
        cancel.cancel();
        assert_eq!(wait(Duration::from_secs(3600), &cancel).await, Waited::Cancelled);
    }
}
