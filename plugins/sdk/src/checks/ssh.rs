//! OpenSSH public keys. A cloud finds a malformed one only when it creates the key, in the middle of an apply, so the blob
//! is read here (RFC 4253 section 6.6, RFC 5656 section 3.1, RFC 8709 section 4).

use base64::Engine as _;

/// Smallest RSA modulus without a remark, in bits (NIST SP 800-131A).
const SOUND_RSA_BITS: usize = 2048;

/// What else is to say about a key that is well-formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRemark {
    /// Nothing.
    Sound,
    /// An RSA key with fewer bits than is thought safe.
    ShortRsa {
        /// Bits of its modulus.
        bits: usize,
    },
}

/// Checks an OpenSSH public key of one line: type, base64 blob, optional comment.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn check_public_key(text: &str) -> Result<KeyRemark, String> {
    let mut fields = text.split_whitespace();
    let algorithm = fields.next().ok_or("the SSH public key is blank")?;
    if text.contains("PRIVATE KEY") {
        return Err(
            "this is a private SSH key; give the public one and treat the private one as known to others".to_owned()
        );
    }
    if !matches!(
        algorithm,
        "ssh-ed25519" | "ssh-rsa" | "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" | "ecdsa-sha2-nistp521"
    ) {
        return Err(
            "the SSH public key must be of one line that begins with ssh-ed25519, ssh-rsa or ecdsa-sha2-nistp256/384/521"
                .to_owned(),
        );
    }
    let encoded = fields.next().ok_or_else(|| format!("the SSH public key has nothing after `{algorithm}`"))?;
    let blob = base64::engine::general_purpose::STANDARD
        .decode(encoded)
        .map_err(|_| "the SSH public key's second part is not base64; it was cut or changed".to_owned())?;
    let cut = || format!("the SSH public key's second part is no {algorithm} key; it was cut or changed");
    let mut reader = Reader(&blob);
    let inner = reader.string().ok_or_else(cut)?;
    if inner != algorithm.as_bytes() {
        return Err(format!("the SSH public key says `{algorithm}` but holds a key of another type"));
    }
    let remark = read_key(algorithm, &mut reader).ok_or_else(cut)?;
    if reader.0.is_empty() { Ok(remark) } else { Err(cut()) }
}

fn read_key(algorithm: &str, reader: &mut Reader<'_>) -> Option<KeyRemark> {
    match algorithm {
        "ssh-ed25519" => (reader.string()?.len() == 32).then_some(KeyRemark::Sound),
        "ssh-rsa" => {
            let exponent = reader.string()?;
            let modulus = reader.string()?;
            let significant = modulus.strip_prefix(&[0]).unwrap_or(modulus);
            let leading = significant.first()?.leading_zeros() as usize;
            let bits = significant.len() * 8 - leading;
            let sane = !exponent.is_empty() && bits >= 512;
            let remark = if bits < SOUND_RSA_BITS { KeyRemark::ShortRsa { bits } } else { KeyRemark::Sound };
            sane.then_some(remark)
        }
        _ => {
            let curve = algorithm.strip_prefix("ecdsa-sha2-")?;
            let field_bytes = match curve {
                "nistp256" => 32,
                "nistp384" => 48,
                _ => 66,
            };
            let named = reader.string()? == curve.as_bytes();
            let point = reader.string()?;
            (named && point.len() == 1 + 2 * field_bytes && point.first() == Some(&4)).then_some(KeyRemark::Sound)
        }
    }
}

/// Length-prefixed strings of the SSH wire format.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn string(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (text, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(algorithm: &str, parts: &[&[u8]]) -> String {
        let mut blob = Vec::new();
        for part in [algorithm.as_bytes()].iter().chain(parts) {
            blob.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
            blob.extend(*part);
        }
        format!("{algorithm} {} someone@example", base64::engine::general_purpose::STANDARD.encode(blob))
    }

    #[test]
    fn every_type_of_key_is_read_to_its_end() {
        let point = |bytes: usize| [vec![4], vec![7; 2 * bytes]].concat();
        let good = [
            key("ssh-ed25519", &[&[9; 32]]),
            key("ssh-rsa", &[&[1, 0, 1], &[&[0, 0x80][..], &[3; 255]].concat()]),
            key("ecdsa-sha2-nistp256", &[b"nistp256", &point(32)]),
            key("ecdsa-sha2-nistp384", &[b"nistp384", &point(48)]),
            key("ecdsa-sha2-nistp521", &[b"nistp521", &point(66)]),
        ];
        for text in good {
            assert_eq!(check_public_key(&text), Ok(KeyRemark::Sound), "{text}");
        }
        let short = key("ssh-rsa", &[&[1, 0, 1], &[&[0, 0x80][..], &[3; 127]].concat()]);
        assert_eq!(check_public_key(&short), Ok(KeyRemark::ShortRsa { bits: 1024 }));
    }

    #[test]
    fn a_malformed_key_is_told_what_is_wrong() {
        let swapped = key("ssh-rsa", &[&[9; 32]]).replacen("ssh-rsa", "ssh-ed25519", 1);
        let cases = [
            ("ssh-ed25519 AAAA".to_owned(), "cut or changed"),
            ("ssh-ed25519".to_owned(), "nothing after"),
            ("ssh-ed25519 !!".to_owned(), "not base64"),
            ("ssh-dss AAAA".to_owned(), "must be of one line"),
            ("from=\"10.0.0.1\" ssh-ed25519 AAAA".to_owned(), "must be of one line"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----".to_owned(), "private"),
            (swapped, "another type"),
            (key("ssh-ed25519", &[&[9; 31]]), "cut or changed"),
            (key("ssh-ed25519", &[&[9; 32], b"more"]), "cut or changed"),
            (key("ecdsa-sha2-nistp256", &[b"nistp384", &[4; 65]]), "cut or changed"),
        ];
        for (text, words) in cases {
            let reason = check_public_key(&text).unwrap_err();
            assert!(reason.contains(words), "{text}: {reason}");
        }
    }
}
