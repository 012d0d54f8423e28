//! Static tokens: a file with a name, scopes and a SHA-256 a line. The tokens have 256 random bits, so a plain digest tells
//! nothing of them. Each is compared with all, in constant time.

use super::refuse::nonsense;
use super::token::{Digest, digest};
use super::{Authenticator, Caller, Fault, Mode, Scopes, Standing, Trouble};
use async_trait::async_trait;
use catalyst_domain::SecretValue;
use std::fmt::Write as _;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;

/// Tokens of a file. More people than this have an OpenID provider.
const MOST: usize = 1_000;
/// Largest file in bytes: the most tokens with long names, and room for comments.
const LARGEST: u64 = 1024 * 1024;
/// Longest name in bytes.
const NAME: usize = 64;
/// How long the last good list counts where the file cannot be used. A mounted Secret is swapped in well under a second and an
/// editor in a few; past a minute nobody can say that a token which was taken out is not in the list that is still used.
pub const GRACE: Duration = Duration::from_secs(60);

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
    /// There are too many.
    #[error("the file holds more than {MOST} tokens")]
    TooMany,
}

/// The file and what was last read from it.
pub struct Tokens {
    file: PathBuf,
    grace: Duration,
    list: RwLock<Arc<Vec<Known>>>,
    looked: Mutex<Looked>,
}

/// What the last look at the file found.
#[derive(Default)]
struct Looked {
    seen: Option<Seen>,
    fault: Option<Unusable>,
}

/// The file cannot be used.
struct Unusable {
    since: Instant,
    why: String,
    /// It was said that nobody is let in any more.
    told: bool,
}

struct Known {
    name: String,
    scopes: Scopes,
    digest: Digest,
}

/// By which a changed file is noticed, also where a link was turned to another one or only its rights were changed.
#[derive(PartialEq, Eq)]
struct Seen {
    mode: u32,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Tokens {
    /// Reads the file. Its last good list counts so long where it cannot be used.
    ///
    /// # Errors
    /// [`TokensError`].
    pub fn open(file: PathBuf, grace: Duration) -> Result<Self, TokensError> {
        let tokens = Self { file, grace, list: RwLock::default(), looked: Mutex::default() };
        let (list, seen) = tokens.read()?;
        tokens.put(list, seen);
        Ok(tokens)
    }

    /// Reads the file again if it is another one than before, or could not be used. A list without a token counts at once;
    /// what cannot be used is said, and counts once it has lasted.
    pub fn reload_if_changed(&self) {
        let now = std::fs::metadata(&self.file).ok().map(|found| Seen::of(&found));
        {
            let looked = self.looked();
            if looked.fault.is_none() && looked.seen == now {
                return;
            }
        }
        match self.read() {
            Ok((list, seen)) => {
                tracing::info!(tokens = list.len(), "the file of tokens was read again");
                self.put(list, seen);
            }
            Err(error) => self.is_unusable(&error),
        }
    }

    fn is_unusable(&self, error: &TokensError) {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        let why = cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
        let mut looked = self.looked();
        let fault = looked.fault.get_or_insert_with(|| {
            let left_s = self.grace.as_secs();
            tracing::error!(
                error = why,
                left_s,
                "the file of tokens cannot be used; the earlier tokens count for a while"
            );
            Unusable { since: Instant::now(), why: String::new(), told: false }
        });
        fault.why = why;
        if fault.since.elapsed() >= self.grace && !fault.told {
            fault.told = true;
            tracing::error!(
                error = fault.why,
                "the file of tokens cannot be used; nobody with a token of it is let in"
            );
        }
    }

    fn read(&self) -> Result<(Vec<Known>, Seen), TokensError> {
        // One handle for all of it, so that text and rights are of the same file when it is swapped meanwhile.
        let file = File::open(&self.file).map_err(TokensError::Read)?;
        let found = file.metadata().map_err(TokensError::Read)?;
        let mut text = String::new();
        // It may have grown since.
        file.take(LARGEST + 1).read_to_string(&mut text).map_err(TokensError::Read)?;
        if text.len() as u64 > LARGEST {
            return Err(TokensError::TooLarge);
        }
        Ok((parse(&text)?, Seen::of(&found)))
    }

    fn put(&self, list: Vec<Known>, seen: Seen) {
        if is_too_open(seen.mode) {
            tracing::warn!(
                "others than its owner and group can read the file of tokens, or its group can write it; it should have mode \
                 0600, or 0440 where it is mounted for a group"
            );
        }
        if list.is_empty() {
            tracing::warn!("the file holds no token, so nobody is let in; `catalyst token new` makes its lines");
        }
        *self.list.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(list);
        *self.looked() = Looked { seen: Some(seen), fault: None };
    }

    fn looked(&self) -> MutexGuard<'_, Looked> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a file of this mode tells more people than it should: others at all, or a group that may write. That a group may
/// read is how a Pod gets its Secrets (fsGroup).
pub fn is_too_open(mode: u32) -> bool {
    mode & 0o027 != 0
}

impl Seen {
    fn of(found: &Metadata) -> Self {
        Self {
            mode: found.mode(),
            inode: found.ino(),
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

#[async_trait]
impl Authenticator for Tokens {
    fn mode(&self) -> Mode {
        Mode::Token
    }

    async fn look(self: Arc<Self>) {
        let _ = tokio::task::spawn_blocking(move || self.reload_if_changed()).await;
    }

    fn trouble(&self) -> Option<Trouble> {
        let looked = self.looked();
        let fault = looked.fault.as_ref()?;
        let why = format!("the file of tokens cannot be used: {}", fault.why);
        Some(if fault.since.elapsed() < self.grace { Trouble::Lasting(why) } else { Trouble::Blind(why) })
    }

    fn knows_nobody(&self) -> bool {
        self.list.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    async fn identify(&self, token: &SecretValue, _: Standing) -> Result<Caller, Fault> {
        nonsense(token)?;
        if let Some(Trouble::Blind(why)) = self.trouble() {
            return Err(Fault::Blind(why));
        }
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
    if list.len() > MOST { Err(TokensError::TooMany) } else { Ok(list) }
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

/// Whether a token may have this name.
pub fn is_name(name: &str) -> bool {
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
