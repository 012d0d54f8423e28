//! Requests of a subject in a time.

use super::Subject;
use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Subjects that are remembered: some 2 MiB. When they are all in use, subjects share limits by their names, so that neither
/// memory nor the limit has a hole.
const SUBJECTS: usize = 10_000;
/// Limits that are shared then. So many subjects at once are one attacker with many addresses, who meets an honest one in one
/// of a thousand.
const SHARED: u64 = 1_000;
/// How often subjects whose time is over are looked for, when the memory is full.
const SWEEP: Duration = Duration::from_secs(1);
/// Longest time of a rate; what is longer is a quota, and this is none.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// So many in so much time, in any shape: all of them may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: NonZeroU32,
    /// In how long.
    pub period: Duration,
}

/// A text that is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole number above zero and a time of at most a day, such as 3000/10m")]
pub struct BadRate;

impl FromStr for Rate {
    type Err = BadRate;

    fn from_str(text: &str) -> Result<Self, BadRate> {
        let (count, period) = text.split_once('/').ok_or(BadRate)?;
        let count = count.trim().parse().map_err(|_| BadRate)?;
        let period: jiff::SignedDuration = period.trim().parse().map_err(|_| BadRate)?;
        let period = Duration::try_from(period).ok().filter(|period| !period.is_zero() && *period <= LONGEST);
        Ok(Self { count, period: period.ok_or(BadRate)? })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.period.as_secs();
        match (seconds % 60, self.period.subsec_nanos()) {
            (0, 0) => write!(f, "{} in {} min", self.count, seconds / 60),
            (_, 0) => write!(f, "{} in {seconds} s", self.count),
            _ => write!(f, "{} in {:?}", self.count, self.period),
        }
    }
}

/// One rate, kept for each subject.
pub struct Rates {
    rate: Rate,
    limiter: RateLimiter<Subject, HashMapStateStore<Subject>, MonotonicClock, NoOpMiddleware<Instant>>,
    clock: MonotonicClock,
    swept: Mutex<Option<Instant>>,
}

impl Rates {
    /// This rate for each.
    pub fn new(rate: Rate) -> Self {
        let clock = MonotonicClock;
        // A period that does not divide has a step of at least a nanosecond.
        let step = (rate.period / rate.count.get()).max(Duration::from_nanos(1));
        let quota = Quota::with_period(step).unwrap_or(Quota::per_second(rate.count)).allow_burst(rate.count);
        Self { rate, limiter: RateLimiter::hashmap_with_clock(quota, clock.clone()), clock, swept: Mutex::new(None) }
    }

    /// The rate.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Counts one request.
    ///
    /// # Errors
    /// After how long the next one is taken.
    pub fn take(&self, subject: &Subject) -> Result<(), Duration> {
        // Where the memory is full, subjects are spread over the shared limits by their names.
        let shared = self.is_full().then(|| subject.shared(SHARED));
        let key = shared.as_ref().unwrap_or(subject);
        self.limiter.check_key(key).map_err(|not_until| not_until.wait_time_from(self.clock.now()))
    }

    fn is_full(&self) -> bool {
        if self.limiter.len() < SUBJECTS {
            return false;
        }
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.is_none_or(|at| at.elapsed() >= SWEEP) {
            *swept = Some(Instant::now());
            self.limiter.retain_recent();
        }
        self.limiter.len() >= SUBJECTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Caller;
    use std::net::IpAddr;

    fn subject(n: u32) -> Subject {
        Subject::of(&Caller::anybody(), IpAddr::from(n.to_be_bytes()))
    }

    fn rates(text: &str) -> Rates {
        Rates::new(text.parse().unwrap())
    }

    #[test]
    fn all_may_come_at_once_and_the_next_one_is_told_when_to_come() {
        let rates = rates("1000/10m");
        for n in 0..1_000 {
            assert_eq!(rates.take(&subject(1)), Ok(()), "{n}");
        }
        let wait = rates.take(&subject(1)).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_millis(600), "{wait:?}");
        assert_eq!(rates.take(&subject(2)), Ok(()), "another one has a limit of its own");
    }

    #[test]
    fn the_limit_holds_under_racing_requests() {
        let rates = rates("50/1h");
        let taken = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let one = u32::from(rates.take(&subject(1)).is_ok());
                        taken.fetch_add(one, std::sync::atomic::Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(taken.into_inner(), 50);
    }

    #[test]
    fn many_subjects_fill_neither_memory_nor_make_a_hole() {
        let rates = rates("2/1h");
        for n in 0..30_000 {
            let _ = rates.take(&subject(n));
        }
        assert!(rates.limiter.len() <= SUBJECTS + usize::try_from(SHARED).unwrap(), "{}", rates.limiter.len());
        let one = subject(1_000_000);
        let taken = (0..10).filter(|_| rates.take(&one).is_ok()).count();
        assert!(taken <= 2, "{taken}");
    }

    #[test]
    fn rates_are_read_and_shown() {
        for (text, shown) in [("3000/10m", "3000 in 10 min"), ("5 / 30s", "5 in 30 s"), ("1/1h30m", "1 in 90 min")] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), shown);
        }
        for bad in
            ["", "3000", "0/10m", "-1/10m", "3000/", "3000/0s", "3000/-1m", "x/10m", "1/25h", "4294967296/1m", "1/2/3"]
        {
            assert_eq!(bad.parse::<Rate>(), Err(BadRate), "{bad:?}");
        }
    }
}
