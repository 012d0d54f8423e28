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
    /// Its private half is in a FIDO security key, and not every cloud takes such keys.
    Fido,
    /// An RSA key with fewer bits than is thought safe.
    ShortRsa {
        /// Bits of its modulus.
        bits: usize,
    },
}

/// Types of keys that are read, the FIDO ones last (PROTOCOL.u2f of OpenSSH).
const TYPES: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// Checks an OpenSSH public key of one line: type, base64 blob, optional comment.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn check_public_key(text: &str) -> Result<KeyRemark, String> {
    let mut fields = text.split_whitespace();
    let algorithm = fields.next().ok_or("the SSH public key is blank")?;
    if let Some(other) = other_form(text, algorithm) {
        return Err(other);
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

/// What a text is that is no public key of one line, and what to give in its place. It may be a private key, so nothing of it is
/// repeated.
fn other_form(text: &str, first: &str) -> Option<String> {
    let is_type = |word: &str| TYPES.contains(&word);
    let lines = text.trim().lines().count();
    let says = if text.contains("PRIVATE KEY") || first == "PuTTY-User-Key-File-2:" || first == "PuTTY-User-Key-File-3:"
    {
        "this is a private SSH key; give the public one and treat the private one as known to others"
    } else if text.contains("BEGIN SSH2 PUBLIC KEY") || text.contains("BEGIN PUBLIC KEY") {
        "this SSH public key is not in OpenSSH's form, which has one line; `ssh-keygen -i` converts it"
    } else if lines > 1 {
        "the SSH public key has several lines; give one key alone, without other keys or lines of comment"
    } else if is_type(first) {
        return None;
    } else if first.starts_with('#') {
        "the SSH public key is a comment; give the key without the `#`"
    } else if text.split_whitespace().any(|word| word.ends_with("-cert-v01@openssh.com")) {
        "this is an SSH certificate; give the public key that it certifies, whose file does not end in -cert.pub"
    } else if text.split_whitespace().skip(1).any(is_type) {
        "the SSH public key has options before it, as in authorized_keys; give the key alone, from its type on"
    } else if first == "ssh-dss" {
        "the SSH public key is of the type ssh-dss (DSA), which OpenSSH takes no more"
    } else if first.starts_with("AAAA") {
        "the SSH public key has no type before its base64; give the whole line of the .pub file"
    } else {
        "the SSH public key must be of one line that begins with ssh-ed25519, ssh-rsa, ecdsa-sha2-nistp256/384/521, or for a FIDO key \
         with sk-ssh-ed25519@openssh.com or sk-ecdsa-sha2-nistp256@openssh.com"
    };
    Some(says.to_owned())
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
        "sk-ssh-ed25519@openssh.com" => {
            let fits = reader.string()?.len() == 32;
            (fits && !reader.string()?.is_empty()).then_some(KeyRemark::Fido)
        }
        "sk-ecdsa-sha2-nistp256@openssh.com" => {
            let fits = is_point(reader, "nistp256")?;
            (fits && !reader.string()?.is_empty()).then_some(KeyRemark::Fido)
        }
        _ => is_point(reader, algorithm.strip_prefix("ecdsa-sha2-")?)?.then_some(KeyRemark::Sound),
    }
}

/// Whether the name of a curve and an uncompressed point on it come next.
fn is_point(reader: &mut Reader<'_>, curve: &str) -> Option<bool> {
    let field_bytes = match curve {
        "nistp256" => 32,
        "nistp384" => 48,
        _ => 66,
    };
    let named = reader.string()? == curve.as_bytes();
    let point = reader.string()?;
    Some(named && point.len() == 1 + 2 * field_bytes && point.first() == Some(&4))
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
        for text in [
            key("sk-ssh-ed25519@openssh.com", &[&[9; 32], b"ssh:"]),
            key("sk-ecdsa-sha2-nistp256@openssh.com", &[b"nistp256", &point(32), b"ssh:laptop"]),
        ] {
            assert_eq!(check_public_key(&text), Ok(KeyRemark::Fido), "{text}");
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
            ("nonsense".to_owned(), "must be of one line"),
            ("ssh-dss AAAA".to_owned(), "ssh-dss"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----".to_owned(), "private"),
            (key("sk-ssh-ed25519@openssh.com", &[&[9; 31], b"ssh:"]), "cut or changed"),
            (key("sk-ssh-ed25519@openssh.com", &[&[9; 32]]), "cut or changed"),
            (key("sk-ecdsa-sha2-nistp256@openssh.com", &[b"nistp384", &[4; 65], b"ssh:"]), "cut or changed"),
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

    #[test]
    fn t13_what_is_no_key_of_one_line_is_told_what_it_is() {
        let good = key("ssh-ed25519", &[&[9; 32]]);
        let cases = [
            (format!("from=\"10.0.0.1\" {good}"), "options before it"),
            (format!("no-pty,command=\"a b\" {good}"), "options before it"),
            (format!("@cert-authority * {good}"), "options before it"),
            (format!("# {good}"), "is a comment"),
            (format!("# mine\n{good}"), "several lines"),
            (format!("{good}\n{good}"), "several lines"),
            (good.replace("ssh-ed25519 ", "ssh-ed25519-cert-v01@openssh.com "), "certificate"),
            ("sk-ssh-ed25519-cert-v01@openssh.com AAAA".to_owned(), "certificate"),
            (good.replace("ssh-ed25519 ", ""), "no type before its base64"),
            ("---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----".to_owned(), "ssh-keygen -i"),
            ("-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----".to_owned(), "ssh-keygen -i"),
            ("PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none".to_owned(), "private"),
        ];
        for (text, words) in cases {
            let reason = check_public_key(&text).unwrap_err();
            assert!(reason.contains(words), "{text}: {reason}");
        }
        assert_eq!(check_public_key(&format!("{good}\n")), Ok(KeyRemark::Sound), "pasted with its line break");
    }
}
