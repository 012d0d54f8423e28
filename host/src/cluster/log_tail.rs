//! Follows helm-controller's log and passes on the lines that speak of a component.
//!
//! The log is a kindness to viewers, never evidence: whatever goes wrong here is tried again later and ends nothing. A
//! quiet stream is normal; the tail is cancelled by dropping it.

use super::{MAX_TEXT, NAMESPACE, Observation, log_line, shorten};
use catalyst_domain::{Level, Timestamp};
use futures::io::{AsyncBufRead, AsyncBufReadExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, LogParams};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How the controller's pods are labelled by Flux's own manifests.
const LABEL: &str = "app=helm-controller";

/// Pause before the pod is looked for again, and after a stream that ended, well or not (C-8).
const PAUSE_NO_POD: Duration = Duration::from_secs(5);
const PAUSE_ENDED: Duration = Duration::from_secs(2);

/// Longest line that is read, in bytes; the rest of it is passed over.
const MAX_LINE: usize = 1024 * 1024;

/// Lines a second that are passed on in the long run, and at once. A controller in trouble can print thousands; a
/// person reads none of those.
const RATE: u32 = 20;
const BURST: u32 = 400;

/// Where the tail stands.
#[derive(Debug)]
pub(super) struct Cursor {
    /// Time of the last line that was read, or of the beginning.
    since: Timestamp,
    budget: Budget,
}

impl Cursor {
    pub(super) fn new(since: Timestamp) -> Self {
        Self { since, budget: Budget { tokens: f64::from(BURST), filled: Instant::now(), dropped: 0 } }
    }
}

/// A token bucket that remembers what it refused.
#[derive(Debug)]
struct Budget {
    tokens: f64,
    filled: Instant,
    dropped: u64,
}

impl Budget {
    fn take(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.filled).as_secs_f64() * f64::from(RATE);
        self.tokens = (self.tokens + earned).min(f64::from(BURST));
        self.filled = now;
        if self.tokens < 1.0 {
            self.dropped = self.dropped.saturating_add(1);
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

/// The receiver of observations is gone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unheard;

/// Follows the log until the receiver is gone.
pub(super) async fn follow(client: kube::Client, request_timeout: Duration, out: mpsc::Sender<Observation>) {
    let pods: Api<Pod> = Api::namespaced(client, NAMESPACE);
    let mut cursor = Cursor::new(Timestamp::now());
    loop {
        let pod = tokio::time::timeout(request_timeout, running_pod(&pods)).await.ok().flatten();
        let Some(pod) = pod else {
            tokio::time::sleep(PAUSE_NO_POD).await;
            continue;
        };
        let since = cursor.since;
        let params = LogParams { follow: true, timestamps: true, since_time: Some(since), ..Default::default() };
        if let Ok(Ok(stream)) = tokio::time::timeout(request_timeout, pods.log_stream(&pod, &params)).await
            && pump(std::pin::pin!(stream), &mut cursor, &out).await.is_err()
        {
            return;
        }
        tokio::time::sleep(PAUSE_ENDED).await;
    }
}

async fn running_pod(pods: &Api<Pod>) -> Option<String> {
    let params = ListParams::default().labels(LABEL).limit(20);
    let list = pods.list(&params).await.ok()?;
    let running = |pod: &Pod| pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running");
    list.items.into_iter().find(running).and_then(|pod| pod.metadata.name)
}

/// Reads a stream to its end. Lines up to the cursor were read before and are passed over.
///
/// # Errors
/// [`Unheard`] when nobody takes the observations any more.
pub(super) async fn pump<R: AsyncBufRead + Unpin>(
    mut stream: R,
    cursor: &mut Cursor,
    out: &mpsc::Sender<Observation>,
) -> Result<(), Unheard> {
    let mut bytes = Vec::new();
    while let Ok(Some(())) = read_line(&mut stream, &mut bytes).await {
        let text = String::from_utf8_lossy(&bytes);
        let (at, line) = stamped(text.trim());
        match at {
            Some(at) if at <= cursor.since => continue,
            Some(at) => cursor.since = at,
            None => {}
        }
        let Some(parsed) = log_line::parse(line) else { continue };
        if !cursor.budget.take(Instant::now()) {
            continue;
        }
        let dropped = std::mem::take(&mut cursor.budget.dropped);
        if dropped > 0 {
            let message = format!("{dropped} lines of helm-controller were left out: too many at once.");
            out.send(Observation::Remark { level: Level::Info, message }).await.map_err(|_| Unheard)?;
        }
        let line = shorten(line, MAX_TEXT);
        let log = Observation::Log { component: parsed.component, level: parsed.level, line };
        out.send(log).await.map_err(|_| Unheard)?;
    }
    Ok(())
}

/// The kubelet's stamp before a line, and the line.
fn stamped(text: &str) -> (Option<Timestamp>, &str) {
    match text.split_once(' ') {
        Some((stamp, line)) => match stamp.parse() {
            Ok(at) => (Some(at), line.trim()),
            Err(_) => (None, text),
        },
        None => (None, text),
    }
}

/// Reads up to the next line's end into `line`, of which at most [`MAX_LINE`] bytes are kept. `None` at the end.
async fn read_line<R: AsyncBufRead + Unpin>(stream: &mut R, line: &mut Vec<u8>) -> std::io::Result<Option<()>> {
    line.clear();
    let mut begun = false;
    loop {
        let chunk = stream.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(begun.then_some(()));
        }
        begun = true;
        let (part, used, done) = match chunk.iter().position(|b| *b == b'\n') {
            Some(end) => (chunk.get(..end), end.saturating_add(1), true),
            None => (Some(chunk), chunk.len(), false),
        };
        let room = MAX_LINE.saturating_sub(line.len());
        line.extend(part.unwrap_or_default().iter().take(room));
        stream.consume_unpin(used);
        if done {
            return Ok(Some(()));
        }
    }
}

#[cfg(test)]
#[path = "log_tail_tests.rs"]
mod tests;
