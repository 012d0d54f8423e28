//! What a bundle may hold before OpenTofu sees it: a stranger's module is code that runs with the user's credentials.
//!
//! Pure functions over a bundle's files. Every configuration file is read, and only what is known to be harmless passes:
//! blocks and settings are allowed by name, providers by the plugin's declaration. Where this parser and OpenTofu's could
//! read a text in two ways, the text is refused. This room knows no plugin, no process and no file system; what it cannot
//! see (what a declared provider does at run time) is the confinement's part.

mod arguments;
mod blocks;
mod calls;
mod known;
mod names;
mod providers;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use catalyst_domain::provider::{Bundle, Descriptor};
use serde_json::{Map, Value as Json};

pub(crate) use self::arguments::address_host;
pub(crate) use self::known::Known;
pub(crate) use self::providers::address as provider_address;

use self::arguments::Argument;
use self::providers::Providers;
use self::source::Source;
use crate::grants::Rights;

/// Refusals of one bundle that are told; a person fixes these first.
const TOLD: usize = 20;

/// Bytes of all files. Fifteen times a large cloud's module, and read within a second.
const BYTES: usize = 2 * 1024 * 1024;

/// Longest piece of a bundle's text in a refusal, in bytes.
const QUOTED: usize = 80;

/// What a bundle is held against.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// What its plugin declares.
    pub descriptor: &'a Descriptor,
    /// What its plugin may do.
    pub rights: &'a Rights,
    /// The request's keys that only this cloud knows: where an argument is to have the value of one.
    pub settings: &'a Map<String, Json>,
    /// The secrets that there were at the render; `None` for a bundle that was admitted then.
    pub present_secrets: Option<&'a [String]>,
}

/// Which OpenTofu providers a bundle may use, and which of their arguments it may set.
#[derive(Debug, Clone, Copy)]
pub enum Allowance<'a> {
    /// A fresh render: what the plugin declares, in exactly the declared version.
    Rendered(Terms<'a>),
    /// A bundle that was admitted when it was rendered, in front of a retry or a destroy: sources as the plugin declares them
    /// now. Versions may have moved on since, and so may the arguments that it declares; what is granted counts.
    Kept(Terms<'a>),
    /// As `Kept`, but its plugin is gone, so there is nothing to compare providers with. All other rules hold.
    Orphaned,
}

/// The rules, by the names that errors and the documentation use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Rule {
    /// A path that is not relative and plain, or that stands twice.
    Path,
    /// A name that OpenTofu reads by itself or that the host writes.
    ReservedName,
    /// A text that cannot be read, or that can be read in two ways.
    Syntax,
    /// A kind of block that no bundle needs.
    Block,
    /// Programs run by OpenTofu itself.
    Provisioner,
    /// A way onto a machine for a provisioner.
    Connection,
    /// A data source that runs programs, calls addresses or reads states.
    DataSource,
    /// A provider that the plugin does not declare.
    Provider,
    /// A provider without the exact version that the plugin declares.
    ProviderVersion,
    /// An argument of a provider that is neither declared nor granted, or does not come from where these say.
    ProviderArgument,
    /// A module from outside the bundle.
    Module,
    /// A place for the state, which is the host's to choose.
    Backend,
    /// Data for a provider's maker.
    ProviderMeta,
    /// Another setting of the `terraform` block.
    Setting,
    /// A function that reads outside of the bundle's files, or evaluates text that cannot be seen.
    FileRead,
}

impl Rule {
    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::ReservedName => "reserved-name",
            Self::Syntax => "syntax",
            Self::Block => "block",
            Self::Provisioner => "provisioner",
            Self::Connection => "connection",
            Self::DataSource => "data-source",
            Self::Provider => "provider",
            Self::ProviderVersion => "provider-version",
            Self::ProviderArgument => "provider-argument",
            Self::Module => "module",
            Self::Backend => "backend",
            Self::ProviderMeta => "provider-meta",
            Self::Setting => "setting",
            Self::FileRead => "file-read",
        }
    }
}

/// One thing that a bundle may not hold, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Path in the bundle, printable.
    pub file: String,
    /// Line, from 1; `None` where the file as a whole is meant.
    pub line: Option<usize>,
    /// The rule.
    pub rule: Rule,
    /// The rule in words, with the name that broke it.
    pub why: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}: {}", self.rule.name(), self.why)
    }
}

/// A bundle that must not reach OpenTofu. Holds at least one refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the bundle is refused: {}", told(refusals))]
pub struct Refused {
    /// In the order of the files; at most twenty.
    pub refusals: Vec<Refusal>,
}

fn told(refusals: &[Refusal]) -> String {
    refusals.iter().map(Refusal::to_string).collect::<Vec<_>>().join("; ")
}

/// Checks a whole bundle. It says nothing of variables and sizes, which are checked where a plugin's answer comes in.
///
/// # Errors
/// [`Refused`], naming file, line and rule.
pub fn check(bundle: &Bundle, allowance: Allowance<'_>) -> Result<(), Refused> {
    read_all(bundle, allowance).map(|_| ())
}

/// What is kept of a bundle that passes.
#[derive(Default)]
struct Read {
    /// Files that its configuration evaluates as templates.
    templates: BTreeSet<String>,
    /// Arguments in its `provider` blocks.
    arguments: Vec<Argument>,
}

fn read_all(bundle: &Bundle, allowance: Allowance<'_>) -> Result<Read, Refused> {
    let mut found = Findings::default();
    if let Err(why) = crate::check::files(bundle) {
        // The paths themselves are not to be trusted, so nothing more is said of them.
        found.add("bundle", None, Rule::Path, why);
        return found.verdict(Read::default());
    }
    for file in &bundle.files {
        names::check(&file.path, &mut found);
    }
    let length: usize = bundle.files.iter().map(|file| file.content.len()).sum();
    if length > BYTES {
        found.add("bundle", None, Rule::Syntax, format!("more than {BYTES} bytes of files"));
        return found.verdict(Read::default());
    }
    let read = |file| source::read(file, &mut found);
    let sources: Vec<Source> =
        bundle.files.iter().filter(|f| source::is_configuration(&f.path)).filter_map(read).collect();
    let providers = Providers::of(&sources, allowance, &mut found);
    for source in &sources {
        blocks::check(source, bundle, &providers, &mut found);
    }
    let templates = calls::check(&sources, bundle, &providers, &mut found);
    providers.settle(&mut found);
    let mut arguments = Vec::new();
    sources.iter().for_each(|source| arguments::of(source, &providers, &mut arguments));
    arguments::check(&arguments, bundle, allowance, &mut found);
    found.verdict(Read { templates, arguments })
}

/// Refusals so far.
#[derive(Default)]
struct Findings(Vec<Refusal>);

impl Findings {
    fn add(&mut self, file: &str, line: Option<usize>, rule: Rule, why: impl Into<String>) {
        if self.0.len() >= TOLD {
            return;
        }
        let refusal = Refusal { file: file.to_owned(), line, rule, why: why.into() };
        if !self.0.contains(&refusal) {
            self.0.push(refusal);
        }
    }

    fn verdict<T>(self, passed: T) -> Result<T, Refused> {
        if self.0.is_empty() { Ok(passed) } else { Err(Refused { refusals: self.0 }) }
    }
}

/// A piece of a bundle's text as it may stand in an error: short and printable.
fn quoted(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    let end = plain.char_indices().map(|(at, _)| at).take_while(|at| *at <= QUOTED).last().unwrap_or_default();
    if plain.len() <= QUOTED { format!("{plain:?}") } else { format!("{:?}…", &plain[..end]) }
}

/// The folder of a path; empty for the root.
fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
