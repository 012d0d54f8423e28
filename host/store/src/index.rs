//! The lines of one log file: how an entry is written, where it stands, and what is damaged.
//!
//! Only offsets are kept in memory, one for every few entries. This knows one open file and no deployment.

use crate::{Numbered, StorageError};
use catalyst_domain::{Entry, Level, LogReserve, phase};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

/// An offset is kept for every 64th entry: a read skips fewer than 64 lines, and a million entries take 125 kB.
const STRIDE: u64 = 64;
/// Longest message of an entry in bytes: a line of a log that people read, even with a diagnosis in it.
const MESSAGE_BYTES: usize = 64 * 1024;
/// Longest message of an entry in the reserve: a handful of long ones must not use it up.
const RESERVE_MESSAGE_BYTES: usize = 4 * 1024;
/// A read ends after so many bytes, whatever its limit of entries: a viewer holds one page in memory.
const PAGE_BYTES: usize = 512 * 1024;
/// Room for component states in a full log: about a thousand changes.
const COMPONENT_RESERVE_BYTES: u64 = 256 * 1024;
/// Room for phase markers beyond that: five short lines for each of several hundred runs.
const MARKER_RESERVE_BYTES: u64 = 128 * 1024;
/// How the entry begins that says that the log is full.
const FULL: &str = "the log is full";

#[derive(Serialize)]
struct LineOut<'a> {
    n: u64,
    #[serde(flatten)]
    entry: &'a Entry,
}

#[derive(Deserialize)]
struct Line {
    n: u64,
    #[serde(flatten)]
    entry: Entry,
}

/// Where the entries of a file stand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    // Entries before this file: those inside an imported record.
    before: u64,
    count: u64,
    bytes: u64,
    offsets: Vec<u64>,
    told_full: bool,
}

/// What to read, fixed at one moment: entries that are appended later are not in it.
#[derive(Debug)]
pub(crate) struct Span {
    start: u64,
    end: u64,
    skip: u64,
    take: u64,
}

/// Why a file was not indexed.
#[derive(Debug)]
pub(crate) enum ScanFault {
    /// It could not be read this time.
    Unread(io::Error),
    /// A line before its end is damaged.
    Damaged {
        /// Counted from 1.
        line: u64,
    },
}

/// The end of an index as it will be, and the offsets that were added.
#[derive(Debug)]
pub(crate) struct Tail {
    before: u64,
    count: u64,
    bytes: u64,
    added: Vec<u64>,
    told_full: bool,
}

impl Index {
    /// Reads a file once, from `before + 1` on. A torn end is left out; damage before the end is an error.
    pub(crate) fn scan(file: Option<File>, before: u64) -> Result<Self, ScanFault> {
        let mut index = Self { before, ..Self::default() };
        let Some(file) = file else { return Ok(index) };
        let mut reader = BufReader::with_capacity(256 * 1024, file);
        let mut line = Vec::new();
        let mut number = 0_u64;
        let mut bad = None;
        loop {
            line.clear();
            if reader.read_until(b'\n', &mut line).map_err(ScanFault::Unread)? == 0 {
                return Ok(index);
            }
            number += 1;
            match (decode(&line), bad) {
                (Some(good), None) if good.number == index.last() + 1 => index.push(&line, &good.entry),
                (Some(_), _) => return Err(ScanFault::Damaged { line: bad.unwrap_or(number) }),
                // Only the end of a file can be torn, so this must be the end: a good line after it proves damage.
                (None, _) => bad = bad.or(Some(number)),
            }
        }
    }

    /// Number of the last entry.
    pub(crate) fn last(&self) -> u64 {
        self.before + self.count
    }

    /// Number of entries that stand inside the record.
    pub(crate) fn before(&self) -> u64 {
        self.before
    }

    /// Length of the good part of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where up to `limit` entries after number `after` stand.
    pub(crate) fn span(&self, after: u64, limit: u64) -> Option<Span> {
        let first = after.saturating_sub(self.before);
        let take = self.count.saturating_sub(first).min(limit);
        let start = *self.offsets.get(usize::try_from(first / STRIDE).ok()?)?;
        (take > 0).then_some(Span { start, end: self.bytes, skip: first % STRIDE, take })
    }

    /// The end of this index, to be extended while readers go on with the old one.
    pub(crate) fn tail(&self) -> Tail {
        let Self { before, count, bytes, told_full, .. } = *self;
        Tail { before, count, bytes, added: Vec::new(), told_full }
    }

    /// Takes over what is on disk now.
    pub(crate) fn extend(&mut self, tail: Tail) {
        (self.count, self.bytes, self.told_full) = (tail.count, tail.bytes, tail.told_full);
        self.offsets.extend(tail.added);
    }

    fn push(&mut self, line: &[u8], entry: &Entry) {
        if self.count.is_multiple_of(STRIDE) {
            self.offsets.push(self.bytes);
        }
        self.count += 1;
        self.bytes += line.len() as u64;
        if entry.phase == phase::HOST && entry.message.starts_with(FULL) {
            self.told_full = true;
        } else if reserve(entry) == 0 {
            // There was room again: the limit was raised.
            self.told_full = false;
        }
    }
}

impl Tail {
    /// Number of the last entry.
    pub(crate) fn last(&self) -> u64 {
        self.before + self.count
    }

    /// Length of the file with everything added so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds an entry to the text, or drops it when the log is full.
    pub(crate) fn add(&mut self, entry: &Entry, cap_bytes: u64, text: &mut Vec<u8>) -> Result<(), StorageError> {
        let (mark, reserve) = (text.len(), reserve(entry));
        for (most, limit) in [(MESSAGE_BYTES, cap_bytes), (RESERVE_MESSAGE_BYTES, cap_bytes.saturating_add(reserve))] {
            self.encode(entry, most, text)?;
            let bytes = (text.len() - mark) as u64;
            if self.bytes + bytes <= limit {
                self.push(bytes);
                self.told_full &= reserve != 0;
                return Ok(());
            }
            text.truncate(mark);
            if reserve == 0 {
                break;
            }
        }
        if !self.told_full {
            self.told_full = true;
            let message =
                format!("{FULL} ({cap_bytes} bytes): from here on only phase markers and component states are kept");
            let notice = Entry { phase: phase::HOST.to_owned(), level: Level::Warn, message, ..bare(&entry.time) };
            self.encode(&notice, MESSAGE_BYTES, text)?;
            self.push((text.len() - mark) as u64);
        }
        Ok(())
    }

    fn push(&mut self, bytes: u64) {
        if self.count.is_multiple_of(STRIDE) {
            self.added.push(self.bytes);
        }
        self.count += 1;
        self.bytes += bytes;
    }

    /// Writes an entry with at most so many bytes of its message.
    fn encode(&self, entry: &Entry, most: usize, text: &mut Vec<u8>) -> Result<(), StorageError> {
        let n = self.last() + 1;
        let result = if entry.message.len() > most {
            let cut = entry.message.floor_char_boundary(most);
            let message = format!("{} … ({} bytes in all)", &entry.message[..cut], entry.message.len());
            serde_json::to_writer(&mut *text, &LineOut { n, entry: &Entry { message, ..entry.clone() } })
        } else {
            serde_json::to_writer(&mut *text, &LineOut { n, entry })
        };
        result.map_err(|error| StorageError { doing: "write a log entry", why: error.to_string() })?;
        text.push(b'\n');
        Ok(())
    }
}

impl Span {
    /// Reads the entries of this span.
    pub(crate) fn read(&self, mut file: File) -> Result<Vec<Numbered>, StorageError> {
        file.seek(SeekFrom::Start(self.start)).map_err(|error| cannot_read(&error))?;
        let mut reader = BufReader::with_capacity(32 * 1024, file.take(self.end - self.start));
        let mut entries = Vec::with_capacity(usize::try_from(self.take.min(4096)).unwrap_or(0));
        let (mut line, mut bytes) = (Vec::new(), 0);
        for at in 0..self.skip + self.take {
            line.clear();
            reader.read_until(b'\n', &mut line).map_err(|error| cannot_read(&error))?;
            if at >= self.skip {
                bytes += line.len();
                entries.push(decode(&line).ok_or_else(changed)?);
                if bytes >= PAGE_BYTES {
                    break;
                }
            }
        }
        Ok(entries)
    }
}

/// How far an entry may reach beyond the limit of the log. The part of markers is this host's own: no text of a cluster or a cloud
/// takes of it.
fn reserve(entry: &Entry) -> u64 {
    match entry.reserve {
        LogReserve::Nothing => return 0,
        LogReserve::LastWord => return COMPONENT_RESERVE_BYTES + MARKER_RESERVE_BYTES,
        LogReserve::OfPhase => {}
    }
    match entry.phase.as_str() {
        phase::TOFU_INIT
        | phase::TOFU_PLAN
        | phase::TOFU_APPLY
        | phase::TOFU_OUTPUT
        | phase::TOFU_DESTROY
        | phase::FLUX_BOOTSTRAP => COMPONENT_RESERVE_BYTES + MARKER_RESERVE_BYTES,
        phase::COMPONENT => COMPONENT_RESERVE_BYTES,
        _ => 0,
    }
}

fn decode(line: &[u8]) -> Option<Numbered> {
    let line: Line = serde_json::from_slice(line.strip_suffix(b"\n")?).ok()?;
    Some(Numbered { number: line.n, entry: line.entry })
}

fn bare(time: &str) -> Entry {
    Entry { time: time.to_owned(), ..Entry::new(catalyst_domain::Timestamp::UNIX_EPOCH, "", Level::Info, "") }
}

fn cannot_read(error: &io::Error) -> StorageError {
    crate::health::failed("read the log", error)
}

/// The file is not what was indexed.
pub(crate) fn changed() -> StorageError {
    StorageError { doing: "read the log", why: "its file was changed by somebody else".to_owned() }
}
