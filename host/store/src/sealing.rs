//! Files at rest: sealed under the operator's key, each bound to what it is and to its deployment.
//!
//! It knows bytes and keys, and no file. What is not sealed is handed through: it was written before it was to be sealed.

use crate::Settings;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use catalyst_domain::DeploymentId;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt;
use zeroize::Zeroizing;

/// What a sealed state begins with. The zero keeps it apart from JSON, the last byte is the version of this layout:
/// these bytes, the key's mark, the nonce, the sealed text with its tag.
const STATE_MAGIC: &[u8; MAGIC_BYTES] = b"catalyst-state\0\x01";
/// What every other sealed file begins with, in the same layout. The control character keeps it apart from JSON and YAML.
const FILE_MAGIC: &[u8; MAGIC_BYTES] = b"catalyst-sealed\x01";
const MAGIC_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
/// Long enough that two keys of one installation never share it, and it tells nothing about a random key.
const MARK_BYTES: usize = 8;
/// XChaCha20's nonce: at 192 bits a random one per file never meets another, so no counter has to survive a crash.
const NONCE_BYTES: usize = 24;
/// Bytes from which a seal's key can be told.
pub(crate) const HEAD_BYTES: usize = MAGIC_BYTES + MARK_BYTES;
/// What sealing adds to a file: head, nonce and the tag of Poly1305.
pub(crate) const ADDED_BYTES: u64 = (HEAD_BYTES + NONCE_BYTES + 16) as u64;

/// What is encrypted under the key (`CATALYST_SEAL`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Seal {
    /// OpenTofu's states, and the secrets of interrupted runs.
    #[default]
    States,
    /// Kubeconfigs and bundles as well.
    All,
}

/// What a sealed file holds. The seal is bound to it, so that no file can be put in the place of one of another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// OpenTofu's state of this version.
    State(u64),
    /// The kubeconfig of a cluster.
    Kubeconfig,
    /// The rendered bundle.
    Bundle,
    /// The secrets of an interrupted run.
    RunSecrets,
}

/// The key, and whether files beside the states are sealed with it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sealer {
    key: Option<StateKey>,
    seal: Seal,
}

/// The key that states are sealed with (`CATALYST_STATE_KEY`). It cannot be printed and is wiped when it goes.
#[derive(Clone)]
pub struct StateKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    mark: KeyMark,
}

/// Tells keys apart without being one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyMark([u8; MARK_BYTES]);

/// The text is no key. It is not repeated here: it may be one with a typing error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 32 random bytes as 64 hex digits or as base64; `openssl rand -hex 32` makes some")]
pub struct BadStateKey;

/// Why a file was not sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SealFault {
    #[error("it is encrypted, and CATALYST_STATE_KEY is not set")]
    NoKey,
    #[error("it is encrypted with another key than CATALYST_STATE_KEY")]
    OtherKey,
    #[error("its seal is broken: it was changed, or it belongs to another deployment, kind or version")]
    Broken,
    #[error("the system gave no random bytes")]
    NoRandomness,
}

impl StateKey {
    /// Reads 64 hex digits or the base64 of 32 bytes.
    ///
    /// # Errors
    /// [`BadStateKey`] for everything else.
    pub fn parse(text: &str) -> Result<Self, BadStateKey> {
        let text = text.trim();
        let decoded = match text.len() {
            64 => hex::decode(text).map_err(|_| BadStateKey),
            _ => STANDARD.decode(text).map_err(|_| BadStateKey),
        };
        let decoded = Zeroizing::new(decoded?);
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        if decoded.len() != KEY_BYTES {
            return Err(BadStateKey);
        }
        bytes.copy_from_slice(&decoded);
        let digest = Sha256::new().chain_update(b"catalyst state key mark\0").chain_update(*bytes).finalize();
        let mut mark = [0; MARK_BYTES];
        mark.copy_from_slice(&digest[..MARK_BYTES]);
        Ok(Self { bytes, mark: KeyMark(mark) })
    }

    pub(crate) fn mark(&self) -> KeyMark {
        self.mark
    }

    /// Seals a text as this kind of file of this deployment.
    pub(crate) fn seal(&self, kind: Kind, id: &DeploymentId, text: &[u8]) -> Result<Vec<u8>, SealFault> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| SealFault::NoRandomness)?;
        let aad = kind.bound_to(self.mark, id);
        let sealed = self.cipher().encrypt(&XNonce::from(nonce), Payload { msg: text, aad: &aad });
        // It fails only for texts of 256 GiB.
        let sealed = sealed.map_err(|_| SealFault::Broken)?;
        Ok([kind.magic().as_slice(), &self.mark.0, &nonce, &sealed].concat())
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(*self.bytes))
    }
}

impl fmt::Debug for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl KeyMark {
    /// As it is written into a file.
    pub(crate) fn text(self) -> String {
        hex::encode(self.0)
    }
}

impl Kind {
    fn magic(self) -> &'static [u8; MAGIC_BYTES] {
        match self {
            Self::State(_) => STATE_MAGIC,
            Self::Kubeconfig | Self::Bundle | Self::RunSecrets => FILE_MAGIC,
        }
    }

    // All that a seal holds together beside the text.
    fn bound_to(self, mark: KeyMark, id: &DeploymentId) -> Vec<u8> {
        let named =
            |name: &str| [FILE_MAGIC, mark.0.as_slice(), name.as_bytes(), b"\0", id.as_str().as_bytes()].concat();
        match self {
            Self::State(version) => {
                [STATE_MAGIC, mark.0.as_slice(), id.as_str().as_bytes(), b"\0", &version.to_be_bytes()].concat()
            }
            Self::Kubeconfig => named("kubeconfig"),
            Self::Bundle => named("bundle"),
            Self::RunSecrets => named("run-secrets"),
        }
    }
}

impl Sealer {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { key: settings.state_key.clone(), seal: settings.seal }
    }

    /// The key, where there is one.
    pub(crate) fn key(&self) -> Option<&StateKey> {
        self.key.as_ref()
    }

    /// The key, where kubeconfigs and bundles are sealed with it.
    pub(crate) fn key_for_all(&self) -> Option<&StateKey> {
        self.key.as_ref().filter(|_| self.seal == Seal::All)
    }

    /// A kubeconfig or a bundle as it is written: sealed where all is.
    pub(crate) fn closed<'t>(&self, kind: Kind, id: &DeploymentId, text: &'t [u8]) -> Result<Cow<'t, [u8]>, SealFault> {
        match self.key_for_all() {
            Some(key) => key.seal(kind, id, text).map(Cow::Owned),
            None => Ok(Cow::Borrowed(text)),
        }
    }

    /// What a file holds, sealed or not.
    pub(crate) fn opened(&self, kind: Kind, id: &DeploymentId, bytes: Vec<u8>) -> Result<Vec<u8>, SealFault> {
        open(self.key(), kind, id, bytes)
    }
}

/// Whether these bytes are, or begin as, a sealed file.
pub fn is_sealed(bytes: &[u8]) -> bool {
    bytes.starts_with(STATE_MAGIC) || bytes.starts_with(FILE_MAGIC)
}

/// Which key sealed these bytes; `None` for what is not sealed.
pub(crate) fn sealed_with(head: &[u8]) -> Option<KeyMark> {
    let mark = head.get(MAGIC_BYTES..HEAD_BYTES).filter(|_| is_sealed(head))?;
    Some(KeyMark(mark.try_into().ok()?))
}

/// Gives back what was sealed as this kind of file of this deployment, or the bytes themselves when they are not sealed.
pub(crate) fn open(
    key: Option<&StateKey>,
    kind: Kind,
    id: &DeploymentId,
    bytes: Vec<u8>,
) -> Result<Vec<u8>, SealFault> {
    if !is_sealed(&bytes) {
        return Ok(bytes);
    }
    let key = key.ok_or(SealFault::NoKey)?;
    let mark = sealed_with(&bytes).ok_or(SealFault::Broken)?;
    if mark != key.mark {
        return Err(SealFault::OtherKey);
    }
    let (nonce, sealed) = bytes[HEAD_BYTES..].split_first_chunk::<NONCE_BYTES>().ok_or(SealFault::Broken)?;
    let aad = kind.bound_to(mark, id);
    let opened = key.cipher().decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: &aad });
    opened.map_err(|_| SealFault::Broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> StateKey {
        StateKey::parse(&hex::encode([byte; 32])).unwrap()
    }

    fn id(byte: u8) -> DeploymentId {
        DeploymentId::from_bytes([byte; 8])
    }

    #[test]
    fn a_key_is_32_bytes_as_hex_or_base64_and_nothing_else() {
        let bytes = [0xa7; 32];
        let marks =
            [hex::encode(bytes), hex::encode_upper(bytes), STANDARD.encode(bytes), STANDARD.encode(bytes) + "\n"]
                .map(|text| StateKey::parse(&text).unwrap().mark());
        assert!(marks.iter().all(|mark| *mark == marks[0]) && marks[0] != key(1).mark());
        let short = hex::encode([1; 31]);
        let long = STANDARD.encode([1; 33]);
        let no_hex = "g".repeat(64);
        for bad in ["", " ", "password", &short, &long, &no_hex, &STANDARD.encode([1; 32])[..43]] {
            let error = StateKey::parse(bad).unwrap_err().to_string();
            assert!(error.contains("32 random bytes") && (bad.len() < 3 || !error.contains(bad)), "{bad}: {error}");
        }
        assert_eq!(format!("{:?}", key(1)), "<secret>");
    }

    const KINDS: [Kind; 5] = [Kind::State(7), Kind::State(8), Kind::Kubeconfig, Kind::Bundle, Kind::RunSecrets];

    #[test]
    fn what_was_sealed_comes_back_and_no_two_seals_are_alike() {
        for kind in KINDS {
            for text in [b"".as_slice(), br#"{"resources":[]}"#, &[0xff; 100_000]] {
                let (one, two) = (key(1).seal(kind, &id(1), text).unwrap(), key(1).seal(kind, &id(1), text).unwrap());
                assert_ne!(one, two);
                assert_eq!(one.len() as u64, text.len() as u64 + ADDED_BYTES);
                assert!(text.len() < 3 || !one.windows(text.len()).any(|window| window == text));
                assert_eq!(open(Some(&key(1)), kind, &id(1), one).unwrap(), text);
            }
        }
    }

    #[test]
    fn a_seal_holds_key_deployment_kind_version_and_every_byte() {
        let text = br#"{"resources":[1]}"#;
        for kind in KINDS {
            let sealed = key(1).seal(kind, &id(1), text).unwrap();
            assert_eq!(open(None, kind, &id(1), sealed.clone()), Err(SealFault::NoKey));
            assert_eq!(open(Some(&key(2)), kind, &id(1), sealed.clone()), Err(SealFault::OtherKey));
            assert_eq!(open(Some(&key(1)), kind, &id(2), sealed.clone()), Err(SealFault::Broken));
            for other in KINDS.into_iter().filter(|other| *other != kind) {
                assert_eq!(open(Some(&key(1)), other, &id(1), sealed.clone()), Err(SealFault::Broken), "{other:?}");
            }
            for at in MAGIC_BYTES..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= 1;
                assert!(open(Some(&key(1)), kind, &id(1), changed).is_err(), "byte {at}");
            }
            for length in MAGIC_BYTES..sealed.len() {
                assert!(open(Some(&key(1)), kind, &id(1), sealed[..length].to_vec()).is_err(), "cut to {length}");
            }
        }
    }

    #[test]
    fn a_file_from_before_is_handed_through() {
        for key in [None, Some(&key(1))] {
            for kind in KINDS {
                assert_eq!(open(key, kind, &id(1), b"{}".to_vec()).unwrap(), b"{}");
            }
        }
        assert_eq!((sealed_with(b"{}"), is_sealed(b"{}")), (None, false));
    }

    // What a release wrote must open for ever: layout and binding are held here byte by byte.
    #[test]
    fn the_layout_of_a_sealed_state_stays() {
        let sealed = key(1).seal(Kind::State(7), &id(1), b"{}").unwrap();
        assert!(sealed.starts_with(b"catalyst-state\0\x01"));
        let mark = key(1).mark();
        let expect = [b"catalyst-state\0\x01".as_slice(), &mark.0, b"0101010101010101\0", &7u64.to_be_bytes()].concat();
        assert_eq!(Kind::State(7).bound_to(mark, &id(1)), expect);
    }
}
