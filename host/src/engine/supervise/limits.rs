//! What a command may use of the machine, and the rights that it gives up. Set on the thread and the process that start it.

use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};
use std::fs;
use std::io;

/// Open files of a process. Go raises its own soft limit to this.
const OPEN_FILES: u64 = 8_192;
/// Longest file: the largest providers have some 700 MiB.
const FILE_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Memory of a process that holds data. Not its address space, of which Go reserves far more than it uses.
const DATA_BYTES: u64 = 8 * 1024 * 1024 * 1024;

/// Processes and threads of a run: OpenTofu and its providers have some dozens each.
const PROCESSES: u64 = 1_024;

/// Bounds the number of processes and threads of the run, and of namespaces that it may make: none.
///
/// The kernel counts processes by process namespace since Linux 6.14. Before, it counts those of a user by user namespace, but not
/// those of the superuser.
///
/// # Errors
/// Neither counts here.
pub(super) fn processes() -> io::Result<()> {
    // Of this user namespace; where it is the machine's own, the file is not ours to write.
    if outer_user().is_some() {
        let limit = fs::write("/proc/sys/user/max_user_namespaces", "0");
        limit.map_err(|why| io::Error::new(why.kind(), format!("user namespaces cannot be forbidden: {why}")))?;
    }
    by_namespace().or_else(|why| match outer_user() {
        Some(user) if user != 0 => {
            setrlimit(Resource::Nproc, Rlimit { current: Some(PROCESSES), maximum: Some(PROCESSES) })?;
            Ok(())
        }
        _ => Err(why),
    })
}

fn by_namespace() -> io::Result<()> {
    const FILE: &str = "/proc/sys/kernel/pid_max";
    if !super::is_first_process() {
        return Err(io::Error::other("without a process namespace the number is the machine's"));
    }
    // Before, the file was the whole machine's, and the superuser could write it from anywhere.
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    if !counts_by_namespace(&release) {
        return Err(io::Error::other("processes are counted by namespace since Linux 6.14"));
    }
    fs::write(FILE, PROCESSES.to_string())
}

/// Whether a kernel of this release counts processes by process namespace.
fn counts_by_namespace(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<u32>().ok());
    matches!((numbers.next().flatten(), numbers.next().flatten()), (Some(major), Some(minor)) if (major, minor) >= (6, 14))
}

/// The user outside whom this process is inside; `None` where there is no user namespace of the run.
fn outer_user() -> Option<u32> {
    let map = fs::read_to_string("/proc/self/uid_map").ok()?;
    let mut fields = map.split_whitespace();
    let (inside, outside, length) = (fields.next()?, fields.next()?, fields.next()?);
    (inside == "0" && length == "1").then(|| outside.parse().ok())?
}

/// No image of memory is written: it holds the credentials of the run.
///
/// # Errors
/// The system refuses.
pub(super) fn no_core() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(())
}

/// Limits of this process and all that it starts.
///
/// # Errors
/// The system refuses.
pub(super) fn resources() -> io::Result<()> {
    no_core()?;
    for (resource, most) in
        [(Resource::Nofile, OPEN_FILES), (Resource::Fsize, FILE_BYTES), (Resource::Data, DATA_BYTES)]
    {
        let now = rustix::process::getrlimit(resource);
        let least = |limit: Option<u64>| Some(limit.map_or(most, |limit| limit.min(most)));
        setrlimit(resource, Rlimit { current: least(now.current), maximum: least(now.maximum) })?;
    }
    Ok(())
}

/// Gives up every right of this thread over its namespaces, for good: also a program of the superuser gets none back.
///
/// # Errors
/// The system refuses.
pub(super) fn drop_rights() -> io::Result<()> {
    for capability in CapabilitySet::all().iter() {
        match remove_capability_from_bounding_set(capability) {
            // One that this kernel does not know; or a process that has no right to give up.
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::PERM) => {}
            Err(why) => return Err(why.into()),
        }
    }
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    set_no_new_privs(true)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_kernel_that_counts_by_namespace_is_told_a_number() {
        for (release, counts) in [
            ("6.18.44-generic\n", true),
            ("6.14.0", true),
            ("7.0-rc1", true),
            ("6.13.9", false),
            ("5.15.0-91", false),
            ("", false),
            ("x.y", false),
        ] {
            assert_eq!(counts_by_namespace(release), counts, "{release}");
        }
    }
}
