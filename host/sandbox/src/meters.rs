//! What is counted of each plugin: plain numbers that only grow, and where its breaker stands.
//!
//! Nothing here is exported in any format; a snapshot is for whoever shows it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use catalyst_domain::Timestamp;

use crate::error::CallFailure;

/// How a call of a plugin ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer that passed every check.
    Answered,
    /// With an answer from before; the plugin was not called.
    Remembered,
    /// Its time was spent.
    Timeout,
    /// It wanted too much memory.
    Memory,
    /// It trapped.
    Trap,
    /// It ended itself.
    Exit,
    /// It handed out too much.
    HostcallLimit,
    /// Its answer broke a rule.
    BadOutput,
    /// The host could not make the call.
    Host,
    /// It was not made because the plugin's breaker was open.
    Refused,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 10] = [
        Self::Answered,
        Self::Remembered,
        Self::Timeout,
        Self::Memory,
        Self::Trap,
        Self::Exit,
        Self::HostcallLimit,
        Self::BadOutput,
        Self::Host,
        Self::Refused,
    ];

    /// A word in kebab case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Remembered => "remembered",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::Trap => "trap",
            Self::Exit => "exit",
            Self::HostcallLimit => "hostcall-limit",
            Self::BadOutput => "bad-output",
            Self::Host => "host",
            Self::Refused => "refused",
        }
    }
}

impl From<&CallFailure> for Outcome {
    fn from(failure: &CallFailure) -> Self {
        match failure {
            CallFailure::Timeout { .. } => Self::Timeout,
            CallFailure::Memory { .. } => Self::Memory,
            CallFailure::Trap(_) => Self::Trap,
            CallFailure::Exit => Self::Exit,
            CallFailure::HostcallLimit { .. } => Self::HostcallLimit,
            CallFailure::BadOutput(_) => Self::BadOutput,
            CallFailure::Host(_) => Self::Host,
            CallFailure::Suspended { .. } => Self::Refused,
        }
    }
}

/// Upper bounds of the buckets of call times, in microseconds: two to each doubling, from an instance alone to the
/// longest that a call may take on the clock.
const BOUNDS: [u64; 42] = bounds();

const fn bounds() -> [u64; 42] {
    let mut bounds = [0; 42];
    let mut index = 0;
    while index < bounds.len() {
        let octave = 16_u64 << (index / 2);
        // 181/128 is the root of two.
        bounds[index] = if index % 2 == 0 { octave } else { octave * 181 / 128 };
        index += 1;
    }
    bounds
}

/// Counts of one plugin.
#[derive(Debug)]
pub(crate) struct Meters {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    /// The last one is for what is above every bound.
    times: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
    openings: AtomicU64,
}

impl Default for Meters {
    fn default() -> Self {
        let zero = |_| AtomicU64::new(0);
        Self {
            outcomes: std::array::from_fn(zero),
            times: std::array::from_fn(zero),
            micros: AtomicU64::new(0),
            openings: AtomicU64::new(0),
        }
    }
}

impl Meters {
    /// A call ended like this without having been made.
    pub fn count(&self, outcome: Outcome) {
        self.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A call was made and took so long, from its slot to its answer.
    pub fn called(&self, outcome: Outcome, took: Duration) {
        self.count(outcome);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        self.times[bucket].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// The breaker opened.
    pub fn opened(&self) {
        self.openings.fetch_add(1, Ordering::Relaxed);
    }

    /// The numbers now. They are read one after the other, so a call that ends meanwhile may be in one and not in
    /// another.
    pub fn snapshot(&self, breaker: BreakerStatus) -> CallStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CallStats {
            outcomes: std::array::from_fn(|index| read(&self.outcomes[index])),
            times: std::array::from_fn(|index| read(&self.times[index])),
            total: Duration::from_micros(read(&self.micros)),
            openings: read(&self.openings),
            breaker,
        }
    }
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// The plugin is called.
    Closed,
    /// It is not.
    Open,
    /// One call may go through.
    HalfOpen,
}

impl BreakerState {
    /// A word in kebab case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// A plugin's breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerStatus {
    /// Where it stands.
    pub state: BreakerState,
    /// Since when it is not closed.
    pub since: Option<Timestamp>,
    /// Different inputs that failed since the last answer; no more are counted than open it.
    pub failures_in_a_row: usize,
}

/// Counts of one plugin at one moment, from when its bytes were loaded.
#[derive(Debug, Clone)]
pub struct CallStats {
    outcomes: [u64; Outcome::ALL.len()],
    times: [u64; BOUNDS.len() + 1],
    /// Sum of the times of all calls that were made.
    pub total: Duration,
    /// How often the breaker opened.
    pub openings: u64,
    /// Where it stands.
    pub breaker: BreakerStatus,
}

impl CallStats {
    /// Calls that ended like this.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }

    /// Calls that were made.
    pub fn made(&self) -> u64 {
        self.times.iter().sum()
    }

    /// The time that so many per cent of the calls did not exceed, to within 41 per cent: the upper bound of its
    /// bucket. None before the first call, and above every bound.
    pub fn percentile(&self, percent: u64) -> Option<Duration> {
        let rank = (self.made() * percent).div_ceil(100).max(1);
        let buckets = self.buckets();
        buckets.into_iter().find(|(_, at_most)| *at_most >= rank).map(|(bound, _)| bound)
    }

    /// Calls that took at most each of these times; what is in [`Self::made`] beside the last took longer.
    pub fn buckets(&self) -> Vec<(Duration, u64)> {
        let mut sum = 0;
        let cumulated = BOUNDS.iter().zip(&self.times).map(|(bound, count)| {
            sum += count;
            (Duration::from_micros(*bound), sum)
        });
        cumulated.collect()
    }
}

/// Counts of a sandbox as a whole, from its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SandboxStats {
    /// How often the folder was read.
    pub loads: u64,
    /// Components that came to serve, each new digest once.
    pub loaded: u64,
    /// Files that were found not to serve, each time the folder was read.
    pub load_failures: u64,
    /// Bytes of answers that are remembered now.
    pub memo_bytes: u64,
    /// Answers that are remembered now.
    pub memo_answers: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed() -> BreakerStatus {
        BreakerStatus { state: BreakerState::Closed, since: None, failures_in_a_row: 0 }
    }

    #[test]
    fn bounds_grow_by_the_root_of_two_up_to_the_longest_call() {
        assert!(BOUNDS.windows(2).all(|pair| pair[0] < pair[1] && pair[1] * 2 < pair[0] * 3));
        assert_eq!((BOUNDS[0], BOUNDS[1], BOUNDS[2]), (16, 22, 32));
        assert!(BOUNDS[41] > 20_000_000, "two seconds of work may take twenty on the clock");
    }

    #[test]
    fn percentiles_are_bounds_of_buckets() {
        let meters = Meters::default();
        assert_eq!(meters.snapshot(closed()).percentile(50), None);
        for _ in 0..98 {
            meters.called(Outcome::Answered, Duration::from_micros(60));
        }
        meters.called(Outcome::Trap, Duration::from_millis(3));
        meters.called(Outcome::Timeout, Duration::from_secs(3600));
        meters.count(Outcome::Remembered);
        let stats = meters.snapshot(closed());
        assert_eq!(stats.percentile(50), Some(Duration::from_micros(64)));
        assert_eq!(stats.percentile(99), Some(Duration::from_micros(4096)));
        assert_eq!(stats.percentile(100), None);
        assert_eq!((stats.made(), stats.count(Outcome::Answered), stats.count(Outcome::Remembered)), (100, 98, 1));
        assert_eq!(stats.buckets().last().unwrap().1, 99);
    }

    #[test]
    fn every_outcome_has_a_place_of_its_own() {
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, index, "{}", outcome.name());
        }
    }
}
