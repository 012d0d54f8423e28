//! A viewer is a cursor into the log: read, send, wait for a change, read again. No viewer can steal, miss or double an
//! entry, and a slow one costs only itself.

use super::authority::Lease;
use super::error::ApiError;
use super::wire;
use crate::app::App;
use crate::metrics::Viewing;
use bytes::Bytes;
use catalyst_domain::DeploymentId;
use catalyst_store::{Numbered, Progress, Store};
use futures::stream::{self, Stream};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Entries of one read; a batch is one write to the socket.
const PAGE: usize = 512;
/// Idle proxies cut a stream after 40 to 300 seconds.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a browser waits before it connects again: longer than a restart of this process takes.
const RETRY_MILLIS: u32 = 12_000;

struct Viewer {
    store: Arc<dyn Store>,
    id: DeploymentId,
    after: u64,
    progress: watch::Receiver<Progress>,
    stop: CancellationToken,
    lease: Lease,
    at: Stage,
    _counted: Viewing,
}

#[derive(PartialEq, Eq)]
enum Stage {
    Opening,
    Following,
    Ended,
}

/// The stream of a deployment's entries after number `after`, as long as the lease holds; `None` for an unknown id.
pub fn stream(
    app: &App,
    id: DeploymentId,
    after: u64,
    lease: Lease,
) -> Option<impl Stream<Item = Result<Bytes, Infallible>> + use<>> {
    let progress = app.store.watch(&id)?;
    let stop = app.stopping.clone();
    let _counted = app.metrics.viewer();
    let viewer = Viewer { store: app.store.clone(), id, after, progress, stop, lease, at: Stage::Opening, _counted };
    Some(stream::unfold(viewer, |mut viewer| async move {
        let chunk = viewer.next().await?;
        Some((Ok(Bytes::from(chunk)), viewer))
    }))
}

impl Viewer {
    async fn next(&mut self) -> Option<String> {
        match self.at {
            Stage::Ended => return None,
            Stage::Opening => {
                self.at = Stage::Following;
                return Some(come_again());
            }
            Stage::Following => {}
        }
        if self.stop.is_cancelled() {
            return self.parted();
        }
        loop {
            if let Some(why) = self.lease.over().await {
                self.at = Stage::Ended;
                return Some(access_ended(why));
            }
            // Marked as seen before reading, so that a change during the read wakes the next wait.
            self.progress.borrow_and_update();
            // The record before the log: what ended the run was logged before the record said so.
            let record = self.store.get(&self.id)?;
            let page = match self.store.read(&self.id, self.after, PAGE).await {
                Ok(page) => page,
                Err(error) => return self.broken(&error),
            };
            if !page.is_empty() {
                return Some(self.frames(&page));
            }
            if record.status.is_terminal() {
                self.at = Stage::Ended;
                let count = self.store.count(&self.id).await.unwrap_or(self.after);
                let state = wire::State::of(&*self.store, &record, count).await;
                return Some(frame("done", &state));
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return self.parted(),
                changed = self.progress.changed() => changed.ok()?,
                () = self.lease.due() => {}
                () = tokio::time::sleep(HEARTBEAT) => return Some(": keep-alive\n\n".to_owned()),
            }
        }
    }

    fn frames(&mut self, page: &[Numbered]) -> String {
        let mut text = String::with_capacity(page.len() * 160);
        for numbered in page {
            // A struct of strings always serialises.
            let json = serde_json::to_string(&numbered.entry).unwrap_or_default();
            let _ = write!(text, "id: {}\ndata: {json}\n\n", numbered.number);
            self.after = numbered.number;
        }
        text
    }

    /// The process goes down. What was not sent yet is read when the browser connects again, from its last number.
    fn parted(&mut self) -> Option<String> {
        self.at = Stage::Ended;
        Some(come_again())
    }

    // The browser connects again and goes on from its last number.
    fn broken(&mut self, error: &dyn std::fmt::Display) -> Option<String> {
        tracing::error!(deployment.id = %self.id, %error, "cannot read the log for a viewer");
        self.at = Stage::Ended;
        None
    }
}

fn come_again() -> String {
    format!("retry: {RETRY_MILLIS}\n\n")
}

/// The client may come again with another token; with this one it learns the same as a status.
fn access_ended(why: ApiError) -> String {
    frame("access-ended", &why.parts().1)
}

fn frame(event: &str, data: &impl serde::Serialize) -> String {
    format!("event: {event}\ndata: {}\n\n", serde_json::to_string(data).unwrap_or_default())
}
