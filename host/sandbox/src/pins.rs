//! `plugins.lock`: which bytes an operator allows under which name.
//!
//! Lines of `sha256:<64 hex digits>  <name>.wasm`, as `sha256sum` writes them but for the prefix; `#` begins a remark. Without
//! the file every component may serve. With it only what it names, byte for byte.
//!
//! Lines of `provider <namespace>/<name>` say which OpenTofu providers a component may declare, and so its bundles may use.
//! Without such a line a pin covers what its component declares.
//!
//! Lines of `grant <name>.wasm <right>` say what the bundles of a component may do ([`crate::grants`]); `nothing` in the place of a
//! right is a component that needs none. Without any such line what a component declares holds; with one, every component that
//! serves needs its own. `grant * nothing` is a line for all that have none of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::Path;

use catalyst_domain::provider::Descriptor;

use crate::error::LoadError;
use crate::grants::{self, Basis, Grant, GrantLine, Rights, is_file_name};
use crate::load;
use crate::policy::provider_address;

/// Name of the file, in the folder of plugins.
pub const FILE: &str = "plugins.lock";

/// Bytes of the file. A folder has far fewer plugins than this has room for.
const BYTES: u64 = 64 * 1024;

/// Digits of a SHA-256 in hex.
const DIGITS: usize = 64;

/// Which components may serve.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Pins {
    /// There is no lock.
    #[default]
    None,
    /// Who is named, and with which providers.
    Named(Named),
}

/// What was known of the lock before, in this process. Whoever takes lines away takes rights away, so what was there once has to be
/// there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Before {
    /// There was a lock.
    pub lock: bool,
    /// It had grants.
    pub grants: bool,
}

/// What a lock says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    /// Digests in lower-case hex by file name.
    digests: BTreeMap<String, String>,
    /// Full addresses of OpenTofu providers; none when the lock is silent about them.
    providers: BTreeSet<String>,
    /// Rights by file name; `None` when the lock is from before grants.
    grants: Option<BTreeMap<String, BTreeSet<Grant>>>,
    /// Whether files that no grant names are granted nothing, and serve where they want nothing.
    others_nothing: bool,
}

impl Pins {
    /// Reads the lock of a folder. An editor may take it away for a moment, which must not open the door: where it was there
    /// before, it has to be there.
    ///
    /// # Errors
    /// [`LoadError::Lock`] when it is there and cannot be used as a whole: half a list would allow the wrong half.
    pub(crate) fn read(folder: &Path, before: Before) -> Result<Self, LoadError> {
        let mut text = String::new();
        let file = match load::open(&folder.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_link(&folder.join(FILE)) => {
                let gone = LoadError::Lock("was there and is gone (only a start goes on without)".into());
                return if before.lock { Err(gone) } else { Ok(Self::None) };
            }
            file => file,
        };
        file.and_then(|file| file.take(BYTES + 1).read_to_string(&mut text))
            .map_err(|error| LoadError::Lock(format!("cannot be read: {error}")))?;
        if text.len() as u64 > BYTES {
            return Err(LoadError::Lock(format!("is larger than {BYTES} bytes")));
        }
        let mut pins = Self::parse(&text)?;
        if let Self::Named(named) = &mut pins
            && before.grants
        {
            // The last grant was taken out: nothing is granted, and not everything.
            named.grants.get_or_insert_default();
        }
        Ok(pins)
    }

    /// What the next reading has to know.
    pub(crate) fn known(&self) -> Before {
        Before { lock: *self != Self::None, grants: self.grants().is_some() }
    }

    fn parse(text: &str) -> Result<Self, LoadError> {
        let mut named = Named::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let wrong = |why: &str| LoadError::Lock(format!("line {}: {why}", index + 1));
            if let Some(source) = line.strip_prefix("provider ") {
                let address = provider_address(source.trim()).ok_or_else(|| {
                    wrong("not `provider <namespace>/<name>`, with a registry's host before it or without")
                })?;
                if !named.providers.insert(address) {
                    return Err(wrong("this provider stands twice"));
                }
                continue;
            }
            if GrantLine::is_others_nothing(line) {
                named.grants.get_or_insert_default();
                named.others_nothing = true;
                continue;
            }
            if GrantLine::is_meant(line) {
                let GrantLine { file, grant } = line.parse::<GrantLine>().map_err(|why| wrong(&why.to_string()))?;
                let of_file = named.grants.get_or_insert_default().entry(file).or_default();
                if grant.is_some_and(|grant| !of_file.insert(grant)) {
                    return Err(wrong("this grant stands twice"));
                }
                continue;
            }
            let (digest, name) = entry(line).ok_or_else(|| {
                wrong("not `sha256:<64 hex digits>  <name>.wasm`, `provider <namespace>/<name>` or `grant <name>.wasm <right>`")
            })?;
            if named.digests.insert(name.to_owned(), digest).is_some() {
                return Err(wrong("this name stands twice"));
            }
        }
        Ok(Self::Named(named))
    }

    /// Whether these bytes may serve under this name.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn allow(&self, name: &str, digest: &str) -> Result<(), LoadError> {
        let Self::Named(named) = self else { return Ok(()) };
        match named.digests.get(name) {
            None => Err(LoadError::Unpinned),
            Some(pinned) if pinned == digest => Ok(()),
            Some(pinned) => Err(LoadError::OtherDigest { pinned: pinned.clone(), found: digest.to_owned() }),
        }
    }
}

impl Pins {
    /// Whether a component may declare what it declares.
    ///
    /// # Errors
    /// [`LoadError::ProviderNotAllowed`], with the first that is not on the list.
    pub(crate) fn allow_providers(&self, descriptor: &Descriptor) -> Result<(), LoadError> {
        let Self::Named(named) = self else { return Ok(()) };
        let listed = |source: &str| provider_address(source).is_some_and(|address| named.providers.contains(&address));
        match descriptor.tofu_providers.iter().find(|provider| !listed(&provider.source)) {
            Some(stranger) if !named.providers.is_empty() => {
                Err(LoadError::ProviderNotAllowed { provider: stranger.source.clone() })
            }
            _ => Ok(()),
        }
    }
}

impl Pins {
    /// Whether a component may want what it declares.
    ///
    /// # Errors
    /// [`LoadError::NotGranted`], with everything that is wanted and not granted.
    pub(crate) fn allow_wanted(&self, file: &str, descriptor: &Descriptor) -> Result<(), LoadError> {
        let Some(grants) = self.grants() else { return Ok(()) };
        let missing = grants::missing(descriptor, grants.get(file).unwrap_or(&BTreeSet::new()));
        let is_named = grants.contains_key(file) || matches!(self, Self::Named(named) if named.others_nothing);
        if is_named && missing.is_empty() {
            return Ok(());
        }
        let lines = GrantLine::of_file(file, missing).iter().map(ToString::to_string).collect();
        Err(LoadError::NotGranted { lines })
    }

    /// What holds for a component that serves.
    pub(crate) fn rights(&self, file: &str, descriptor: &Descriptor) -> Rights {
        match (self, self.grants()) {
            (_, Some(grants)) => Rights::granted(descriptor, grants.get(file).cloned().unwrap_or_default()),
            (Self::None, None) => Rights::as_declared(Basis::Declared, descriptor),
            (Self::Named(_), None) => Rights::as_declared(Basis::BeforeGrants, descriptor),
        }
    }

    /// Whether a grant that once stood in the lock, as its whole line, was taken back. A file of which the lock says nothing any more
    /// is one that is gone, and what it was granted holds for what it made.
    pub(crate) fn took_back(&self, line: &str) -> bool {
        let (Self::Named(named), Some(grants)) = (self, self.grants()) else { return false };
        let Ok(GrantLine { file, grant }) = line.parse::<GrantLine>() else { return true };
        match (grants.get(&file), grant) {
            (Some(granted), Some(right)) => !granted.iter().any(|grant| grant.gives(&right)),
            (Some(_), None) => false,
            (None, _) => named.digests.contains_key(&file),
        }
    }

    fn grants(&self) -> Option<&BTreeMap<String, BTreeSet<Grant>>> {
        match self {
            Self::None => None,
            Self::Named(named) => named.grants.as_ref(),
        }
    }
}

/// Whether a text could be the lock of a folder.
///
/// # Errors
/// The line and the rule that it breaks.
pub fn check_lock(text: &str) -> Result<(), LoadError> {
    Pins::parse(text).map(|_| ())
}

/// What the lock of a folder lets a component do under a file's name, and what it wants beyond that.
///
/// # Errors
/// When there is a lock and it cannot be used.
pub fn lock_rights(folder: &Path, file: &str, descriptor: &Descriptor) -> Result<(Rights, Vec<String>), LoadError> {
    let pins = Pins::read(folder, Before::default())?;
    let lacks = match pins.allow_wanted(file, descriptor) {
        Err(LoadError::NotGranted { lines }) => lines,
        Ok(()) | Err(_) => Vec::new(),
    };
    Ok((pins.rights(file, descriptor), lacks))
}

/// Whether a folder has a lock, be it whole or not.
pub(crate) fn is_there(folder: &Path) -> bool {
    is_link(&folder.join(FILE))
}

// A dangling link is a lock that went missing, not a folder without one.
fn is_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn entry(line: &str) -> Option<(String, &str)> {
    let (digest, name) = line.strip_prefix("sha256:")?.split_once([' ', '\t'])?;
    let name = name.trim_start();
    let hex = digest.len() == DIGITS && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    (hex && is_file_name(name)).then(|| (digest.to_ascii_lowercase(), name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalyst_domain::provider::TofuProvider;

    #[test]
    fn lines_are_digests_and_names() {
        let digest = "aB".repeat(32);
        let text = format!("# who may serve\n\nsha256:{digest}  a.wasm   # since May\nsha256:{digest}\tb.wasm\n");
        let pins = Pins::parse(&text).unwrap();
        let lower = digest.to_lowercase();
        assert!(pins.allow("a.wasm", &lower).is_ok() && pins.allow("b.wasm", &lower).is_ok());
        assert!(matches!(pins.allow("c.wasm", &lower), Err(LoadError::Unpinned)));
        assert!(matches!(pins.allow("a.wasm", &"0".repeat(64)), Err(LoadError::OtherDigest { .. })));
        assert!(
            matches!(Pins::parse("").unwrap().allow("a.wasm", &lower), Err(LoadError::Unpinned)),
            "nobody is named"
        );
    }

    #[test]
    fn whoever_takes_out_the_last_grant_grants_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let line = format!("sha256:{}  a.wasm\n", "ab".repeat(32));
        let descriptor = crate::check::sample();
        std::fs::write(folder.path().join(FILE), format!("{line}grant a.wasm nothing\n")).unwrap();
        let pins = Pins::read(folder.path(), Before::default()).unwrap();
        let before = pins.known();
        assert_eq!(before, Before { lock: true, grants: true });
        std::fs::write(folder.path().join(FILE), line).unwrap();
        let basis = |before| Pins::read(folder.path(), before).unwrap().rights("a.wasm", &descriptor).basis();
        assert_eq!((basis(before), basis(Before::default())), (Basis::Granted, Basis::BeforeGrants));
        let pins = Pins::read(folder.path(), before).unwrap();
        assert!(matches!(pins.allow_wanted("a.wasm", &descriptor), Err(LoadError::NotGranted { .. })));
        assert_eq!(pins.known(), before);
    }

    #[test]
    fn a_list_that_says_that_others_get_nothing_has_grants_without_any_other() {
        let folder = tempfile::tempdir().unwrap();
        let descriptor = crate::check::sample();
        let line = format!("sha256:{}  a.wasm\ngrant  *\tnothing # others\n", "ab".repeat(32));
        std::fs::write(folder.path().join(FILE), line).unwrap();
        let pins = Pins::read(folder.path(), Before::default()).unwrap();
        assert_eq!(pins.rights("a.wasm", &descriptor).basis(), Basis::Granted, "also at a start");
        assert!(pins.rights("a.wasm", &descriptor).grants().is_empty());
        let wants = grants::missing(&descriptor, &BTreeSet::new());
        assert_eq!(pins.allow_wanted("a.wasm", &descriptor).is_ok(), wants.is_empty());
        let modest =
            Descriptor { secrets: Vec::new(), api_hosts: Vec::new(), tofu_providers: Vec::new(), ..descriptor };
        assert!(pins.allow_wanted("a.wasm", &modest).is_ok());
        assert!(Pins::parse("grant * host a.example\n").is_err());
    }

    #[test]
    fn a_grant_is_taken_back_while_the_lock_still_speaks_of_its_file() {
        let line = "grant a.wasm host api.example.org";
        let pin = format!("sha256:{}  a.wasm\n", "ab".repeat(32));
        for (lock, taken) in [
            (pin.clone(), false),
            // What is granted is wider now.
            ("grant a.wasm host .example.org\n".to_owned(), false),
            (format!("{pin}{line}\n"), false),
            (format!("{pin}grant a.wasm nothing\n"), true),
            ("grant a.wasm host other.example.org\n".to_owned(), true),
            (format!("{pin}grant b.wasm nothing\n"), true),
            ("grant b.wasm nothing\n".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(Pins::parse(&lock).unwrap().took_back(line), taken, "{lock}");
        }
        assert!(!Pins::None.took_back(line));
        assert!(Pins::parse("grant b.wasm nothing\n").unwrap().took_back("grant a.wasm something new"));
    }

    #[test]
    fn providers_are_those_of_the_list_when_there_is_one() {
        let with = |sources: &[&str]| Descriptor {
            tofu_providers: sources
                .iter()
                .map(|source| TofuProvider { source: (*source).into(), version: "1.0.0".into(), settings: None })
                .collect(),
            ..crate::check::sample()
        };
        let silent = Pins::parse("").unwrap();
        assert!(silent.allow_providers(&with(&["acme/cloud"])).is_ok());
        assert!(Pins::None.allow_providers(&with(&["acme/cloud"])).is_ok());
        let list = Pins::parse("provider Acme/cloud # ours\nprovider mirror.example/acme/dns\n").unwrap();
        assert!(list.allow_providers(&with(&[])).is_ok());
        assert!(list.allow_providers(&with(&["acme/cloud", "mirror.example/acme/dns"])).is_ok());
        for stranger in ["acme/dns", "evil.example/acme/cloud", "hashicorp/cloud"] {
            let error = list.allow_providers(&with(&["acme/cloud", stranger])).unwrap_err().to_string();
            assert_eq!(error, format!("declares the OpenTofu provider {stranger}, which plugins.lock does not allow"));
        }
    }

    #[test]
    fn half_a_list_is_no_list() {
        let digest = "ab".repeat(32);
        let good = format!("sha256:{digest}  a.wasm\n");
        for (bad, words) in [
            ("a.wasm".to_owned(), "line 2"),
            (format!("{digest}  b.wasm"), "line 2"),
            (format!("sha256:{}  b.wasm", &digest[1..]), "line 2"),
            (format!("sha256:{digest}"), "line 2"),
            (format!("sha256:{digest}  b.txt"), "line 2"),
            (format!("sha256:{digest}  ../b.wasm"), "line 2"),
            (format!("sha256:{digest}  b.wasm c.wasm"), "line 2"),
            (format!("sha256:{digest}  a.wasm"), "twice"),
            ("md5:00  b.wasm".to_owned(), "line 2"),
            ("provider cloud".to_owned(), "not `provider"),
            ("provider a/b/c/d".to_owned(), "not `provider"),
            ("provider a/b 1.0".to_owned(), "not `provider"),
            ("provider a/b\nprovider A/b".to_owned(), "this provider stands twice"),
        ] {
            let error = Pins::parse(&format!("{good}{bad}\n")).unwrap_err().to_string();
            assert!(error.starts_with("plugins.lock ") && error.contains(words), "{bad}: {error}");
        }
    }

    #[test]
    fn a_lock_that_is_there_and_cannot_be_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let read = || Pins::read(folder.path(), Before::default());
        assert_eq!(read().unwrap(), Pins::None);
        assert!(
            Pins::read(folder.path(), Before { lock: true, grants: false })
                .unwrap_err()
                .to_string()
                .contains("was there and is gone")
        );
        std::os::unix::fs::symlink("gone", folder.path().join(FILE)).unwrap();
        assert!(read().is_err());
        std::fs::remove_file(folder.path().join(FILE)).unwrap();
        std::fs::create_dir(folder.path().join(FILE)).unwrap();
        assert!(read().is_err());
        std::fs::remove_dir(folder.path().join(FILE)).unwrap();
        std::fs::write(folder.path().join(FILE), "#".repeat(70_000)).unwrap();
        assert!(read().unwrap_err().to_string().contains("larger than"));
    }
}
