//! The part of our `Cargo.lock` that a plugin needs: the same versions, and nothing that it does not use.

use anyhow::Context as _;
use std::collections::{BTreeMap, BTreeSet};

/// What a plugin depends on; all else follows from it.
const ROOT: &str = "catalyst-plugin-sdk";
/// Between two packages. Cargo writes the file, always in this form.
const PACKAGE: &str = "[[package]]\n";

struct Package<'a> {
    name: &'a str,
    version: &'a str,
    block: &'a str,
}

/// The lock of a plugin's crate.
///
/// # Errors
/// When the text is no lock with the SDK in it.
pub(super) fn of_plugin(lock: &str, plugin: &str) -> anyhow::Result<String> {
    let (head, rest) = lock.split_once(PACKAGE).context("Cargo.lock has no package")?;
    let packages: Vec<Package<'_>> = rest.split(PACKAGE).filter_map(package).collect();
    let root = packages.iter().position(|package| package.name == ROOT).context("Cargo.lock lacks the SDK")?;
    let mut needed = BTreeSet::new();
    let mut left = vec![root];
    while let Some(index) = left.pop() {
        if needed.insert(index) {
            left.extend(dependencies(packages[index].block).flat_map(|wanted| find(&packages, wanted)));
        }
    }
    let mut blocks: BTreeMap<(&str, &str), String> = BTreeMap::new();
    for index in needed {
        let package = &packages[index];
        blocks.insert((package.name, package.version), format!("{PACKAGE}{}\n", package.block.trim_end()));
    }
    let own = format!("{PACKAGE}name = \"{plugin}\"\nversion = \"0.1.0\"\ndependencies = [\n \"{ROOT}\",\n]\n");
    blocks.insert((plugin, "0.1.0"), own);
    Ok(format!("{}\n\n{}", head.trim_end(), blocks.into_values().collect::<Vec<_>>().join("\n")))
}

fn package(block: &str) -> Option<Package<'_>> {
    let value =
        |key: &str| block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"'));
    Some(Package { name: value("name")?, version: value("version")?, block })
}

/// Entries such as `name` or `name 1.2.3`.
fn dependencies(block: &str) -> impl Iterator<Item = &str> {
    let list = block.split_once("dependencies = [").map_or("", |(_, list)| list);
    list.lines().filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\","))
}

fn find(packages: &[Package<'_>], wanted: &str) -> Option<usize> {
    let mut words = wanted.split(' ');
    let (name, version) = (words.next()?, words.next());
    packages.iter().position(|package| package.name == name && version.is_none_or(|version| package.version == version))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "# made by cargo\nversion = 4\n\n\
        [[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"r\"\ndependencies = [\n \"b 2.0.0\",\n]\n\n\
        [[package]]\nname = \"b\"\nversion = \"1.0.0\"\nsource = \"r\"\n\n\
        [[package]]\nname = \"b\"\nversion = \"2.0.0\"\nsource = \"r\"\n\n\
        [[package]]\nname = \"catalyst-plugin-sdk\"\nversion = \"0.1.0\"\ndependencies = [\n \"a\",\n]\n\n\
        [[package]]\nname = \"unused\"\nversion = \"1.0.0\"\nsource = \"r\"\n";

    #[test]
    fn only_what_is_reached_is_kept_in_its_version() {
        let lock = of_plugin(SAMPLE, "acme-plugin").unwrap();
        let names: Vec<&str> = lock.lines().filter(|line| line.starts_with("name")).collect();
        assert_eq!(names, ["name = \"a\"", "name = \"acme-plugin\"", "name = \"b\"", "name = \"catalyst-plugin-sdk\""]);
        assert!(
            lock.contains("name = \"b\"\nversion = \"2.0.0\"") && lock.starts_with("# made by cargo\nversion = 4\n")
        );
    }

    #[test]
    fn a_lock_without_the_sdk_is_none() {
        assert!(of_plugin("version = 4\n", "x").is_err());
        assert!(of_plugin("[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n", "x").is_err());
    }
}
