//! A create that is sent twice is known by its sender's key. Only digests are kept, and no secret is in either of them.

use catalyst_domain::Request;
use catalyst_domain::kubeconfig::sha256_hex;
use catalyst_domain::record::Idempotency;

/// Longest key in characters: a UUID has 36, and what is longer than this is no key.
pub const KEY_LENGTH: usize = 255;

/// What a sender called its create.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    sha256: String,
}

impl IdempotencyKey {
    /// Reads a key: 1 to [`KEY_LENGTH`] printable ASCII characters; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let printable = text.bytes().all(|b| (0x20..0x7f).contains(&b));
        let fits = !text.is_empty() && text.len() <= KEY_LENGTH && printable;
        fits.then(|| Self { sha256: sha256_hex(text.as_bytes()) })
    }

    /// The same text by another sender is another key.
    #[must_use]
    pub fn of_sender(self, subject: &str) -> Self {
        Self { sha256: sha256_hex(format!("{}\n{subject}", self.sha256).as_bytes()) }
    }

    /// The key together with the request that it stands for. Secrets have been split off: a token that was rotated between
    /// two tries is no other request, and a digest over it would be one that can be guessed at.
    pub(super) fn of(&self, request: &Request, approved_render_digest: &str) -> Idempotency {
        // A struct of plain values always serialises, its maps sorted by key.
        let text = serde_json::to_vec(&(request, approved_render_digest)).unwrap_or_default();
        Idempotency { key_sha256: self.sha256.clone(), request_sha256: sha256_hex(&text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_short_printable_text() {
        assert_eq!(IdempotencyKey::parse(" a-1 "), IdempotencyKey::parse("a-1"));
        assert!(IdempotencyKey::parse(&"k".repeat(KEY_LENGTH)).is_some());
        for bad in ["", "  ", "a\nb", "\u{e9}", &"k".repeat(KEY_LENGTH + 1)] {
            assert!(IdempotencyKey::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn the_digest_follows_the_request_and_holds_no_key() {
        let key = IdempotencyKey::parse("a-1").unwrap();
        let request = |name: &str| Request { org_name: name.into(), ..Request::default() };
        assert_eq!(key.of(&request("A"), ""), key.of(&request("A"), ""));
        assert_ne!(key.of(&request("A"), ""), key.of(&request("B"), ""));
        assert_ne!(key.of(&request("A"), ""), key.of(&request("A"), "ab"));
        assert!(!format!("{:?}", key.of(&request("A"), "")).contains("a-1"));
    }

    #[test]
    fn a_key_belongs_to_its_sender() {
        let of = |subject: &str| IdempotencyKey::parse("a-1").unwrap().of_sender(subject);
        assert_eq!(of("ana"), of("ana"));
        assert_ne!(of("ana"), of("ben"));
        assert_ne!(IdempotencyKey::parse("a-1").unwrap(), of(""));
    }
}
