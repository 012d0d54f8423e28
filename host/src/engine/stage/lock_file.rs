//! The lock file of providers, which stays between runs. OpenTofu refuses every command where it cannot read it, so one that is
//! damaged is removed: `init` takes the providers that the module pins, and writes down their checksums anew.

use super::{LOCK_FILE, WorkFolder};
use std::io::{self, ErrorKind};

/// Longest such file, in bytes. One of a dozen providers has some 20 kB.
const MOST_BYTES: usize = 1024 * 1024;

impl WorkFolder {
    /// Removes a lock file that OpenTofu could not read, and says so.
    ///
    /// # Errors
    /// The disk refuses.
    pub(super) fn remove_damaged_lock_file(&self) -> io::Result<Option<String>> {
        let why = match self.read(LOCK_FILE) {
            // Nothing, or nothing that OpenTofu wrote: that goes with the rest.
            Ok(None) => return Ok(None),
            Ok(Some(text)) if is_whole(&text) => return Ok(None),
            Ok(Some(_)) => "it is cut or damaged".to_owned(),
            Err(why) if matches!(why.kind(), ErrorKind::PermissionDenied | ErrorKind::FileTooLarge) => why.to_string(),
            Err(why) => return Err(why),
        };
        super::remove(&self.dir, LOCK_FILE)?;
        Ok(Some(format!(
            "{LOCK_FILE} of an earlier run cannot be read ({why}) and is removed; the checksums of its providers are taken anew"
        )))
    }
}

/// Where a line stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    Provider,
    List,
}

/// Whether the text has the form that OpenTofu gives it: comments, and blocks of providers with attributes and lists of texts. An
/// HCL parser would do, but the file comes from a run, and nothing that a run wrote is parsed here without bounds.
fn is_whole(text: &[u8]) -> bool {
    let Some(text) = std::str::from_utf8(text).ok().filter(|text| text.len() <= MOST_BYTES) else { return false };
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return false;
    }
    let end = text.lines().map(str::trim).try_fold(Place::Outside, |place, line| match (place, line) {
        (_, "") => Some(place),
        (_, comment) if comment.starts_with('#') || comment.starts_with("//") => Some(place),
        (Place::Outside, line) => {
            let name = line.strip_prefix("provider ")?.strip_suffix('{')?.trim();
            is_text(name).then_some(Place::Provider)
        }
        (Place::Provider, "}") => Some(Place::Outside),
        (Place::Provider, line) => {
            let (name, value) = line.split_once('=')?;
            let is_name = !name.trim().is_empty() && name.trim().bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            match value.trim() {
                _ if !is_name => None,
                "[" => Some(Place::List),
                "[]" => Some(place),
                value => is_text(value).then_some(place),
            }
        }
        (Place::List, "]") => Some(Place::Provider),
        (Place::List, line) => is_text(line.strip_suffix(',').unwrap_or(line)).then_some(place),
    });
    end == Some(Place::Outside)
}

fn is_text(value: &str) -> bool {
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    inner.is_some_and(|inner| !inner.contains(['"', '\\', '$', '%']))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "# This file is maintained automatically by \"tofu init\".\n# Manual edits may be lost in future updates.\n\n\
        provider \"registry.opentofu.org/acme/spy\" {\n  version     = \"1.0.0\"\n  constraints = \"1.0.0, < 2.0.0\"\n  \
        hashes = [\n    \"h1:abc+/=\",\n    \"zh:00ff\",\n  ]\n}\n";

    #[test]
    fn a_whole_file_is_told_from_one_that_is_cut_anywhere_or_holds_anything_else() {
        assert!(is_whole(WHOLE.as_bytes()) && is_whole(b"") && is_whole(b"# nothing\n"));
        assert!(is_whole(WHOLE.repeat(3).as_bytes()));
        let block = WHOLE.find("provider").unwrap();
        for length in block + 1..WHOLE.len() - 1 {
            assert!(!is_whole(&WHOLE.as_bytes()[..length]), "cut to {length}: {}", &WHOLE[..length]);
        }
        for bad in ["\u{0}", "x", "provider {\n}\n", "}\n", "provider \"a\" {\n  version = ${x}\n}\n", "{\"a\": 1}"] {
            assert!(!is_whole(bad.as_bytes()), "{bad}");
        }
        assert!(!is_whole(b"\xff\xfe# x\n"));
    }
}
