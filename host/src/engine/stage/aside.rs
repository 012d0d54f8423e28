//! States that cannot be taken in, and whatever stands where a folder of the host is to be. Nobody removes them but a person, or the
//! end of a deployment that left nothing: they may be the only ones that tell of something in the cloud.
//!
//! They lie beside the work folders and not in them: what a run's code writes into its folder, under whatever name, is never taken
//! for one of them, and it reaches none of them.

use super::removal::{open, remove};
use super::{ERRORED_STATE, WorkFolder, WorkRoot, absent_is_fine, make_folder};
use cap_fs_ext::DirExt as _;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use catalyst_domain::DeploymentId;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

/// Folder of left-over states that were set aside, among the work folders. No deployment has such an id.
const SET_ASIDE: &str = ".set-aside";
/// Files of one name that are set aside; the last number is given again and again. A run may leave as many as it likes, and none of them
/// stops the next run.
const MOST: u32 = 100;
/// Under which a state is written before it has its name.
const TEMPORARY: &str = "catalyst.tfstate.tmp";

/// Makes a folder that only this user enters. A file in its place is set aside; a link is not touched.
pub(super) fn make_folder_in_any_case(dir: &Dir, name: &str) -> io::Result<()> {
    if dir.symlink_metadata(name).is_ok_and(|meta| meta.is_file()) {
        let aside = set_aside((dir, name), (dir, name))?;
        tracing::warn!(aside, "a file stands in the place of a folder and is set aside");
    }
    make_folder(dir, Path::new(name))
}

/// Gives what has this name the first free one of `<new>.1`, `<new>.2`, and so on, or the last one; gives that name.
fn set_aside((from, name): (&Dir, &str), (to, new): (&Dir, &str)) -> io::Result<String> {
    let mut names = (1..MOST).map(|number| format!("{new}.{number}"));
    let is_free = |name: &String| to.symlink_metadata(name).is_err_and(|why| why.kind() == ErrorKind::NotFound);
    let aside = match names.find(is_free) {
        Some(aside) => aside,
        None => {
            let last = format!("{new}.{MOST}");
            remove(to, &last)?;
            last
        }
    };
    from.rename(name, to, &aside)?;
    Ok(aside)
}

/// What the names of a deployment's left-over states begin with, once they are set aside.
fn name_of(id: &str) -> String {
    format!("{id}.{ERRORED_STATE}")
}

impl WorkRoot {
    /// Whether states of the deployment were set aside.
    pub(in crate::engine) fn has_aside(&self, id: &DeploymentId) -> io::Result<bool> {
        self.asides(id).map(|(_, names)| !names.is_empty())
    }

    /// Removes them.
    pub(super) fn remove_aside(&self, id: &DeploymentId) -> io::Result<()> {
        let (above, names) = self.asides(id)?;
        above.map_or(Ok(()), |above| names.iter().try_for_each(|name| remove(&above, name)))
    }

    fn asides(&self, id: &DeploymentId) -> io::Result<(Option<Dir>, Vec<String>)> {
        let above = match self.dir.open_dir_nofollow(SET_ASIDE) {
            Ok(above) => above,
            Err(why) => return absent_is_fine(Err(why)).map(|()| (None, Vec::new())),
        };
        let begins = format!("{}.", name_of(id.as_str()));
        let mut names = Vec::new();
        for entry in above.entries()? {
            let name = entry?.file_name().into_string().unwrap_or_default();
            if name.starts_with(&begins) {
                names.push(name);
            }
        }
        Ok((Some(above), names))
    }
}

impl WorkFolder {
    /// Puts a left-over state that cannot be used where it is kept and nothing reads it. Its name from then on, below the folder of work
    /// folders.
    pub(in crate::engine) fn set_errored_state_aside(&self) -> io::Result<String> {
        make_folder_in_any_case(&self.above, SET_ASIDE)?;
        let to = open(&self.above, Path::new(SET_ASIDE))?;
        if self.dir.symlink_metadata(ERRORED_STATE).is_ok_and(|meta| meta.is_dir()) {
            // A run may have taken the rights away that a move of a folder needs.
            open(&self.dir, Path::new(ERRORED_STATE))?;
        }
        let aside = set_aside((&self.dir, ERRORED_STATE), (&to, &name_of(&self.id)))?;
        Ok(format!("{SET_ASIDE}/{aside}"))
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
