//! `catalyst plugin new`: a folder that stands alone. It carries the SDK and the contract as this binary was built with them,
//! and the exact versions of all crates, so it builds wherever they are in cargo's cache, without network.

mod folder;
mod lock;

use super::page::{Page, Tone};
use super::{Report, Usage, example};
use crate::cli::rehearse::empty_folder;
use anyhow::Context as _;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Longest provider id: the host's rule.
const MOST: usize = 31;

pub(super) const HELP: &str = concat!(
    example!(
        "catalyst plugin new acme && cd acme",
        "cargo build --release --target wasm32-wasip2",
        "catalyst plugin check target/wasm32-wasip2/release/plugin.wasm",
    ),
    "\nJSON: name, folder, files (relative paths), sdk.",
);

/// Arguments of `catalyst plugin new`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Id of the new cloud: a lower-case letter, then lower-case letters, digits and hyphens.
    name: String,
    /// Language of the plugin.
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    lang: Language,
    /// Folder to make; it must be empty or not be there. Default: the name.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// The SDK to build against, for Rust: a folder with the crate, or the URL of a git repository. Default: a copy in the
    /// new folder.
    #[arg(long, value_name = "FOLDER or URL")]
    sdk: Option<String>,
}

/// Which scaffold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Language {
    /// With the SDK; compiled by cargo.
    Rust,
    /// The contract alone; made a component by componentize-py.
    Python,
    /// The contract alone; made a component by componentize-js.
    Js,
}

/// Where the SDK comes from.
#[derive(Debug)]
enum Sdk {
    /// A copy in the new folder.
    Copied,
    /// The crate in a folder, absolute.
    Folder(PathBuf),
    /// A repository that cargo fetches.
    Git(String),
}

pub(super) fn new(arguments: &Arguments) -> anyhow::Result<Report> {
    if arguments.lang != Language::Rust && arguments.sdk.is_some() {
        return Err(Usage("--sdk: is for Rust; another language needs the contract alone".to_owned()).into());
    }
    let name = check_name(&arguments.name)?;
    let sdk = sdk(arguments.sdk.as_deref())?;
    let dir = arguments.dir.clone().unwrap_or_else(|| PathBuf::from(name));
    let folder = empty_folder(&dir).map_err(|error| Usage(format!("{error:#}")))?;
    let files = folder::files(name, arguments.lang, &sdk)?;
    for (path, text) in &files {
        write(&folder, path, text).with_context(|| format!("cannot write {path}"))?;
    }
    let used = match &sdk {
        // Where the copy lies, or the contract alone.
        Sdk::Copied => "catalyst".to_owned(),
        Sdk::Folder(path) => path.display().to_string(),
        Sdk::Git(url) => url.clone(),
    };
    let mut page = Page::default();
    page.line(Tone::Good, &format!("{} holds a plugin for {name}, {} files", dir.display(), files.len()));
    Ok(Report {
        page: next(page, &dir, arguments.lang),
        json: json!({"name": name, "folder": folder, "files": paths(&files), "sdk": used}),
        good: true,
        aside: Page::default(),
    })
}

fn next(mut page: Page, dir: &Path, language: Language) -> Page {
    let (build, wasm): (&[&str], _) = match language {
        Language::Rust => {
            (&["cargo build --release --target wasm32-wasip2"], "target/wasm32-wasip2/release/plugin.wasm")
        }
        Language::Python => (
            &[
                "pip install -r requirements.txt",
                "componentize-py --wit-path catalyst/wit/provisioner-1.0 --world provisioner componentize --stub-wasi app \
                 -o plugin.wasm",
            ],
            "plugin.wasm",
        ),
        Language::Js => (&["npm install", "npm run build"], "plugin.wasm"),
    };
    page.gap();
    page.line(Tone::Head, "Next");
    page.line(Tone::Plain, &format!("  cd {}", dir.display()));
    for line in build {
        page.line(Tone::Plain, &format!("  {line}"));
    }
    page.line(Tone::Plain, &format!("  catalyst plugin check {wasm}"));
    page
}

fn paths(files: &[(String, String)]) -> Vec<&str> {
    files.iter().map(|(path, _)| path.as_str()).collect()
}

fn check_name(name: &str) -> Result<&str, Usage> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = name.len() <= MOST
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.ends_with(|c: char| c != '-')
        && name.chars().all(plain);
    let rule = || {
        format!(
            "`{name}` cannot be a cloud's id: it is a lower-case letter and up to {} lower-case letters, digits and inner hyphens",
            MOST - 1
        )
    };
    if good { Ok(name) } else { Err(Usage(rule())) }
}

fn sdk(given: Option<&str>) -> Result<Sdk, Usage> {
    let Some(given) = given else { return Ok(Sdk::Copied) };
    // A URL, or git's own short form of one.
    if given.contains("://") || given.starts_with("git@") {
        return Ok(Sdk::Git(given.to_owned()));
    }
    let manifest = Path::new(given).join("Cargo.toml");
    let is_sdk = std::fs::read_to_string(&manifest).is_ok_and(|text| text.contains("name = \"catalyst-plugin-sdk\""));
    let folder = std::path::absolute(given).ok().filter(|_| is_sdk);
    folder.map(Sdk::Folder).ok_or_else(|| {
        Usage(format!("--sdk {given}: is neither a URL nor the folder of the crate catalyst-plugin-sdk"))
    })
}

fn write(folder: &Path, path: &str, text: &str) -> std::io::Result<()> {
    let path = folder.join(path);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_a_host_takes_as_ids() {
        for good in ["a", "acme", "acme-2", &"a".repeat(31)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "2a", "Acme", "a_b", "a b", "a/b", "ä", &"a".repeat(32)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
