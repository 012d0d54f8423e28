//! Where a run's own services listen: each run has its state backend and its proxy for itself.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// The listeners of one run.
pub(super) struct RunListeners {
    /// Of its state backend.
    pub(super) backend: TcpListener,
    /// Of its proxy.
    pub(super) proxy: TcpListener,
}

impl RunListeners {
    /// Free ports of this machine's 127.0.0.1, which every program on it reaches: credentials keep the others out.
    ///
    /// # Errors
    /// The system gives none.
    pub(super) fn on_loopback() -> io::Result<Self> {
        let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        Ok(Self { backend: listen()?, proxy: listen()? })
    }
}
