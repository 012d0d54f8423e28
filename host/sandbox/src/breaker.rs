//! When a plugin is not called for a while: a pure state machine of one plugin's calls. Time is passed in.
//!
//! A plugin that traps or hits a limit on every call costs a slot and up to two seconds each time, and who waits for it
//! gets nothing. After some such failures in a row its calls are answered at once; after a pause one call is let
//! through, and its answer opens the way again.
//!
//! What counts. Traps, exits and limits do: the guest ended without an answer. Findings are answers. An answer that
//! breaks a rule costs no more than a good one, and a host without a free slot is no plugin's fault: neither counts,
//! neither clears.
//!
//! A plugin is pure, so the same input fails the same way for ever and says nothing new: an input counts once, and one
//! that failed in this row is never the trial. Somebody who sends one bad request again and again thus takes nothing
//! from others. Somebody who varies it can open the breaker, so the first pause is short, any answer closes it, and
//! remembered answers are given meanwhile. New bytes are a new plugin and start closed.

use std::time::{Duration, Instant};

use crate::memo::Key;

/// Failures in a row, of as many different inputs, that open the breaker. One weird input is an accident, and so are
/// two of a person who changes it; five without one answer between them are a plugin that does not work.
pub(crate) const FAILURES: usize = 5;

/// The first pause: what a person barely notices.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause, reached after five trials that failed: a plugin that was broken and works again is not missed for
/// long.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How a call ended, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With an answer.
    Answered,
    /// By a trap, an exit or a limit.
    Failed,
    /// In a way that tells nothing about the plugin.
    Unclear,
}

/// A call was not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    /// When the breaker opened.
    pub since: Instant,
    /// Until the next trial, if none is going on.
    pub pause: Duration,
}

/// Whether a plugin is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// It is.
    Closed,
    /// It is not.
    Open {
        /// Since then.
        since: Instant,
    },
    /// One call may go through, or is on its way.
    HalfOpen {
        /// Not called freely since then.
        since: Instant,
    },
}

/// The failures of one plugin and what they lead to.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// Inputs that failed since the last answer, at most [`FAILURES`].
    failed: Vec<Key>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    since: Instant,
    until: Instant,
    pause: Duration,
    /// The input of the one call that was let through.
    trial: Option<Key>,
}

impl Breaker {
    /// Whether a call would be let through now.
    pub fn check(&self, now: Instant, input: Key) -> Result<(), Refused> {
        let Some(open) = &self.open else { return Ok(()) };
        if now < open.until || open.trial.is_some() || self.failed.contains(&input) {
            return Err(Refused { since: open.since, pause: open.until.saturating_duration_since(now) });
        }
        Ok(())
    }

    /// Lets a call through, which is then the trial if there is need of one.
    pub fn admit(&mut self, now: Instant, input: Key) -> Result<(), Refused> {
        self.check(now, input)?;
        if let Some(open) = &mut self.open {
            open.trial = Some(input);
        }
        Ok(())
    }

    /// Tells how a call ended that was let through. True when that opened the breaker.
    pub fn ended(&mut self, now: Instant, input: Key, how: Ended) -> bool {
        if how == Ended::Answered {
            *self = Self::default();
            return false;
        }
        let news = how == Ended::Failed && !self.failed.contains(&input);
        if news && self.failed.len() < FAILURES {
            self.failed.push(input);
        }
        match &mut self.open {
            Some(open) if open.trial == Some(input) => {
                open.trial = None;
                // Who tries and goes away leaves the trial to the next.
                if how == Ended::Failed {
                    open.pause = (open.pause * 2).min(LONGEST_PAUSE);
                    open.until = now + open.pause;
                }
                false
            }
            None if news && self.failed.len() >= FAILURES => {
                self.open = Some(Open { since: now, until: now + FIRST_PAUSE, pause: FIRST_PAUSE, trial: None });
                true
            }
            // A call from before the opening.
            _ => false,
        }
    }

    /// Where it stands.
    pub fn position(&self, now: Instant) -> Position {
        match &self.open {
            None => Position::Closed,
            Some(open) if now < open.until => Position::Open { since: open.since },
            Some(open) => Position::HalfOpen { since: open.since },
        }
    }

    /// Failures since the last answer.
    pub fn failures(&self) -> usize {
        self.failed.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: u8 = 200;

    fn key(number: u8) -> Key {
        Key::of_bytes([number; 32])
    }

    fn fail(breaker: &mut Breaker, now: Instant, number: u8) -> bool {
        assert_eq!(breaker.admit(now, key(number)), Ok(()));
        breaker.ended(now, key(number), Ended::Failed)
    }

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        let last: Vec<bool> = (1..=5).map(|number| fail(&mut breaker, now, number)).collect();
        assert_eq!(last, [false, false, false, false, true]);
        breaker
    }

    #[test]
    fn five_different_failures_in_a_row_open_it_and_one_answer_closes_it() {
        let start = Instant::now();
        let mut breaker = opened(start);
        let soon = start + Duration::from_millis(400);
        let refused = Refused { since: start, pause: Duration::from_millis(600) };
        assert_eq!(breaker.admit(soon, key(GOOD)), Err(refused));
        assert_eq!(breaker.position(soon), Position::Open { since: start });

        let later = start + FIRST_PAUSE;
        assert_eq!(breaker.position(later), Position::HalfOpen { since: start });
        assert_eq!(breaker.admit(later, key(GOOD)), Ok(()), "the trial");
        assert!(breaker.admit(later, key(GOOD + 1)).is_err(), "one trial at a time");
        breaker.ended(later, key(GOOD), Ended::Answered);
        assert_eq!((breaker.position(later), breaker.failures()), (Position::Closed, 0));
    }

    #[test]
    fn an_answer_in_between_starts_the_row_anew() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for number in 0..40 {
            assert!(!fail(&mut breaker, now, number));
            if number % 4 == 3 {
                breaker.ended(now, key(GOOD), Ended::Answered);
            }
        }
        assert_eq!(breaker.position(now), Position::Closed);
    }

    #[test]
    fn one_input_alone_never_opens_it_nor_is_it_the_trial() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..100 {
            assert!(!fail(&mut breaker, start, 1));
        }
        assert_eq!((breaker.position(start), breaker.failures()), (Position::Closed, 1));
        let mut breaker = opened(start);
        let later = start + Duration::from_secs(5);
        assert!(breaker.admit(later, key(3)).is_err(), "it failed before");
        assert_eq!(breaker.admit(later, key(GOOD)), Ok(()));
    }

    #[test]
    fn trials_that_fail_double_the_pause_up_to_a_bound() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        let mut pauses = Vec::new();
        for number in 6..14 {
            let pause = breaker.admit(now, key(number)).unwrap_err().pause;
            pauses.push(pause.as_secs());
            now += pause;
            assert!(!fail(&mut breaker, now, number));
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
    }

    #[test]
    fn a_trial_whose_caller_went_away_leaves_it_to_the_next() {
        let start = Instant::now();
        let mut breaker = opened(start);
        let later = start + FIRST_PAUSE;
        assert_eq!(breaker.admit(later, key(GOOD)), Ok(()));
        breaker.ended(later, key(GOOD), Ended::Unclear);
        assert_eq!(breaker.admit(later, key(GOOD + 1)), Ok(()));
    }

    #[test]
    fn what_tells_nothing_neither_counts_nor_clears_and_late_failures_do_not_lengthen_the_pause() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for number in 1..=4 {
            fail(&mut breaker, now, number);
        }
        breaker.ended(now, key(GOOD), Ended::Unclear);
        assert_eq!(breaker.failures(), 4);
        assert!(fail(&mut breaker, now, 5));
        breaker.ended(now, key(7), Ended::Failed);
        assert_eq!(breaker.admit(now, key(GOOD)).unwrap_err().pause, FIRST_PAUSE);
    }
}
