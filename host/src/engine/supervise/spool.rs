//! Lines of OpenTofu that a dead host never took, in the work folder of their run: what it bought is in the state or here.
//!
//! They may hold what is masked elsewhere, so the file is the run's user's alone, and goes once it was read.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The file's name.
pub(in crate::engine) const FILE: &str = "catalyst.undelivered.log";

/// Writes what there is; nothing is no file.
///
/// # Errors
/// The disk refuses.
pub(super) fn write<'a>(folder: &Path, lines: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
    let mut lines = lines.peekable();
    if lines.peek().is_none() {
        return Ok(());
    }
    let mut options = fs::OpenOptions::new();
    // Never through a link that the run may have left.
    let _ = fs::remove_file(folder.join(FILE));
    let mut file = options.create_new(true).write(true).mode(0o600).open(folder.join(FILE))?;
    for line in lines {
        file.write_all(line)?;
        file.write_all(b"\n")?;
    }
    file.sync_all()
}
