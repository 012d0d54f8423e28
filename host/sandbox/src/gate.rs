//! What an operator asks of a component before anything reads it as WebAssembly: a pin, a signature. Read anew for each load,
//! so that what was taken back ends what it let in.

use std::path::Path;

use catalyst_domain::provider::Descriptor;

use crate::error::LoadError;
use crate::grants::Rights;
use crate::loaded::LoadFailure;
use crate::pins::{self, Pins};
use crate::served::Provider;
use crate::signature::{Keys, Signer};

/// Who may serve.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    pins: Pins,
    keys: Keys,
}

impl Gate {
    /// Reads the lock of a folder, where it had one before or has one now, and the file of keys.
    ///
    /// # Errors
    /// Names the file that cannot be used. Nothing new may serve then.
    pub fn read(folder: &Path, keys: Option<&Path>, before: pins::Before) -> Result<Self, LoadFailure> {
        let pins =
            Pins::read(folder, before).map_err(|error| LoadFailure::new(pins::FILE, LoadFailure::text(&error)))?;
        let name = |file: &Path| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let keys = keys
            .map(|file| Keys::read(file).map_err(|error| LoadFailure::new(&name(file), LoadFailure::text(&error))))
            .transpose()?;
        Ok(Self { pins, keys: keys.unwrap_or_default() })
    }

    /// What is known of the lock.
    pub fn known(&self) -> pins::Before {
        self.pins.known()
    }

    /// Whether these bytes may serve, and who signed them.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, path: &Path, file: &str, digest: &str, bytes: &[u8]) -> Result<Option<Signer>, LoadError> {
        self.pins.allow(file, digest)?;
        self.keys.check(path, bytes)
    }

    /// Whether a component may declare what it declares, and want what it wants.
    ///
    /// # Errors
    /// Why not.
    pub fn admit_descriptor(&self, file: &str, descriptor: &Descriptor) -> Result<(), LoadError> {
        self.pins.allow_providers(descriptor)?;
        self.pins.allow_wanted(file, descriptor)
    }

    /// What holds for a component that serves.
    pub fn rights(&self, provider: &Provider) -> Rights {
        self.pins.rights(provider.file_name(), provider.descriptor())
    }

    /// Whether a grant that once stood in the lock was taken back.
    pub fn took_back(&self, line: &str) -> bool {
        self.pins.took_back(line)
    }

    /// Whether a component that served may go on although its file is there no more as it was.
    pub fn still_admits(&self, provider: &Provider) -> bool {
        self.pins.allow(provider.file_name(), provider.digest()).is_ok() && self.trusts(provider)
    }

    /// Whether whoever signed it, and what it declares, are allowed still.
    pub fn trusts(&self, provider: &Provider) -> bool {
        self.admit_descriptor(provider.file_name(), provider.descriptor()).is_ok()
            && self.keys.still_trust(provider.signer())
    }
}
