//! Machine code compiled ahead of time, kept between starts.
//!
//! Loading such code runs it unchecked, so the folder is ours alone (0700) and every entry carries a MAC under a key
//! that never leaves the folder. An entry is for one component and one build of the engine; whatever does not match is
//! compiled anew from the component. The cache is a convenience: when it fails, a load is slower and no more. It is
//! bounded in entries and in bytes; what was not used for longest goes first.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hmac::{Hmac, Mac};
use sha2::Sha256;
use wasmtime::Engine;
use wasmtime::component::Component;

type HmacSha256 = Hmac<Sha256>;

/// Name of the key's file.
const KEY_FILE: &str = "key";

/// Bytes of the key: the output of SHA-256.
const KEY_BYTES: usize = 32;

/// Bytes of an entry's MAC, which stands before the code.
const MAC_BYTES: usize = 32;

/// Says what is authenticated, so that a MAC made for something else never fits.
const MAC_DOMAIN: &[u8] = b"catalyst plugin machine code 1\0";

/// Largest entry. Machine code is some three times its component.
const ENTRY_BYTES: u64 = 256 * 1024 * 1024;

/// What is kept. Twice the plugins of a folder, so that a swap and a way back compile nothing; and half of the volume
/// that the chart gives (`sizes.cache`, 2Gi), whose other half is for OpenTofu's providers. A volume that is full ends
/// the host's pod.
const KEPT: Bounds = Bounds { entries: 128, bytes: 1024 * 1024 * 1024 };

/// A file that is being written is younger than this; an older one was left by a host that ended in between.
const LEFT_OVER: Duration = Duration::from_secs(600);

/// End of the name of a file that is being written.
const UNFINISHED: &str = ".tmp";

/// How much stays in the folder.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    entries: usize,
    bytes: u64,
}

/// A folder of compiled components.
pub(crate) struct Cache {
    dir: PathBuf,
    /// Keyed and ready to be copied for an entry.
    keyed: HmacSha256,
}

impl Cache {
    /// Opens or makes the folder and its key.
    pub fn open(dir: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        if !fs::symlink_metadata(dir)?.is_dir() {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, "the cache folder is a link"));
        }
        // Fails unless the folder is ours.
        fs::set_permissions(dir, Permissions::from_mode(0o700))?;
        let key = match read_key(&dir.join(KEY_FILE)) {
            Ok(key) => key,
            Err(_) => make_key(dir)?,
        };
        let mut keyed = HmacSha256::new_from_slice(&key).map_err(io::Error::other)?;
        keyed.update(MAC_DOMAIN);
        let cache = Self { dir: dir.to_owned(), keyed };
        cache.sweep_leftovers(SystemTime::now())?;
        cache.sweep(KEPT)?;
        Ok(cache)
    }

    /// The compiled form of a component, if there is a sound one.
    pub fn load(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let (name, context) = entry_name(engine, digest);
        let path = self.dir.join(name);
        let bytes = read_capped(&path, ENTRY_BYTES).ok()?;
        let (mac, code) = bytes.split_at_checked(MAC_BYTES)?;
        if self.mac(&context, code).verify_slice(mac).is_err() {
            tracing::warn!(plugin.digest = digest, "a compiled plugin in the cache was changed, compiling it anew");
            return None;
        }
        #[expect(unsafe_code, reason = "the only way to load code that was compiled ahead of time")]
        // SAFETY: the bytes were written by `store` of this host: the MAC under the folder's key covers them together
        // with the component's digest and the engine's compatibility hash, and they are used from the same buffer that
        // was verified, so they cannot change in between.
        let component = unsafe { Component::deserialize(engine, code) };
        component
            .inspect(|_| touch(&path))
            .inspect_err(|error| {
                tracing::warn!(plugin.digest = digest, error = %error.root_cause(), "a compiled plugin is unusable, compiling it anew");
            })
            .ok()
    }

    /// Keeps the compiled form of a component.
    pub fn store(&self, engine: &Engine, digest: &str, code: &[u8]) -> io::Result<()> {
        let (name, context) = entry_name(engine, digest);
        let mac = self.mac(&context, code).finalize().into_bytes();
        replace(&self.dir, &name, &[&mac, code])?;
        self.sweep(KEPT)
    }

    fn mac(&self, context: &str, code: &[u8]) -> HmacSha256 {
        let mut mac = self.keyed.clone();
        mac.update(context.as_bytes());
        mac.update(b"\0");
        mac.update(code);
        mac
    }

    /// Removes what was not used for longest until the rest is within the bounds. The last one stays in any case.
    fn sweep(&self, bounds: Bounds) -> io::Result<()> {
        let mut entries = self.files(|name| Path::new(name).extension().is_some_and(|ext| ext == "aot"))?;
        entries.sort_by_key(|file| std::cmp::Reverse(file.used));
        let (mut count, mut bytes) = (0, 0_u64);
        for file in entries {
            count += 1;
            bytes = bytes.saturating_add(file.bytes);
            if count > 1 && (count > bounds.entries || bytes > bounds.bytes) {
                remove(&file.path)?;
            }
        }
        Ok(())
    }

    /// Removes what a host that ended in the middle of a write has left behind.
    fn sweep_leftovers(&self, now: SystemTime) -> io::Result<()> {
        let unfinished = self.files(|name| name.starts_with('.') && name.ends_with(UNFINISHED))?;
        let is_old = |file: &Kept| now.duration_since(file.used).is_ok_and(|age| age >= LEFT_OVER);
        unfinished.iter().filter(|file| is_old(file)).try_for_each(|file| remove(&file.path))
    }

    fn files(&self, is_meant: impl Fn(&str) -> bool) -> io::Result<Vec<Kept>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if !is_meant(&entry.file_name().to_string_lossy()) {
                continue;
            }
            match entry.metadata() {
                Ok(metadata) => {
                    files.push(Kept { used: metadata.modified()?, bytes: metadata.len(), path: entry.path() });
                }
                // Another host that shares the folder was quicker.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(files)
    }
}

/// A file of the folder.
struct Kept {
    /// When it was written or, if later, loaded.
    used: SystemTime,
    bytes: u64,
    path: PathBuf,
}

/// An entry was of use. Where that cannot be noted it only goes earlier.
fn touch(path: &Path) {
    let noted = fs::File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
    let _ = noted.inspect_err(|error| tracing::debug!(%error, "the use of a compiled plugin is not noted"));
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// File name of an entry, and the text that its MAC binds it to.
fn entry_name(engine: &Engine, digest: &str) -> (String, String) {
    let mut hasher = std::hash::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let context = format!("{digest}-{:016x}", hasher.finish());
    (format!("{context}.aot"), context)
}

fn read_capped(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is larger than a cache entry may be"));
    }
    Ok(bytes)
}

fn read_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let bytes = read_capped(path, KEY_BYTES as u64)?;
    bytes.try_into().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the key has another length"))
}

fn make_key(dir: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(|e| io::Error::other(e.to_string()))?;
    replace(dir, KEY_FILE, &[&key])?;
    // Two hosts that start at once agree on whichever key is there in the end; the other's entries are compiled anew.
    read_key(&dir.join(KEY_FILE))
}

/// Writes a file of mode 0600 so that it is there whole or not at all.
fn replace(dir: &Path, name: &str, parts: &[&[u8]]) -> io::Result<()> {
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(|e| io::Error::other(e.to_string()))?;
    let temporary = dir.join(format!(".{name}.{}{UNFINISHED}", hex::encode(suffix)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = parts.iter().try_for_each(|part| file.write_all(part)).and_then(|()| {
        drop(file);
        fs::rename(&temporary, dir.join(name))
    });
    written.inspect_err(|_| {
        // The write's own error says more than that of the clean-up.
        let _ = fs::remove_file(&temporary);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of a folder that was used so many seconds ago.
    fn file(dir: &Path, name: &str, bytes: usize, seconds_ago: u64) {
        fs::write(dir.join(name), vec![0; bytes]).unwrap();
        let used = SystemTime::now() - Duration::from_secs(seconds_ago);
        fs::File::open(dir.join(name)).unwrap().set_modified(used).unwrap();
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_not_used_for_longest_goes_until_the_rest_is_within_bytes_and_entries() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        for (name, seconds_ago) in [("a.aot", 400), ("b.aot", 100), ("c.aot", 300), ("d.aot", 200)] {
            file(dir.path(), name, 1000, seconds_ago);
        }
        for (entries, bytes, left) in [
            (4, 4000, &["a.aot", "b.aot", "c.aot", "d.aot", "key"][..]),
            (4, 3999, &["b.aot", "c.aot", "d.aot", "key"]),
            (2, 4000, &["b.aot", "d.aot", "key"]),
            // One that alone is larger than all may be is of more use than none.
            (2, 1, &["b.aot", "key"]),
        ] {
            cache.sweep(Bounds { entries, bytes }).unwrap();
            assert_eq!(names(dir.path()), left, "{entries} entries, {bytes} bytes");
        }
    }

    #[test]
    fn the_leftovers_of_a_crash_go_at_the_next_start_and_a_write_that_goes_on_stays() {
        let dir = tempfile::tempdir().unwrap();
        file(dir.path(), ".0-1.aot.00.tmp", 10, LEFT_OVER.as_secs() + 60);
        file(dir.path(), ".key.01.tmp", 10, LEFT_OVER.as_secs() + 60);
        file(dir.path(), ".0-2.aot.02.tmp", 10, 5);
        file(dir.path(), "notes.tmp", 10, LEFT_OVER.as_secs() + 60);
        Cache::open(dir.path()).unwrap();
        assert_eq!(names(dir.path()), [".0-2.aot.02.tmp", "key", "notes.tmp"]);
    }

    #[test]
    fn the_bound_leaves_half_of_the_charts_volume_and_holds_the_largest_entry() {
        let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../../chart/values.yaml");
        let values = fs::read_to_string(chart).unwrap();
        assert!(values.contains("\n  cache: 2Gi\n"), "the chart gives another size than the bound is made for");
        const { assert!(KEPT.bytes + ENTRY_BYTES < 2 * 1024 * 1024 * 1024) };
    }
}
