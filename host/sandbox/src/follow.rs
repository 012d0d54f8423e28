//! Follows the folder of plugins: what changed there serves without a restart.
//!
//! The kernel's events only wake this; what counts is what the folder looks like: names, sizes, times, and which files they
//! are. A folder of links that is swapped as a whole, as a mounted ConfigMap is, therefore looks changed, and a network disk
//! that sends no events is noticed by looking now and then. A file that is being copied keeps changing, so it is read when the
//! folder has held still; one that was cut short fails to load, and what served before goes on.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Notify;

use crate::pins;
use crate::sandbox::Sandbox;

/// A folder that never holds still is read all the same.
const LONGEST_SETTLE: Duration = Duration::from_secs(30);

/// The longest pause between two tries of what failed for a reason that may pass. A try may keep a core busy for a minute.
const LONGEST_RETRY: Duration = Duration::from_secs(600);

/// Room for a few hundred events at once; more are read in turn.
const EVENTS_BYTES: usize = 8 * 1024;

/// How soon a change is taken up.
#[derive(Debug, Clone, Copy)]
pub struct Follow {
    /// How long the folder has to hold still before it is read: longer than a pause of a copy.
    pub settle: Duration,
    /// How often it is looked at where no event comes. That costs one look at each file's metadata.
    pub rescan: Duration,
}

impl Default for Follow {
    fn default() -> Self {
        Self { settle: Duration::from_millis(250), rescan: Duration::from_secs(10) }
    }
}

impl Sandbox {
    /// Loads a folder anew whenever it, or the file of keys, has changed since it was last loaded. `again` asks for a load at
    /// once, and for another look at what was refused. Runs until it is dropped.
    pub async fn follow(&self, dir: &Path, pace: Follow, again: &Notify) {
        let (mut watch, mut retry) = (Watch::default(), Retry::after(pace.rescan));
        loop {
            watch.renew(dir);
            if !self.is_current(dir).await {
                tokio::select! {
                    () = self.settled(dir, pace) => {}
                    () = again.notified() => self.forget_refused().await,
                }
                self.load_folder(dir).await;
                retry = Retry::after(pace.rescan);
            }
            let trouble = self.has_trouble().await;
            tokio::select! {
                () = watch.event() => {}
                () = tokio::time::sleep(pace.rescan) => {}
                () = again.notified() => {
                    self.forget_refused().await;
                    self.load_folder(dir).await;
                    retry = Retry::after(pace.rescan);
                }
                () = tokio::time::sleep_until(retry.due), if trouble => {
                    self.load_folder(dir).await;
                    retry = Retry::after((retry.pause * 2).min(LONGEST_RETRY));
                }
            }
        }
    }

    async fn is_current(&self, dir: &Path) -> bool {
        let now = self.look(dir).await;
        self.has_seen(&now).await
    }

    /// Returns when the folder looked the same twice.
    async fn settled(&self, dir: &Path, pace: Follow) {
        let begun = Instant::now();
        let mut last = self.look(dir).await;
        while begun.elapsed() < LONGEST_SETTLE {
            tokio::time::sleep(pace.settle).await;
            let now = self.look(dir).await;
            if now == last {
                return;
            }
            last = now;
        }
    }

    /// What the folder and the keys look like now.
    pub(crate) async fn look(&self, dir: &Path) -> Look {
        let (dir, keys) = (dir.to_owned(), self.keys_file().map(Path::to_owned));
        let looked = tokio::task::spawn_blocking(move || Look::at(&dir, keys.as_deref())).await;
        looked.unwrap_or_default()
    }
}

/// The next try of what failed for a reason that may pass.
struct Retry {
    pause: Duration,
    due: tokio::time::Instant,
}

impl Retry {
    fn after(pause: Duration) -> Self {
        Self { pause, due: tokio::time::Instant::now() + pause }
    }
}

/// What a folder looks like: equal for as long as nothing that counts was changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Look(Vec<(PathBuf, Option<File>)>);

/// Which file it is, and its size and times. Links are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    place: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Look {
    fn at(dir: &Path, keys: Option<&Path>) -> Self {
        let mut paths: Vec<PathBuf> = keys.map(Path::to_owned).into_iter().collect();
        // A folder that cannot be read has a look, too: that of its path alone.
        paths.extend(list(dir).unwrap_or_else(|_| vec![dir.to_owned()]));
        paths.sort();
        let file = |path: &Path| std::fs::metadata(path).ok().map(File::of);
        Self(
            paths
                .into_iter()
                .map(|path| {
                    let file = file(&path);
                    (path, file)
                })
                .collect(),
        )
    }
}

impl File {
    fn of(data: std::fs::Metadata) -> Self {
        Self {
            place: (data.dev(), data.ino()),
            size: data.size(),
            modified: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
        }
    }
}

fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let counts = path.extension().is_some_and(|ext| ext == "wasm" || ext == "minisig");
        if counts || path.ends_with(pins::FILE) {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// Events of a folder.
#[derive(Default)]
struct Watch {
    events: Option<Receiver>,
    refused: bool,
}

impl Watch {
    /// A watch is of a folder, not of its name: it ends with the folder, so the one of that name now is watched. That is no
    /// change where it is watched already.
    fn renew(&mut self, dir: &Path) {
        let watched = match &self.events {
            Some(events) => watch(events, dir),
            None => start().and_then(|events| watch(self.events.insert(events), dir)),
        };
        match watched {
            Ok(()) => self.refused = false,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                self.events = None;
                if !std::mem::replace(&mut self.refused, true) {
                    tracing::warn!(%error, "the folder of plugins sends no events, so it is looked at now and then");
                }
            }
        }
    }

    /// Returns when something happened in the folder; never, where no events can be had.
    async fn event(&mut self) {
        let Some(events) = &mut self.events else { return std::future::pending().await };
        // What happened does not matter: the folder is looked at.
        if events.read(&mut [0; EVENTS_BYTES]).await.is_err() {
            self.events = None;
        }
    }
}

fn start() -> io::Result<Receiver> {
    // It is read as a pipe is, and says that it is none only to who asks.
    Receiver::from_owned_fd_unchecked(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?)
}

fn watch(events: &Receiver, dir: &Path) -> io::Result<()> {
    let changes = WatchFlags::ATTRIB
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::DELETE_SELF
        | WatchFlags::MODIFY
        | WatchFlags::MOVE
        | WatchFlags::MOVE_SELF;
    inotify::add_watch(events, dir, changes | WatchFlags::ONLYDIR)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_looks_changed_when_something_that_counts_did() {
        let root = tempfile::tempdir().unwrap();
        let (dir, keys) = (root.path().join("plugins"), root.path().join("keys"));
        let look = || Look::at(&dir, Some(&keys));
        let mut last = look();
        let mut step = |what: &str, changed: bool, act: &dyn Fn()| {
            act();
            let now = look();
            assert_eq!(now != last, changed, "{what}");
            last = now;
        };
        step("the folder comes", true, &|| std::fs::create_dir(&dir).unwrap());
        step("a component", true, &|| std::fs::write(dir.join("a.wasm"), "a").unwrap());
        step("nothing", false, &|| {});
        step("a readme", false, &|| std::fs::write(dir.join("README"), "a").unwrap());
        step("a signature", true, &|| std::fs::write(dir.join("a.wasm.minisig"), "s").unwrap());
        step("a lock", true, &|| std::fs::write(dir.join("plugins.lock"), "").unwrap());
        step("keys", true, &|| std::fs::write(&keys, "k").unwrap());
        step("the folder goes", true, &|| std::fs::remove_dir_all(&dir).unwrap());
    }

    #[test]
    fn links_that_lead_elsewhere_look_changed() {
        let root = tempfile::tempdir().unwrap();
        for version in ["1", "2"] {
            std::fs::create_dir(root.path().join(version)).unwrap();
            std::fs::write(root.path().join(version).join("a.wasm"), "same").unwrap();
        }
        let dir = root.path().join("mounted");
        std::fs::create_dir(&dir).unwrap();
        let lead_to = |version: &str| {
            let new = dir.join("..new");
            std::os::unix::fs::symlink(root.path().join(version), &new).unwrap();
            std::fs::rename(new, dir.join("..data")).unwrap();
        };
        lead_to("1");
        std::os::unix::fs::symlink("..data/a.wasm", dir.join("a.wasm")).unwrap();
        let first = Look::at(&dir, None);
        lead_to("2");
        assert_ne!(first, Look::at(&dir, None));
    }
}
