//! What a supervisor has to tell its host and the host has not taken yet. Bounded: OpenTofu never waits for a host that reads
//! nothing, and what was bought is the last that is dropped.

use super::messages::Event;
use super::wire::{HEAD, Kind, encode, encode_message};
use std::collections::VecDeque;
use std::io;

/// Bytes of lines that wait for the host: a long apply writes some hundred KiB.
const ROOM: usize = 8 * 1024 * 1024;
/// Bytes of lines that wait, those among them that say what went wrong.
const ROOM_FOR_ERRORS: usize = 2 * ROOM;
/// Bytes of lines that say what was made, of a whole run.
const ROOM_FOR_MADE: usize = ROOM;
/// Memory of a line beside its bytes.
const OVERHEAD: usize = 64;
/// Marks of such lines in OpenTofu's JSON.
const MADE: &[u8] = b"\"apply_complete\"";
const ERRORS: [&[u8]; 2] = [b"\"apply_errored\"", b"\"@level\":\"error\""];

/// The queue.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Item>,
    /// Bytes of the first that are sent.
    sent: usize,
    /// Memory of all lines that wait.
    room_taken: usize,
    dropped: u64,
    /// Lines that say what the run made, told or not.
    made: Vec<Vec<u8>>,
    made_bytes: usize,
}

struct Item {
    bytes: Vec<u8>,
    line: bool,
}

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
        let says = |mark: &[u8]| line.windows(mark.len()).any(|part| part == mark);
        let made = says(MADE);
        if made && self.made_bytes + line.len() <= ROOM_FOR_MADE {
            self.made_bytes += line.len() + OVERHEAD;
            self.made.push(line.to_vec());
        }
        let room = if made || ERRORS.iter().any(|mark| says(mark)) { ROOM_FOR_ERRORS } else { ROOM };
        let taken = self.room_taken + line.len() + OVERHEAD;
        if taken > room {
            self.dropped += 1;
            return Ok(());
        }
        self.tell_dropped()?;
        self.room_taken = taken;
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
                self.room_taken -= item.bytes.len() - HEAD + OVERHEAD;
            }
        }
    }

    /// The lines that say what the run made, oldest first.
    pub(super) fn made(&self) -> &[Vec<u8>] {
        &self.made
    }

    /// Forgets them: what they say is kept elsewhere.
    pub(super) fn forget_made(&mut self) {
        (self.made, self.made_bytes) = (Vec::new(), 0);
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
        let (mut outbox, plain) = (Outbox::default(), vec![b'x'; 1024 * 1024 - OVERHEAD]);
        let bought = [b"{\"type\":\"apply_complete\"}".as_slice(), &plain].concat();
        for _ in 0..10 {
            outbox.line(Kind::OutputLine, &plain).unwrap();
        }
        outbox.line(Kind::OutputLine, &bought).unwrap();
        outbox.event(&Event::InterruptedAgain).unwrap();
        let (mut told, mut lines) = (Vec::new(), Vec::new());
        while !outbox.next().is_empty() {
            let bytes = outbox.next().to_vec();
            match bytes[0] == Kind::Message as u8 {
                true => told.push(String::from_utf8(bytes[HEAD..].to_vec()).unwrap()),
                false => lines.push(bytes.len() - HEAD),
            }
            outbox.advance(bytes.len());
        }
        assert_eq!(lines, [vec![plain.len(); 8], vec![bought.len()]].concat());
        assert_eq!(told, ["{\"Dropped\":2}", "\"InterruptedAgain\""]);
        assert_eq!((outbox.room_taken, outbox.made().len()), (0, 1), "what was made stays until it is kept");
        outbox.forget_made();
        assert_eq!((outbox.made().len(), outbox.made_bytes), (0, 0));
    }

    #[test]
    fn empty_lines_take_room_too() {
        let mut outbox = Outbox::default();
        for _ in 0..1_000_000 {
            outbox.line(Kind::OutputLine, b"").unwrap();
        }
        assert!(outbox.waiting.len() <= ROOM / OVERHEAD, "{}", outbox.waiting.len());
        assert!(outbox.dropped > 0);
    }
}
