//! The file tree of a run, in its mount namespace: it holds the places of the run and nothing else, so what Landlock leaves open
//! (modes, owners, times, sockets in folders) is not there. All but the run's folders is read-only, and `/proc` is of its own
//! process namespace.

use super::places::Places;
use rustix::fs::{Mode, OFlags, StatVfsMountFlags, open, statvfs};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change, mount_remount, unmount,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

/// Where the new tree is made before it becomes the only one: a folder that every system has.
const STAGING: &str = "/tmp";
/// Bytes of the tree itself, which holds folders and links alone.
const TREE: &std::ffi::CStr = c"size=1m,mode=0755";
/// What programs expect to write to and read from.
const DEVICES: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"];
/// Names by which programs open what they were given.
const DESCRIPTORS: (&str, &str) = ("/dev/fd", "/proc/self/fd");
/// Mounts of this thread's tree.
const MOUNTS: &str = "/proc/thread-self/mountinfo";
/// Links on the way to one place; as many as the kernel follows.
const MOST_LINKS: usize = 40;

/// Options that a mount has and, from outside, must keep: as statvfs(3) and the table of mounts name them, and as they are set.
const KEPT_OPTIONS: [(StatVfsMountFlags, &str, MountFlags); 6] = [
    (StatVfsMountFlags::NOSUID, "nosuid", MountFlags::NOSUID),
    (StatVfsMountFlags::NODEV, "nodev", MountFlags::NODEV),
    (StatVfsMountFlags::NOEXEC, "noexec", MountFlags::NOEXEC),
    (StatVfsMountFlags::NOATIME, "noatime", MountFlags::NOATIME),
    (StatVfsMountFlags::NODIRATIME, "nodiratime", MountFlags::NODIRATIME),
    (StatVfsMountFlags::RELATIME, "relatime", MountFlags::RELATIME),
];

/// What the new tree is made of.
#[derive(Default)]
struct Parts {
    /// Links as they are, by their path.
    links: BTreeMap<PathBuf, PathBuf>,
    /// Folders that a path leads into and out of again.
    passed: BTreeSet<PathBuf>,
    /// What is bound, by its path without links.
    bound: BTreeMap<PathBuf, OwnedFd>,
}

/// Makes the tree and moves this process into it.
///
/// # Errors
/// The kernel refuses a part of it.
pub(super) fn make(places: &Places, own: &[PathBuf]) -> io::Result<()> {
    let quiet = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", quiet).map_err(|why| doing("keep mounts apart", Path::new("/"), why))?;
    let mut parts = Parts::default();
    let used = own.iter().chain(&places.run).chain(&places.read).map(PathBuf::as_path);
    for place in used.chain(DEVICES.map(Path::new)) {
        parts.add(place)?;
    }
    parts.links.insert(DESCRIPTORS.0.into(), DESCRIPTORS.1.into());
    let root = Path::new(STAGING);
    mount("tmpfs", root, "tmpfs", MountFlags::NOSUID, TREE).map_err(|why| doing("mount", root, why))?;
    parts.lay_out(root)?;
    fs::create_dir_all(below(root, Path::new("/proc")))?;
    let own: Vec<PathBuf> = parts.own(own.iter()).map(|path| below(root, &path)).collect();
    read_only(root, &own)?;
    proc(root)?;
    enter(root)
}

/// Makes `/proc` read-only; what is written there was written. And sees whether folders can be closed and opened again.
///
/// # Errors
/// The kernel refuses.
pub(super) fn close(own: &[PathBuf]) -> io::Result<()> {
    for writable in [false, true] {
        own.iter().try_for_each(|folder| set_writable(folder, writable))?;
    }
    let flags = MountFlags::BIND | MountFlags::RDONLY | PROC;
    match mount_remount("/proc", flags, c"") {
        // There is none.
        Ok(()) | Err(rustix::io::Errno::INVAL) => Ok(()),
        Err(why) => Err(doing("make read-only", Path::new("/proc"), why)),
    }
}

/// Lets the run write into one of its own folders, or no more.
///
/// # Errors
/// The kernel refuses, as while a file in it is open for writing.
pub(super) fn set_writable(folder: &Path, writable: bool) -> io::Result<()> {
    let flags = if writable { MountFlags::BIND } else { MountFlags::BIND | MountFlags::RDONLY };
    match mount_remount(folder, flags | flags_of_folder(folder)?, c"") {
        // It lies in another of these folders.
        Ok(()) | Err(rustix::io::Errno::INVAL) => Ok(()),
        Err(why) => Err(doing("change the mount of", folder, why)),
    }
}

fn kept_flags(has: impl Fn(StatVfsMountFlags, &str) -> bool) -> MountFlags {
    let kept = KEPT_OPTIONS.iter().filter(|(of, name, _)| has(*of, name));
    kept.fold(MountFlags::empty(), |all, (.., flag)| all | *flag)
}

/// Those of the mount that a folder is on. There may be no `/proc` to read them from.
fn flags_of_folder(folder: &Path) -> io::Result<MountFlags> {
    let has = statvfs(folder).map_err(|why| doing("ask for the mount of", folder, why))?.f_flag;
    Ok(kept_flags(|of, _| has.contains(of)))
}

/// Those of a line of the table of mounts.
fn flags_of_line(options: &str) -> MountFlags {
    kept_flags(|_, name| options.split(',').any(|option| option == name))
}

const PROC: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

impl Parts {
    /// Takes a place with the links on the way to it; one that is not there is nothing.
    fn add(&mut self, place: &Path) -> io::Result<()> {
        let (links, passed) = (&mut self.links, &mut self.passed);
        let look = |path: &Path| match fs::symlink_metadata(path) {
            Ok(is) if is.is_symlink() => fs::read_link(path).map_or(Found::Nothing, |target| {
                links.insert(path.to_owned(), target.clone());
                Found::Link(target)
            }),
            Ok(_) => Found::Other,
            Err(_) => Found::Nothing,
        };
        let left = |folder: &Path| {
            passed.insert(folder.to_owned());
        };
        let Some(at) = resolve(place, look, left) else { return Ok(()) };
        // Whatever is beneath a place comes with it.
        if at != Path::new("/") && !self.bound.keys().any(|above| at.starts_with(above)) {
            let file = open(&at, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
            self.bound.insert(at.clone(), file.map_err(|why| doing("open", &at, why))?);
        }
        Ok(())
    }

    /// Binds each at its path below the new root. A folder comes before what is in it, which is then there already.
    fn lay_out(&self, root: &Path) -> io::Result<()> {
        for (path, file) in &self.bound {
            let (held, target) = (format!("/proc/self/fd/{}", file.as_raw_fd()), below(root, path));
            if fs::metadata(&held)?.is_dir() {
                fs::create_dir_all(&target)?;
            } else if fs::symlink_metadata(&target).is_err() {
                target.parent().map_or(Ok(()), fs::create_dir_all)?;
                fs::File::create(&target)?;
            }
            mount_bind_recursive(&held, &target).map_err(|why| doing("bind", path, why))?;
        }
        self.passed.iter().try_for_each(|path| fs::create_dir_all(below(root, path)))?;
        for (path, target) in &self.links {
            let link = below(root, path);
            // One within a bound folder came with it.
            if fs::symlink_metadata(&link).is_err() {
                link.parent().map_or(Ok(()), fs::create_dir_all)?;
                symlink(target, &link)?;
            }
        }
        Ok(())
    }

    /// The paths without links of what was added.
    fn own<'a>(&self, places: impl Iterator<Item = &'a PathBuf>) -> impl Iterator<Item = PathBuf> {
        let look = |path: &Path| self.links.get(path).map_or(Found::Other, |target| Found::Link(target.clone()));
        let resolved = places.filter_map(move |place| resolve(place, look, |_| {}));
        resolved.filter(|at| self.bound.contains_key(at))
    }
}

/// What lies at a path.
enum Found {
    Nothing,
    /// A link with its target.
    Link(PathBuf),
    Other,
}

/// The path to a place without links and `..`; `None` where there is nothing, or links without an end. `look` says what lies at each path
/// on the way, `left` hears of each folder that `..` leads out of.
fn resolve(place: &Path, mut look: impl FnMut(&Path) -> Found, mut left: impl FnMut(&Path)) -> Option<PathBuf> {
    let mut rest = names(place);
    rest.reverse();
    let (mut at, mut links) = (PathBuf::from("/"), 0);
    while let Some(name) = rest.pop() {
        if name == ".." {
            left(&at);
            at.pop();
            continue;
        }
        let next = at.join(&name);
        match look(&next) {
            Found::Nothing => return None,
            Found::Other => at = next,
            Found::Link(_) if links >= MOST_LINKS => return None,
            Found::Link(target) => {
                links += 1;
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                rest.extend(names(&target).into_iter().rev());
            }
        }
    }
    Some(at)
}

/// The names of a path, `..` among them.
fn names(path: &Path) -> Vec<OsString> {
    let name = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(name).collect()
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// The processes of this namespace alone. Where the kernel allows no new one, as in a container whose own is covered in part, there
/// is none; where the run has no process namespace, it is the old one, which Landlock closes.
fn proc(root: &Path) -> io::Result<()> {
    let place = below(root, Path::new("/proc"));
    if super::is_first_process() {
        let _ = mount("proc", &place, "proc", PROC, None);
        return Ok(());
    }
    mount_bind_recursive("/proc", &place).map_err(|why| doing("bind", Path::new("/proc"), why))
}

/// Makes the new tree the only one.
fn enter(root: &Path) -> io::Result<()> {
    let into = |why: io::Error| io::Error::new(why.kind(), format!("cannot enter {}: {why}", root.display()));
    std::env::set_current_dir(root).map_err(into)?;
    // The old root lies upon the new one, and goes from there.
    rustix::process::pivot_root(".", ".").map_err(|why| doing("enter", root, why))?;
    unmount(".", UnmountFlags::DETACH).map_err(|why| doing("leave the tree before", root, why))?;
    std::env::set_current_dir("/")
}

fn read_only(root: &Path, own: &[PathBuf]) -> io::Result<()> {
    let table = fs::read_to_string(MOUNTS)?;
    for line in table.lines() {
        let mut fields = line.split(' ');
        let (Some(place), Some(options)) = (fields.nth(4), fields.next()) else { continue };
        let place = PathBuf::from(unescaped(place));
        if !place.starts_with(root) || own.iter().any(|folder| place.starts_with(folder)) {
            continue;
        }
        let flags = MountFlags::BIND | MountFlags::RDONLY | flags_of_line(options);
        match mount_remount(&place, flags, c"") {
            // One that another covers cannot be named, and not be reached either.
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT | rustix::io::Errno::ACCESS) => {}
            Err(why) => return Err(doing("make read-only", &place, why)),
        }
    }
    Ok(())
}

/// A path of the table of mounts, in which blanks are written as `\040`.
pub(super) fn unescaped(field: &str) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|three| std::str::from_utf8(three).ok());
        match octal.filter(|_| first == b'\\').and_then(|three| u8::from_str_radix(three, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes)
}

fn doing(what: &str, path: &Path, why: rustix::io::Errno) -> io::Error {
    let why = io::Error::from(why);
    io::Error::new(why.kind(), format!("cannot {what} {}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_table_of_mounts_are_read_as_they_are() {
        for (field, path) in [("/a\\040b", "/a b"), ("/a", "/a"), ("/a\\0", "/a\\0"), ("/\\134", "/\\")] {
            assert_eq!(unescaped(field), path, "{field}");
        }
        let flags = flags_of_line("rw,nosuid,relatime");
        assert_eq!(flags, MountFlags::NOSUID | MountFlags::RELATIME);
    }

    #[test]
    fn links_on_the_way_to_a_place_are_part_of_the_tree_and_what_is_not_there_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        fs::create_dir_all(real.join("real/deep")).unwrap();
        fs::write(real.join("real/deep/file"), "x").unwrap();
        symlink("real", real.join("relative")).unwrap();
        symlink(real.join("relative/deep"), real.join("absolute")).unwrap();
        symlink("circle", real.join("circle")).unwrap();
        let mut parts = Parts::default();
        for place in ["absolute/file", "relative/../real/deep", "circle", "nowhere/at/all"] {
            parts.add(&real.join(place)).unwrap();
        }
        let links: Vec<_> = parts.links.keys().filter(|link| !link.ends_with("circle")).cloned().collect();
        assert_eq!(links, [real.join("absolute"), real.join("relative")]);
        let bound: Vec<_> = parts.bound.keys().cloned().collect();
        assert_eq!(bound, [real.join("real/deep"), real.join("real/deep/file")]);
        assert_eq!(parts.passed.iter().collect::<Vec<_>>(), [&real.join("real")]);
        let own: Vec<_> = parts.own([real.join("absolute")].iter()).collect();
        assert_eq!(own, [real.join("real/deep")]);
    }
}
