//! The inputs that a campaign begins with: those of the checkout, and those that earlier campaigns kept on this machine.

use super::Target;
use anyhow::Context;
use std::fs;
use std::path::{Path, PathBuf};

/// An input and where it lies.
pub struct Kept {
    /// Its file.
    pub file: PathBuf,
    /// Its bytes.
    pub input: Vec<u8>,
}

/// The folder of the checkout's corpus.
pub fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// The inputs of a target in a folder of a corpus, sorted by name; none where there is no such folder.
///
/// # Errors
/// When a file cannot be read.
pub fn read(folder: &Path, target: &dyn Target) -> anyhow::Result<Vec<Kept>> {
    let folder = folder.join(target.name());
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut kept = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let file = entry?.path();
        if file.is_file() {
            let input = fs::read(&file).with_context(|| file.display().to_string())?;
            kept.push(Kept { file, input });
        }
    }
    kept.sort_by(|one, other| one.file.cmp(&other.file));
    Ok(kept)
}

/// Writes an input into a folder of a corpus, by a name made of its bytes.
///
/// # Errors
/// When it cannot be written.
pub fn write(folder: &Path, target: &dyn Target, prefix: &str, input: &[u8]) -> anyhow::Result<PathBuf> {
    let folder = folder.join(target.name());
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let digest = catalyst_domain::kubeconfig::sha256_hex(input);
    let file = folder.join(format!("{prefix}{}", &digest[..16]));
    fs::write(&file, input).with_context(|| file.display().to_string())?;
    Ok(file)
}
