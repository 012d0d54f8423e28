//! strace as a saboteur: it attaches to threads that wait, and strikes at a given system call.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

/// The calls with which a store reads and writes. A question mark goes before names that not every machine has.
const STORAGE: &[&str] = &[
    "?open",
    "openat",
    "openat2",
    "read",
    "?pread64",
    "getdents64",
    "write",
    "writev",
    "?pwrite64",
    "?pwritev",
    "fsync",
    "fdatasync",
    "?sync_file_range",
    "?rename",
    "?renameat",
    "renameat2",
    "?link",
    "linkat",
    "?unlink",
    "unlinkat",
    "?rmdir",
    "?mkdir",
    "mkdirat",
    "?symlink",
    "symlinkat",
    "ftruncate",
    "?fallocate",
    "?chmod",
    "fchmod",
    "fchmodat",
    "flock",
    "copy_file_range",
];

/// One system call: the how-manieth of its name since the tracer came.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// Its name.
    pub call: String,
    /// From one on.
    pub number: usize,
}

impl Point {
    /// Whether it changes what is on disk, or makes sure of it.
    pub fn writes(&self) -> bool {
        !["open", "openat", "openat2", "read", "pread64", "getdents64", "flock"].contains(&self.call.as_str())
    }
}

/// What a tracer does.
pub enum Order<'a> {
    /// Write the calls down.
    Watch {
        /// Where.
        log: &'a Path,
    },
    /// End the process just before a call.
    Kill(&'a Point),
    /// Let a call fail without being done.
    Fail(&'a Point, Fault),
    /// Let these calls never come back, as on a disk that does not answer: not even for the end of the process.
    Hang(&'a [&'a str]),
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Once, with this error.
    Once(&'static str),
    /// From here on always.
    Always(&'static str),
}

/// Which threads are meant.
pub enum Target {
    /// One thread.
    Thread(u32),
    /// All of a process.
    Process(u32),
}

/// An attached tracer. It ends with its process; dropped before, it lets go.
pub struct Tracer {
    child: Child,
    /// What makes it let go.
    signal: &'static str,
    _stderr: BufReader<ChildStderr>,
}

impl Tracer {
    /// Attaches, and returns when every thread is in its hands.
    pub fn attach(target: &Target, order: &Order<'_>) -> Self {
        let mut command = Command::new(crate::tools::path("strace").unwrap());
        match target {
            Target::Thread(thread) => command.args(["-p", &thread.to_string()]),
            Target::Process(process) => command.args(["-f", "-p", &process.to_string()]),
        };
        match order {
            Order::Watch { log } => {
                let calls = STORAGE.join(",") + ",sendto,?sendmsg";
                command.arg("-o").arg(log).args(["-y", "-s", "40", "-e", &format!("trace={calls}")])
            }
            Order::Kill(Point { call, number }) => {
                let inject = format!("inject={call}:signal=KILL:when={number}");
                command.args(["-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject])
            }
            Order::Fail(Point { call, number }, fault) => {
                let (error, more) = match fault {
                    Fault::Once(error) => (error, ""),
                    Fault::Always(error) => (error, "+"),
                };
                let inject = format!("inject={call}:error={error}:when={number}{more}");
                command.args(["-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject])
            }
            Order::Hang(calls) => {
                let (calls, for_ever) = (calls.join(","), Duration::from_secs(1800).as_micros());
                let inject = format!("inject={calls}:delay_enter={for_ever}");
                command.args(["-o", "/dev/null", "-e", &format!("trace={calls}"), "-e", &inject])
            }
        };
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains(" attached") {
            let more = stderr.read_line(&mut said).unwrap();
            assert!(more > 0, "strace cannot attach; in a container it needs the right to trace:\n{said}");
        }
        // One that holds a thread back lets go of nothing when it is asked; and one that is killed takes the process along.
        let signal = if matches!(order, Order::Hang(_)) { "-KILL" } else { "-TERM" };
        Self { child, signal, _stderr: stderr }
    }

    /// Waits until the traced process is gone.
    pub fn gone(mut self) {
        self.child.wait().unwrap();
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _gone = Command::new("kill").arg(self.signal).arg(self.child.id().to_string()).status();
            let _status = self.child.wait();
        }
    }
}

/// The storage calls of a trace, thread by thread: up to the line that holds `end`, if one is given.
pub fn points(log: &Path, end: Option<&str>) -> Vec<Point> {
    let text = std::fs::read_to_string(log).unwrap();
    let mut seen: std::collections::BTreeMap<(String, String), usize> = std::collections::BTreeMap::new();
    let mut points = Vec::new();
    let mut ended = end.is_none();
    for line in text.lines() {
        if end.is_some_and(|end| line.contains(end)) {
            ended = true;
            break;
        }
        // With several threads a line begins with the thread, and a long call is told in two halves.
        let (thread, rest) = match line.split_once(' ') {
            Some((thread, rest)) if thread.bytes().all(|b| b.is_ascii_digit()) => (thread, rest.trim_start()),
            _ => ("", line),
        };
        let Some((call, _)) = rest.split_once('(') else { continue };
        if !STORAGE.iter().any(|name| name.trim_start_matches('?') == call) {
            continue;
        }
        let number = seen.entry((thread.to_owned(), call.to_owned())).or_default();
        *number += 1;
        // Wake-ups between threads, standard streams and connections are counted with the others, but are no storage.
        if ["anon_inode:", "socket:", "pipe:", "TCP:"].iter().any(|kind| rest.contains(&format!("<{kind}"))) {
            continue;
        }
        points.push(Point { call: call.to_owned(), number: *number });
    }
    assert!(ended, "{end:?} is not in the trace:\n{text}");
    points.sort();
    points.dedup();
    points
}
