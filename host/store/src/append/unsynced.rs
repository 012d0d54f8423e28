//! A log whose sync failed. What was acknowledged had been synced before, so it is on disk; what was being written may be there, in
//! part, or not at all, and a second sync would be called a success in each case.
//!
//! For want of room the entries are refused, as if the write had failed: the file is cut back to what was acknowledged, opened anew,
//! synced and read from the disk before anything else is written to it. After any other failure, and where the file does not hold
//! what was acknowledged, only a restart can tell what is on disk.

use super::{APPEND, Log};
use crate::StorageError;
use crate::folder::{Folder, WriteFault};
use crate::health::failed;
use crate::index::{Index, ScanFault};
use crate::inner::Inner;
use rustix::fs::{Advice, fadvise};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

impl Log {
    /// Writes behind what was acknowledged: `length` bytes up to entry number `last`. On disk when this returns.
    pub(super) fn write_at_end(
        &self,
        store: &Inner,
        file: &File,
        (length, last): (u64, u64),
        text: &[u8],
    ) -> Result<(), StorageError> {
        self.restore(store, length, last)?;
        let fault = match write(&store.records, file, length, text) {
            Err(WriteFault::Unknown(error)) if is_full(&error) => error,
            written => return store.health.judge(APPEND, written),
        };
        self.unsynced.store(true, Ordering::Relaxed);
        let error = store.health.fault(APPEND, &WriteFault::Unchanged(fault));
        // At once where there is room for it, else before the next write.
        self.restore(store, length, last).and(Err(error))
    }

    /// Before a log is read through that an earlier process wrote: what it shows must be sure to stay.
    pub(super) fn sync_found(&self, store: &Inner, file: &File) -> Result<(), StorageError> {
        match store.records.sync_file(file) {
            Ok(()) => {
                if self.unsynced.swap(false, Ordering::Relaxed) {
                    drop_cached(file);
                }
                Ok(())
            }
            Err(error) if is_full(&error) => {
                self.unsynced.store(true, Ordering::Relaxed);
                Err(store.health.fault("read the log", &WriteFault::Unchanged(error)))
            }
            Err(error) => Err(store.health.fault("read the log", &WriteFault::Unknown(error))),
        }
    }

    /// Brings the file back to what was acknowledged, where a sync of it failed.
    fn restore(&self, store: &Inner, length: u64, last: u64) -> Result<(), StorageError> {
        if !self.unsynced.load(Ordering::Relaxed) {
            return Ok(());
        }
        let unchanged = |error| store.health.fault(APPEND, &WriteFault::Unchanged(error));
        let file = store.records.open_to_write(&self.name()).map_err(unchanged)?;
        if file.metadata().map_err(unchanged)?.len() > length {
            file.set_len(length).map_err(unchanged)?;
        }
        store.records.sync_file(&file).map_err(|error| {
            let is_full = is_full(&error);
            let fault = if is_full { WriteFault::Unchanged(error) } else { WriteFault::Unknown(error) };
            store.health.fault(APPEND, &fault)
        })?;
        drop_cached(&file);
        let why = match self.open(store).map(|found| Index::scan(found, self.before)) {
            Ok(Ok(index)) if (index.bytes(), index.last()) == (length, last) => {
                self.unsynced.store(false, Ordering::Relaxed);
                return Ok(());
            }
            Ok(Ok(_) | Err(ScanFault::Damaged { .. })) => "it does not hold what it held before".to_owned(),
            Ok(Err(ScanFault::Unread(error))) => failed(APPEND, &error).why,
            Err(error) => error.why,
        };
        let why = format!(
            "a sync of {} in the folder of deployments failed for want of room, and then {why}; restart to look into it",
            self.name()
        );
        store.health.shut(APPEND, why.clone());
        Err(StorageError { doing: APPEND, why })
    }
}

// What lies behind `length` was never acknowledged: the rest of an append that failed.
fn write(folder: &Folder, file: &File, length: u64, text: &[u8]) -> Result<(), WriteFault> {
    if file.metadata().map_err(WriteFault::Unchanged)?.len() > length {
        file.set_len(length).map_err(WriteFault::Unchanged)?;
    }
    if let Err(error) = file.write_all_at(text, length) {
        // Should this fail as well, the next append finds the file too long and cuts it first.
        let _cut_later = file.set_len(length);
        return Err(WriteFault::Unchanged(error));
    }
    folder.sync_file(file).map_err(WriteFault::Unknown)
}

/// Lets the next read come from the disk. Where the system does not do it, the read shows what is in memory, as every other.
fn drop_cached(file: &File) {
    if let Err(error) = fadvise(file, 0, None, Advice::DontNeed) {
        tracing::debug!(%error, "a log stays in memory while it is looked at");
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
