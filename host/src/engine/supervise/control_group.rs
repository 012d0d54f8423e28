//! The control group (cgroup v2) of what a run starts, where the run has no process namespace: all that is in it is killed at once, also
//! what starts processes faster than they are looked for. Its supervisor makes it, where the system lets it; the init starts each command
//! in it and stays outside itself.

use super::tree::unescaped;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// What the folders of such groups begin with; the id of their supervisor follows.
const PREFIX: &str = "catalyst-run-";
/// Where the processes of a group are listed, and where one is moved to it.
const MEMBERS: &str = "cgroup.procs";
/// Where all of a group are killed (since Linux 5.14).
const KILL: &str = "cgroup.kill";
/// The process that writes.
const ITSELF: &[u8] = b"0";
/// How often an emptied group is tried to be removed, and the pause between: the kernel takes a moment.
const REMOVALS: (u32, Duration) = (100, Duration::from_millis(2));

/// A group, as the processes of its run use it.
#[derive(Debug)]
pub(super) struct ControlGroup {
    members: File,
    /// The group that init is in.
    outside: File,
    kill: File,
    /// Whether init is outside, so that a kill does not end it as well.
    is_outside: AtomicBool,
}

/// The folder of a group, which goes with its supervisor.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

/// Makes a group below that of this process.
///
/// # Errors
/// There is no tree of groups of version 2, it cannot be written, or the kernel is too old.
pub(super) fn make() -> io::Result<(Folder, ControlGroup)> {
    let above = own_folder()?;
    remove_left(&above);
    let folder = Folder(above.join(format!("{PREFIX}{}", std::process::id())));
    fs::create_dir(&folder.0)?;
    let write = |path: PathBuf| OpenOptions::new().write(true).open(path);
    let group = ControlGroup {
        members: write(folder.0.join(MEMBERS))?,
        outside: write(above.join(MEMBERS))?,
        kill: write(folder.0.join(KILL))?,
        is_outside: AtomicBool::new(true),
    };
    Ok((folder, group))
}

impl ControlGroup {
    /// What another process of the run needs of it.
    pub(super) fn files(&self) -> [BorrowedFd<'_>; 3] {
        [self.members.as_fd(), self.outside.as_fd(), self.kill.as_fd()]
    }

    /// The same in that process.
    pub(super) fn of_files([members, outside, kill]: [OwnedFd; 3]) -> Self {
        let (members, outside, kill) = (members.into(), outside.into(), kill.into());
        Self { members, outside, kill, is_outside: AtomicBool::new(true) }
    }

    /// Does what starts a process, which is in the group from its first instruction on. Where the system refuses, it is started all the
    /// same, and found by looking for it.
    pub(super) fn start_in<T>(&self, start: impl FnOnce() -> T) -> T {
        let is_in = self.is_outside.load(Relaxed) && (&self.members).write_all(ITSELF).is_ok();
        let started = start();
        if is_in {
            self.is_outside.store((&self.outside).write_all(ITSELF).is_ok(), Relaxed);
        }
        started
    }

    /// Kills all that is in it.
    pub(super) fn kill(&self) {
        if self.is_outside.load(Relaxed) {
            // Whoever is left is looked for.
            let _ = (&self.kill).write_all(b"1");
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Its run is over, however it went.
        let _ = fs::write(self.0.join(KILL), "1");
        let (times, pause) = REMOVALS;
        for _ in 0..times {
            match fs::remove_dir(&self.0) {
                Err(why) if why.kind() == io::ErrorKind::ResourceBusy => std::thread::sleep(pause),
                _ => return,
            }
        }
    }
}

/// Removes groups whose supervisor was killed, once nothing is in them.
fn remove_left(above: &Path) {
    for entry in fs::read_dir(above).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let of = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if of.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // One with processes in it cannot be removed.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// The folder of the group that this process is in.
fn own_folder() -> io::Result<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"));
    let own = Path::new(own.ok_or_else(|| io::Error::other("this process is in no control group of version 2"))?);
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let found = table.lines().find_map(|line| folder_in(line, own));
    found.ok_or_else(|| io::Error::other("no tree of control groups of version 2 is mounted"))
}

/// The folder of a group by a line of the table of mounts, where that is a tree of groups that has it.
fn folder_in(line: &str, group: &Path) -> Option<PathBuf> {
    let (mount, file_system) = line.split_once(" - ")?;
    if file_system.split(' ').next() != Some("cgroup2") {
        return None;
    }
    let mut fields = mount.split(' ');
    let (root, place) = (fields.nth(3)?, fields.next()?);
    let below = group.strip_prefix(unescaped(root)).ok()?;
    Some(Path::new(&unescaped(place)).join(below))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_group_lies_in_the_tree_that_has_it() {
        let unified = "30 24 0:27 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";
        let folder = |line: &str, group: &str| folder_in(line, Path::new(group));
        assert_eq!(folder(unified, "/a/b"), Some("/sys/fs/cgroup/unified/a/b".into()));
        assert_eq!(folder(unified, "/"), Some("/sys/fs/cgroup/unified".into()));
        let part = "30 24 0:27 /a /sys/fs\\040x rw shared:9 - cgroup2 cgroup2 rw";
        assert_eq!((folder(part, "/a/b"), folder(part, "/c")), (Some("/sys/fs x/b".into()), None));
        assert_eq!(folder("30 24 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu", "/"), None);
    }

    #[test]
    fn all_that_was_started_in_a_group_is_killed_at_once_and_the_group_goes() {
        let (folder, group) = make().expect("a tree of control groups of version 2 that can be written");
        let path = folder.0.clone();
        // One in a session of its own, whose parent ends.
        let script = "setsid sh -c 'setsid sleep 600 & exec sleep 600' & exec sleep 600";
        let start = || Command::new("sh").args(["-c", script]).stdin(Stdio::null()).spawn();
        let mut started = group.start_in(start).unwrap();
        assert!(group.is_outside.load(Relaxed), "this process came out again");
        let members = || fs::read_to_string(path.join(MEMBERS)).unwrap().lines().count();
        while members() < 3 {
            std::thread::sleep(Duration::from_millis(2));
        }
        group.kill();
        assert!(!started.wait().unwrap().success());
        while members() > 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
        drop(folder);
        assert!(!path.exists());
        let left = path.with_file_name(format!("{PREFIX}4194305"));
        fs::create_dir(&left).unwrap();
        drop(make().unwrap());
        assert!(!left.exists(), "one whose supervisor is gone goes with the next");
    }
}
