//! The files of a new plugin: a template with one word replaced, the SDK, the contract.

use super::{Language, Sdk, lock};
use anyhow::Context as _;
use include_dir::{Dir, DirEntry, include_dir};
use std::collections::BTreeSet;

/// Plugins that build; `mycloud` stands where the name belongs. The module and the requests of the first serve all.
static RUST: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../plugins/template/rust");
static PYTHON: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../plugins/examples/python");
static JS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../plugins/examples/js");
static SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../plugins/sdk");
static WIT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../wit/provisioner-1.0");

/// What our own make-believe cloud boots its nodes with serves a new one as well.
const CLOUD_INIT: [(&str, &str); 2] = [
    ("module/cloudinit-server.tftpl", include_str!("../../../../../infra/rehearsal/cloudinit-control-plane.tftpl")),
    ("module/cloudinit-worker.tftpl", include_str!("../../../../../infra/rehearsal/cloudinit-worker.tftpl")),
];
const WORKSPACE: &str = include_str!("../../../../../Cargo.toml");
const LOCK: &str = include_str!("../../../../../Cargo.lock");
const TOOLCHAIN: &str = include_str!("../../../../../rust-toolchain.toml");
const FORMAT: &str = include_str!("../../../../../rustfmt.toml");

/// The word that becomes the name.
const WORD: &str = "mycloud";
/// How the template's manifest names the copied SDK.
const COPIED: &str = "path = \"catalyst/plugins/sdk\"";
/// How its README names the copy, and what it says where there is none.
const COPIED_WORDS: [&str; 2] = [
    "`catalyst/` is the SDK and the contract (`catalyst/wit`) as they were when this folder was made.",
    "The SDK, and the contract with it, is the one that `Cargo.toml` names.",
];

/// Every file with its path, sorted.
///
/// # Errors
/// When what this binary carries is not what it should be, which a test would have found.
pub(super) fn files(name: &str, language: Language, sdk: &Sdk) -> anyhow::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    gather(&RUST, "", &mut files)?;
    if language != Language::Rust {
        files.retain(|(path, _)| path.starts_with("module/") || path.starts_with("cases/"));
        gather(if language == Language::Python { &PYTHON } else { &JS }, "", &mut files)?;
    }
    files.extend(CLOUD_INIT.map(|(path, text)| (path.to_owned(), text.to_owned())));
    for (path, text) in &mut files {
        if path == "gitignore" {
            ".gitignore".clone_into(path);
        }
        if path == "Cargo.toml" {
            *text = text.replace(COPIED, &dependency(sdk));
        }
        if path == "README.md" && !matches!(sdk, Sdk::Copied) {
            *text = text.replace(COPIED_WORDS[0], COPIED_WORDS[1]);
        }
        *text = text.replace(WORD, name);
    }
    match (language, sdk) {
        (Language::Rust, Sdk::Git(_)) => {}
        (Language::Rust, _) => {
            // The versions of a repository are known only when cargo has fetched it.
            files.push(("Cargo.lock".to_owned(), lock::of_plugin(LOCK, &format!("{name}-plugin"))?));
        }
        _ => gather(&WIT, "catalyst/wit/provisioner-1.0/", &mut files)?,
    }
    if language == Language::Rust {
        files.push(("rust-toolchain.toml".to_owned(), TOOLCHAIN.to_owned()));
        files.push(("rustfmt.toml".to_owned(), FORMAT.to_owned()));
        if let Sdk::Copied = sdk {
            copied_sdk(&mut files)?;
        }
    }
    files.sort();
    Ok(files)
}

fn copied_sdk(files: &mut Vec<(String, String)>) -> anyhow::Result<()> {
    gather(&SDK, "catalyst/plugins/sdk/", files)?;
    // Its own tests need this repository.
    files.retain(|(path, _)| !path.starts_with("catalyst/plugins/sdk/tests/"));
    gather(&WIT, "catalyst/wit/provisioner-1.0/", files)?;
    files.push(("catalyst/Cargo.toml".to_owned(), workspace()?));
    Ok(())
}

fn gather(dir: &Dir<'static>, prefix: &str, files: &mut Vec<(String, String)>) -> anyhow::Result<()> {
    for entry in dir.entries() {
        match entry {
            DirEntry::Dir(dir) => gather(dir, prefix, files)?,
            DirEntry::File(file) => {
                let path = file.path().display().to_string();
                let text = file.contents_utf8().with_context(|| format!("{path} is no text"))?;
                files.push((format!("{prefix}{path}"), text.to_owned()));
            }
        }
    }
    Ok(())
}

fn dependency(sdk: &Sdk) -> String {
    match sdk {
        Sdk::Copied => COPIED.to_owned(),
        // As TOML writes strings: {:?} escapes quotes and backslashes alike.
        Sdk::Folder(path) => format!("path = {:?}", path.display().to_string()),
        Sdk::Git(url) => format!("git = {url:?}"),
    }
}

/// The SDK's manifest takes versions and lints from its workspace, so the copy gets that much of ours.
fn workspace() -> anyhow::Result<String> {
    let manifest = SDK.get_file("Cargo.toml").and_then(include_dir::File::contents_utf8);
    let manifest = manifest.context("the SDK has no manifest")?;
    let inherited: BTreeSet<&str> = manifest.lines().filter_map(inherited).collect();
    let (package, rest) =
        WORKSPACE.split_once("[workspace.dependencies]\n").context("the workspace has no dependencies")?;
    let package = package.find("[workspace.package]").and_then(|at| package.get(at..));
    let package = package.context("the workspace has no package table")?;
    let (dependencies, rest) = rest.split_once("[workspace.lints").context("the workspace has no lints")?;
    let lints = rest.split("[profile.").next().unwrap_or_default();
    let named = |line: &&str| line.split_once(" = ").is_some_and(|(name, _)| inherited.contains(name));
    let dependencies: Vec<&str> = dependencies.lines().filter(named).collect();
    Ok(format!(
        "# What the SDK's manifest takes from its workspace.\n[workspace]\nresolver = \"3\"\nmembers = [\"plugins/sdk\"]\n\n{}\n\n\
         [workspace.dependencies]\n{}\n\n[workspace.lints{}\n",
        package.trim_end(),
        dependencies.join("\n"),
        lints.trim_end()
    ))
}

/// The dependency that a line of a manifest takes from the workspace.
fn inherited(line: &str) -> Option<&str> {
    let short = line.strip_suffix(".workspace = true");
    short.or_else(|| line.split_once(" = { workspace = true").map(|(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_of_the_repository_comes_along_and_the_word_is_gone() {
        let files = files("acme-2", Language::Rust, &Sdk::Copied).unwrap();
        for wanted in [
            "Cargo.toml",
            "Cargo.lock",
            ".gitignore",
            "rust-toolchain.toml",
            "src/lib.rs",
            "module/main.tf",
            "module/cloudinit-server.tftpl",
            "catalyst/Cargo.toml",
            "catalyst/plugins/sdk/src/lib.rs",
            "catalyst/wit/provisioner-1.0/provisioner.wit",
        ] {
            assert!(files.iter().any(|(path, _)| path == wanted), "{wanted}");
        }
        let left: Vec<_> = files.iter().filter(|(_, text)| text.contains(WORD)).map(|(path, _)| path).collect();
        assert!(left.is_empty(), "{left:?}");
        let mut paths: Vec<_> = files.iter().map(|(path, _)| path).collect();
        paths.dedup();
        assert_eq!(paths.len(), files.len(), "a path stands twice");
    }

    #[test]
    fn another_sdk_is_named_and_not_copied() {
        let files = files("acme", Language::Rust, &Sdk::Git("https://git.example/catalyst".to_owned())).unwrap();
        let manifest = &files.iter().find(|(path, _)| path == "Cargo.toml").unwrap().1;
        assert_eq!(manifest.matches("git = \"https://git.example/catalyst\"").count(), 3);
        assert!(!files.iter().any(|(path, _)| path.starts_with("catalyst/plugins") || path == "Cargo.lock"));
        let readme = &files.iter().find(|(path, _)| path == "README.md").unwrap().1;
        assert!(readme.contains(COPIED_WORDS[1]) && !readme.contains("catalyst/"), "{readme}");
    }

    #[test]
    fn every_readme_copies_beside_and_renames() {
        for language in [Language::Rust, Language::Python, Language::Js] {
            let files = files("acme", language, &Sdk::Copied).unwrap();
            let readme = &files.iter().find(|(path, _)| path == "README.md").unwrap().1;
            let into = |word: &str| readme.lines().filter(|line| line.starts_with(word)).collect::<Vec<_>>();
            assert_eq!(into("mv "), ["mv /plugins/acme.wasm.new /plugins/acme.wasm"]);
            let copies = into("cp ");
            assert!(copies.len() == 1 && copies[0].ends_with("plugin.wasm /plugins/acme.wasm.new"), "{copies:?}");
            assert_eq!(readme.matches("/plugins/acme.wasm").count(), 3, "nothing else leads there: {readme}");
        }
    }

    #[test]
    fn other_languages_share_the_module_and_carry_the_contract() {
        for (language, own) in [(Language::Python, "app.py"), (Language::Js, "app.js")] {
            let files = files("acme-2", language, &Sdk::Copied).unwrap();
            for wanted in [own, "module/main.tf", "cases/solo.json", "catalyst/wit/provisioner-1.0/provisioner.wit"] {
                assert!(files.iter().any(|(path, _)| path == wanted), "{wanted}");
            }
            assert!(!files.iter().any(|(path, text)| path.ends_with(".rs") || text.contains(WORD)));
        }
    }
}
