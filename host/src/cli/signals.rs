//! What the process is asked from outside. Its handlers stand before anything long begins: a signal that comes during the start
//! must neither kill the process nor be lost.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that `serve` listens to.
pub struct Signals {
    /// Asks it to end.
    pub end: End,
    /// SIGHUP: load the plugins again.
    pub plugins: Signal,
    /// The same SIGHUP: open the audit log again.
    pub audit: Signal,
}

impl Signals {
    /// Takes them over from the system. Needs the runtime.
    ///
    /// # Errors
    /// The system refuses.
    pub fn take() -> io::Result<Self> {
        let end = End { term: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
        Ok(Self { end, plugins: signal(SignalKind::hangup())?, audit: signal(SignalKind::hangup())? })
    }
}

/// SIGTERM and SIGINT.
pub struct End {
    term: Signal,
    interrupt: Signal,
}

impl End {
    /// Returns when one of them came, even if that was before the call.
    pub async fn asked(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
