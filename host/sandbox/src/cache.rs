//! Machine code compiled ahead of time, kept between starts.
//!
//! Loading such code runs it unchecked, so the folder is ours alone (0700) and every entry carries a MAC under a key that
//! never leaves the folder. An entry is for one component and one build of the engine; whatever does not match is
//! compiled anew from the component. The cache is a convenience: when it fails, a load is slower and no more.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

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

/// Entries kept; the oldest go first.
const ENTRIES: usize = 128;

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
        Ok(Self { dir: dir.to_owned(), keyed })
    }

    /// The compiled form of a component, if there is a sound one.
    pub fn load(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let (name, context) = entry_name(engine, digest);
        let bytes = read_capped(&self.dir.join(name), ENTRY_BYTES).ok()?;
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
        self.sweep()
    }

    fn mac(&self, context: &str, code: &[u8]) -> HmacSha256 {
        let mut mac = self.keyed.clone();
        mac.update(context.as_bytes());
        mac.update(b"\0");
        mac.update(code);
        mac
    }

    fn sweep(&self) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|ext| ext == "aot") {
                entries.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        entries.sort();
        let surplus = entries.len().saturating_sub(ENTRIES);
        entries.into_iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
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
    let temporary = dir.join(format!(".{name}.{}.tmp", hex::encode(suffix)));
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
