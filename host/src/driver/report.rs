//! How a hand says what it saw: entries for people, facts for the record. Neither is lost because a disk is full for a
//! while, and OpenTofu is never held up by it.

use super::Hand;
use catalyst_domain::{Entry, Fact, Level, LogReserve, Timestamp, phase};
use catalyst_store::RecordError;
use std::time::Duration;

/// First pause after a failed write, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// A log that refuses so often while the store works is damaged.
const REFUSALS: u32 = 3;

/// Phases whose entries drive the wizard's banners, so they are kept whatever it takes.
const MARKERS: [&str; 6] = [
    phase::TOFU_INIT,
    phase::TOFU_PLAN,
    phase::TOFU_APPLY,
    phase::TOFU_OUTPUT,
    phase::TOFU_DESTROY,
    phase::FLUX_BOOTSTRAP,
];

impl Hand {
    /// Records a fact, again and again until the store can write it. `false` when it was refused, the deployment is gone, or
    /// the process goes down first.
    pub(super) async fn fact(&self, fact: Fact) -> bool {
        let mut pause = PAUSES.0;
        loop {
            match self.driver.store.record(&self.id, &fact, Timestamp::now()).await {
                Ok(record) => {
                    tracing::info!(deployment.id = %self.id, deployment.status = %record.status, "fact recorded");
                    return true;
                }
                Err(RecordError::Storage(error)) => {
                    tracing::error!(deployment.id = %self.id, %error, "cannot record a fact; trying again");
                }
                Err(error @ (RecordError::Refused(_) | RecordError::Unknown | RecordError::NameTaken { .. })) => {
                    tracing::warn!(deployment.id = %self.id, %error, "a fact was refused");
                    return false;
                }
            }
            tokio::select! {
                () = self.driver.stop.cancelled() => return false,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSES.1),
            }
        }
    }

    /// Logs one entry.
    pub(super) async fn say(&self, phase: &str, level: Level, message: impl Into<String>) {
        self.log(vec![Entry::new(Timestamp::now(), phase, level, message)]).await;
    }

    /// Logs one entry whose text comes from a cluster or a cloud: it takes nothing of what a full log keeps for this host's own.
    pub(super) async fn say_of_others(&self, phase: &str, level: Level, message: impl Into<String>) {
        let entry = Entry::new(Timestamp::now(), phase, level, message);
        self.log(vec![entry.with_reserve(LogReserve::Nothing)]).await;
    }

    /// Logs the last word on what was under way, which a full log takes all the same.
    pub(super) async fn say_last(&self, phase: &str, level: Level, message: impl Into<String>) {
        let entry = Entry::new(Timestamp::now(), phase, level, message);
        self.log(vec![entry.with_reserve(LogReserve::LastWord)]).await;
    }

    /// Logs entries. While the store cannot write, plain lines are counted and dropped, and one entry says so later.
    pub(super) async fn log(&self, mut entries: Vec<Entry>) {
        let mut lost = 0_usize;
        let mut refusals = 0;
        let mut pause = PAUSES.0;
        while !entries.is_empty() {
            let error = match self.driver.store.append(&self.id, entries.clone()).await {
                Ok(_) => return,
                Err(RecordError::Storage(error)) => error,
                Err(error) => {
                    tracing::warn!(deployment.id = %self.id, %error, "cannot log for this deployment");
                    return;
                }
            };
            refusals = if self.driver.store.unusable().is_none() { refusals + 1 } else { 0 };
            if refusals > REFUSALS {
                // The store works, so it is this log that does not: nothing is gained by waiting.
                tracing::error!(deployment.id = %self.id, %error, "this log takes no entries; going on without it");
                return;
            }
            tracing::error!(deployment.id = %self.id, %error, "cannot log; keeping markers only");
            let before = entries.len();
            entries.retain(must_stay);
            lost += before - entries.len();
            if lost > 0 {
                entries.retain(|entry| entry.phase != phase::HOST);
                let text = format!("{lost} lines could not be written and are lost");
                entries.push(Entry::new(Timestamp::now(), phase::HOST, Level::Warn, text));
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSES.1),
            }
        }
    }
}

fn must_stay(entry: &Entry) -> bool {
    MARKERS.contains(&entry.phase.as_str()) || entry.component.is_some() || entry.level == Level::Error
}
