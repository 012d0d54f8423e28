//! A small disk that a test fills.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A small file system of its own; it goes with this.
pub(super) struct Tmpfs(pub(super) PathBuf);

impl Tmpfs {
    pub(super) fn mount(at: &Path, size: &str) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let options = format!("size={size},mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(at).status().unwrap();
        assert!(
            mounted.success(),
            "this test mounts a tmpfs: run it as root, or in a user and mount namespace of its own"
        );
        Self(at.to_owned())
    }

    /// Leaves so many bytes free, to a page.
    pub(super) fn fill(&self, left: usize) {
        // What others write meanwhile makes it end early.
        let _full = std::fs::write(self.0.join("ballast"), vec![b'x'; self.free().saturating_sub(left)]);
    }

    fn free(&self) -> usize {
        let free = rustix::fs::statvfs(&self.0).unwrap();
        usize::try_from(free.f_bavail * free.f_frsize).unwrap()
    }

    /// Takes what becomes free, until it is over.
    pub(super) fn keep_full(&self, left: usize, is_over: &AtomicBool) {
        let mut ballast = std::fs::OpenOptions::new().append(true).open(self.0.join("ballast")).unwrap();
        while !is_over.load(Ordering::Relaxed) {
            let more = self.free().saturating_sub(left);
            let _full = ballast.write_all(&vec![b'x'; more]);
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    pub(super) fn empty(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

/// Sets it where a test fails as well: else the thread that waits for it never ends.
pub(super) struct SetAtEnd<'a>(pub(super) &'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _best_effort = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
