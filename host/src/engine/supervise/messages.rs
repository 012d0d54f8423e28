//! Messages between a host, the supervisor of a run and the run's init. How they travel is `wire.rs`.

use super::layers::{Layer, LayerState};
use super::places::Places;
use crate::egress::{self, Refusal, RefusalRule, RunHosts, StepReach};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// What a supervisor gets once, before anything else.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::engine) struct Setup {
    /// Work folder of the run: the working directory of supervisor and OpenTofu, which a restarted host finds them by.
    pub(in crate::engine) folder: PathBuf,
    /// Layers to put up; each must hold.
    pub(in crate::engine) layers: Vec<Layer>,
    /// Whether a layer that does not hold is named and passed over, as in a trial.
    pub(in crate::engine) trial: bool,
    /// Where the run may read, run and write.
    pub(in crate::engine) places: Places,
    /// Where the supervisor leaves what the run made, unless [`ToSupervisor::Kept`] comes before: a file out of the run's reach.
    pub(in crate::engine) spool: PathBuf,
    /// Folders of this run alone, which any of its commands may write.
    pub(in crate::engine) own: Vec<PathBuf>,
    /// One of them, which the supervisor removes when nothing of the run is left: its host may be gone by then.
    pub(in crate::engine) temporary: Option<PathBuf>,
    /// The proxy of the run, where it has one. Init does not get it.
    pub(in crate::engine) proxy: Option<ProxySetup>,
    /// End of the run's time, on `CLOCK_BOOTTIME`, in milliseconds.
    pub(in crate::engine) deadline_ms: u64,
    /// Time to end after a first interrupt, in milliseconds.
    pub(in crate::engine) grace_ms: u64,
}

/// The proxy that a supervisor serves to its run. No `Debug`: the operator's proxy may have a password.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::engine) struct ProxySetup {
    /// The way out.
    pub(in crate::engine) settings: egress::Settings,
    /// What the run may reach.
    pub(in crate::engine) hosts: RunHosts,
}

/// How a run reaches its proxy.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct ProxyAccess {
    /// Variables that lead clients there; some hold the password.
    pub(in crate::engine) environment: Vec<(OsString, OsString)>,
    /// The password, for whoever keeps it out of texts.
    pub(in crate::engine) password: String,
}

impl fmt::Debug for ProxyAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyAccess").finish_non_exhaustive()
    }
}

/// One command of a run. No `Debug`: its environment holds passwords.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::engine) struct CommandSpec {
    /// The program as it is started.
    pub(in crate::engine) binary: PathBuf,
    /// Its arguments.
    pub(in crate::engine) arguments: Vec<OsString>,
    /// Its complete environment.
    pub(in crate::engine) environment: Vec<(OsString, OsString)>,
    /// Folders that it may write, of those of [`Setup::own`].
    pub(in crate::engine) own: Vec<PathBuf>,
    /// What it may reach by the proxy of the run.
    pub(in crate::engine) step: StepReach,
    /// Whether standard output is wanted whole instead of by lines.
    pub(in crate::engine) whole_output: bool,
}

/// From the host to the supervisor.
#[derive(Serialize, Deserialize)]
pub(super) enum ToSupervisor {
    /// First and once.
    Setup(Box<Setup>),
    /// Start a command; the one before has ended.
    Command(Box<CommandSpec>),
    /// Interrupt the command that goes on.
    Stop,
    /// What the run made is in the kept state, so the supervisor need not leave a list of it.
    Kept,
}

/// From the supervisor to the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) enum Event {
    /// The run may begin; with the listener of its state backend beside it.
    Ready(Begun),
    /// The run cannot begin.
    Refused(String),
    /// The command was started.
    Started,
    /// The command could not be started.
    NotStarted(String),
    /// So many lines were dropped because the host took none.
    Dropped(u64),
    /// The proxy did not make a connection, for the first time to this host in this step.
    ConnectionRefused(Refusal),
    /// The command was interrupted.
    Interrupted(Interruption),
    /// It was interrupted a second time.
    InterruptedAgain,
    /// It and all that it started was killed.
    Killed,
    /// The kill did not end it, so the run's init was killed with everything in it.
    InitKilled,
    /// It ended, but not what it started, which was killed some seconds later.
    LeftoversKilled,
    /// It ended, and so did all that it started.
    Ended(Exit),
}

/// A run that may begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Begun {
    /// Which layers are up, and in a trial which are not.
    pub(in crate::engine) layers: Vec<LayerState>,
    /// Its proxy, where it has one.
    pub(in crate::engine) proxy: Option<ProxyAccess>,
}

/// Why a command was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) enum Interruption {
    /// The run's time is over.
    Deadline,
    /// The host asked for it.
    Stopped,
    /// The host is gone.
    HostGone,
    /// The supervisor received SIGTERM, SIGINT or SIGHUP.
    Signal,
}

/// What is known of how a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) enum ProcessEnd {
    /// With this status, as in `waitpid(2)`.
    WaitStatus(i32),
    /// The run's init, which would have collected it, is gone: it was killed with all that the run started.
    InitGone,
}

/// The end of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Exit {
    /// How its process ended.
    pub(in crate::engine) end: ProcessEnd,
    /// Whether its standard output, which was wanted whole, was longer than it may be.
    pub(in crate::engine) output_too_long: bool,
    /// How often each rule of the proxy refused a connection of the command.
    pub(in crate::engine) refused: Vec<(RefusalRule, u64)>,
}

/// From the supervisor to the run's init.
#[derive(Serialize, Deserialize)]
pub(super) enum ToInit {
    /// First and once, with the writing ends of both output pipes and of the host's pipe of life.
    Setup(Box<Setup>),
    /// Start a command.
    Command(Box<CommandSpec>),
    /// Interrupt it.
    Interrupt,
    /// Kill it and all that it started.
    Kill,
}

/// From the run's init to the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromInit {
    /// Its layers; with the listeners of the state backend and of the proxy beside it.
    Ready(Vec<LayerState>),
    /// Its layers cannot be put up.
    Refused(String),
    /// The command was started.
    Started,
    /// The command could not be started.
    NotStarted(String),
    /// The command ended; what it started did not, and is killed now.
    LeftoversKilled,
    /// The command ended, with this status of `waitpid(2)`, and nothing that it started lives any more.
    Ended(i32),
}
