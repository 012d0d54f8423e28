//! The first process of a container: it collects whatever ends there and is nobody else's child, and hands signals on to the host, which
//! is a process of its own. So the host never has to tell strangers from its own children.

use super::THIS_PROGRAM;
use rustix::process::{Pid, Signal, WaitStatus, kill_process};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

/// How long a run may take to end whose host is gone: its grace, a second interrupt, the kill, and what is written then.
const LONGEST_RUN_END: Duration = Duration::from_secs(60);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Whether this process is the first of its process namespace.
pub fn is_first_process() -> bool {
    std::process::id() == 1
}

/// Runs this program with the same arguments as a child, until that ends. Its exit status; of one that was killed by a signal, as a
/// shell tells it.
///
/// # Errors
/// The child cannot be started.
pub fn run_as_first_process(arguments: Vec<OsString>) -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before there is a child that could end, or somebody who could ask it to.
        let mut children = signal(SignalKind::child())?;
        let (mut hup, mut int) = (signal(SignalKind::hangup())?, signal(SignalKind::interrupt())?);
        let mut term = signal(SignalKind::terminate())?;
        let host = Command::new(THIS_PROGRAM).args(arguments).process_group(0).spawn()?;
        let host = Pid::from_raw(host.id().cast_signed()).ok_or(io::ErrorKind::InvalidData)?;
        loop {
            let handed_on = tokio::select! {
                _ = children.recv() => None,
                _ = hup.recv() => Some(Signal::HUP),
                _ = int.recv() => Some(Signal::INT),
                _ = term.recv() => Some(Signal::TERM),
            };
            if let Some(handed_on) = handed_on {
                let _ = kill_process(host, handed_on);
            }
            let mut ended = None;
            super::sweep::collect(|pid, status| {
                if pid == host {
                    ended = Some(status);
                }
            });
            if let Some(status) = ended {
                // The kernel ends everybody with the first process: runs whose host was killed get the time to end in order.
                supervisors_gone().await;
                return Ok(exit_code(status));
            }
        }
    })
}

/// Waits until no supervisor of a run is left, and collects whatever ends meanwhile.
async fn supervisors_gone() {
    let until = Instant::now() + LONGEST_RUN_END;
    while Instant::now() < until && super::sweep::children_run(super::NAME) {
        super::sweep::collect(|_, _| {});
        sleep(LOOK).await;
    }
}

fn exit_code(status: WaitStatus) -> ExitCode {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
