//! Signatures of components, where an operator asks for them: detached, in minisign's form (ed25519 over a BLAKE2b hash), in
//! `<name>.wasm.minisig` beside the component. They are held against the bytes before anything reads these as WebAssembly.
//!
//! The operator's file has one public key a line, as minisign prints it; `#` begins a remark, and the `untrusted comment:`
//! lines of minisign's own files are passed over, so such files can be joined with `cat`.

use std::io::{self, Read};
use std::path::Path;

use minisign_verify::{Error, PublicKey, Signature};

use crate::error::LoadError;
use crate::load;

/// What a signature's file is called after the component's name.
const SUFFIX: &str = ".minisig";

/// Bytes of the file of keys: some hundred keys with their comments.
const KEYS_BYTES: u64 = 64 * 1024;

/// Bytes of a signature: two of 64 bytes in base64, and two comments.
const SIGNATURE_BYTES: u64 = 4 * 1024;

/// Who signed a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The public key, as minisign prints it.
    pub key: String,
    /// What the signer wrote beside the signature; the signature covers it.
    pub comment: String,
}

/// Whose signatures count.
#[derive(Debug, Default)]
pub(crate) enum Keys {
    /// None are asked for.
    #[default]
    None,
    /// One of these must have signed.
    Trusted(Vec<(String, PublicKey)>),
}

impl Keys {
    /// Reads an operator's file.
    ///
    /// # Errors
    /// [`LoadError::Keys`] when it cannot be used as a whole: half a list would trust the wrong half.
    pub(crate) fn read(file: &Path) -> Result<Self, LoadError> {
        let text = read(file, KEYS_BYTES).map_err(|error| LoadError::Keys(format!("cannot be read: {error}")))?;
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() || line.starts_with("untrusted comment:") {
                continue;
            }
            let wrong = |_| LoadError::Keys(format!("line {}: not a public key of minisign", index + 1));
            keys.push((line.to_owned(), PublicKey::from_base64(line).map_err(wrong)?));
        }
        if keys.is_empty() {
            return Err(LoadError::Keys("names no key".into()));
        }
        Ok(Self::Trusted(keys))
    }

    /// Holds a component against its signature. None when signatures are not asked for.
    ///
    /// # Errors
    /// Why it may not serve.
    pub(crate) fn check(&self, component: &Path, bytes: &[u8]) -> Result<Option<Signer>, LoadError> {
        let Self::Trusted(keys) = self else { return Ok(None) };
        let mut name = component.file_name().unwrap_or_default().to_owned();
        name.push(SUFFIX);
        let wrong = |why: String| LoadError::Signature(why);
        let text = read(&component.with_file_name(&name), SIGNATURE_BYTES).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => LoadError::Unsigned { file: name.to_string_lossy().into_owned() },
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge => {
                wrong(format!("{} cannot be read: {error}", name.to_string_lossy()))
            }
            _ => LoadError::Read(error),
        })?;
        let signature = Signature::decode(&text).map_err(|_| wrong("it is not in minisign's form".into()))?;
        for (text, key) in keys {
            match key.verify(bytes, &signature, false) {
                Ok(()) => {
                    return Ok(Some(Signer { key: text.clone(), comment: printable(signature.trusted_comment()) }));
                }
                Err(Error::UnexpectedKeyId) => {}
                Err(Error::UnexpectedAlgorithm) => {
                    return Err(wrong("it is of the old form without a hash; sign with a current minisign".into()));
                }
                Err(_) => return Err(wrong("the component or the comment was changed after it was signed".into())),
            }
        }
        Err(wrong("it was made with a key that is not trusted here".into()))
    }

    /// Whether what this one signed may go on serving.
    pub(crate) fn still_trust(&self, signer: Option<&Signer>) -> bool {
        match self {
            Self::None => true,
            Self::Trusted(keys) => signer.is_some_and(|signer| keys.iter().any(|(key, _)| *key == signer.key)),
        }
    }
}

fn read(file: &Path, limit: u64) -> io::Result<String> {
    let mut text = String::new();
    load::open(file)?.take(limit + 1).read_to_string(&mut text)?;
    if text.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {limit} bytes")));
    }
    Ok(text)
}

/// The comment is signed, not tame.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_lines_and_half_a_list_is_no_list() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        let key = minisign::KeyPair::generate_unencrypted_keypair().unwrap().pk.to_base64();
        let text = format!("untrusted comment: minisign public key\n{key}\n\n# ours\n{key} # again\n");
        std::fs::write(&file, text).unwrap();
        let Keys::Trusted(keys) = Keys::read(&file).unwrap() else { panic!("no keys") };
        assert_eq!(keys.len(), 2);
        for (text, words) in
            [("", "names no key"), (&format!("{key}\nRWQ\n"), "line 2"), (&"#".repeat(70_000), "larger than")]
        {
            std::fs::write(&file, text).unwrap();
            let error = Keys::read(&file).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("no plugin is loaded"), "{error}");
        }
        assert!(Keys::read(&folder.path().join("none")).unwrap_err().to_string().contains("cannot be read"));
    }
}
