//! One command of OpenTofu from its start to its end: takes its lines, and asks its supervisor to stop it when the run is to stop.

use super::command::RunStep;
use super::hearing::{Explanation, HEARTBEAT, Hearing};
use super::mask::Masker;
use super::orphan::started_at;
use super::progress::{Outlet, Progress};
use super::supervise::{CommandSpec, Event, Interruption, ProcessEnd, RunEvent, Supervised};
use crate::egress::RefusalRule;
use catalyst_domain::record::Child as ChildRef;
use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// What a supervisor may take for a stop beside the grace, once for each of two interrupts, before it counts as hanging and is killed: a
/// minute for a command that is about to start, 10 s for what it kills, and some to say so.
const SUPERVISOR_LATE: Duration = Duration::from_secs(90);

/// The signal that nothing can catch, by its number on Linux.
const SIGKILL: i32 = 9;

/// How long a run may last, and what ends it early.
#[derive(Clone)]
pub(super) struct Limits {
    deadline: Instant,
    budget: Duration,
    stop: CancellationToken,
    grace: Duration,
    /// Longest silence before a heartbeat.
    pub(super) heartbeat: Duration,
}

/// What ended a command early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// The budget is spent.
    Timeout,
    /// The host was asked to stop.
    Stopped,
    /// The supervisor of the run received SIGTERM, SIGINT or SIGHUP.
    SupervisorSignal,
}

impl Limits {
    pub(super) fn new(budget: Duration, stop: CancellationToken, grace: Duration) -> Self {
        Self { deadline: Instant::now() + budget, budget, stop, grace, heartbeat: HEARTBEAT }
    }

    /// Returns when the run may not go on.
    pub(super) async fn over(&self) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = sleep_until(self.deadline) => {}
        }
    }

    /// Whether the run may not go on.
    pub(super) fn cut(&self) -> Option<Cut> {
        if self.stop.is_cancelled() {
            return Some(Cut::Stopped);
        }
        (Instant::now() >= self.deadline).then_some(Cut::Timeout)
    }

    /// The cut in words.
    pub(super) fn words(&self, cut: Cut) -> String {
        match cut {
            // Begun seconds count: what came before a destroy's run took a little of its time.
            Cut::Timeout => format!("not done within {:.0} s, so it was stopped", self.budget.as_secs_f64().ceil()),
            Cut::Stopped => "stopped because the host was asked to".to_owned(),
            Cut::SupervisorSignal => "stopped because its supervisor received SIGTERM, SIGINT or SIGHUP".to_owned(),
        }
    }

    /// When a supervisor that has not said how the run ended hangs. `asked` is when the host asked it to stop, if it did.
    fn supervisor_late(&self, asked: Option<Instant>) -> Instant {
        let stop = asked.map_or(self.deadline, |asked| asked.min(self.deadline));
        stop + self.grace * 2 + SUPERVISOR_LATE
    }

    /// When the run is interrupted.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Cancelled when the host asks to stop.
    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// The time that is left.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Time to end after the first interrupt.
    pub(super) fn grace(&self) -> Duration {
        self.grace
    }
}

/// How the process of a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommandEnd {
    /// With this status.
    Status(ExitStatus),
    /// It was killed with the init process of the run, which is gone.
    InitGone,
    /// It was ended with the supervisor of the run, which is gone and had this status.
    SupervisorGone(ExitStatus),
}

impl CommandEnd {
    /// Its status, where one is known.
    pub(super) fn status(self) -> Option<ExitStatus> {
        match self {
            Self::Status(status) => Some(status),
            Self::InitGone | Self::SupervisorGone(_) => None,
        }
    }

    /// The signal that ended it. The init of a run is ended by SIGKILL alone.
    pub(super) fn signal(self) -> Option<i32> {
        match self {
            Self::Status(status) | Self::SupervisorGone(status) => status.signal(),
            Self::InitGone => Some(SIGKILL),
        }
    }

    /// Whether the command did what it was there for.
    pub(super) fn is_success(self) -> bool {
        self.status().is_some_and(|status| status.success())
    }

    /// Whether the command ended by itself, so that its own words say why.
    pub(super) fn is_exit(self) -> bool {
        self.status().is_some_and(|status| status.signal().is_none())
    }
}

impl fmt::Display for CommandEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = |status: &ExitStatus| status.code().unwrap_or_default();
        match self {
            Self::Status(status) => match status.signal() {
                Some(signal) => write!(f, "killed by signal {signal}"),
                None => write!(f, "exit status {}", code(status)),
            },
            Self::InitGone => f.write_str("the init process of the run is gone"),
            Self::SupervisorGone(status) => match status.signal() {
                Some(signal) => write!(f, "the supervisor of the run was killed by signal {signal}"),
                None => write!(f, "the supervisor of the run ended by itself with exit status {}", code(status)),
            },
        }
    }
}

/// How a command ended.
pub(super) struct End {
    pub(super) how: CommandEnd,
    pub(super) cut: Option<Cut>,
    /// Standard output of `tofu output`; `None` when it was too long, or for other steps.
    pub(super) output: Option<Zeroizing<Vec<u8>>>,
    /// How often each rule of the run's proxy refused a connection.
    pub(super) refused: Vec<(RefusalRule, u64)>,
}

/// Runs one command to its end, and that of all that it started. What it said comes with it, however that went.
///
/// # Errors
/// It cannot be started, or its supervisor breaks.
pub(super) async fn run(
    supervised: &mut Supervised,
    step: RunStep,
    command: CommandSpec,
    masker: &Masker,
    outlet: &mut Outlet,
    limits: &Limits,
) -> (io::Result<End>, Explanation) {
    let mut hearing = Hearing::new(step, masker, outlet);
    supervised.command(command);
    let mut watched = Watched { supervised, limits, cut: None, asked: None, output: None, refused: Vec::new() };
    let ended = watched.finish(&mut hearing).await;
    let Watched { cut, output, refused, .. } = watched;
    (ended.map(|how| End { how, cut, output, refused }), hearing.explanation())
}

struct Watched<'a> {
    supervised: &'a mut Supervised,
    limits: &'a Limits,
    cut: Option<Cut>,
    /// When the host asked the supervisor to stop.
    asked: Option<Instant>,
    output: Option<Zeroizing<Vec<u8>>>,
    refused: Vec<(RefusalRule, u64)>,
}

impl Watched<'_> {
    async fn finish(&mut self, hearing: &mut Hearing<'_>) -> io::Result<CommandEnd> {
        loop {
            let late = self.limits.supervisor_late(self.asked);
            let beat = hearing.last_heard() + self.limits.heartbeat;
            tokio::select! {
                biased;
                () = self.limits.stop.cancelled(), if self.asked.is_none() => {
                    self.asked = Some(Instant::now());
                    self.supervised.stop();
                }
                // Before the time is looked at: a host that was stopped finds here what became of its run meanwhile.
                event = self.supervised.next() => match event? {
                    Some(RunEvent::Line(line)) => hearing.line(&line),
                    Some(RunEvent::Output(output)) => self.output = Some(output),
                    Some(RunEvent::Event(Event::Started)) => self.began(hearing).await,
                    Some(RunEvent::Event(Event::NotStarted(why))) => return Err(io::Error::other(why)),
                    Some(RunEvent::Event(Event::Ended(exit))) => {
                        self.refused = exit.refused;
                        return Ok(match exit.end {
                            ProcessEnd::WaitStatus(status) => CommandEnd::Status(ExitStatus::from_raw(status)),
                            ProcessEnd::InitGone => CommandEnd::InitGone,
                        });
                    }
                    Some(RunEvent::Event(event)) => self.tell(&event, hearing),
                    // It was ended from outside, and all of the run with it.
                    None => return self.supervisor_gone().await,
                },
                () = sleep_until(beat.min(late)) => if Instant::now() >= late {
                    hearing.remark("the supervisor of the run does not answer; killing it".to_owned());
                    self.cut.get_or_insert(if self.asked.is_some() { Cut::Stopped } else { Cut::Timeout });
                    self.supervised.kill();
                    return self.supervisor_gone().await;
                } else {
                    hearing.heartbeat();
                },
            }
        }
    }

    async fn began(&self, hearing: &mut Hearing<'_>) {
        let pid = self.supervised.pid();
        let known = ChildRef { pid, start_ticks: started_at(pid).unwrap_or_default() };
        hearing.outlet().mark(Progress::Child(known), self.limits).await;
    }

    async fn supervisor_gone(&mut self) -> io::Result<CommandEnd> {
        self.supervised.gone().await.map(CommandEnd::SupervisorGone)
    }

    fn tell(&mut self, event: &Event, hearing: &mut Hearing<'_>) {
        match event {
            Event::Interrupted(why) => {
                let (cut, why) = match why {
                    Interruption::Deadline => (Cut::Timeout, "its time is spent"),
                    Interruption::Stopped => (Cut::Stopped, "the host was asked to stop"),
                    Interruption::Signal => {
                        (Cut::SupervisorSignal, "its supervisor received SIGTERM, SIGINT or SIGHUP")
                    }
                    Interruption::HostGone => (Cut::Stopped, "its supervisor lost the host"),
                };
                self.cut.get_or_insert(cut);
                let what = "it finishes what it began and writes its state";
                hearing.remark(format!("interrupting OpenTofu: {why}; {what}"));
            }
            Event::InterruptedAgain => {
                hearing.remark("OpenTofu did not end in time; interrupting it again".to_owned());
            }
            Event::Killed => hearing.remark("OpenTofu ignored two interrupts; killing it".to_owned()),
            Event::InitKilled => {
                hearing
                    .remark("OpenTofu did not end when it was killed; killing the init process of the run".to_owned());
            }
            Event::LeftoversKilled => {
                hearing.remark("OpenTofu has ended, but not what it started; killing that".to_owned());
            }
            Event::Dropped(lines) => hearing.lost_lines(*lines),
            Event::ConnectionRefused(refusal) => hearing.refused(refusal),
            Event::Ready(_) | Event::Refused(_) | Event::Started | Event::NotStarted(_) | Event::Ended(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_hangs_that_says_nothing_after_a_stop_or_after_the_deadline_whichever_comes_first() {
        let (budget, grace) = (Duration::from_secs(1_800), Duration::from_secs(20));
        let limits = Limits::new(budget, CancellationToken::new(), grace);
        let begun = limits.deadline - budget;
        let late = |asked: Option<u64>| {
            limits.supervisor_late(asked.map(|seconds| begun + Duration::from_secs(seconds))) - begun
        };
        assert_eq!(late(None).as_secs(), 1_800 + 40 + 90);
        assert_eq!(late(Some(7)).as_secs(), 7 + 40 + 90);
        assert_eq!(late(Some(1_801)).as_secs(), 1_800 + 40 + 90, "its deadline had come before");
    }

    #[test]
    fn the_end_of_each_process_of_a_run_has_words_of_its_own() {
        let status = ExitStatus::from_raw;
        for (end, words, exited) in [
            (CommandEnd::Status(status(9)), "killed by signal 9", false),
            (CommandEnd::Status(status(1 << 8)), "exit status 1", true),
            (CommandEnd::InitGone, "the init process of the run is gone", false),
            (CommandEnd::SupervisorGone(status(9)), "the supervisor of the run was killed by signal 9", false),
            (
                CommandEnd::SupervisorGone(status(0)),
                "the supervisor of the run ended by itself with exit status 0",
                false,
            ),
        ] {
            assert_eq!((end.to_string().as_str(), end.is_exit(), end.is_success()), (words, exited, false));
            let signal = (words.contains("signal 9") || words.contains("init process")).then_some(SIGKILL);
            assert_eq!(end.signal(), signal, "{words}");
        }
        assert!(CommandEnd::Status(status(0)).is_success());
    }
}
