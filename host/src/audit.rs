//! Who did what to which deployment: a file of JSON lines that is only ever appended to, apart from the logs that people
//! follow. It holds no secret and no body. It must not know routes or decide anything.
//!
//! What changes something is written twice: that it is asked for, before it is begun, and how it was answered. Both are on
//! disk before the next step, so nothing is done of which no line tells, whenever the process dies. What was refused is
//! counted by peer and told together, so nobody can fill the disk from outside.
//!
//! A disk that does not answer holds nobody up for long: a line has a time to be written in, and while one is stuck no other
//! is tried. A line that was given up may still come to stand there, so it may tell of what was refused in the end, and never
//! the other way about.
//!
//! The file is left to the operator: move it away, send SIGHUP, and a new one is begun.

mod line;
mod refusals;
mod writer;

pub use line::{Event, Line};

use crate::auth::Caller;
use catalyst_domain::DeploymentId;
use refusals::Refusals;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use writer::{Job, Writer};

/// How often a log that cannot be written is tried: as quickly as somebody frees a disk and looks.
const HEAL: Duration = Duration::from_secs(5);

/// A line could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written: {0}")]
pub struct AuditError(pub String);

/// What a line is about.
#[derive(Debug, Clone)]
pub struct About {
    /// Who asked.
    pub caller: Caller,
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// Whom a trusted proxy speaks for.
    pub client: Option<IpAddr>,
    /// Name of the request in the trace.
    pub request: String,
    /// What was asked for.
    pub action: &'static str,
    /// Of which deployment, where there is one already.
    pub deployment: Option<DeploymentId>,
}

/// The log. Cheap to share.
pub struct Audit {
    writer: Writer,
    refusals: Arc<Refusals>,
}

impl Audit {
    /// Opens the file, or makes it with mode 0600, and its folder with mode 0700.
    ///
    /// # Errors
    /// It cannot be opened for writing.
    pub fn open(path: PathBuf, stop: CancellationToken) -> io::Result<Arc<Self>> {
        let writer = Writer::open(path)?;
        Ok(Arc::new(Self { refusals: Refusals::new(writer.clone(), stop), writer }))
    }

    /// Writes a line; when this returns, it is on disk.
    ///
    /// # Errors
    /// [`AuditError`].
    pub async fn write(&self, line: &Line) -> Result<(), AuditError> {
        if let Some(stuck) = self.writer.stuck() {
            self.writer.has_lost(1);
            return Err(stuck);
        }
        self.on_disk(Some(line.text()), self.writer.deadline()).await
    }

    /// Waits until the lines so far, and this one, are on disk.
    async fn on_disk(&self, line: Option<String>, within: Duration) -> Result<(), AuditError> {
        let written = async {
            let (done, written) = oneshot::channel();
            let job = match line {
                Some(line) => Job::Line(line, Some(done)),
                None => Job::Barrier(done),
            };
            self.writer.send(job).await;
            written.await.unwrap_or_else(|_| Err(AuditError("its writer has ended".to_owned())))
        };
        let late = |_| {
            self.writer.gave_up();
            Err(writer::does_not_answer(within))
        };
        tokio::time::timeout(within, written).await.unwrap_or_else(late)
    }

    /// Writes down what was counted and not told yet, and waits until everything so far is on disk; for the end of the process.
    ///
    /// # Errors
    /// [`AuditError`] where it is not within that time.
    pub async fn flush(&self, within: Duration) -> Result<(), AuditError> {
        let all = async {
            for line in self.refusals.take_all() {
                self.writer.send(Job::Line(line.text(), None)).await;
            }
            self.on_disk(None, within).await
        };
        tokio::time::timeout(within, all).await.unwrap_or_else(|_| Err(writer::does_not_answer(within)))
    }

    /// Writes a line some time soon, where nobody can wait for it any more.
    pub fn note(&self, line: &Line) {
        self.writer.try_send(Job::Line(line.text(), None));
    }

    /// Counts what was refused. The first of a kind is written at once, the next ones together, once a minute.
    pub fn refused(&self, peer: IpAddr, reason: &'static str, subject: Option<&str>, action: &'static str) {
        self.refusals.count(peer, reason, subject, action);
    }

    /// Goes on in the file of that name, after the operator moved the old one away.
    pub async fn reopen(&self) {
        self.writer.send(Job::Reopen).await;
    }

    /// Tries again and again while lines cannot be written, until the process stops: nothing that is audited is begun
    /// meanwhile, and a host that is not ready gets no request that would try. A failed sync is never tried again.
    pub async fn heal(self: Arc<Self>, stop: CancellationToken) {
        let mut was_stuck = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(HEAL) => {}
            }
            if self.writer.stuck().is_some() {
                // Another line would only stand behind the one that is stuck.
                was_stuck = true;
                continue;
            }
            if (was_stuck || self.unusable().is_some()) && self.write(&Line::resumed(self.lost())).await.is_ok() {
                was_stuck = false;
                tracing::info!("the audit log can be written again");
            }
        }
    }

    /// Why it cannot be relied on, if so. Nothing that is audited is begun then.
    pub fn unusable(&self) -> Option<AuditError> {
        self.writer.unusable()
    }

    /// Lines that could not be written.
    pub fn lost(&self) -> u64 {
        self.writer.lost()
    }
}

#[cfg(test)]
#[path = "audit/tests.rs"]
mod tests;
