//! Ends everything that a run started, also what left its process group, and collects it.
//!
//! Processes whose parent ended become children of the run's init, or, without one, of the supervisor: both are subreapers. So what
//! a run started is always found below one of them. Where the run has a control group, all in it are killed at once as well.

use super::control_group::ControlGroup;
use super::is_first_process;
use crate::engine::procfs;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};
use std::collections::HashMap;
use std::fs;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

/// How long to go on with a run that starts processes faster than they are ended.
const LONGEST: Duration = Duration::from_secs(10);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// Kills all processes below this one until none is left. Some that are left after all, as such that hang in the kernel, are named on
/// standard error, which the host traces.
pub(super) fn kill_all(group: Option<&ControlGroup>) {
    let until = Instant::now() + LONGEST;
    loop {
        kill_once(group);
        if collect(|_, _| {}) == Left::None {
            return;
        }
        if Instant::now() >= until {
            let left: Vec<String> = descendants().iter().map(ToString::to_string).collect();
            // Where nobody reads it any more, the run still has to end.
            let _ = writeln!(
                io::stderr(),
                "processes of the run live on after {} s of kills: {}",
                LONGEST.as_secs(),
                left.join(", ")
            );
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Whether children are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    None,
    Some,
}

/// Collects all children that have ended, and tells each.
pub(super) fn collect(mut ended: impl FnMut(Pid, WaitStatus)) -> Left {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => ended(pid, status),
            Ok(None) => return Left::Some,
            Err(rustix::io::Errno::INTR) => {}
            // There is no child.
            Err(_) => return Left::None,
        }
    }
}

fn kill_once(group: Option<&ControlGroup>) {
    if is_first_process() {
        // The first of a process namespace: everybody in it but itself, at once.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(-1), nix::sys::signal::Signal::SIGKILL);
        return;
    }
    group.into_iter().for_each(ControlGroup::kill);
    // Stopped first, so that none starts another while the others are looked for.
    for signal in [Signal::STOP, Signal::KILL] {
        for pid in descendants().into_iter().filter_map(|pid| Pid::from_raw(pid.cast_signed())) {
            let _ = kill_process(pid, signal);
        }
    }
}

/// Whether a child of this process runs this command of this program.
pub(super) fn children_run(command: &str) -> bool {
    let own = std::process::id();
    let is_child = |pid: &u32| procfs::stat(*pid).is_some_and(|stat| stat.parent == own);
    procfs::pids().filter(is_child).any(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).nth(1) == Some(command.as_bytes())
    })
}

/// Ids of the processes below this one.
fn descendants() -> Vec<u32> {
    let parents: HashMap<u32, u32> = procfs::pids().filter_map(|pid| Some((pid, procfs::stat(pid)?.parent))).collect();
    let own = std::process::id();
    let is_below = |pid: u32| {
        let mut at = pid;
        // A table that changes while it is read could lead in a circle.
        for _ in 0..parents.len() {
            match parents.get(&at) {
                Some(&parent) if parent == own => return true,
                Some(&parent) => at = parent,
                None => return false,
            }
        }
        false
    };
    parents.keys().copied().filter(|pid| is_below(*pid)).collect()
}
