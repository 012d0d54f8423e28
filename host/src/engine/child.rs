//! One process of OpenTofu from its start to its end: streams it, and stops it the way that keeps its state.
//!
//! OpenTofu writes its state when it is interrupted once and gives up what it does when it is interrupted twice. Only
//! its own process gets the signal: its provider plugins must live on to finish what was begun. The whole group is
//! killed only when both did not help.
//!
//! OpenTofu holds the reading ends of its own pipes too. When the host dies, a write would else end it with SIGPIPE in the
//! middle of an apply, and the state of what it just created would be lost.

use super::command::RunStep;
use super::confine::Confinement;
use super::hearing::{Explanation, HEARTBEAT, Hearing};
use super::lines::{RawLine, Source, pump, whole};
use super::mask::Masker;
use super::orphan::started_at;
use super::progress::{Outlet, Progress};
use catalyst_domain::record::Child as ChildRef;
use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::ffi::OsString;
use std::io::{self, PipeReader};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// Largest `tofu output -json`: user data of some dozens of nodes is below 2 MiB.
const OUTPUT_LIMIT: usize = 16 * 1024 * 1024;
/// Room in a pipe for an OpenTofu that outlives the host: some thousand lines before a write would wait.
const PIPE_SIZE: usize = 1024 * 1024;
/// Lines between reader and listener; with the longest line that is 16 MiB.
const LINES_WAITING: usize = 16;
/// Longest wait after the second interrupt; OpenTofu then only closes its plugins and writes the state.
const HARD_STOP_LONGEST: Duration = Duration::from_secs(10);
/// How long a process that outlives OpenTofu may hold its pipes.
const DRAIN: Duration = Duration::from_secs(5);

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
}

/// What to start.
pub(super) struct Order<'a> {
    pub(super) binary: &'a Path,
    pub(super) step: RunStep,
    pub(super) arguments: Vec<String>,
    pub(super) folder: &'a Path,
    pub(super) environment: &'a [(OsString, OsString)],
    /// Where it may write, beside what every run may.
    pub(super) own: &'a [&'a Path],
    pub(super) confinement: &'a Confinement,
}

/// How a command ended.
pub(super) struct End {
    pub(super) status: ExitStatus,
    pub(super) cut: Option<Cut>,
    pub(super) explanation: Explanation,
    /// Standard output of `tofu output`; `None` when it was too long, or for other steps.
    pub(super) output: Option<Zeroizing<Vec<u8>>>,
}

/// Runs one command to its end. Both pipes are read to theirs before this returns.
pub(super) async fn run(order: Order<'_>, masker: &Masker, outlet: &mut Outlet, limits: &Limits) -> io::Result<End> {
    let (child, output, errors) = start(&order).await?;
    let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    let Some(pid) = pid else { return Err(io::Error::other("the process has no id")) };
    let (sender, lines) = mpsc::channel(LINES_WAITING);
    let mut readers = vec![tokio::spawn(pump(errors, Source::Errors, sender.clone()))];
    let captured = if order.step == RunStep::Output {
        drop(sender);
        Some(tokio::spawn(whole(output, OUTPUT_LIMIT)))
    } else {
        readers.push(tokio::spawn(pump(output, Source::Output, sender)));
        None
    };
    let mut hearing = Hearing::new(order.step, masker, outlet);
    let pid_number = pid.as_raw_nonzero().get().unsigned_abs();
    let known = ChildRef { pid: pid_number, start_ticks: started_at(pid_number).unwrap_or_default() };
    hearing.outlet().mark(Progress::Child(known), limits).await;
    let watched = Watched { child, pid, lines, open: true, stage: Stage::Running, cut: None, exited: None, limits };
    let (status, cut) = watched.finish(&mut hearing).await?;
    readers.iter().for_each(JoinHandle::abort);
    let output = match captured {
        Some(captured) => timeout(DRAIN, captured).await.ok().and_then(Result::ok).transpose()?.flatten(),
        None => None,
    };
    Ok(End { status, cut, explanation: hearing.explanation(), output })
}

async fn start(order: &Order<'_>) -> io::Result<(Child, Receiver, Receiver)> {
    let (output, output_end) = pipe()?;
    let (errors, errors_end) = pipe()?;
    let mut command = Command::new(order.binary);
    command
        .args(&order.arguments)
        .current_dir(order.folder)
        .env_clear()
        .envs(order.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(output_end)
        .stderr(errors_end)
        .process_group(0)
        .kill_on_drop(true);
    let held = [(output.try_clone()?, 3), (errors.try_clone()?, 4)]
        .map(|(end, child_fd)| FdMapping { parent_fd: OwnedFd::from(end), child_fd });
    command.as_std_mut().fd_mappings(held.into()).map_err(io::Error::other)?;
    let child = order.confinement.spawn(command, order.own).await?;
    Ok((child, Receiver::from_owned_fd(output.into())?, Receiver::from_owned_fd(errors.into())?))
}

fn pipe() -> io::Result<(PipeReader, io::PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    // A host near its limit of pipe memory gives less room, which only an orphan would feel.
    let _ = rustix::pipe::fcntl_setpipe_size(&writer, PIPE_SIZE);
    Ok((reader, writer))
}

/// How far the stopping got, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    Interrupted(Instant),
    InterruptedTwice(Instant),
    Killed,
}

struct Watched<'a> {
    child: Child,
    pid: Pid,
    lines: mpsc::Receiver<RawLine>,
    open: bool,
    stage: Stage,
    cut: Option<Cut>,
    exited: Option<(ExitStatus, Instant)>,
    limits: &'a Limits,
}

impl Watched<'_> {
    async fn finish(mut self, hearing: &mut Hearing<'_>) -> io::Result<(ExitStatus, Option<Cut>)> {
        loop {
            if let Some((status, since)) = self.exited
                && (!self.open || since.elapsed() >= DRAIN * 2)
            {
                return Ok((status, self.cut));
            }
            let alarm = self.next_alarm(hearing.last_heard());
            let stoppable = self.exited.is_none() && self.stage == Stage::Running;
            tokio::select! {
                line = self.lines.recv(), if self.open => match line {
                    Some(line) => hearing.line(&line),
                    None => self.open = false,
                },
                status = self.child.wait(), if self.exited.is_none() => {
                    self.exited = Some((status?, Instant::now()));
                }
                () = self.limits.stop.cancelled(), if stoppable => self.interrupt(Cut::Stopped, hearing),
                () = sleep_until(alarm) => self.ring(hearing),
            }
        }
    }

    fn next_alarm(&self, last_heard: Instant) -> Instant {
        if let Some((_, since)) = self.exited {
            return if since.elapsed() < DRAIN { since + DRAIN } else { since + DRAIN * 2 };
        }
        let beat = last_heard + self.limits.heartbeat;
        self.stage_ends().map_or(beat, |end| end.min(beat))
    }

    fn stage_ends(&self) -> Option<Instant> {
        match self.stage {
            Stage::Running => Some(self.limits.deadline),
            Stage::Interrupted(since) => Some(since + self.limits.grace),
            Stage::InterruptedTwice(since) => Some(since + self.limits.grace.min(HARD_STOP_LONGEST)),
            Stage::Killed => None,
        }
    }

    fn ring(&mut self, hearing: &mut Hearing<'_>) {
        let now = Instant::now();
        if self.exited.is_some() {
            // Somebody OpenTofu started lives on and holds its pipes.
            let _ = kill_process_group(self.pid, Signal::KILL);
            return;
        }
        if self.stage_ends().is_some_and(|end| now >= end) {
            match self.stage {
                Stage::Running => self.interrupt(Cut::Timeout, hearing),
                Stage::Interrupted(_) => {
                    hearing.remark("OpenTofu did not end in time; interrupting it again".to_owned());
                    let _ = kill_process(self.pid, Signal::INT);
                    self.stage = Stage::InterruptedTwice(now);
                }
                Stage::InterruptedTwice(_) => {
                    hearing.remark("OpenTofu ignored two interrupts; killing it".to_owned());
                    let _ = kill_process_group(self.pid, Signal::KILL);
                    self.stage = Stage::Killed;
                }
                Stage::Killed => {}
            }
        } else if now >= hearing.last_heard() + self.limits.heartbeat {
            hearing.heartbeat();
        }
    }

    fn interrupt(&mut self, cut: Cut, hearing: &mut Hearing<'_>) {
        let why = match cut {
            Cut::Timeout => "its time is spent",
            Cut::Stopped => "the host was asked to stop",
        };
        hearing.remark(format!("interrupting OpenTofu: {why}; it finishes what it began and writes its state"));
        let _ = kill_process(self.pid, Signal::INT);
        self.cut = Some(cut);
        self.stage = Stage::Interrupted(Instant::now());
    }
}
