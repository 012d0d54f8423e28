//! States that cannot be taken in, and whatever stands where a folder of the host is to be. Nobody removes them but a person, or the
//! end of a deployment that left nothing: they may be the only ones that tell of something in the cloud.

use super::removal::remove;
use super::{ERRORED_STATE, WorkFolder, make_folder};
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use std::ffi::OsStr;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

/// Files of one name that are set aside. Each stands for a fault of its own; where there are so many, a person has to look.
const MOST: u32 = 1_000;
/// Under which a state is written before it has its name.
const TEMPORARY: &str = "catalyst.tfstate.tmp";

/// Whether this is a name under which a state was set aside: `errored.tfstate.1`, and so on.
pub(super) fn is_aside(name: impl AsRef<OsStr>) -> bool {
    let number = name.as_ref().to_str().and_then(|name| name.strip_prefix(ERRORED_STATE)?.strip_prefix('.'));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Makes a folder that only this user enters. A file in its place is set aside; a link is not touched.
pub(super) fn make_folder_in_any_case(dir: &Dir, name: &str) -> io::Result<()> {
    if dir.symlink_metadata(name).is_ok_and(|meta| meta.is_file()) {
        let aside = set_aside(dir, name)?;
        tracing::warn!(aside, "a file stands in the place of a folder and is set aside");
    }
    make_folder(dir, Path::new(name))
}

/// Gives what has this name the first free one of `<name>.1`, `<name>.2`, and so on; gives that name.
fn set_aside(dir: &Dir, name: &str) -> io::Result<String> {
    let names = (1..=MOST).map(|number| format!("{name}.{number}"));
    let is_free = |name: &String| dir.symlink_metadata(name).is_err_and(|why| why.kind() == ErrorKind::NotFound);
    let Some(aside) = names.into_iter().find(is_free) else {
        let why = format!("{MOST} files are set aside as {name}.<number>: look at them and remove them");
        return Err(io::Error::new(ErrorKind::AlreadyExists, why));
    };
    dir.rename(name, dir, &aside)?;
    Ok(aside)
}

impl WorkFolder {
    /// Gives a left-over state that cannot be used another name, under which it is kept and nothing reads it. That name.
    pub(in crate::engine) fn set_errored_state_aside(&self) -> io::Result<String> {
        set_aside(&self.dir, ERRORED_STATE)
    }

    /// Whether states were set aside here.
    pub(in crate::engine) fn has_aside(&self) -> io::Result<bool> {
        for entry in self.dir.entries()? {
            if is_aside(entry?.file_name()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes all but them.
    pub(super) fn remove_all_but_aside(&self) -> io::Result<()> {
        self.remove_those(|entry| Ok(!is_aside(entry.file_name())))?;
        self.sync()
    }

    /// Leaves a state as OpenTofu would that could not hand it over, whole or not at all, in place of one that is there.
    pub(in crate::engine) fn leave_state(&self, state: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let written = || -> io::Result<()> {
            remove(&self.dir, TEMPORARY)?;
            let mut file = self.dir.open_with(TEMPORARY, &options)?;
            file.write_all(state)?;
            file.sync_all()?;
            self.dir.rename(TEMPORARY, &self.dir, ERRORED_STATE)?;
            self.sync()
        };
        written().inspect_err(|_| {
            // Half a file on a full disk helps nobody.
            let _ = self.dir.remove_file(TEMPORARY);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_were_set_aside_are_known_again() {
        for (name, aside) in [
            ("errored.tfstate.1", true),
            ("errored.tfstate.1000", true),
            ("errored.tfstate", false),
            ("errored.tfstate.", false),
            ("errored.tfstate.1x", false),
            ("errored.tfstate.backup", false),
            ("terraform.tfstate.1", false),
        ] {
            assert_eq!(is_aside(name), aside, "{name}");
        }
    }
}
