//! A time in which the store takes no state of a run: how long OpenTofu is let wait in it, and what is said of it.

use crate::engine::Progress;
use axum::http::Method;
use catalyst_domain::{Level, phase};
use catalyst_store::StorageError;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::WeakSender;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// How long OpenTofu waits in one outage. It holds the cluster's resources and asks for no more of them meanwhile; what fills and
/// empties a disk by itself (a log that is rotated, a backup) is over by then, and a person is told to act.
pub(in crate::engine) const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What bounds the wait, and who is told of it.
pub(in crate::engine) struct Patience {
    /// Longest wait of one outage.
    pub(in crate::engine) longest: Duration,
    /// When the run is interrupted.
    pub(in crate::engine) deadline: Instant,
    /// Whether the host goes down.
    pub(in crate::engine) stop: CancellationToken,
    /// The log of the run, as long as somebody reads it.
    pub(in crate::engine) log: WeakSender<Progress>,
}

/// Outages of one run.
pub(super) struct Outage {
    patience: Patience,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    since: Option<Instant>,
    /// What failed last, by method.
    failures: BTreeMap<String, String>,
}

impl Outage {
    pub(super) fn new(patience: Patience) -> Self {
        Self { patience, now: Mutex::default() }
    }

    /// A state was not written. Until when it may be tried again; `None` when that time is over.
    pub(super) fn began(&self, error: &StorageError) -> Option<Instant> {
        let now = Instant::now();
        let is_first = self.now().since.is_none();
        let since = *self.now().since.get_or_insert(now);
        let until = self.wait_until(since);
        if is_first {
            let seconds = until.map_or(0, |until| until.saturating_duration_since(now).as_secs());
            tracing::error!(%error, "a run's state cannot be written; it is held in memory");
            self.tell(format!(
                "{error}: the state is held in memory and written again, and OpenTofu waits up to {seconds} s for it; {MAKE_ROOM}"
            ));
        }
        until
    }

    /// Until when a disk may be waited for that failed at this time; `None` when that time is over.
    pub(super) fn wait_until(&self, since: Instant) -> Option<Instant> {
        let until = (since + self.patience.longest).min(self.patience.deadline);
        (until > Instant::now() && !self.patience.stop.is_cancelled()).then_some(until)
    }

    /// Returns when OpenTofu must not be let wait any longer.
    pub(super) async fn over(&self, until: Instant) {
        tokio::select! {
            () = self.patience.stop.cancelled() => {}
            () = sleep_until(until) => {}
        }
    }

    /// The store did what it was asked for.
    pub(super) fn ended(&self, method: &Method) {
        let mut now = self.now();
        now.failures.remove(method.as_str());
        let was_one = *method == Method::POST && now.since.take().is_some();
        drop(now);
        if was_one {
            self.tell("the state is written".to_owned());
        }
    }

    /// The store did not.
    pub(super) fn failed(&self, method: &Method, error: &StorageError) {
        self.now().failures.insert(method.as_str().to_owned(), error.to_string());
    }

    /// What it did not do.
    pub(super) fn failure(&self) -> Option<String> {
        self.now().failures.values().next().cloned()
    }

    fn tell(&self, message: String) {
        // The log of a full disk is as full: what it does not take now is no reason to wait.
        if let Some(log) = self.patience.log.upgrade() {
            let _ = log.try_send(Progress::Line { phase: phase::HOST, level: Level::Warn, message });
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a person does about a state that is not written.
pub(in crate::engine) const MAKE_ROOM: &str = "make room on the disk of CATALYST_STATE_DIR";
