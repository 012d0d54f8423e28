//! Finds and ends a run that outlived the host which started it: its supervisor, which ends all the rest; or the bare OpenTofu that
//! an earlier release left.

use super::procfs;
use catalyst_domain::record::Child;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often the process is looked at. Exact enough for something that takes seconds.
const LOOK: Duration = Duration::from_millis(100);
/// Longest wait after the second interrupt: a supervisor kills all of its run meanwhile, and then writes down what that made.
const SECOND_WAIT: Duration = Duration::from_secs(45);
/// Longest wait after the kill.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// What became of an orphan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaped {
    /// It was gone already.
    Gone,
    /// It ended after an interrupt and could write its state.
    Ended,
    /// It had to be killed; what it did last may be missing in the state.
    Killed,
    /// It cannot be ended: it hangs in the kernel, or belongs to somebody else.
    Alive,
}

/// Start of a process in clock ticks since boot; `None` when it has ended.
pub(super) fn started_at(pid: u32) -> Option<u64> {
    procfs::stat(pid).filter(|stat| !stat.has_ended).map(|stat| stat.start_ticks)
}

/// Processes whose working directory is this folder, in the order in which they were started: a supervisor comes before what it
/// supervises, so that nobody else interrupts that.
pub(super) fn running_in(folder: &Path) -> Vec<Child> {
    let Ok(folder) = folder.canonicalize() else { return Vec::new() };
    let here = |pid: &u32| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder);
    let found = procfs::pids().filter(here).filter_map(|pid| Some(Child { pid, start_ticks: started_at(pid)? }));
    let mut found: Vec<Child> = found.collect();
    found.sort_by_key(|child| (child.start_ticks, child.pid));
    found
}

/// Interrupts the process if it is still the one that was started, then waits, then is less polite.
pub(super) async fn reap(child: &Child, grace: Duration) -> Reaped {
    let Some(handle) = open(child) else { return Reaped::Gone };
    let waits = [(Signal::INT, grace), (Signal::INT, SECOND_WAIT), (Signal::KILL, LAST_WAIT)];
    for (signal, wait) in waits {
        // The handle names the process and not its number, so the signal cannot hit another one.
        let _ = pidfd_send_signal(handle.as_fd(), signal);
        if signal == Signal::KILL
            && let Some(group) = pid_of(child)
        {
            let _ = kill_process_group(group, Signal::KILL);
        }
        if gone_within(child, wait).await {
            return if signal == Signal::KILL { Reaped::Killed } else { Reaped::Ended };
        }
    }
    Reaped::Alive
}

fn open(child: &Child) -> Option<OwnedFd> {
    let handle = pidfd_open(pid_of(child)?, PidfdFlags::empty()).ok()?;
    // Looked at after the handle is open: from here on it can be no other process.
    lives(child).then_some(handle)
}

fn pid_of(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.pid).ok()?)
}

fn lives(child: &Child) -> bool {
    started_at(child.pid) == Some(child.start_ticks)
}

async fn gone_within(child: &Child, wait: Duration) -> bool {
    let until = Instant::now() + wait;
    while lives(child) {
        if Instant::now() >= until {
            return false;
        }
        sleep(LOOK).await;
    }
    true
}
