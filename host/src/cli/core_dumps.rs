//! No image of the process's memory is written or read by others: it holds tokens, keys and credentials of clouds.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Forbids core dumps, and that another process of the same user attaches to this one, reads its memory or its environment.
/// Children inherit the limit; each program that is started is dumpable again by itself.
///
/// Both are needed: a kernel whose `core_pattern` is a pipe asks for the second alone (core(5)), and a child has only the
/// first. What is not dumpable has its files below `/proc/<pid>` owned by root (proc(5)), which this process never opens.
///
/// # Errors
/// The system refuses, as under a seccomp profile that knows neither call.
pub fn forbid() -> std::io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}
