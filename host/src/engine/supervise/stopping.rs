//! When a command is given up that does not start, and when one is interrupted, interrupted again and killed: a pure reckoning on
//! one clock.
//!
//! OpenTofu writes its state when it is interrupted once and gives up what it does when it is interrupted twice. Only its own
//! process gets the signal: its provider plugins must live on to finish what was begun. All is killed only when both did not help.

use super::messages::Interruption;

/// How long a command may take to start: longer than a slow disk gives a program out, shorter than anybody waits for a sign of it.
pub(super) const START_LONGEST_MS: u64 = 60_000;
/// Longest wait after the second interrupt; OpenTofu then only closes its plugins and writes the state.
const HARD_STOP_LONGEST_MS: u64 = 10_000;
/// Longest wait after a kill, before the run's init is killed with all that is in it.
const KILL_LONGEST_MS: u64 = 10_000;

/// Times are milliseconds of `CLOCK_BOOTTIME`.
#[derive(Debug)]
pub(super) struct Stopping {
    deadline_ms: u64,
    grace_ms: u64,
    stage: Stage,
    /// Who wanted the command to end before it had started.
    wanted: Option<Interruption>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Idle,
    /// Init was asked for a command at that time.
    Starting(u64),
    /// It took too long to start one.
    StartGivenUp,
    Running,
    Interrupted(u64),
    InterruptedAgain(u64),
    Killed(u64),
    Abandoned,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Kill the run's init: it does not start the command.
    GiveUpStart,
    Interrupt(Interruption),
    InterruptAgain,
    Kill,
    /// Kill the run's init: the command cannot be ended otherwise.
    Abandon,
}

impl Stopping {
    pub(super) fn new(deadline_ms: u64, grace_ms: u64) -> Self {
        Self { deadline_ms, grace_ms, stage: Stage::Idle, wanted: None }
    }

    /// Init is asked for a command.
    pub(super) fn starting(&mut self, now: u64) {
        (self.stage, self.wanted) = (Stage::Starting(now), None);
    }

    /// The command was started. What is due at once, because somebody wanted it to end before.
    pub(super) fn started(&mut self, now: u64) -> Option<Due> {
        self.stage = Stage::Running;
        self.wanted.take().and_then(|why| self.ask(why, now))
    }

    /// The command ended, or will not start.
    pub(super) fn ended(&mut self) {
        self.stage = Stage::Idle;
    }

    /// Whether a command goes on, or is about to start.
    pub(super) fn is_going(&self) -> bool {
        self.stage != Stage::Idle
    }

    /// Whether a command is about to start.
    pub(super) fn is_starting(&self) -> bool {
        matches!(self.stage, Stage::Starting(_) | Stage::StartGivenUp)
    }

    /// Whether a command is given up because it took too long to start.
    pub(super) fn gave_up_start(&self) -> bool {
        self.stage == Stage::StartGivenUp
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Option<u64> {
        match self.stage {
            Stage::Idle | Stage::StartGivenUp | Stage::Abandoned => None,
            Stage::Starting(since) => Some(since + START_LONGEST_MS),
            Stage::Running => Some(self.deadline_ms),
            Stage::Interrupted(since) => Some(since + self.grace_ms),
            Stage::InterruptedAgain(since) => Some(since + self.grace_ms.min(HARD_STOP_LONGEST_MS)),
            Stage::Killed(since) => Some(since + KILL_LONGEST_MS),
        }
    }

    /// What is due now, once.
    pub(super) fn due(&mut self, now: u64) -> Option<Due> {
        if self.next()? > now {
            return None;
        }
        let (due, next) = match self.stage {
            Stage::Idle | Stage::StartGivenUp | Stage::Abandoned => return None,
            Stage::Starting(_) => (Due::GiveUpStart, Stage::StartGivenUp),
            Stage::Running => (Due::Interrupt(Interruption::Deadline), Stage::Interrupted(now)),
            Stage::Interrupted(_) => (Due::InterruptAgain, Stage::InterruptedAgain(now)),
            Stage::InterruptedAgain(_) => (Due::Kill, Stage::Killed(now)),
            Stage::Killed(_) => (Due::Abandon, Stage::Abandoned),
        };
        self.stage = next;
        Some(due)
    }

    /// Somebody wants the command to end. Only the first wish counts; one for a command that has not started yet waits for that.
    pub(super) fn ask(&mut self, why: Interruption, now: u64) -> Option<Due> {
        if self.is_starting() {
            self.wanted.get_or_insert(why);
        }
        if self.stage != Stage::Running {
            return None;
        }
        self.stage = Stage::Interrupted(now);
        Some(Due::Interrupt(why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_interrupts_once_then_again_then_kills() {
        let mut stopping = Stopping::new(1_000, 20_000);
        assert_eq!((stopping.next(), stopping.due(5_000)), (None, None), "nothing goes on");
        assert_eq!(stopping.started(500), None);
        assert_eq!(stopping.due(999), None);
        assert_eq!(stopping.due(1_000), Some(Due::Interrupt(Interruption::Deadline)));
        assert_eq!(stopping.ask(Interruption::Stopped, 1_500), None, "a second interrupt would lose the state");
        assert_eq!((stopping.due(20_999), stopping.due(21_000)), (None, Some(Due::InterruptAgain)));
        assert_eq!((stopping.due(30_999), stopping.due(31_000)), (None, Some(Due::Kill)));
        assert_eq!((stopping.due(40_999), stopping.due(41_000)), (None, Some(Due::Abandon)));
        assert_eq!((stopping.next(), stopping.is_going()), (None, true));
        stopping.ended();
        assert!(!stopping.is_going());
    }

    #[test]
    fn who_asks_first_is_heard_and_a_short_grace_holds_for_both() {
        let mut stopping = Stopping::new(u64::MAX, 2_000);
        stopping.started(5);
        assert_eq!(stopping.ask(Interruption::HostGone, 10), Some(Due::Interrupt(Interruption::HostGone)));
        assert_eq!(stopping.due(2_010), Some(Due::InterruptAgain));
        assert_eq!(stopping.due(4_010), Some(Due::Kill));
    }

    #[test]
    fn a_command_that_does_not_start_is_given_up_once_and_its_deadline_is_not_looked_at() {
        let mut stopping = Stopping::new(1_000, 2_000);
        stopping.starting(900);
        assert!(stopping.is_going() && stopping.is_starting() && !stopping.gave_up_start());
        assert_eq!(stopping.due(60_899), None);
        assert_eq!(stopping.due(60_900), Some(Due::GiveUpStart));
        assert_eq!((stopping.next(), stopping.due(u64::MAX)), (None, None));
        assert!(stopping.is_starting() && stopping.gave_up_start());
        stopping.ended();
        assert!(!stopping.is_going() && !stopping.gave_up_start());
    }

    #[test]
    fn who_wants_a_command_to_end_that_has_not_started_waits_for_its_start() {
        let mut stopping = Stopping::new(u64::MAX, 2_000);
        stopping.starting(0);
        assert_eq!(stopping.ask(Interruption::Stopped, 10), None);
        assert_eq!(stopping.ask(Interruption::HostGone, 20), None);
        assert_eq!(stopping.started(30), Some(Due::Interrupt(Interruption::Stopped)));
        assert_eq!(stopping.due(2_030), Some(Due::InterruptAgain));
        stopping.ended();
        stopping.starting(3_000);
        assert_eq!(stopping.started(3_010), None, "it was the command before that was to end");
    }
}
