//! The bills of materials: held against what the programs themselves say of their making, not against what wrote the bills.

use crate::{root, words};
use catalyst_domain::kubeconfig::sha256_hex;
use catalyst_tests::host::built;
use catalyst_tests::tools;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

const PLUGINS: [&str; 3] = ["hetzner", "openstack", "rehearsal"];

/// Written once for all tests here.
static WRITTEN: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    write(&root(), folder.path());
    folder
});

fn write(sources: &Path, into: &Path) {
    let mut command = Command::new(sources.join("scripts/sbom.sh"));
    let output = command.arg(into).env("SOURCE_DATE_EPOCH", crate::EPOCH).output().unwrap();
    assert!(output.status.success(), "{}", words(&output));
}

struct Bill {
    main: Value,
    properties: Value,
    /// Components by name and version.
    parts: BTreeMap<(String, String), Value>,
    /// What needs what, by reference.
    edges: BTreeMap<String, Vec<String>>,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

impl Bill {
    fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let all: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((&all["bomFormat"], &all["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
        let parts = all["components"].as_array().unwrap();
        let edges = all["dependencies"].as_array().unwrap().iter().map(|edge| {
            let needs = edge["dependsOn"].as_array().into_iter().flatten();
            (text(&edge["ref"]), needs.map(text).collect())
        });
        Self {
            main: all["metadata"]["component"].clone(),
            properties: all["metadata"]["properties"].clone(),
            parts: parts.iter().map(|part| ((text(&part["name"]), text(&part["version"])), part.clone())).collect(),
            edges: edges.collect(),
        }
    }

    fn of(name: &str) -> Self {
        Self::read(&WRITTEN.path().join(format!("{name}.cdx.json")))
    }

    fn has(&self, name: &str, version: &str) -> bool {
        self.parts.contains_key(&(name.to_owned(), version.to_owned()))
    }

    /// Every reference that the main component needs, however far.
    fn reached(&self) -> BTreeSet<&str> {
        let (mut reached, mut next) = (BTreeSet::new(), vec![self.main["bom-ref"].as_str().unwrap()]);
        while let Some(at) = next.pop() {
            for need in self.edges.get(at).into_iter().flatten() {
                if reached.insert(need.as_str()) {
                    next.push(need);
                }
            }
        }
        reached
    }
}

/// Crates whose sources a program names, as it does where it can panic: name and version.
fn named_by(program: &Path) -> BTreeSet<(String, String)> {
    let bytes = fs::read(program).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let folders = text.split("/registry/src/").skip(1).filter_map(|rest| rest.split('/').nth(1));
    // A name may hold a dash and a figure, a version begins with a number and a dot.
    let parted = |folder: &str| {
        let at = folder.match_indices('-').map(|(at, _)| at).find(|at| {
            let major = folder[at + 1..].split('.').next().unwrap_or_default();
            !major.is_empty() && major.len() < folder.len() - at - 1 && major.bytes().all(|byte| byte.is_ascii_digit())
        })?;
        Some((folder[..at].to_owned(), folder[at + 1..].to_owned()))
    };
    folders.filter_map(parted).collect()
}

/// The programs that Cargo builds, each with its bill and the fewest crates that it is known to name.
fn of_cargo() -> Vec<(PathBuf, String, usize)> {
    let host = (built("release/catalyst"), "catalyst".to_owned(), 100);
    let plugin = |name: &&str| (built(&format!("plugins/{name}.wasm")), format!("plugin-{name}"), 2);
    std::iter::once(host).chain(PLUGINS.iter().map(plugin)).collect()
}

/// The programs that Go builds, each with its bill and the module that pins it.
fn of_go() -> Vec<(PathBuf, String, &'static str)> {
    let tofu = ("tofu", "tofu", "github.com/opentofu/opentofu");
    let hcloud = ("hcloud", "terraform-provider-hcloud", "github.com/hetznercloud/terraform-provider-hcloud");
    let module = "github.com/terraform-provider-openstack/terraform-provider-openstack/v3";
    let openstack = ("openstack", "terraform-provider-openstack", module);
    [tofu, hcloud, openstack].map(|(tool, bill, module)| (tools::pinned(tool).unwrap(), bill.to_owned(), module)).into()
}

#[test]
fn each_crate_that_a_program_names_is_in_its_bill() {
    for (program, name, fewest) in of_cargo() {
        let (bill, named) = (Bill::of(&name), named_by(&program));
        assert!(named.len() >= fewest, "{name} names {named:?}");
        let missing: Vec<_> = named.iter().filter(|(name, version)| !bill.has(name, version)).collect();
        assert!(missing.is_empty(), "{name}: {missing:?}");
    }
}

#[test]
fn a_bill_of_crates_holds_what_is_built_by_its_checksum_and_licence_and_nothing_else() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let value = |package: &str, key: &str| {
        let line = package.lines().find_map(|line| line.strip_prefix(&format!("{key} = \"")));
        line.map(|rest| rest.trim_end_matches('"').to_owned())
    };
    let packages = lock.split("[[package]]").skip(1);
    let checksums: BTreeMap<_, _> = packages
        .filter_map(|one| Some(((value(one, "name")?, value(one, "version")?), value(one, "checksum"))))
        .collect();
    for (_, name, _) in of_cargo() {
        let bill = Bill::of(&name);
        for (id, part) in &bill.parts {
            let checksum = checksums.get(id).unwrap_or_else(|| panic!("{name}: {id:?} is not in Cargo.lock"));
            assert_eq!(part["hashes"][0]["content"].as_str(), checksum.as_deref(), "{name}: {id:?}");
            assert!(text(&part["purl"]).starts_with(&format!("pkg:cargo/{}@{}", id.0, id.1)), "{name}: {part}");
            assert!(part["licenses"].as_array().is_some_and(|licences| !licences.is_empty()), "{name}: {id:?}");
        }
        let reached = bill.reached();
        let all: BTreeSet<&str> = bill.parts.values().map(|part| part["bom-ref"].as_str().unwrap()).collect();
        assert_eq!(reached, all, "{name}: what it needs, however far, and what it lists");
        // One that tests use, and one that a feature would pull in which nothing here asks for.
        for unused in ["proptest", "rsa"] {
            assert!(!bill.parts.keys().any(|(part, _)| part == unused), "{name}: {unused}");
        }
    }
}

#[test]
fn each_module_that_go_wrote_into_a_program_is_in_its_bill_and_the_bill_is_of_this_very_program() {
    for (program, name, module) in of_go() {
        let bill = Bill::of(&name);
        let said = Command::new("go").args(["version", "-m"]).arg(&program).output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        let lines: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
        let mut modules: Vec<(&str, &str)> = Vec::new();
        for line in &lines {
            match line[..] {
                ["dep", path, version, ..] => modules.push((path, version)),
                // What stands behind an arrow took the place of the line before it.
                ["=>", path, version, ..] => {
                    modules.pop();
                    modules.push((path, version));
                }
                _ => {}
            }
        }
        // Each program is built from a module of the tests, of which it is the one dependency that matters.
        modules.retain(|(path, _)| *path != module);
        assert!(modules.len() > 20, "{name}: {said}");
        let missing: Vec<_> = modules.iter().filter(|(path, version)| !bill.has(path, version)).collect();
        assert!(missing.is_empty(), "{name}: {missing:?}");
        assert!(bill.parts.keys().any(|(part, _)| part == "std"), "{name} names no standard library");

        let pinned = fs::read_to_string(root().join(format!("tests/tools/{}/go.mod", tool_of(&name)))).unwrap();
        let version = pinned.lines().find_map(|line| line.trim().strip_prefix(&format!("{module} "))).unwrap();
        let version = version.split(' ').next().unwrap();
        assert_eq!((text(&bill.main["name"]), text(&bill.main["version"])), (module.into(), version.into()));
        let hash =
            bill.properties.as_array().unwrap().iter().find(|one| one["name"] == "cdx:gomod:binary:hash:SHA-256");
        assert_eq!(text(&hash.unwrap()["value"]), sha256_hex(&fs::read(&program).unwrap()), "{name}");
    }
}

/// The folder in tests/tools that builds what a bill is of.
fn tool_of(bill: &str) -> &str {
    bill.strip_prefix("terraform-provider-").unwrap_or(bill)
}

#[test]
fn the_bills_are_the_same_wherever_the_sources_lie_and_name_no_folder_of_the_machine() {
    let (elsewhere, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let copied = Command::new("sh")
        .args(["-c", "tar -c --exclude=target --exclude=.git . | tar -x -C \"$0\""])
        .arg(elsewhere.path())
        .current_dir(root())
        .status();
    assert!(copied.unwrap().success());
    write(elsewhere.path(), second.path());
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        entries.collect::<BTreeSet<String>>()
    };
    let bills = of_cargo().into_iter().map(|(_, name, _)| name).chain(of_go().into_iter().map(|(_, name, _)| name));
    let expect: BTreeSet<String> = bills.map(|name| format!("{name}.cdx.json")).collect();
    assert_eq!((names(WRITTEN.path()), names(second.path())), (expect.clone(), expect.clone()));
    for name in expect {
        let [one, two] = [WRITTEN.path(), second.path()].map(|folder| fs::read_to_string(folder.join(&name)).unwrap());
        assert!(one == two, "{name}: two bills differ");
        let here = fs::canonicalize(root()).unwrap();
        for folder in [here.to_str().unwrap(), elsewhere.path().to_str().unwrap(), "/tmp/", "/home/"] {
            assert!(!one.contains(folder), "{name} names {folder}");
        }
    }
}

#[test]
fn plugins_name_no_folder_of_the_machine_that_built_them() {
    let here = fs::canonicalize(root()).unwrap();
    for name in PLUGINS {
        let program = built(&format!("plugins/{name}.wasm"));
        let bytes = fs::read(&program).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        // Whatever it names of crates is named below the one word that stands for Cargo's home.
        let before: Vec<&str> = text.split("/registry/src/").collect();
        let (_, before) = before.split_last().unwrap();
        assert!(!before.is_empty(), "{name} names no source at all, so this shows nothing");
        for named in before {
            assert!(named.ends_with("/cargo") && !named.ends_with("/.cargo"), "{name} names Cargo's home");
        }
        assert!(!text.contains(here.to_str().unwrap()), "{name} names the sources' folder");
    }
}

/// Whatever is run from an image has its bill there.
pub fn cover(image: &Path) {
    let bills = image.join("usr/share/doc/catalyst");
    let names = |folder: &str| {
        let entries = fs::read_dir(image.join(folder)).unwrap().map(|entry| entry.unwrap());
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let plugins =
        names("plugins").into_iter().filter_map(|name| Some(format!("plugin-{}", name.strip_suffix(".wasm")?)));
    let programs = names("usr/local/bin").into_iter().filter(|name| name != "catalyst-dns");
    let mut covered: BTreeSet<String> = plugins.chain(programs).collect();
    let found = Command::new("find").arg(image.join("providers")).args(["-type", "f"]).output().unwrap();
    for provider in String::from_utf8(found.stdout).unwrap().lines() {
        let (name, version) = provider.rsplit('/').next().unwrap().rsplit_once("_v").unwrap();
        let bill = Bill::read(&bills.join(format!("{name}.cdx.json")));
        assert_eq!(text(&bill.main["version"]), format!("v{version}"));
        assert!(covered.insert(name.to_owned()));
    }
    let kept = names("usr/share/doc/catalyst");
    let kept: BTreeSet<String> =
        kept.iter().filter_map(|name| name.strip_suffix(".cdx.json").map(ToOwned::to_owned)).collect();
    covered.insert("system".to_owned());
    assert_eq!(kept, covered);

    // The system's own files: each library and the trust store by its package, in the version that is installed.
    let system = Bill::read(&bills.join("system.cdx.json"));
    let files = Command::new("find").current_dir(image).args([".", "-name", "*.so*"]).output().unwrap();
    let files: Vec<String> =
        String::from_utf8(files.stdout).unwrap().lines().map(|line| line[1..].to_owned()).collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let real = fs::canonicalize(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        let owner = Command::new("dpkg").arg("-S").arg(real.file_name().unwrap()).output().unwrap();
        let owners = String::from_utf8(owner.stdout).unwrap();
        let listed = system.parts.keys().any(|(name, _)| owners.contains(&format!("{name}:")));
        assert!(listed, "{file} of {owners} is in no bill: {:?}", system.parts.keys());
    }
    let installed = Command::new("dpkg-query").args(["-W", "-f", "${Version}", "libc6"]).output().unwrap();
    assert!(system.has("libc6", &String::from_utf8(installed.stdout).unwrap()), "{:?}", system.parts.keys());
    assert!(system.parts.keys().any(|(name, _)| name == "ca-certificates"));
}
