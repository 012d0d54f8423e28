//! Our own tokens: what they look like, and how they are made. Only their digests are ever kept. A prefix tells a secret
//! scanner and a person what was found, and parts the kinds without a look at any list.

use super::refuse::NoRandomness;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use catalyst_domain::SecretValue;

/// SHA-256.
pub type Digest = [u8; 32];

/// Which of ours a token says to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Opens one deployment for reading.
    Reading,
    /// Any other, also those of others.
    Other,
}

const STATIC: &str = "catalyst_";
const READING: &str = "catalyst-read_";

impl TokenKind {
    /// By its beginning.
    pub fn of(token: &SecretValue) -> Self {
        if token.expose().starts_with(READING) { Self::Reading } else { Self::Other }
    }
}

/// A static token of 256 random bits.
///
/// # Errors
/// The system gives no random bytes.
pub fn mint() -> Result<SecretValue, NoRandomness> {
    random(STATIC)
}

/// A read token of 256 random bits.
///
/// # Errors
/// The system gives no random bytes.
pub fn mint_for_reading() -> Result<SecretValue, NoRandomness> {
    random(READING)
}

fn random(prefix: &str) -> Result<SecretValue, NoRandomness> {
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|_| NoRandomness)?;
    let mut text = zeroize::Zeroizing::new(prefix.to_owned());
    URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
    Ok(SecretValue::new(text.as_str()))
}

/// By which a token is known again.
pub fn digest(token: &SecretValue) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, token.expose().as_bytes()).as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart_and_no_token_comes_twice() {
        let (one, other) = (mint().unwrap(), mint_for_reading().unwrap());
        assert_eq!((TokenKind::of(&one), TokenKind::of(&other)), (TokenKind::Other, TokenKind::Reading));
        assert_eq!((one.expose().len(), other.expose().len()), (STATIC.len() + 43, READING.len() + 43));
        assert_ne!(digest(&one), digest(&mint().unwrap()));
        let known = catalyst_domain::kubeconfig::sha256_hex(one.expose().as_bytes());
        assert_eq!(hex::encode(digest(&one)), known);
    }
}
