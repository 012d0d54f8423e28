//! This process, under the names that Prometheus has for every process. What the system does not tell is left out.

use super::now::number;
use crate::engine::process_start_ticks;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use rustix::param::clock_ticks_per_second;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// The numbers of this moment.
pub(super) fn registry() -> Registry {
    let mut registry = Registry::with_prefix("process");
    let processors = Counter::<f64, AtomicU64>::default();
    processors.inc_by(processor_time().as_secs_f64());
    registry.register("cpu_seconds", "Time of processors that the host took, runs of OpenTofu left out", processors);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let limit = getrlimit(Resource::Nofile).current;
    for (name, help, value) in [
        ("open_fds", "Open file descriptors of the host", open_descriptors()),
        ("max_fds", "How many it may have open", limit.and_then(|most| i64::try_from(most).ok())),
        ("resident_memory_bytes", "Memory of the host that is in RAM", bytes(&status, "VmRSS:")),
        (
            "virtual_memory_bytes",
            "Address space of the host, most of which is reserved alone",
            bytes(&status, "VmSize:"),
        ),
        ("start_time_seconds", "When the host started, in seconds since 1970", started_at()),
    ] {
        if let Some(value) = value {
            registry.register(name, help, number(value));
        }
    }
    registry
}

fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

fn open_descriptors() -> Option<i64> {
    // The folder itself is open while it is read.
    let listed = fs::read_dir("/proc/self/fd").ok()?.count();
    i64::try_from(listed).ok()?.checked_sub(1)
}

/// A line of `/proc/self/status` that says how many KiB.
fn bytes(status: &str, key: &str) -> Option<i64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: i64 = rest.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}

/// Seconds since 1970: the boot of the system and what had passed since then.
fn started_at() -> Option<i64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let boot: i64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let after = process_start_ticks(std::process::id())?.checked_div(clock_ticks_per_second())?;
    boot.checked_add(i64::try_from(after).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\tcatalyst\nVmSize:\t  1048576 kB\nVmRSS:\t    2048 kB\nVmSwap:\t0 kB\nVmPin:\tmuch\n";
        assert_eq!(bytes(status, "VmSize:"), Some(1 << 30));
        assert_eq!(bytes(status, "VmRSS:"), Some(2 << 20));
        assert_eq!((bytes(status, "VmPin:"), bytes(status, "VmLck:"), bytes("", "VmRSS:")), (None, None, None));
    }

    #[test]
    fn the_numbers_are_those_of_this_process() {
        let before = open_descriptors().unwrap();
        let file = fs::File::open("/proc/self/stat").unwrap();
        // Other tests of this process open and close files.
        assert!(before >= 3 && open_descriptors().unwrap() >= 4, "{before}");
        drop(file);
        assert!(!processor_time().is_zero());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let age = i64::try_from(now.as_secs()).unwrap() - started_at().unwrap();
        assert!((-2..24 * 3600).contains(&age), "{age}");
    }
}
