//! Ends everything that a run started, also what left its process group, and collects it.
//!
//! Processes whose parent ended become children of the run's init, or, without one, of the supervisor: both are subreapers. So what
//! a run started is always found below one of them.

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};
use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

/// How long to go on with a run that starts processes faster than they are ended.
const LONGEST: Duration = Duration::from_secs(10);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// Kills all processes below this one until none is left. `false` when some are left after all.
pub(super) fn kill_all() -> bool {
    let until = Instant::now() + LONGEST;
    loop {
        kill_once();
        if collect(|_, _| {}) == Left::None {
            return true;
        }
        if Instant::now() >= until {
            return false;
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

fn kill_once() {
    if std::process::id() == 1 {
        // The first of a process namespace: everybody in it but itself, at once.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(-1), nix::sys::signal::Signal::SIGKILL);
        return;
    }
    // Stopped first, so that none starts another while the others are looked for.
    for signal in [Signal::STOP, Signal::KILL] {
        for pid in descendants() {
            let _ = kill_process(pid, signal);
        }
    }
}

/// Whether a child of this process runs this command of this program.
pub(super) fn children_run(command: &str) -> bool {
    let own = std::process::id().cast_signed();
    let Ok(processes) = fs::read_dir("/proc") else { return false };
    let mut pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.any(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        parent_of(pid) == Some(own) && line.split(|byte| *byte == 0).nth(1) == Some(command.as_bytes())
    })
}

/// Processes below this one.
fn descendants() -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let parents: HashMap<i32, i32> = pids.filter_map(|pid| Some((pid, parent_of(pid)?))).collect();
    let own = std::process::id().cast_signed();
    let is_below = |pid: i32| {
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
    parents.keys().copied().filter(|pid| is_below(*pid)).filter_map(Pid::from_raw).collect()
}

/// Field 4 of `/proc/<pid>/stat` (proc(5)).
fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}
