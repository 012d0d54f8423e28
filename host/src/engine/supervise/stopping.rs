//! When a command is interrupted, interrupted again and killed: a pure reckoning on one clock.
//!
//! OpenTofu writes its state when it is interrupted once and gives up what it does when it is interrupted twice. Only its own
//! process gets the signal: its provider plugins must live on to finish what was begun. All is killed only when both did not help.

use super::wire::Interruption;

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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Idle,
    Running,
    Interrupted(u64),
    InterruptedAgain(u64),
    Killed(u64),
    Abandoned,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Interrupt(Interruption),
    InterruptAgain,
    Kill,
    /// Kill the run's init: the command cannot be ended otherwise.
    Abandon,
}

impl Stopping {
    pub(super) fn new(deadline_ms: u64, grace_ms: u64) -> Self {
        Self { deadline_ms, grace_ms, stage: Stage::Idle }
    }

    /// A command was started.
    pub(super) fn started(&mut self) {
        self.stage = Stage::Running;
    }

    /// The command ended.
    pub(super) fn ended(&mut self) {
        self.stage = Stage::Idle;
    }

    /// Whether a command goes on.
    pub(super) fn is_going(&self) -> bool {
        self.stage != Stage::Idle
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Option<u64> {
        match self.stage {
            Stage::Idle | Stage::Abandoned => None,
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
            Stage::Idle | Stage::Abandoned => return None,
            Stage::Running => (Due::Interrupt(Interruption::Deadline), Stage::Interrupted(now)),
            Stage::Interrupted(_) => (Due::InterruptAgain, Stage::InterruptedAgain(now)),
            Stage::InterruptedAgain(_) => (Due::Kill, Stage::Killed(now)),
            Stage::Killed(_) => (Due::Abandon, Stage::Abandoned),
        };
        self.stage = next;
        Some(due)
    }

    /// Somebody wants the command to end. Only the first wish counts.
    pub(super) fn ask(&mut self, why: Interruption, now: u64) -> Option<Due> {
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
        stopping.started();
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
        stopping.started();
        assert_eq!(stopping.ask(Interruption::HostGone, 10), Some(Due::Interrupt(Interruption::HostGone)));
        assert_eq!(stopping.due(2_010), Some(Due::InterruptAgain));
        assert_eq!(stopping.due(4_010), Some(Due::Kill));
    }
}
