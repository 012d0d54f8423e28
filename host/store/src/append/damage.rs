//! A log that cannot be read. It is set aside when its deployment is taken up again, so that what happens from then on has a log;
//! and what follows its last good line is kept before it is cut off, unless it is the torn end of one append.

use super::{Known, Log};
use crate::folder::{WriteFault, is_of_the_file};
use crate::health::failed;
use crate::inner::Inner;
use crate::{SetAside, StorageError};
use std::io::{self, Read, Seek, SeekFrom};

const SET_ASIDE: &str = "set the log aside";
const KEEP_END: &str = "keep the damaged end of the log";
/// How each line of a log begins.
const LINE_BEGINS: &[u8] = b"{\"n\":";

impl Log {
    /// Gives a file that cannot be read another name. The next entry begins a new one.
    pub(crate) fn set_damaged_aside(&self, store: &Inner) -> Result<Option<SetAside>, StorageError> {
        let mut known = self.index();
        if let Known::Unread = *known {
            match self.fault_of_the_file(store)? {
                Some(why) => *known = Known::Damaged(StorageError { doing: "read the log", why }),
                None => *known = self.read_through(store)?,
            }
        }
        let Known::Damaged(error) = &*known else { return Ok(None) };
        let why = error.why.clone();
        store.health.check()?;
        let aside = match store.records.dir().symlink_metadata(self.name()) {
            Ok(_) => Some(store.health.judge(SET_ASIDE, store.records.set_aside(&self.name()))?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(SET_ASIDE, &error)),
        };
        *known = Known::Unread;
        Ok(aside.map(|file| SetAside { file, why }))
    }

    /// Why the file is none that can be read, as a folder is.
    fn fault_of_the_file(&self, store: &Inner) -> Result<Option<String>, StorageError> {
        match store.records.open_to_read(&self.name()).and_then(|file| file.metadata()) {
            Ok(meta) if meta.is_file() => Ok(None),
            Ok(_) => Ok(Some("it is no plain file".to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if is_of_the_file(&error) => Ok(Some(error.to_string())),
            Err(error) => Err(failed(SET_ASIDE, &error)),
        }
    }

    /// Copies what lies behind the last good line, where it is more than the line that an interrupted append leaves.
    pub(super) fn keep_beyond(&self, store: &Inner, good: u64) -> Result<(), StorageError> {
        let kept = || -> io::Result<()> {
            let Some(mut file) = self.open(store).map_err(io::Error::other)? else { return Ok(()) };
            let mut end = Vec::new();
            file.seek(SeekFrom::Start(good))?;
            file.read_to_end(&mut end)?;
            if is_torn_line(&end) {
                return Ok(());
            }
            let name = format!("{}.end", self.name());
            store.records.replace(&name, &end).map_err(WriteFault::into_reason)?;
            let aside = store.records.set_aside(&name).map_err(WriteFault::into_reason)?;
            tracing::error!(file = %self.name(), aside, "the end of a log is damaged, and is set aside before it is cut off");
            Ok(())
        };
        kept().map_err(|error| failed(KEEP_END, &error))
    }
}

/// Whether these bytes can be what an append leaves that a crash or a power loss interrupts: the beginning of a line, or zeros.
fn is_torn_line(end: &[u8]) -> bool {
    let written = end.len() - end.iter().rev().take_while(|byte| **byte == 0).count();
    let line = &end[..written];
    let begins = &LINE_BEGINS[..line.len().min(LINE_BEGINS.len())];
    !line.contains(&b'\n') && line.starts_with(begins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_is_told_from_damage() {
        for torn in ["", "{", "{\"n\":3,\"phase\":\"to", "{\"n\":3\0\0\0", "\0\0"] {
            assert!(is_torn_line(torn.as_bytes()), "{torn:?}");
        }
        for damaged in ["x", "{\"n\":3}\n", "{\"n\":3\n{\"n\":4", "\u{fffd}\n", "\0\0x"] {
            assert!(!is_torn_line(damaged.as_bytes()), "{damaged:?}");
        }
    }
}
