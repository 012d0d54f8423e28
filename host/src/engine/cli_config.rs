//! The CLI configuration of OpenTofu that an operator gives (`TF_CLI_CONFIG_FILE`), and what of it counts in which step.
//!
//! It may hold passwords of registries and mirrors, so it is there for `init` alone, where no code of a provider runs. The other steps
//! need one thing of it, `dev_overrides`, which say where a provider is taken from whatever `init` installed.
//!
//! The file is HCL 1 or JSON. Neither is read as a whole here: OpenTofu does, and says what is wrong with it.

use super::Settings;
use super::environment::{self, CLI_CONFIG, PROVIDER_CACHE};
use super::run_folder::RunFolder;
use super::stage::{WorkFolder, unwritten};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Bytes of the file; it has some hundred.
const LIMIT: u64 = 1024 * 1024;
/// The blocks around `dev_overrides`.
const OVERRIDES: [&str; 2] = ["provider_installation", "dev_overrides"];

/// The block that names a folder of packages.
const FOLDER_MIRROR: &str = "filesystem_mirror";

/// The file's text, as it is now.
pub(super) struct CliConfig(Zeroizing<String>);

/// A provider that is taken from a folder, by its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DevOverride {
    pub(super) provider: String,
    pub(super) folder: String,
}

impl CliConfig {
    /// Reads it; `None` where the operator gives none, or a mirror, which is all that then counts.
    ///
    /// # Errors
    /// It cannot be read, or is no text of at most [`LIMIT`] bytes.
    pub(super) fn read(settings: &Settings) -> io::Result<Option<Self>> {
        let given =
            environment::variable(&settings.pass_env, CLI_CONFIG).filter(|_| settings.provider_mirror.is_none());
        let Some(path) = given else { return Ok(None) };
        let mut text = Zeroizing::new(String::new());
        File::open(path)?.take(LIMIT + 1).read_to_string(&mut text)?;
        if text.len() as u64 > LIMIT {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {LIMIT} bytes")));
        }
        Ok(Some(Self(text)))
    }

    /// All of it.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// Whether it names a folder of packages. Links into such a folder are not shared between runs ([`Settings::plugin_cache_dir`]).
    fn has_folder_mirror(&self) -> bool {
        tokens(&self.0).is_none_or(|tokens| tokens.iter().any(|token| token.name() == Some(FOLDER_MIRROR)))
    }

    /// The providers that it takes from folders.
    pub(super) fn dev_overrides(&self) -> Vec<DevOverride> {
        dev_overrides(&self.0).unwrap_or_default()
    }
}

/// Settings of OpenTofu as they lie in a work folder.
#[derive(Debug, Clone)]
pub(super) struct CliSettings {
    /// As the host writes them.
    of_every_command: PathBuf,
    /// The operator's, where there are some that count: for the command that installs providers.
    of_install: Option<PathBuf>,
    /// Whether the host's cache of providers counts.
    shares_cache: bool,
}

impl CliSettings {
    /// Writes them.
    ///
    /// # Errors
    /// The operator's file cannot be read, or the disk refuses.
    pub(super) fn write(folder: &WorkFolder, settings: &Settings) -> Result<Self, String> {
        let config = CliConfig::read(settings);
        let config = config.map_err(|why| format!("the file that TF_CLI_CONFIG_FILE names cannot be read: {why}"))?;
        let overrides = config.as_ref().map(CliConfig::dev_overrides).unwrap_or_default();
        let mirror = settings.provider_mirror.as_deref();
        let of_every_command = folder.write_settings(mirror, &overrides).map_err(|why| unwritten(&why))?;
        let shares_cache = !config.as_ref().is_some_and(CliConfig::has_folder_mirror);
        let of_install = config.map(|config| folder.write_install_settings(config.text())).transpose();
        Ok(Self { of_every_command, of_install: of_install.map_err(|why| unwritten(&why))?, shares_cache })
    }

    /// What leads each command to them.
    pub(super) fn environment(&self) -> impl Iterator<Item = (OsString, OsString)> {
        [(CLI_CONFIG.into(), self.of_every_command.clone().into())].into_iter()
    }

    /// What the command that installs providers has beside the others. The cache is written only while no code of a provider runs: what
    /// one run could change, others would run.
    pub(super) fn prepare_install(
        &self,
        settings: &Settings,
        run_folder: &RunFolder,
        own: &mut Vec<PathBuf>,
        environment: &mut Vec<(OsString, OsString)>,
    ) {
        environment::add(environment, self.of_install.iter().map(|path| (CLI_CONFIG.into(), path.into())));
        let cache = settings.plugin_cache_dir.as_ref().filter(|_| self.shares_cache);
        own.extend(cache.cloned());
        // The variable wins over a cache of the operator's settings, which is not the run's to write.
        let cache = cache.cloned().or_else(|| self.of_install.as_ref().map(|_| run_folder.cache()));
        environment::add(environment, cache.map(|cache| (PROVIDER_CACHE.into(), cache.into())));
    }
}

/// Folders of programs that runs start by the operator's word.
pub(super) fn override_folders(settings: &Settings) -> Vec<PathBuf> {
    match CliConfig::read(settings) {
        Ok(config) => config.iter().flat_map(CliConfig::dev_overrides).map(|one| one.folder.into()).collect(),
        Err(error) => {
            tracing::warn!(%error, "the file that TF_CLI_CONFIG_FILE names cannot be read; no run can begin without it");
            Vec::new()
        }
    }
}

enum Token<'a> {
    /// With its quotes.
    Quoted(&'a str),
    Word(&'a str),
    Mark(char),
}

impl<'a> Token<'a> {
    fn name(&self) -> Option<&'a str> {
        match self {
            Self::Quoted(text) => Some(text.trim_matches('"')),
            Self::Word(word) => Some(word),
            Self::Mark(_) => None,
        }
    }

    /// What a quoted text means, where both syntaxes read it alike.
    fn text(&self) -> Option<String> {
        match self {
            Self::Quoted(text) => serde_json::from_str(text).ok(),
            Self::Word(_) | Self::Mark(_) => None,
        }
    }
}

/// Without comments; `None` where the text ends within something.
fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let (mut rest, mut tokens) = (text.trim_start(), Vec::new());
    while !rest.is_empty() {
        let (token, length) = token(rest)?;
        tokens.extend(token);
        rest = rest[length..].trim_start();
    }
    Some(tokens)
}

/// `None` where the text ends within something.
fn dev_overrides(text: &str) -> Option<Vec<DevOverride>> {
    let tokens = tokens(text)?;
    let (mut blocks, mut last, mut found) = (Vec::new(), "", Vec::new());
    for (index, token) in tokens.iter().enumerate() {
        match token {
            Token::Mark('{') => blocks.push(std::mem::take(&mut last)),
            Token::Mark('}') => {
                blocks.pop();
                last = "";
            }
            Token::Mark(_) => {}
            name => last = name.name().unwrap_or_default(),
        }
        // In JSON all of it is an object, which has no name.
        let is_inside = blocks.strip_prefix(&[""]).unwrap_or(&blocks) == OVERRIDES;
        if let (true, Some(Token::Mark('=' | ':')), Some(folder)) =
            (is_inside, tokens.get(index + 1), tokens.get(index + 2).and_then(Token::text))
        {
            let provider = token.text().or_else(|| token.name().map(str::to_owned));
            found.extend(provider.map(|provider| DevOverride { provider, folder }));
        }
    }
    Some(found)
}

/// The first token, none for a comment, and its length.
fn token(text: &str) -> Option<(Option<Token<'_>>, usize)> {
    let line = |text: &str| text.find('\n').unwrap_or(text.len());
    let first = text.chars().next()?;
    Some(match first {
        '#' => (None, line(text)),
        '/' if text.starts_with("//") => (None, line(text)),
        '/' if text.starts_with("/*") => (None, text[2..].find("*/")? + 4),
        '"' => {
            let length = quoted_length(text)?;
            (Some(Token::Quoted(&text[..length])), length)
        }
        '<' if text.starts_with("<<") => (None, heredoc_length(text)?),
        '{' | '}' | '[' | ']' | '=' | ':' | ',' => (Some(Token::Mark(first)), 1),
        _ => {
            let is_end = |c: char| c.is_whitespace() || "{}[]=:,\"".contains(c);
            let length = text.find(is_end).unwrap_or(text.len());
            (Some(Token::Word(&text[..length])), length)
        }
    })
}

/// A text may have quotes within `${…}`.
fn quoted_length(text: &str) -> Option<usize> {
    let (mut depth, mut is_escaped) = (0_usize, false);
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' if depth == 0 => return Some(at + 1),
            '\n' if depth == 0 => return None,
            '{' if depth > 0 || text[..at].ends_with('$') => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

fn heredoc_length(text: &str) -> Option<usize> {
    let (head, body) = text.split_once('\n')?;
    let marker = head.trim_start_matches('<').trim_start_matches('-').trim();
    let mut length = head.len() + 1;
    for line in body.split_inclusive('\n') {
        length += line.len();
        if line.trim() == marker {
            return Some(length);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<Vec<(String, String)>> {
        dev_overrides(text).map(|all| all.into_iter().map(|one| (one.provider, one.folder)).collect())
    }

    fn pairs(pairs: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        Some(pairs.iter().map(|(provider, folder)| ((*provider).to_owned(), (*folder).to_owned())).collect())
    }

    #[test]
    fn overrides_are_found_whatever_stands_around_them() {
        let text = r#"
# dev_overrides { "in/comment" = "/no" }
// provider_installation { /*
credentials "registry.example" { token = "a\"b ${"x"} { provider_installation {" }
/* provider_installation { dev_overrides { "in/comment" = "/no" } } */
host "a.example" { services = { "providers.v1" = "https://a.example/" } }
plugin_cache_dir = "/c"
note = <<END
provider_installation { dev_overrides { "in/text" = "/no" } }
END
dev_overrides { "not/inside" = "/no" }
"provider_installation" {
  dev_overrides {
    "acme/cloud" = "/home/me/build" # mine
    "registry.example/acme/dns" = "/opt/with space",
  }
  network_mirror { url = "https://mirror.example/" }
  direct { exclude = ["acme/*"] }
}
"#;
        let expected = [("acme/cloud", "/home/me/build"), ("registry.example/acme/dns", "/opt/with space")];
        assert_eq!(found(text), pairs(&expected));
        let json = r#"{"credentials": {"x": {"token": "t"}},
            "provider_installation": [{"dev_overrides": {"acme/cloud": "/home/me/build",
            "registry.example/acme/dns": "/opt/with space"}, "direct": {}}], "dev_overrides": {"a": "/no"}}"#;
        assert_eq!(found(json), pairs(&expected));
    }

    #[test]
    fn what_has_none_or_is_cut_off_has_none() {
        let installation = "provider_installation {\n  direct {}\n}\n";
        for text in ["", "plugin_cache_dir = \"/c\"\n", installation, "provider_installation {}"] {
            assert_eq!(found(text), pairs(&[]), "{text:?}");
        }
        for text in ["a = \"b", "/* a", "a = <<END\nb\n", "a = \"b\nc\""] {
            assert_eq!(found(text), None, "{text:?}");
        }
    }
}
