//! Processes of this machine, as `/proc` shows them (proc(5)).

use std::fs;

/// What `/proc/<pid>/stat` says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProcessStat {
    /// Whether it has ended and waits to be collected. It holds nothing any more.
    pub(super) has_ended: bool,
    /// Its parent's id.
    pub(super) parent: u32,
    /// Its start, in clock ticks since boot.
    pub(super) start_ticks: u64,
}

/// Ids of all processes that are seen from here; none where there is no `/proc`.
pub(super) fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// What is known of a process; `None` when it is gone.
pub(super) fn stat(pid: u32) -> Option<ProcessStat> {
    parsed(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// When a process started, in clock ticks since boot; `None` when it is gone.
pub fn start_ticks(pid: u32) -> Option<u64> {
    stat(pid).map(|stat| stat.start_ticks)
}

fn parsed(stat: &str) -> Option<ProcessStat> {
    // The name, field 2, may hold anything: what comes after it begins behind the last bracket, with the state (field 3).
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let has_ended = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    // Field 22.
    let start_ticks = fields.nth(17)?.parse().ok()?;
    Some(ProcessStat { has_ended, parent, start_ticks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name_is() {
        for (name, state, has_ended) in
            [("sh", "S", false), ("a) Z 1 (b", "R", false), ("", "Z", true), ("x", "X", true)]
        {
            let stat = format!("17 ({name}) {state} 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 4711 23\n");
            assert_eq!(parsed(&stat), Some(ProcessStat { has_ended, parent: 4, start_ticks: 4711 }), "{stat}");
        }
        assert_eq!((parsed(""), parsed("1 (x) S 2 3")), (None, None));
        let own = std::process::id();
        assert!(pids().any(|pid| pid == own) && stat(own).is_some_and(|own| !own.has_ended));
    }
}
