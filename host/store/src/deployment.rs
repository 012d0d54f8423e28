//! One deployment in memory: the record as it is on disk, its log, and who waits for either.

use crate::append::Log;
use crate::{Numbered, Progress};
use arc_swap::ArcSwap;
use catalyst_domain::Record;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::watch;

/// How long the answer counts to whether a file is there, in milliseconds.
const FRESH: u64 = 1000;

/// Where the times of [`FileCheck`] count from.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nobody sees a record here that is not on disk.
#[derive(Debug)]
pub(crate) struct Deployment {
    record: ArcSwap<Record>,
    /// Held from the check of a fact to its publication.
    pub(crate) facts: Arc<tokio::sync::Mutex<()>>,
    /// Held while OpenTofu's state, its lock or the bundle is read or written.
    pub(crate) state: Arc<tokio::sync::Mutex<()>>,
    pub(crate) log: Log,
    /// Whether the file of the kubeconfig is there.
    pub(crate) kubeconfig_file: FileCheck,
    progress: Mutex<Announced>,
}

/// What the last look at a file found, for a short time. One word, because there is one for each deployment.
#[derive(Debug, Default)]
pub(crate) struct FileCheck(AtomicU64);

impl FileCheck {
    /// Whether the file is missing, where that was looked at just now.
    pub(crate) fn known(&self) -> Option<bool> {
        let noted = self.0.load(Ordering::Relaxed);
        let fresh = noted > 0 && millis().saturating_sub(noted >> 1) < FRESH;
        fresh.then_some(noted & 1 == 1)
    }

    /// Notes what a look found.
    pub(crate) fn note(&self, missing: bool) {
        self.0.store((millis() << 1) | u64::from(missing), Ordering::Relaxed);
    }
}

/// Milliseconds of this process, from one on: zero means that nothing was noted.
fn millis() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX >> 1).saturating_add(1)
}

/// How far a deployment is, and the channel to those who wait for more. Most deployments have ended and nobody waits, so the
/// channel, which is larger than all the rest here, is there only while somebody does.
#[derive(Debug, Default)]
struct Announced {
    now: Progress,
    channel: Option<watch::Sender<Progress>>,
}

impl Deployment {
    pub(crate) fn new(record: Record) -> Self {
        let log = Log::new(&record.id, record.events.len());
        Self {
            record: ArcSwap::from_pointee(record),
            facts: Arc::default(),
            state: Arc::default(),
            log,
            kubeconfig_file: FileCheck::default(),
            progress: Mutex::default(),
        }
    }

    pub(crate) fn record(&self) -> Arc<Record> {
        self.record.load_full()
    }

    /// Shows a record that is on disk now.
    pub(crate) fn publish(&self, record: Arc<Record>) {
        self.record.store(record);
        self.announce(|progress| progress.version += 1);
    }

    /// Shows that entries up to `last` are on disk.
    pub(crate) fn shown(&self, last: u64) {
        self.announce(|progress| progress.last = progress.last.max(last));
    }

    /// Shows that the log begins anew, with number 1.
    pub(crate) fn log_began_anew(&self) {
        self.announce(|progress| {
            progress.last = 0;
            progress.version += 1;
        });
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        let mut announced = self.announced();
        let now = announced.now;
        announced.channel.get_or_insert_with(|| watch::Sender::new(now)).subscribe()
    }

    fn announce(&self, change: impl FnOnce(&mut Progress)) {
        let mut announced = self.announced();
        let before = announced.now;
        change(&mut announced.now);
        let now = announced.now;
        if now != before {
            // A send fails when nobody waits any more.
            announced.channel.take_if(|channel| channel.send(now).is_err());
        }
    }

    fn announced(&self) -> MutexGuard<'_, Announced> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
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
