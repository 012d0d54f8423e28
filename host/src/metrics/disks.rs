//! Room of the disks below the folders that the host writes into, asked at each scrape. A disk that does not answer holds nobody up:
//! it is asked on a thread of its own, for a bounded time and once at a time, and has no numbers until it answers.

use futures::future::join_all;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a scrape waits for a disk; Prometheus waits ten seconds for the scrape.
const PATIENCE: Duration = Duration::from_secs(1);

type ByFolder = Family<[(&'static str, &'static str); 1], Gauge>;

/// Room of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Space {
    free_bytes: i64,
    size_bytes: i64,
}

/// A folder, and what its disk said last.
struct Folder {
    name: &'static str,
    path: PathBuf,
    space: Mutex<Option<Space>>,
    is_asked: AtomicBool,
}

/// The folders that are looked at.
#[derive(Default)]
pub(super) struct Disks(Vec<Arc<Folder>>);

impl Disks {
    /// Folders, or files in them, by the names that they have as labels.
    pub(super) fn new(folders: impl IntoIterator<Item = (&'static str, PathBuf)>) -> Self {
        let folder =
            |(name, path)| Arc::new(Folder { name, path, space: Mutex::default(), is_asked: AtomicBool::new(false) });
        Self(folders.into_iter().map(folder).collect())
    }

    /// Asks all of them, and waits for the answers that come in time.
    pub(super) async fn ask(&self) {
        join_all(self.0.iter().map(|folder| folder.clone().ask(space, PATIENCE))).await;
    }

    /// What was answered.
    pub(super) fn add(&self, registry: &mut Registry) {
        let (free, size) = (ByFolder::default(), ByFolder::default());
        for folder in &self.0 {
            if let Some(space) = folder.space() {
                free.get_or_create(&[("folder", folder.name)]).set(space.free_bytes);
                size.get_or_create(&[("folder", folder.name)]).set(space.size_bytes);
            }
        }
        registry.register("disk_free_bytes", "Room that the host may still use on the disk of a folder", free);
        registry.register("disk_size_bytes", "Size of the disk of a folder", size);
    }
}

impl Folder {
    async fn ask(self: Arc<Self>, look: impl FnOnce(&Path) -> Option<Space> + Send + 'static, patience: Duration) {
        if self.is_asked.swap(true, Ordering::AcqRel) {
            return;
        }
        let asked = self.clone();
        let answer = tokio::task::spawn_blocking(move || {
            asked.keep(look(&asked.path));
            asked.is_asked.store(false, Ordering::Release);
        });
        if tokio::time::timeout(patience, answer).await.is_err() {
            self.keep(None);
        }
    }

    fn keep(&self, space: Option<Space>) {
        *self.space.lock().unwrap_or_else(PoisonError::into_inner) = space;
    }

    fn space(&self) -> Option<Space> {
        *self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The room of the disk of a path; `None` where there is no such path, or its file system has no size.
fn space(path: &Path) -> Option<Space> {
    let known = rustix::fs::statvfs(path).ok().filter(|known| known.f_blocks > 0)?;
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(known.f_frsize)).unwrap_or(i64::MAX);
    Some(Space { free_bytes: bytes(known.f_bavail), size_bytes: bytes(known.f_blocks) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    fn folder(path: &Path) -> Arc<Folder> {
        Disks::new([("state", path.to_path_buf())]).0.remove(0)
    }

    #[tokio::test]
    async fn a_folder_has_the_room_of_its_disk_and_one_that_is_not_there_has_none() {
        let place = tempfile::tempdir().unwrap();
        let there = folder(place.path());
        there.clone().ask(space, PATIENCE).await;
        let room = there.space().unwrap();
        assert!(room.free_bytes > 0 && room.size_bytes >= room.free_bytes, "{room:?}");
        let gone = folder(&place.path().join("gone"));
        gone.clone().ask(space, PATIENCE).await;
        assert_eq!(gone.space(), None);
    }

    #[tokio::test]
    async fn a_disk_that_does_not_answer_has_no_numbers_until_it_does_and_is_asked_once() {
        let room = Space { free_bytes: 1, size_bytes: 2 };
        let (stuck, (answer, wait)) = (folder(Path::new("/")), channel());
        stuck.clone().ask(move |_| Some(room), PATIENCE).await;
        assert_eq!(stuck.space(), Some(room));
        let later = move |_: &Path| {
            let _ = wait.recv();
            Some(Space { free_bytes: 7, size_bytes: 7 })
        };
        stuck.clone().ask(later, Duration::from_millis(20)).await;
        assert_eq!(stuck.space(), None);
        stuck.clone().ask(|_| panic!("it is asked a second time"), PATIENCE).await;
        answer.send(()).unwrap();
        while stuck.is_asked.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        assert_eq!(stuck.space().map(|space| space.free_bytes), Some(7));
    }
}
