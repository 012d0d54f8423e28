//! What a run made, for whoever starts after a host that died: what it bought is in the state or here. OpenTofu's own lines, which may
//! hold what is masked elsewhere, so the file is this user's alone, out of the run's reach, and goes once it was read.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Writes what there is; nothing is no file.
///
/// # Errors
/// The disk refuses.
pub(super) fn write(file: &Path, lines: &[Vec<u8>]) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let _ = fs::remove_file(file);
    let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(file)?;
    for line in lines {
        file.write_all(line)?;
        file.write_all(b"\n")?;
    }
    file.sync_all()
}
