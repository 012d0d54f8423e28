//! The log of one deployment: appends that wait at the same time share one write and one sync.
//!
//! Whoever comes first writes for all that are waiting. An entry is shown to readers when it is on disk, not before.

mod damage;
mod unsynced;

use crate::StorageError;
use crate::folder::{WriteFault, is_of_the_file};
use crate::health::failed;
use crate::index::{Index, ScanFault, Span, changed};
use crate::inner::Inner;
use catalyst_domain::{DeploymentId, Entry};
use std::fs::File;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

const APPEND: &str = "append to the log";

/// The log of one deployment.
#[derive(Debug)]
pub(crate) struct Log {
    id: DeploymentId,
    // Number of entries that stand inside the record.
    before: u64,
    index: Mutex<Known>,
    queue: Mutex<Queue>,
    // A sync failed for want of room, and the file was not brought back to what was acknowledged yet.
    unsynced: AtomicBool,
}

#[derive(Debug)]
enum Known {
    Unread,
    Good(Index),
    Damaged(StorageError),
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Waiting>,
    draining: bool,
}

#[derive(Debug)]
struct Waiting {
    entries: Vec<Entry>,
    done: oneshot::Sender<Result<u64, StorageError>>,
}

/// Ends a drain on every way out: whoever still waits then would wait for ever.
struct Draining<'a>(&'a Log);

impl Log {
    pub(crate) fn new(id: &DeploymentId, before: usize) -> Self {
        let (index, queue) = (Mutex::new(Known::Unread), Mutex::default());
        Self { id: id.clone(), before: before as u64, index, queue, unsynced: AtomicBool::new(false) }
    }

    fn name(&self) -> String {
        format!("{}.log.jsonl", self.id)
    }

    /// Queues entries. The answer comes once they are on disk; `true` asks the caller to start a drain.
    pub(crate) fn enqueue(&self, entries: Vec<Entry>) -> (oneshot::Receiver<Result<u64, StorageError>>, bool) {
        let (done, answer) = oneshot::channel();
        let mut queue = self.queue();
        queue.waiting.push(Waiting { entries, done });
        let first = !std::mem::replace(&mut queue.draining, true);
        (answer, first)
    }

    /// Writes until nobody waits; `shown` is told the number of the last entry before the waiting are answered.
    pub(crate) fn drain(&self, store: &Inner, shown: impl Fn(u64)) {
        let end = Draining(self);
        loop {
            let batch = {
                let mut queue = self.queue();
                if queue.waiting.is_empty() {
                    queue.draining = false;
                    std::mem::forget(end);
                    return;
                }
                std::mem::take(&mut queue.waiting)
            };
            let (entries, callers): (Vec<_>, Vec<_>) = batch.into_iter().map(|w| (w.entries, w.done)).unzip();
            match self.write(store, &entries) {
                Ok(numbers) => {
                    shown(numbers.last().copied().unwrap_or_default());
                    for (caller, number) in callers.into_iter().zip(numbers) {
                        // A caller that went away does not need its answer.
                        let _gone = caller.send(Ok(number));
                    }
                }
                Err(error) => {
                    for caller in callers {
                        let _gone = caller.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    /// Number of the last entry, which is also the count.
    pub(crate) fn last(&self, store: &Inner) -> Result<u64, StorageError> {
        self.with_index(store, |index| index.last())
    }

    /// As [`Self::last`], where it is known without reading and without waiting for whoever reads.
    pub(crate) fn last_known(&self) -> Option<u64> {
        match &*self.index.try_lock().ok()? {
            Known::Good(index) => Some(index.last()),
            Known::Unread | Known::Damaged(_) => None,
        }
    }

    /// Number of entries inside the record, and where further ones are.
    pub(crate) fn span(&self, store: &Inner, after: u64, limit: u64) -> Result<(u64, Option<Span>), StorageError> {
        self.with_index(store, |index| {
            let inside = index.before().saturating_sub(after).min(limit);
            (inside, index.span(after + inside, limit - inside))
        })
    }

    /// Opens the file for reading.
    pub(crate) fn open(&self, store: &Inner) -> Result<Option<File>, StorageError> {
        match store.records.open_to_read(&self.name()) {
            Ok(file) => Ok(Some(file.into_std())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.unread(&error)),
        }
    }

    // One write, one sync; the number of each caller's last entry.
    fn write(&self, store: &Inner, batch: &[Vec<Entry>]) -> Result<Vec<u64>, StorageError> {
        store.health.check()?;
        let mut tail = self.with_index(store, Index::tail)?;
        let acknowledged = (tail.bytes(), tail.last());
        let mut text = Vec::new();
        let mut numbers = Vec::with_capacity(batch.len());
        for entries in batch {
            for entry in entries {
                tail.add(entry, store.log_cap_bytes, &mut text)?;
            }
            numbers.push(tail.last());
        }
        if !text.is_empty() {
            self.extend_file(store, acknowledged, &text)?;
        }
        if let Known::Good(index) = &mut *self.index() {
            index.extend(tail);
        }
        Ok(numbers)
    }

    fn extend_file(&self, store: &Inner, acknowledged: (u64, u64), text: &[u8]) -> Result<(), StorageError> {
        let (length, _) = acknowledged;
        let file = match store.records.open_to_write(&self.name()) {
            Ok(file) => file,
            // This file is what cannot be written, and not the disk.
            Err(error) if is_of_the_file(&error) => return Err(failed(APPEND, &error)),
            Err(error) => return store.health.judge(APPEND, Err(WriteFault::Unchanged(error))),
        };
        if file.metadata().map_err(|error| failed(APPEND, &error))?.len() < length {
            *self.index() = Known::Damaged(changed());
            return Err(changed());
        }
        self.write_at_end(store, &file, acknowledged, text)?;
        if length > 0 {
            return Ok(());
        }
        // The file may be new, and its name must survive as well.
        store.health.judge(APPEND, store.records.sync().map_err(WriteFault::Unknown))
    }

    fn with_index<T>(&self, store: &Inner, look: impl FnOnce(&Index) -> T) -> Result<T, StorageError> {
        let mut known = self.index();
        if let Known::Unread = *known {
            *known = self.read_through(store)?;
        }
        match &*known {
            Known::Good(index) => Ok(look(index)),
            Known::Damaged(error) => Err(error.clone()),
            Known::Unread => Err(changed()),
        }
    }

    fn read_through(&self, store: &Inner) -> Result<Known, StorageError> {
        let file = self.open(store)?;
        let length = match &file {
            Some(file) => file.metadata().map_err(|error| failed("read the log", &error))?.len(),
            None => 0,
        };
        // Whoever was killed before its sync left entries that must not be shown until they are sure to stay.
        file.as_ref().filter(|_| length > 0).map_or(Ok(()), |file| self.sync_found(store, file))?;
        match Index::scan(file, self.before) {
            Ok(index) => {
                if length > index.bytes() {
                    self.keep_beyond(store, index.bytes())?;
                    self.cut(store, length, index.bytes());
                }
                Ok(Known::Good(index))
            }
            Err(ScanFault::Unread(error)) => Err(self.unread(&error)),
            Err(ScanFault::Damaged { line }) => {
                let file = self.name();
                tracing::error!(file, line, "a log is damaged");
                let why = format!(
                    "line {line} of {file} in the folder of deployments is damaged; with the next retry or destroy the log begins anew"
                );
                Ok(Known::Damaged(StorageError { doing: "read the log", why }))
            }
        }
    }

    // Never acknowledged, so nothing is lost. Where it cannot be cut now, the first append does it.
    fn cut(&self, store: &Inner, from: u64, to: u64) {
        tracing::warn!(file = %self.name(), from_bytes = from, to_bytes = to, "the torn end of a log is cut");
        let cut = store.records.open_to_write(&self.name()).and_then(|file| file.set_len(to));
        if let Err(error) = cut {
            tracing::warn!(file = %self.name(), %error, "the torn end of a log could not be cut yet");
        }
    }

    fn unread(&self, error: &io::Error) -> StorageError {
        StorageError { doing: "read the log", why: format!("{} in the folder of deployments: {error}", self.name()) }
    }

    fn index(&self) -> MutexGuard<'_, Known> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Draining<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.draining = false;
        // Dropping their channels tells them.
        queue.waiting.clear();
    }
}
