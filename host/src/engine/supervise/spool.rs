//! What a run made, for whoever starts after a host that died: what it bought is in the state or here. OpenTofu's own lines, which may
//! hold what is masked elsewhere, so the file is this user's alone, out of the run's reach, and goes once it was read.

use rustix::fs::OFlags;
use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Writes what there is, into the room that was taken for it; nothing is no file.
///
/// # Errors
/// The disk refuses.
pub(super) fn write(file: &Path, lines: &[Vec<u8>]) -> io::Result<()> {
    if lines.is_empty() {
        return match fs::remove_file(file) {
            Err(why) if why.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        };
    }
    let mut options = fs::OpenOptions::new();
    // Not cut before it is written: on a full disk the room would be gone.
    options.create(true).write(true).truncate(false).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    let mut file = options.open(file)?;
    let mut written = 0;
    for line in lines {
        file.write_all(line)?;
        file.write_all(b"\n")?;
        written += line.len() as u64 + 1;
    }
    file.set_len(written)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_take_the_place_of_what_was_there_and_none_leave_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("spool");
        fs::write(&file, "a longer text of before\n").unwrap();
        write(&file, &[b"one".to_vec(), b"two".to_vec()]).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "one\ntwo\n");
        write(&file, &[]).unwrap();
        write(&file, &[]).unwrap();
        assert!(!file.exists());
    }
}
