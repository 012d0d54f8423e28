//! One deployment in memory: the record as it is on disk, its log, and who waits for either.

use crate::append::Log;
use crate::{Numbered, Progress};
use arc_swap::ArcSwap;
use catalyst_domain::Record;
use std::sync::Arc;
use tokio::sync::{Mutex, watch};

/// Nobody sees a record here that is not on disk.
#[derive(Debug)]
pub(crate) struct Deployment {
    record: ArcSwap<Record>,
    /// Held from the check of a fact to its publication.
    pub(crate) facts: Arc<Mutex<()>>,
    /// Held while OpenTofu's state, its lock or the bundle is read or written.
    pub(crate) state: Arc<Mutex<()>>,
    pub(crate) log: Log,
    progress: watch::Sender<Progress>,
}

impl Deployment {
    pub(crate) fn new(record: Record) -> Self {
        let log = Log::new(&record.id, record.events.len());
        Self {
            record: ArcSwap::from_pointee(record),
            facts: Arc::default(),
            state: Arc::default(),
            log,
            progress: watch::Sender::default(),
        }
    }

    pub(crate) fn record(&self) -> Arc<Record> {
        self.record.load_full()
    }

    /// Shows a record that is on disk now.
    pub(crate) fn publish(&self, record: Arc<Record>) {
        self.record.store(record);
        self.progress.send_modify(|progress| progress.version += 1);
    }

    /// Shows that entries up to `last` are on disk.
    pub(crate) fn shown(&self, last: u64) {
        self.progress.send_if_modified(|progress| {
            let more = last > progress.last;
            progress.last = progress.last.max(last);
            more
        });
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Entries inside an imported record.
    pub(crate) fn inside(&self, after: u64, take: u64) -> Vec<Numbered> {
        let record = self.record();
        let after = usize::try_from(after).unwrap_or(usize::MAX);
        let take = usize::try_from(take).unwrap_or(usize::MAX);
        let numbered = (1..).zip(&record.events).skip(after).take(take);
        numbered.map(|(number, entry)| Numbered { number, entry: entry.clone() }).collect()
    }
}
