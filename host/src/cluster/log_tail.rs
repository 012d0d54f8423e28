//! Follows helm-controller's log and passes on the lines that speak of a component.
//!
//! The log is a kindness to viewers, never evidence: whatever goes wrong here is tried again later and ends nothing. A
//! quiet stream is normal; the tail is cancelled by dropping it.

use super::answers::{self, Listing, read_line};
use super::object::{METADATA, Shape};
use super::{MAX_TEXT, NAMESPACE, Observation, log_line, shorten};
use catalyst_domain::{Level, Timestamp};
use futures::io::AsyncBufRead;
use kube::api::{ApiResource, GroupVersionKind, LogParams};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How the controller's pods are labelled by Flux's own manifests.
const LABEL: &str = "app=helm-controller";

/// Those that run. Pods that were evicted, or have failed, stay listed until the cluster has thousands of them.
const RUNNING: &str = "status.phase=Running";

/// What is kept of a pod.
const POD: Shape = Shape::Keys(&[METADATA, ("status", Shape::Keys(&[("phase", Shape::Plain)]))]);

/// Pods that are looked at: a controller has one that runs, and two while it is replaced.
const MAX_PODS: u32 = 20;

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
    let pods = Listing {
        kind: ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", "Pod"), "pods"),
        namespace: Some(NAMESPACE.to_owned()),
        labels: LABEL,
        fields: RUNNING,
        shape: &POD,
        page: MAX_PODS,
        max_pages: 1,
    };
    let mut cursor = Cursor::new(Timestamp::now());
    loop {
        let Some(pod) = running_pod(&client, &pods, request_timeout).await else {
            tokio::time::sleep(PAUSE_NO_POD).await;
            continue;
        };
        let since = cursor.since;
        let params = LogParams { follow: true, timestamps: true, since_time: Some(since), ..Default::default() };
        let request = answers::path(&pods.kind, pods.namespace.as_deref()).logs(&pod, &params);
        if let Ok(Ok(stream)) = tokio::time::timeout(request_timeout, answers::lines(&client, request)).await
            && pump(stream, &mut cursor, &out).await.is_err()
        {
            return;
        }
        tokio::time::sleep(PAUSE_ENDED).await;
    }
}

async fn running_pod(client: &kube::Client, pods: &Listing, request_timeout: Duration) -> Option<String> {
    let (listed, _) = answers::list(client, pods, request_timeout).await.ok()?;
    let running = listed.iter().find(|pod| pod.body()["status"]["phase"] == "Running")?;
    Some(running.name().to_owned()).filter(|name| !name.is_empty())
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
    while let Ok(Some(())) = read_line(&mut stream, &mut bytes, MAX_LINE).await {
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

#[cfg(test)]
#[path = "log_tail_tests.rs"]
mod tests;
