//! What a supervisor has to tell its host and the host has not taken yet. Bounded: OpenTofu never waits for a host that reads
//! nothing, and what is bought is the last that is dropped.

use super::wire::{Event, Kind, encode, encode_message};
use std::collections::VecDeque;
use std::io;

/// Bytes of lines that wait for the host: a long apply writes some hundred KiB.
const ROOM: usize = 8 * 1024 * 1024;
/// Bytes of lines that wait, those among them that say what was bought or what went wrong.
const ROOM_FOR_EVIDENCE: usize = 2 * ROOM;
/// Marks of such lines in OpenTofu's JSON.
const EVIDENCE: [&[u8]; 3] = [b"\"apply_complete\"", b"\"apply_errored\"", b"\"@level\":\"error\""];

/// The queue.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Item>,
    /// Bytes of the first that are sent.
    sent: usize,
    /// Bytes of all lines that wait.
    line_bytes: usize,
    /// Lines that were sent and that the host has not said it took.
    unconfirmed: VecDeque<Vec<u8>>,
    confirmed: u64,
    dropped: u64,
}

struct Item {
    bytes: Vec<u8>,
    line: bool,
}

/// Bytes of a frame before its payload.
const HEAD: usize = 5;

impl Outbox {
    /// Takes a message, which is never dropped.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn event(&mut self, event: &Event) -> io::Result<()> {
        self.tell_dropped()?;
        self.waiting.push_back(Item { bytes: encode_message(event)?, line: false });
        Ok(())
    }

    /// Takes a whole output, which is never dropped.
    pub(super) fn whole(&mut self, output: &[u8]) {
        self.waiting.push_back(Item { bytes: encode(Kind::WholeOutput, output), line: false });
    }

    /// Takes a line, or counts it as dropped where there is no room.
    ///
    /// # Errors
    /// The count of dropped ones cannot be written.
    pub(super) fn line(&mut self, kind: Kind, line: &[u8]) -> io::Result<()> {
        let evidence = || EVIDENCE.iter().any(|mark| line.windows(mark.len()).any(|part| part == *mark));
        let full = self.line_bytes + line.len();
        if full > ROOM && (full > ROOM_FOR_EVIDENCE || !evidence()) {
            self.dropped += 1;
            return Ok(());
        }
        self.tell_dropped()?;
        self.line_bytes += line.len();
        self.waiting.push_back(Item { bytes: encode(kind, line), line: true });
        Ok(())
    }

    /// What is to be sent next; empty when there is nothing.
    pub(super) fn next(&self) -> &[u8] {
        self.waiting.front().map_or(&[], |item| &item.bytes[self.sent..])
    }

    /// So many bytes of it were sent.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.waiting.front().is_some_and(|item| self.sent >= item.bytes.len())
            && let Some(item) = self.waiting.pop_front()
        {
            self.sent = 0;
            if item.line {
                self.line_bytes -= item.bytes.len() - HEAD;
                self.unconfirmed.push_back(item.bytes);
            }
        }
    }

    /// The host took so many lines since the run began.
    pub(super) fn taken(&mut self, lines: u64) {
        while self.confirmed < lines && self.unconfirmed.pop_front().is_some() {
            self.confirmed += 1;
        }
    }

    /// The lines that the host never took, oldest first.
    pub(super) fn undelivered(&self) -> impl Iterator<Item = &[u8]> {
        let waiting = self.waiting.iter().filter(|item| item.line).map(|item| &item.bytes);
        self.unconfirmed.iter().chain(waiting).map(|bytes| &bytes[HEAD..])
    }

    fn tell_dropped(&mut self) -> io::Result<()> {
        if self.dropped > 0 {
            let dropped = Event::Dropped(std::mem::take(&mut self.dropped));
            self.waiting.push_back(Item { bytes: encode_message(&dropped)?, line: false });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_takes_nothing_loses_plain_lines_and_learns_how_many() {
        let (mut outbox, plain) = (Outbox::default(), vec![b'x'; 1024 * 1024]);
        let bought = [b"{\"type\":\"apply_complete\"}".as_slice(), &plain].concat();
        for _ in 0..10 {
            outbox.line(Kind::OutputLine, &plain).unwrap();
        }
        outbox.line(Kind::OutputLine, &bought).unwrap();
        outbox.event(&Event::InterruptedAgain).unwrap();
        let lines: Vec<usize> = outbox.undelivered().map(<[u8]>::len).collect();
        assert_eq!(lines, [vec![plain.len(); 8], vec![bought.len()]].concat());
        let mut told = Vec::new();
        while !outbox.next().is_empty() {
            let bytes = outbox.next().to_vec();
            told.extend((bytes[0] == Kind::Message as u8).then(|| String::from_utf8(bytes[HEAD..].to_vec()).unwrap()));
            outbox.advance(bytes.len());
        }
        assert_eq!(told, ["{\"Dropped\":2}", "\"InterruptedAgain\""]);
        assert_eq!(outbox.line_bytes, 0);
    }

    #[test]
    fn a_line_is_kept_until_the_host_says_that_it_took_it() {
        let mut outbox = Outbox::default();
        for line in [b"one", b"two", b"six"] {
            outbox.line(Kind::OutputLine, line).unwrap();
        }
        outbox.advance(2);
        assert_eq!(outbox.next().len(), HEAD + 1);
        outbox.advance(HEAD + 1);
        outbox.advance(HEAD + 3);
        assert_eq!(outbox.undelivered().count(), 3);
        outbox.taken(1);
        assert_eq!(outbox.undelivered().collect::<Vec<_>>(), [b"two", b"six"]);
        outbox.taken(9);
        assert_eq!(outbox.undelivered().collect::<Vec<_>>(), [b"six"]);
    }
}
