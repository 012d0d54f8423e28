//! Static tokens: a file with a name, scopes and a SHA-256 a line. The tokens have 256 random bits, so a plain digest tells
//! nothing of them. Each is compared with all, in constant time.

use super::refuse::nonsense;
use super::token::{Digest, digest};
use super::{Authenticator, Caller, Fault, Mode, Scopes, Standing};
use async_trait::async_trait;
use catalyst_domain::SecretValue;
use std::fmt::Write as _;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;
use subtle::ConstantTimeEq;

/// Tokens of a file. More people than this have an OpenID provider.
const MOST: usize = 1_000;
/// Largest file in bytes: the most tokens with long names, and room for comments.
const LARGEST: u64 = 1024 * 1024;
/// Longest name in bytes.
const NAME: usize = 64;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// It cannot be read.
    #[error("the file cannot be read")]
    Read(#[source] io::Error),
    /// It is too large.
    #[error("the file is larger than {LARGEST} bytes")]
    TooLarge,
    /// A line breaks a rule.
    #[error("line {0}: {1}")]
    Line(usize, &'static str),
    /// There is no token in it.
    #[error("the file holds no token; make one with `catalyst token new --name <name> --scope <scope>`")]
    Empty,
    /// There are too many.
    #[error("the file holds more than {MOST} tokens")]
    TooMany,
}

/// The file and what was last read from it.
pub struct Tokens {
    file: PathBuf,
    list: RwLock<Arc<Vec<Known>>>,
    seen: Mutex<Option<Seen>>,
}

struct Known {
    name: String,
    scopes: Scopes,
    digest: Digest,
}

/// By which a changed file is noticed, also where a link was turned to another one.
#[derive(PartialEq, Eq)]
struct Seen {
    inode: u64,
    length: u64,
    modified: Option<SystemTime>,
}

impl Tokens {
    /// Reads the file.
    ///
    /// # Errors
    /// [`TokensError`].
    pub fn open(file: PathBuf) -> Result<Self, TokensError> {
        let tokens = Self { file, list: RwLock::default(), seen: Mutex::default() };
        let (list, seen) = tokens.read()?;
        tokens.put(list, seen);
        Ok(tokens)
    }

    /// Reads the file again if it is another one than before. What cannot be used changes nothing, and is said once.
    pub fn reload_if_changed(&self) {
        let now = std::fs::metadata(&self.file).ok().map(|found| Seen::of(&found));
        if *self.seen.lock().unwrap_or_else(PoisonError::into_inner) == now {
            return;
        }
        match self.read() {
            Ok((list, seen)) => {
                tracing::info!(tokens = list.len(), "the file of tokens was read again");
                self.put(list, seen);
            }
            Err(error) => {
                *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = now;
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "the changed file of tokens cannot be used; the earlier tokens stay");
            }
        }
    }

    fn read(&self) -> Result<(Vec<Known>, Seen), TokensError> {
        let found = std::fs::metadata(&self.file).map_err(TokensError::Read)?;
        if found.len() > LARGEST {
            return Err(TokensError::TooLarge);
        }
        if found.permissions().mode() & 0o077 != 0 {
            tracing::warn!("others than its owner can read the file of tokens; it should have mode 0600");
        }
        let text = std::fs::read_to_string(&self.file).map_err(TokensError::Read)?;
        Ok((parse(&text)?, Seen::of(&found)))
    }

    fn put(&self, list: Vec<Known>, seen: Seen) {
        *self.list.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(list);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }
}

impl Seen {
    fn of(found: &std::fs::Metadata) -> Self {
        Self { inode: found.ino(), length: found.len(), modified: found.modified().ok() }
    }
}

#[async_trait]
impl Authenticator for Tokens {
    fn mode(&self) -> Mode {
        Mode::Token
    }

    async fn identify(&self, token: &SecretValue, _: Standing) -> Result<Caller, Fault> {
        nonsense(token)?;
        let given = digest(token);
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut found = None;
        // To the end, so that the time tells nothing of a place in the list.
        for known in list.iter() {
            if bool::from(known.digest.ct_eq(&given)) {
                found = Some(known);
            }
        }
        let known = found.ok_or(Fault::Wrong("no line of the file has its digest"))?;
        Ok(Caller::new(&known.name, Mode::Token, known.scopes))
    }
}

fn parse(text: &str) -> Result<Vec<Known>, TokensError> {
    let mut list: Vec<Known> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let known = parse_line(line).map_err(|rule| TokensError::Line(number + 1, rule))?;
        if list.iter().any(|other| other.name == known.name) {
            return Err(TokensError::Line(number + 1, "a name must not come twice"));
        }
        if list.iter().any(|other| other.digest == known.digest) {
            return Err(TokensError::Line(number + 1, "a token must not come twice"));
        }
        list.push(known);
    }
    match list.len() {
        0 => Err(TokensError::Empty),
        1..=MOST => Ok(list),
        _ => Err(TokensError::TooMany),
    }
}

fn parse_line(line: &str) -> Result<Known, &'static str> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [name, scopes, digest] = words[..] else { return Err("it must be a name, scopes and a digest between spaces") };
    if !is_name(name) {
        return Err("a name must be 1 to 64 of a-z, A-Z, 0-9, `.`, `_`, `-` and `@`");
    }
    let scopes = Scopes::parse(scopes).ok_or("scopes must be read, create, kubeconfig or admin, between commas")?;
    let mut bytes = [0; 32];
    let hex = digest.strip_prefix("sha256:").ok_or("a digest must begin with sha256:")?;
    hex::decode_to_slice(hex, &mut bytes).map_err(|_| "a digest must be 64 hex digits after sha256:")?;
    Ok(Known { name: name.to_owned(), scopes, digest: bytes })
}

fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-@".contains(&b);
    (1..=NAME).contains(&name.len()) && name.bytes().all(plain)
}

/// The line of a token; `None` for a name that may not stand there.
pub fn line(name: &str, scopes: Scopes, token: &SecretValue) -> Option<String> {
    let mut line = is_name(name).then(|| format!("{name} {scopes} sha256:"))?;
    let _ = write!(line, "{}", hex::encode(digest(token)));
    Some(line)
}

#[cfg(test)]
#[path = "tokens_tests.rs"]
mod tests;
