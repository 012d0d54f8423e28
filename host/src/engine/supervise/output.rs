//! What OpenTofu writes, as it comes out of a pipe: line by line, or whole.

use super::outbox::Outbox;
use super::wire::Kind;
use crate::engine::lines::LineSplitter;
use rustix::io::{Errno, retry_on_intr};
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

    /// Reads what is there, once.
    ///
    /// # Errors
    /// The pipe breaks.
    pub(super) fn read(&mut self, whole: &mut Option<Whole>, outbox: &mut Outbox) -> io::Result<()> {
        let mut buffer = [0; READ];
        match self.pipe.try_read(&mut buffer) {
            Ok(count) => self.take(&buffer[..count], whole, outbox),
            Err(why) if why.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(why) => Err(why),
        }
    }

    /// Reads all that is left, and gives the last line, where it has no end.
    ///
    /// # Errors
    /// The pipe breaks, or what it held cannot be told.
    pub(super) fn finish(&mut self, whole: &mut Option<Whole>, outbox: &mut Outbox) -> io::Result<()> {
        let mut buffer = [0; READ];
        // The pipe itself is asked: what the runtime knows of it may be a moment old.
        loop {
            match retry_on_intr(|| rustix::io::read(&self.pipe, &mut buffer[..])) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(count) => self.take(&buffer[..count], whole, outbox)?,
                Err(why) => return Err(why.into()),
            }
        }
        self.lines.finish().map_or(Ok(()), |line| outbox.line(self.kind, &line))
    }

    fn take(&mut self, bytes: &[u8], whole: &mut Option<Whole>, outbox: &mut Outbox) -> io::Result<()> {
        if self.kind == Kind::OutputLine
            && let Some(whole) = whole
        {
            whole.take(bytes);
            return Ok(());
        }
        let mut told = Ok(());
        let kind = self.kind;
        self.lines.push(bytes, |line| {
            if told.is_ok() {
                told = outbox.line(kind, &line);
            }
        });
        told
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
