//! One command of OpenTofu from its start to its end: takes its lines, and asks its supervisor to stop it when the run is to stop.

use super::command::RunStep;
use super::hearing::{Explanation, HEARTBEAT, Hearing};
use super::mask::Masker;
use super::orphan::started_at;
use super::progress::{Outlet, Progress};
use super::supervise::{CommandSpec, Event, Interruption, RunEvent, Supervised};
use crate::egress::RefusalRule;
use catalyst_domain::record::Child as ChildRef;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// How long after the last thing that a supervisor does for a stop it may take to say so: then it hangs, and is killed.
const SUPERVISOR_LATE: Duration = Duration::from_secs(60);

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
    Timeout,
    Stopped,
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
            Cut::Timeout => format!("not done within {} s, so it was stopped", self.budget.as_secs()),
            Cut::Stopped => "stopped because the host was asked to".to_owned(),
        }
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

/// How a command ended.
pub(super) struct End {
    pub(super) status: ExitStatus,
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
    let mut watched = Watched { supervised, limits, cut: None, asked: false, output: None, refused: Vec::new() };
    let status = watched.finish(&mut hearing).await;
    let Watched { cut, output, refused, .. } = watched;
    (status.map(|status| End { status, cut, output, refused }), hearing.explanation())
}

struct Watched<'a> {
    supervised: &'a mut Supervised,
    limits: &'a Limits,
    cut: Option<Cut>,
    asked: bool,
    output: Option<Zeroizing<Vec<u8>>>,
    refused: Vec<(RefusalRule, u64)>,
}

impl Watched<'_> {
    async fn finish(&mut self, hearing: &mut Hearing<'_>) -> io::Result<ExitStatus> {
        let late = self.limits.deadline + self.limits.grace * 2 + SUPERVISOR_LATE;
        loop {
            let beat = hearing.last_heard() + self.limits.heartbeat;
            tokio::select! {
                biased;
                () = self.limits.stop.cancelled(), if !self.asked => {
                    self.asked = true;
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
                        return Ok(ExitStatus::from_raw(exit.wait_status));
                    }
                    Some(RunEvent::Event(event)) => self.tell(&event, hearing),
                    None => return self.lost().await,
                },
                () = sleep_until(beat.min(late)) => if Instant::now() >= late {
                    hearing.remark("the supervisor of the run does not answer; killing it".to_owned());
                    self.cut.get_or_insert(Cut::Timeout);
                    self.supervised.kill();
                    return self.supervised.gone().await;
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

    /// The supervisor was ended from outside, and all of the run with it.
    async fn lost(&mut self) -> io::Result<ExitStatus> {
        let status = self.supervised.gone().await?;
        match status.signal() {
            Some(_) => Ok(status),
            None => Err(io::Error::other(format!("the supervisor of the run has ended by itself ({status})"))),
        }
    }

    fn tell(&mut self, event: &Event, hearing: &mut Hearing<'_>) {
        match event {
            Event::Interrupted(why) => {
                let (cut, why) = match why {
                    Interruption::Deadline => (Cut::Timeout, "its time is spent"),
                    Interruption::Stopped => (Cut::Stopped, "the host was asked to stop"),
                    Interruption::Signal | Interruption::HostGone => (Cut::Stopped, "its supervisor was asked to"),
                };
                self.cut.get_or_insert(cut);
                let what = "it finishes what it began and writes its state";
                hearing.remark(format!("interrupting OpenTofu: {why}; {what}"));
            }
            Event::InterruptedAgain => {
                hearing.remark("OpenTofu did not end in time; interrupting it again".to_owned());
            }
            Event::Killed => hearing.remark("OpenTofu ignored two interrupts; killing it".to_owned()),
            Event::Dropped(lines) => hearing.outlet().dropped(*lines),
            Event::ConnectionRefused(refusal) => hearing.refused(refusal),
            Event::Ready(_) | Event::Refused(_) | Event::Started | Event::NotStarted(_) | Event::Ended(_) => {}
        }
    }
}
