//! `POST /api/v1/sshkey/generate`. Nothing is kept; only the fingerprint is logged.

use super::body;
use super::error::ApiError;
use super::fields::{Fields, NotFields};
use crate::driver::random;
use axum::Json;
use axum::body::Body;
use axum::http::{HeaderName, header};
use catalyst_domain::request::given_twice;
use serde::Serialize;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{HashAlg, LineEnding, PrivateKey};
use utoipa::ToSchema;

/// Longest DNS name (RFC 1035) in bytes; a comment of that length fits every tool.
const MAX_NAME: usize = 253;

/// A fresh Ed25519 key pair.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyPair {
    /// One line for `authorized_keys`.
    public_key: String,
    /// PEM in OpenSSH's own format, without a passphrase.
    private_key: String,
    /// `SHA256:` and unpadded base64.
    fingerprint: String,
}

/// A fresh Ed25519 key pair. A body that cannot be read counts as none: only a comment is in it. One that can be read in two
/// ways is refused as everywhere.
pub async fn generate(body: Body) -> Result<([(HeaderName, &'static str); 1], Json<KeyPair>), ApiError> {
    let body = body::read(body, body::POST_LIMIT, ApiError::BodyTooLarge).await?;
    let fqdn = match Fields::parse(&body).and_then(|fields| fields.text("fqdn")) {
        Ok(fqdn) => fqdn,
        Err(NotFields::Malformed) => String::new(),
        Err(NotFields::Duplicate(keys)) => return Err(ApiError::Findings(keys.iter().map(given_twice).collect())),
    };
    let pair = pair(&comment(&fqdn))?;
    tracing::info!(ssh.fingerprint = pair.fingerprint, "SSH key generated");
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(pair)))
}

fn pair(comment: &str) -> Result<KeyPair, ApiError> {
    let mut seed = random::<32>().map_err(|_| ApiError::NoRandomness)?;
    let keypair = KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed));
    zeroize::Zeroize::zeroize(&mut seed);
    let broken = |error: ssh_key::Error| ApiError::NoKey(error.to_string());
    let key = PrivateKey::new(keypair, comment).map_err(broken)?;
    Ok(KeyPair {
        public_key: key.public_key().to_openssh().map_err(broken)?,
        private_key: key.to_openssh(LineEnding::LF).map_err(broken)?.to_string(),
        fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
    })
}

/// One word: the public key goes into a file with a key a line, where a line break or a blank would begin something else.
fn comment(fqdn: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '-' };
    let name: String = fqdn.trim().chars().take(MAX_NAME).map(plain).collect();
    if name.is_empty() { "catalyst".to_owned() } else { format!("catalyst@{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h14_a_comment_is_one_word_whatever_the_name_is() {
        assert_eq!(comment(""), "catalyst");
        assert_eq!(comment(" \n "), "catalyst");
        assert_eq!(comment(" a.example\n"), "catalyst@a.example");
        assert_eq!(comment("a\nssh-ed25519 AAAA evil"), "catalyst@a-ssh-ed25519-AAAA-evil");
        assert_eq!(comment("ä b"), "catalyst@--b");
        assert_eq!(comment(&"a".repeat(9_999)).len(), "catalyst@".len() + MAX_NAME);
    }

    #[test]
    fn the_private_key_opens_to_the_public_one_and_two_pairs_differ() {
        let made = pair("catalyst@a.example").unwrap();
        let read = PrivateKey::from_openssh(&made.private_key).unwrap();
        assert_eq!(read.public_key().to_openssh().unwrap(), made.public_key);
        assert_eq!(made.public_key.split(' ').count(), 3);
        assert_eq!(read.fingerprint(HashAlg::Sha256).to_string(), made.fingerprint);
        assert_ne!(pair("catalyst").unwrap().public_key, pair("catalyst").unwrap().public_key);
    }
}
