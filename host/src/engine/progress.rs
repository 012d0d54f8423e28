//! What a run tells while it goes on, and how it tells it without ever holding OpenTofu up.

use super::child::Limits;
use catalyst_domain::Level;
use catalyst_domain::record::Child;
use std::collections::VecDeque;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Sender, WeakSender};

/// One thing that happened in a run. Texts are masked for the run's secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A step begins: the marker of `catalyst_domain::phase`. Never dropped.
    Phase(&'static str),
    /// A process was started. Never dropped.
    Child(Child),
    /// The plan is made and is about to be applied. Never dropped.
    ApplyBegan,
    /// One line.
    Line {
        /// Phase of the log entry.
        phase: &'static str,
        /// Weight.
        level: Level,
        /// Text, without control characters.
        message: String,
    },
    /// So many lines were dropped here because nobody took them in time.
    Dropped(u64),
}

/// Error lines kept back for a slow reader: more than OpenTofu gives in one run, and little memory.
const ERRORS_KEPT: usize = 128;

/// The sending side of a run's progress.
pub(super) struct Outlet {
    sender: Sender<Progress>,
    /// What did not fit, in order: error lines, and one count for each stretch of dropped ones.
    kept: VecDeque<Progress>,
    errors_kept: usize,
}

impl Outlet {
    pub(super) fn new(sender: Sender<Progress>) -> Self {
        Self { sender, kept: VecDeque::new(), errors_kept: 0 }
    }

    /// A way to the same reader that does not keep it waiting for the end.
    pub(super) fn downgrade(&self) -> WeakSender<Progress> {
        self.sender.downgrade()
    }

    /// Sends a line if it fits, and never waits. Plain lines that do not fit are counted, error lines are kept.
    pub(super) fn line(&mut self, phase: &'static str, level: Level, message: String) {
        let line = Progress::Line { phase, level, message };
        let left = if self.flush() { self.offer(line) } else { Some(line) };
        let Some(line) = left else { return };
        if level == Level::Error && self.errors_kept < ERRORS_KEPT {
            self.errors_kept += 1;
            self.kept.push_back(line);
        } else {
            self.dropped(1);
        }
    }

    /// Counts lines that were dropped here or before.
    pub(super) fn dropped(&mut self, lines: u64) {
        if let Some(Progress::Dropped(count)) = self.kept.back_mut() {
            *count += lines;
        } else {
            self.kept.push_back(Progress::Dropped(lines));
        }
    }

    /// Sends what must not be lost, and what was kept before it, waiting for room as long as the run may last.
    pub(super) async fn mark(&mut self, progress: Progress, limits: &Limits) {
        self.kept.push_back(progress);
        tokio::select! {
            () = self.drain() => {}
            () = limits.over() => {}
        }
    }

    /// Sends everything that was kept. Returns when it is taken or nobody listens any more.
    pub(super) async fn drain(&mut self) {
        while let Some(next) = self.kept.front().cloned() {
            let _ = self.sender.send(next).await;
            self.forget_first();
        }
    }

    /// Whether everything that was kept is sent.
    fn flush(&mut self) -> bool {
        while let Some(next) = self.kept.front().cloned() {
            if self.offer(next).is_some() {
                return false;
            }
            self.forget_first();
        }
        true
    }

    fn forget_first(&mut self) {
        if let Some(Progress::Line { .. }) = self.kept.pop_front() {
            self.errors_kept -= 1;
        }
    }

    /// Gives back what did not fit. A reader that went away takes everything.
    fn offer(&self, progress: Progress) -> Option<Progress> {
        match self.sender.try_send(progress) {
            Err(TrySendError::Full(progress)) => Some(progress),
            Ok(()) | Err(TrySendError::Closed(_)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    fn text(message: &str, level: Level) -> Progress {
        Progress::Line { phase: "tofu", level, message: message.to_owned() }
    }

    #[tokio::test]
    async fn a_slow_reader_loses_plain_lines_only_and_learns_how_many() {
        let (sender, mut receiver) = mpsc::channel(1);
        let mut outlet = Outlet::new(sender);
        for (message, level) in [
            ("one", Level::Info),
            ("two", Level::Info),
            ("three", Level::Info),
            ("bad", Level::Error),
            ("four", Level::Warn),
        ] {
            outlet.line("tofu", level, message.to_owned());
        }
        let limits = Limits::new(Duration::from_secs(60), CancellationToken::new(), Duration::ZERO);
        let reader = tokio::spawn(async move {
            let mut seen = Vec::new();
            while let Some(progress) = receiver.recv().await {
                seen.push(progress);
            }
            seen
        });
        outlet.mark(Progress::Phase("tofu-output"), &limits).await;
        drop(outlet);
        assert_eq!(
            reader.await.unwrap(),
            [
                text("one", Level::Info),
                Progress::Dropped(2),
                text("bad", Level::Error),
                Progress::Dropped(1),
                Progress::Phase("tofu-output"),
            ]
        );
    }

    #[tokio::test]
    async fn a_marker_does_not_wait_longer_than_the_run_may_last() {
        let (sender, receiver) = mpsc::channel(1);
        let mut outlet = Outlet::new(sender);
        outlet.line("tofu", Level::Info, "fills the channel".to_owned());
        let limits = Limits::new(Duration::from_millis(20), CancellationToken::new(), Duration::ZERO);
        outlet.mark(Progress::ApplyBegan, &limits).await;
        drop(receiver);
    }
}
