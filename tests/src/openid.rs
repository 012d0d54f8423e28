//! An OpenID provider with one key (ES256): it shows its configuration and the public half, and signs tokens.

use crate::double::Double;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

/// Whom its tokens are meant for.
pub const AUDIENCE: &str = "catalyst";

/// The provider.
pub struct OpenId {
    double: Double,
    key: EcdsaKeyPair,
}

/// What anybody can make who has seen a token: all of it is right but the signature.
#[derive(Clone)]
pub struct Forgery {
    message: String,
    signature: Vec<u8>,
}

impl OpenId {
    /// A provider on loopback.
    pub fn start() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        let point = key.public_key().as_ref().to_vec();
        let keys = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k1", "x": b64(&point[1..33]), "y": b64(&point[33..])}]});
        let own: Arc<OnceLock<String>> = Arc::default();
        let url = own.clone();
        let double = Double::http(move |seen| {
            let url = url.get()?;
            let configuration = json!({"issuer": url, "jwks_uri": format!("{url}/keys")});
            let body = if seen.path == "/keys" { &keys } else { &configuration };
            Some((200, body.to_string()))
        });
        own.set(double.url()).unwrap();
        Self { double, key }
    }

    /// Its name, which is its address.
    pub fn issuer(&self) -> String {
        self.double.url()
    }

    /// A token of an hour for this subject.
    pub fn token(&self, subject: &str) -> String {
        let message = self.message(subject);
        format!("{message}.{}", b64(self.sign(&message)))
    }

    /// What forges tokens of this subject.
    pub fn forgery(&self, subject: &str) -> Forgery {
        let message = self.message(subject);
        let signature = self.sign(&message);
        Forgery { message, signature }
    }

    fn message(&self, subject: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let head = json!({"alg": "ES256", "kid": "k1"});
        let claims: Value = json!({"iss": self.issuer(), "aud": AUDIENCE, "sub": subject, "exp": now + 3600});
        format!("{}.{}", b64(head.to_string()), b64(claims.to_string()))
    }

    fn sign(&self, message: &str) -> Vec<u8> {
        self.key.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec()
    }
}

impl Forgery {
    /// The `n`th forged token. Its signature has the form of a right one, so that only the whole check tells.
    pub fn token(&self, n: u64) -> String {
        let mut signature = self.signature.clone();
        let end = signature.len() - 8;
        // Never the right one again: `n` stays far below the bit that is turned.
        for (byte, other) in signature[end..].iter_mut().zip((n | 1 << 62).to_be_bytes()) {
            *byte ^= other;
        }
        format!("{}.{}", self.message, b64(signature))
    }
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    #[test]
    fn tokens_are_signed_and_each_forgery_is_another_one_that_is_not() {
        let provider = OpenId::start();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, provider.key.public_key().as_ref().to_vec());
        let is_signed = |token: &str| {
            let (message, signature) = token.rsplit_once('.').unwrap();
            key.verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).is_ok()
        };
        assert!(is_signed(&provider.token("ana")));
        let forgery = provider.forgery("ana");
        let forged: std::collections::HashSet<String> = (0..100).map(|n| forgery.token(n)).collect();
        assert_eq!((forged.len(), forged.iter().filter(|token| is_signed(token)).count()), (100, 0));
    }
}
