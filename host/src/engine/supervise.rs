//! A supervisor process for each run: this very program, started anew.
//!
//! ```text
//! host ──socket── supervisor ──socket── init ── OpenTofu ── providers
//! ```
//!
//! The supervisor holds OpenTofu's output and its time. When the host ends, however it ends, the supervisor interrupts OpenTofu, lets
//! it write its state, and kills it after a grace; a host that is stopped lengthens no run. The supervisor serves the run's proxy,
//! which so lives as long as what is behind it. The init is the first process of the run's own process namespace (without one, a
//! subreaper): what the run started ends with it. Both are started by exec, so namespaces are entered by a process with one thread.
//! Nothing here knows what a command is for.

mod alarm;
mod control_group;
mod first_process;
mod init;
mod landlock;
mod layers;
mod limits;
mod messages;
mod namespaces;
mod outbox;
mod output;
mod places;
mod run;
mod served_proxy;
mod sockets;
mod spool;
mod start;
mod stopping;
mod supervisor;
mod sweep;
mod tree;
mod wire;

pub use first_process::{is_first_process, run_as_first_process};
#[cfg(test)]
pub(super) use landlock::has as kernel_has;
pub use layers::{Layer, LayerState};
pub(super) use messages::{CommandSpec, Event, Interruption, ProcessEnd, ProxySetup, Setup};
pub use namespaces::RUN_PORTS;
pub(super) use places::Places;
pub(super) use run::{RunEvent, Supervised, deadline_ms};

use std::io;
use std::path::Path;
use std::process::Command;

/// What a process of this program does for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Supervisor,
    Init,
}

/// Arguments of the hidden command.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Arguments {
    /// Be the init of a run instead of its supervisor.
    #[arg(long)]
    init: bool,
}

/// Supervises a run, or is its init, until whoever started this process lets go. Needs a process with one thread.
///
/// # Errors
/// It was not started by a host, or the system refuses.
pub fn process(arguments: Arguments) -> io::Result<()> {
    if arguments.init { init::run() } else { supervisor::run() }
}

/// This program, even after its file was replaced.
pub const THIS_PROGRAM: &str = "/proc/self/exe";

/// The hidden command.
const NAME: &str = "supervise";

/// How a process of a run is started from this program's file.
#[cfg(not(test))]
fn program(file: &Path, role: Role) -> Command {
    let mut command = Command::new(file);
    command.arg(NAME).env_clear();
    if role == Role::Init {
        command.arg("--init");
    }
    command
}

/// The program of the tests has no command line of ours: it runs one test, which has a thread of its own, so that no namespace can
/// be entered. Those are shown in `tests/tests/confinement`.
#[cfg(test)]
fn program(file: &Path, role: Role) -> Command {
    let mut command = Command::new(file);
    command.args(["engine::supervise::tests::a_process_of_a_run", "--exact", "--test-threads=1"]).env_clear();
    command.env(tests::ROLE, if role == Role::Init { "init" } else { "supervisor" });
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const ROLE: &str = "CATALYST_TEST_ROLE";

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the program of the tests has no other way to be told")]
    fn a_process_of_a_run() {
        if let Ok(role) = std::env::var(ROLE) {
            process(Arguments { init: role == "init" }).unwrap();
        }
    }
}
