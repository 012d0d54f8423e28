//! What OpenTofu writes, as it comes out of a pipe: line by line, or whole.

use super::outbox::Outbox;
use super::wire::Kind;
use crate::engine::lines::LineSplitter;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use tokio::net::unix::pipe::Receiver;
use zeroize::Zeroizing;

/// Largest `tofu output -json`: user data of some dozens of nodes is below 2 MiB.
const OUTPUT_LIMIT: usize = 16 * 1024 * 1024;
/// Bytes that are read at once.
const READ: usize = 64 * 1024;

/// One of OpenTofu's output pipes.
pub(super) struct Output {
    pub(super) pipe: Receiver,
    kind: Kind,
    lines: LineSplitter,
}

impl Output {
    /// Needs the runtime.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn new(pipe: OwnedFd, kind: Kind) -> io::Result<Self> {
        Ok(Self { pipe: Receiver::from_owned_fd(pipe)?, kind, lines: LineSplitter::default() })
    }

    /// Reads what is there; `false` when there was nothing.
    ///
    /// # Errors
    /// The pipe breaks.
    pub(super) fn read(&mut self, whole: &mut Option<Whole>, outbox: &mut Outbox) -> io::Result<bool> {
        let mut buffer = [0; READ];
        let bytes = match self.pipe.try_read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(count) => &buffer[..count],
            Err(why) if why.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(why) => return Err(why),
        };
        if self.kind == Kind::OutputLine
            && let Some(whole) = whole
        {
            whole.take(bytes);
            return Ok(true);
        }
        let mut told = Ok(());
        let kind = self.kind;
        self.lines.push(bytes, |line| {
            if told.is_ok() {
                told = outbox.line(kind, &line);
            }
        });
        told.map(|()| true)
    }

    /// The last line, where it has no end.
    ///
    /// # Errors
    /// It cannot be told.
    pub(super) fn finish(&mut self, outbox: &mut Outbox) -> io::Result<()> {
        self.lines.finish().map_or(Ok(()), |line| outbox.line(self.kind, &line))
    }
}

/// An output that is wanted whole.
#[derive(Default)]
pub(super) struct Whole {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    pub(super) too_long: bool,
}

impl Whole {
    fn take(&mut self, bytes: &[u8]) {
        self.too_long |= self.bytes.len() + bytes.len() > OUTPUT_LIMIT;
        if !self.too_long {
            self.bytes.extend_from_slice(bytes);
        }
    }
}
