//! Removal of folders that a run made, however deep they are and whatever their modes: one level at a time, so that neither open
//! files nor the stack run out.

use super::absent_is_fine;
use cap_fs_ext::DirExt as _;
use cap_std::fs::{Dir, Permissions, PermissionsExt as _};
use std::ffi::OsStr;
use std::io;
use std::path::Path;

/// Removes whatever has this name, a file or a folder. One that is absent counts as removed.
///
/// # Errors
/// The disk refuses.
pub(super) fn remove(above: &Dir, name: impl AsRef<Path>) -> io::Result<()> {
    let name = name.as_ref();
    match above.symlink_metadata(name) {
        Ok(meta) if meta.is_dir() => absent_is_fine(remove_folder(above, name)),
        Ok(_) => absent_is_fine(above.remove_file(name)),
        Err(why) => absent_is_fine(Err(why)),
    }
}

/// Removes a folder with everything in it. Nothing may change it meanwhile.
///
/// # Errors
/// It is not there, is no folder, or the disk refuses.
fn remove_folder(above: &Dir, name: impl AsRef<Path>) -> io::Result<()> {
    empty(&open(above, name.as_ref())?)?;
    above.remove_dir(name)
}

/// The same for a path.
///
/// # Errors
/// As [`remove_folder`].
pub(in crate::engine) fn remove_folder_at(path: &Path) -> io::Result<()> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    remove_folder(&Dir::open_ambient_dir(above, cap_std::ambient_authority())?, name)
}

/// Takes folders up one level after the other until there are only files.
fn empty(folder: &Dir) -> io::Result<()> {
    let mut number = 0_u64;
    loop {
        let mut left = false;
        for entry in folder.entries()? {
            let (entry, name) = entry.map(|entry| (entry.file_type(), entry.file_name()))?;
            left = true;
            if !entry?.is_dir() {
                folder.remove_file(&name)?;
                continue;
            }
            let inner = open(folder, Path::new(&name))?;
            for entry in inner.entries()? {
                let (entry, deeper) = entry.map(|entry| (entry.file_type(), entry.file_name()))?;
                if entry?.is_dir() {
                    open(&inner, Path::new(&deeper))?;
                    take_up(&inner, &deeper, folder, &mut number)?;
                } else {
                    inner.remove_file(&deeper)?;
                }
            }
            folder.remove_dir(&name)?;
        }
        if !left {
            return Ok(());
        }
    }
}

/// Opens a folder, with all rights of its owner to it: whoever made it may have taken some of them away.
///
/// # Errors
/// It is not there, is no folder, or is another user's.
pub(super) fn open(above: &Dir, name: &Path) -> io::Result<Dir> {
    let found = above.symlink_metadata(name)?;
    if found.is_dir() && found.permissions().mode() & 0o700 != 0o700 {
        above.set_permissions(name, Permissions::from_mode(0o700))?;
    }
    above.open_dir_nofollow(name)
}

/// Moves a folder to a free name.
fn take_up(from: &Dir, name: &OsStr, to: &Dir, number: &mut u64) -> io::Result<()> {
    loop {
        *number += 1;
        let free = format!(".{number}");
        if to.symlink_metadata(&free).is_err() {
            return from.rename(name, to, free);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::as_a_user;
    use cap_std::ambient_authority;
    use std::os::unix::fs::PermissionsExt as _;

    /// Folders within each other, each made in the one before: a path to the last would be too long.
    fn deep(above: &Dir, levels: usize) {
        let mut at = above.try_clone().unwrap();
        for _ in 0..levels {
            at.create_dir(".1").unwrap();
            at.write("file", "x").unwrap();
            let next = at.open_dir(".1").unwrap();
            at = next;
        }
    }

    #[test]
    fn a_folder_goes_however_deep_it_is_and_whoever_closed_it() {
        let place = tempfile::tempdir().unwrap();
        let above = Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap();
        above.create_dir("run").unwrap();
        let run = above.open_dir("run").unwrap();
        deep(&run, 10_000);
        std::os::unix::fs::symlink("/etc", place.path().join("run/link")).unwrap();
        let run = place.path().join("run");
        let modes = [0o000, 0o100, 0o200, 0o300, 0o400, 0o500, 0o555, 0o600];
        for mode in modes {
            let folder = run.join(format!("mode-{mode:o}"));
            std::fs::create_dir_all(folder.join("inner")).unwrap();
            std::fs::write(folder.join("inner/file"), "x").unwrap();
            for path in [folder.join("inner"), folder] {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
            }
        }
        std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o500)).unwrap();
        as_a_user(place.path(), || remove_folder(&above, "run").unwrap());
        assert_eq!(above.entries().unwrap().count(), 0);
        assert!(Path::new("/etc").is_dir());
        assert_eq!(remove_folder(&above, "run").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
