//! The child's side: bind oneself, read a component, write machine code, end.

use super::LENGTH;
use catalyst_sandbox::{Allocator, Counting, Limits, Target};
use landlock::{ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, Scope};
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::process::ExitCode;

/// Exit status of a component that the compiler refuses.
pub(super) const REFUSED: i32 = 3;
/// Exit status when memory was refused and the compiler noticed.
pub(super) const NO_MEMORY: i32 = 4;
/// The signal of a process that has spent its CPU time: SIGXCPU.
pub(super) const OUT_OF_TIME: i32 = 24;

/// The words of the system for memory that is refused (ENOMEM).
const REFUSED_MEMORY: &str = "os error 12";
/// What is asked of a kernel that has more.
const WANTED: ABI = ABI::V6;
/// How far it steps back behind who serves, of 19.
const NICENESS: i32 = 10;
/// Where a process says whom a kernel that is short of memory is to end (proc_pid_oom_score_adj(5)).
const OOM_SCORE: &str = "/proc/self/oom_score_adj";
/// The most that it takes: before everybody else. A kernel ends the largest of a container, and that may be the host.
const FIRST_TO_GO: &str = "1000";

/// Arguments of the hidden command.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Arguments {
    /// Whether the engine has a pool.
    #[arg(long)]
    pooling: bool,
    /// Whether it counts instructions.
    #[arg(long)]
    counting: bool,
    /// Largest memory of an instance of that engine.
    #[arg(long)]
    memory_bytes: usize,
    /// Largest component.
    #[arg(long)]
    component_bytes: u64,
    /// Address space of this process.
    #[arg(long)]
    space_bytes: u64,
    /// CPU time of this process.
    #[arg(long)]
    cpu_seconds: u64,
}

impl Arguments {
    pub(super) fn new(target: Target, limits: &Limits) -> Self {
        // The parent's clock comes first. This ends a child that nobody waits for any more, whatever its threads.
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        Self {
            pooling: target.allocator == Allocator::Pooling,
            counting: target.counting == Counting::On,
            memory_bytes: target.memory_bytes,
            component_bytes: limits.component_bytes,
            space_bytes: limits.compile_memory_bytes,
            cpu_seconds: limits.compile_timeout.as_secs().saturating_add(1).saturating_mul(cores),
        }
    }

    /// As a command line.
    pub(super) fn words(self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["compile-component".into()];
        words.extend(self.pooling.then(|| "--pooling".into()));
        words.extend(self.counting.then(|| "--counting".into()));
        for (name, value) in [
            ("--memory-bytes", self.memory_bytes as u64),
            ("--component-bytes", self.component_bytes),
            ("--space-bytes", self.space_bytes),
            ("--cpu-seconds", self.cpu_seconds),
        ] {
            words.extend([name.into(), value.to_string().into()]);
        }
        words
    }

    fn target(self) -> Target {
        let allocator = if self.pooling { Allocator::Pooling } else { Allocator::OnDemand };
        let counting = if self.counting { Counting::On } else { Counting::Off };
        Target { allocator, memory_bytes: self.memory_bytes, counting }
    }
}

/// Compiles standard input to standard output, bound by what was given.
///
/// # Errors
/// When it cannot bind itself, or the pipes are broken.
pub fn child(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    bind(arguments)?;
    let mut component = Vec::new();
    std::io::stdin().lock().take(arguments.component_bytes.saturating_add(1)).read_to_end(&mut component)?;
    match catalyst_sandbox::compile(&component, arguments.target()) {
        Ok(code) => {
            let mut out = std::io::stdout().lock();
            let length: [u8; LENGTH] = (code.len() as u64).to_le_bytes();
            out.write_all(&length)?;
            out.write_all(&code)?;
            out.flush()?;
            Ok(ExitCode::SUCCESS)
        }
        Err(why) => {
            std::io::stderr().lock().write_all(why.as_bytes())?;
            let status = if why.contains(REFUSED_MEMORY) { NO_MEMORY } else { REFUSED };
            Ok(ExitCode::from(u8::try_from(status)?))
        }
    }
}

/// Before the first byte of a stranger is read. Threads are started later, so they are bound as well.
fn bind(arguments: &Arguments) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // Raising one's own needs no right. Where there is no such file, the other limits hold all the same.
    let _ = std::fs::write(OOM_SCORE, FIRST_TO_GO);
    let at_most = |bytes: u64| Rlimit { current: Some(bytes), maximum: Some(bytes) };
    setrlimit(Resource::As, at_most(arguments.space_bytes))?;
    let cpu = Rlimit { current: Some(arguments.cpu_seconds), maximum: Some(arguments.cpu_seconds.saturating_add(1)) };
    setrlimit(Resource::Cpu, cpu)?;
    setrlimit(Resource::Core, at_most(0))?;
    setrlimit(Resource::Fsize, at_most(0))?;
    rustix::process::nice(NICENESS)?;
    // No file and no socket, as far as the kernel can; a compiler needs none, so nothing else depends on it.
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))?
        .handle_access(AccessNet::from_all(WANTED))?
        .scope(Scope::from_all(WANTED))?
        .create()?
        .restrict_self()?;
    Ok(())
}
