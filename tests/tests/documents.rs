//! What texts refer to is there: documents with their headings, links, and files of this repository. A reader of an error, of a help
//! or of a comment has this repository and nothing else.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

/// Folders with text of others, of releases before, and of builds.
const NOT_OURS: [&str; 7] = [".git", "target", "node_modules", "fixtures", "corpus", "goldens", "__pycache__"];
/// Endings of files with text; a file without any is text, too.
const TEXTS: [&str; 16] =
    ["md", "rs", "wit", "yaml", "yml", "tf", "tftpl", "tpl", "txt", "toml", "json", "sh", "py", "js", "mjs", "go"];
/// Folders at the root of the repository.
const FOLDERS: [&str; 9] = ["chart", "docs", "host", "infra", "plugins", "scripts", "tests", "wit", ".github"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Every text of the repository by its path.
fn texts() -> Vec<(PathBuf, String)> {
    let (root, mut found) = (root(), Vec::new());
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && !NOT_OURS.contains(&name.as_str()) {
                folders.push(path);
            } else if path.is_file() && path.extension().is_none_or(|end| TEXTS.iter().any(|text| end == *text)) {
                let Ok(text) = std::fs::read_to_string(&path) else { continue };
                found.push((path.strip_prefix(&root).unwrap().to_owned(), text));
            }
        }
    }
    assert!(found.len() > 500, "{}", found.len());
    found
}

/// Words that may be paths, with the headings behind them and the places that stand for any name.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_of_a_path = |c: char| c.is_ascii_alphanumeric() || "/._-#<>{}$*".contains(c);
    text.split(move |c| !is_of_a_path(c)).map(|word| word.trim_end_matches('.')).filter(|word| !word.is_empty())
}

/// A heading as a link names it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn has_heading(document: &Path, heading: &str) -> bool {
    let text = std::fs::read_to_string(document).unwrap_or_default();
    text.lines().any(|line| line.starts_with('#') && anchor(line) == heading)
}

/// What a file means by a path: one from its own folder, or from the root.
fn meant(file: &Path, path: &str) -> Option<PathBuf> {
    let root = root();
    let own = root.join(file).parent().unwrap().join(path);
    [own, root.join(path)].into_iter().find(|path| path.exists())
}

/// What is wrong with a path and the heading behind it, as a file names them.
fn fault(file: &Path, word: &str) -> Option<String> {
    let (path, heading) = word.split_once('#').unwrap_or((word, ""));
    let found = if path.is_empty() { Some(root().join(file)) } else { meant(file, path) };
    match found {
        None => Some(format!("{} names {word}, which is not there", file.display())),
        Some(found) if !heading.is_empty() && !has_heading(&found, heading) => {
            Some(format!("{} names {word}, and there is no such heading", file.display()))
        }
        Some(_) => None,
    }
}

/// Code without its inline tests and its comments: what a program may print.
fn printed(text: &str) -> String {
    let product = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    product.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn is_test(file: &Path) -> bool {
    let path = file.to_str().unwrap();
    path.contains("tests/") || path.ends_with("_tests.rs") || path.ends_with("/tests.rs")
}

/// Whether it is a path that can be looked up: not of another host, and not a pattern.
fn is_plain(word: &str) -> bool {
    !word.starts_with('/') && !word.contains(['<', '>', '{', '}', '$', '*'])
}

fn none_is_wrong(faults: &[String], looked: usize, least: usize) {
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(looked >= least, "only {looked} were found");
}

#[test]
fn every_document_that_any_text_names_is_there_with_its_heading() {
    let (mut looked, mut faults) = (0, Vec::new());
    // The names in this file are examples.
    for (file, text) in texts().into_iter().filter(|(file, _)| !file.ends_with("documents.rs")) {
        for word in words(&text).filter(|word| is_plain(word)) {
            if word.split('#').next().is_some_and(|path| path.ends_with(".md") && path != ".md") {
                looked += 1;
                faults.extend(fault(&file, word));
            }
        }
    }
    none_is_wrong(&faults, looked, 150);
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let (mut looked, mut faults) = (0, Vec::new());
    for (file, text) in texts().iter().filter(|(file, _)| file.extension().is_some_and(|end| end == "md")) {
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://") && is_plain(target)) {
            looked += 1;
            faults.extend(fault(file, target));
        }
    }
    none_is_wrong(&faults, looked, 60);
}

#[test]
fn every_file_of_this_repository_that_a_person_is_told_of_is_there() {
    let (mut looked, mut faults) = (0, Vec::new());
    for (file, text) in texts() {
        let end = file.extension().and_then(|end| end.to_str()).unwrap_or_default();
        let told = match end {
            "rs" if is_test(&file) => continue,
            "rs" => printed(&text),
            "md" | "wit" | "yaml" | "txt" | "json" | "tf" | "tftpl" => text,
            _ => continue,
        };
        for word in words(&told).filter(|word| is_plain(word)) {
            let is_ours =
                word.split_once('/').is_some_and(|(first, rest)| FOLDERS.contains(&first) && !rest.is_empty());
            if is_ours && !word.contains('#') {
                looked += 1;
                faults.extend(fault(&file, word));
            }
        }
    }
    none_is_wrong(&faults, looked, 100);
}

/// A runbook of another repository has a name in capitals, and no path that leads to it.
#[test]
fn a_runbook_that_the_host_names_is_one_of_this_repository() {
    let (mut looked, mut faults) = (0, Vec::new());
    for (file, text) in texts().iter().filter(|(file, _)| file.starts_with("host") && !is_test(file)) {
        for word in words(&printed(text)) {
            let path = word.split('#').next().unwrap_or_default();
            let name = path.rsplit('/').next().unwrap_or_default();
            let stem = name.split('.').next().unwrap_or_default();
            let is_runbook = stem.contains('-')
                && stem.split('-').all(|part| part.len() > 4 && part.bytes().all(|b| b.is_ascii_uppercase()));
            if is_runbook {
                looked += 1;
                let is_there = path.ends_with(".md") && root().join(path).is_file();
                faults.extend((!is_there).then(|| format!("{} names {word}, which is no file here", file.display())));
            }
        }
    }
    none_is_wrong(&faults, looked, 2);
}

#[test]
fn what_is_not_there_is_found() {
    let file = Path::new("docs/plugins.md");
    assert_eq!(fault(file, "settings.md#what-a-run-may-reach"), None);
    assert_eq!(fault(file, "docs/settings.md"), None);
    assert_eq!(fault(file, "#what-check-finds"), None);
    for wrong in ["API.md", "settings.md#no-such-heading", "docs/no-such.md", "#no-such-heading", "wit/provisioner.wit"]
    {
        assert!(fault(file, wrong).is_some(), "{wrong}");
    }
    assert_eq!(words("see docs/x.md#a-b, and `y.md`.").collect::<Vec<_>>(), ["see", "docs/x.md#a-b", "and", "y.md"]);
    assert_eq!(printed("// docs/x.md\nlet a = \"docs/y.md\";"), "let a = \"docs/y.md\";");
}
