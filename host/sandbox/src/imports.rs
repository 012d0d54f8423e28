//! The allow-list of imports, and the version of the contract, checked twice: as the bytes name them, before the
//! compiler is given a stranger's component, and as the engine sees them, before anything is linked. The second is the
//! proof.
//!
//! A guest gets `log`, the contract's own types, and the part of WASI 0.2 that a standard library imports whether it is
//! needed or not. Everything else is refused by name: `wasi:sockets` and `wasi:http` above all.

use wasmparser::{BinaryReaderError, ComponentTypeRef, Parser, Payload, TypeBounds};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::bind::Version;
use crate::compile::CompileError;
use crate::error::LoadError;

/// Package of the contract.
const CONTRACT: &str = "catalyst:provisioner";

/// Interfaces of the contract that a component names because it uses their types, and `log`.
const CONTRACT_INTERFACES: &[&str] = &["log", "request", "findings", "descriptor", "bundle", "outcome", "credentials"];

/// Interfaces of WASI 0.2 with a deterministic form.
const WASI: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// The imports of a component that passed, and the version of the contract they belong to.
#[derive(Debug)]
pub(crate) struct Imports {
    /// Sorted full names.
    pub names: Vec<String>,
    /// Version of the contract.
    pub contract: semver::Version,
}

/// Refuses what no plugin gets, and bytes that cannot be read, without compiling anything.
pub(crate) fn forbid(bytes: &[u8]) -> Result<(), LoadError> {
    let names = named(bytes).map_err(|error| CompileError::Invalid(error.to_string()))?;
    allowed(&names, None).map(|_| ())
}

/// Names of the imports of the outermost component.
fn named(bytes: &[u8]) -> Result<Vec<String>, BinaryReaderError> {
    let (mut names, mut depth) = (Vec::new(), 0_usize);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let import = import?;
                    // Another name for a type of an interface that is imported anyway: it carries nothing.
                    if !matches!(import.ty, ComponentTypeRef::Type(TypeBounds::Eq(_))) {
                        names.push(import.name.name.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

/// Reads the imports of a component and refuses what no plugin gets.
pub(crate) fn check(component: &Component, engine: &Engine) -> Result<Imports, LoadError> {
    let component = component.component_type();
    let mut names: Vec<String> = component.imports(engine).map(|(name, _)| name.to_owned()).collect();
    names.sort();
    let exports: Vec<String> = component.exports(engine).map(|(name, _)| name.to_owned()).collect();
    let contract = check_names(&names, &exports)?;
    Ok(Imports { names, contract })
}

/// The version is that of the exported interface; of a component that exports none, which fits no version, that of the imported
/// types, so that the error can name it.
fn check_names(imports: &[String], exports: &[String]) -> Result<semver::Version, LoadError> {
    allowed(imports, exported(exports))?.ok_or_else(|| LoadError::Interface { found: "another world".into() })
}

/// The version of the contract, where one is named, by the exports so far or by the imports.
fn allowed(imports: &[String], mut contract: Option<semver::Version>) -> Result<Option<semver::Version>, LoadError> {
    for name in imports {
        let forbidden = || LoadError::ForbiddenImport { import: name.clone() };
        let (interface, version) = name.split_once('@').ok_or_else(forbidden)?;
        let version = semver::Version::parse(version).map_err(|_| forbidden())?;
        if let Some(local) = interface.strip_prefix(CONTRACT).and_then(|rest| rest.strip_prefix('/')) {
            if !CONTRACT_INTERFACES.contains(&local) {
                return Err(forbidden());
            }
            match &contract {
                Some(seen) if *seen != version => {
                    return Err(LoadError::Interface { found: format!("{CONTRACT} {seen} and {version} at once") });
                }
                _ => contract = Some(version),
            }
        } else if !WASI.contains(&interface) || (version.major, version.minor) != (0, 2) {
            return Err(forbidden());
        }
    }
    Ok(contract)
}

fn exported(exports: &[String]) -> Option<semver::Version> {
    let versions = exports.iter().filter_map(|name| {
        let (interface, version) = name.split_once('@')?;
        interface.strip_prefix(CONTRACT)?.strip_prefix('/')?;
        semver::Version::parse(version).ok()
    });
    // Of two that are served the newer one says more; one that is not served is for newer hosts.
    versions.max_by_key(|version| (Version::of(version).is_ok(), version.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[&str]) -> Result<String, String> {
        check_with(names, &[])
    }

    fn check_with(imports: &[&str], exports: &[&str]) -> Result<String, String> {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<String>>();
        check_names(&owned(imports), &owned(exports)).map(|v| v.to_string()).map_err(|e| e.to_string())
    }

    #[test]
    fn the_version_is_that_of_the_exported_interface() {
        let cloud = "catalyst:provisioner/cloud@1.0.0";
        assert_eq!(check_with(&[], &[cloud]), Ok("1.0.0".into()), "nothing needs to be imported");
        assert_eq!(check_with(&["catalyst:provisioner/log@1.0.0"], &[cloud, "cabi"]), Ok("1.0.0".into()));
        let mixed = check_with(&["catalyst:provisioner/log@1.1.0"], &[cloud]);
        assert!(mixed.expect_err("two versions").contains("1.0.0 and 1.1.0 at once"));
    }

    #[test]
    fn the_contract_and_the_harmless_part_of_wasi_pass() {
        let names =
            ["catalyst:provisioner/descriptor@1.0.0", "catalyst:provisioner/log@1.0.0", "wasi:clocks/wall-clock@0.2.9"];
        assert_eq!(check(&names), Ok("1.0.0".into()));
    }

    #[test]
    fn bytes_tell_the_imports_of_the_outermost_component_only() {
        let text = r#"(component
            (import "catalyst:provisioner/log@1.0.0" (instance))
            (core module (import "env" "f" (func)))
            (component (import "a:b/c" (instance)))
            (type $t (record (field "x" u8)))
            (import "request" (type (eq $t)))
            (import "wasi:io/poll@0.2.6" (instance)))"#;
        let bytes = wat::parse_str(text).expect("text");
        assert_eq!(named(&bytes).expect("names"), ["catalyst:provisioner/log@1.0.0", "wasi:io/poll@0.2.6"]);
        assert!(forbid(&bytes).is_ok());
        let text = r#"(component (import "wasi:sockets/tcp@0.2.6" (instance)))"#;
        let error = forbid(&wat::parse_str(text).expect("text")).expect_err("a socket");
        assert!(matches!(error, LoadError::ForbiddenImport { import } if import == "wasi:sockets/tcp@0.2.6"));
        assert!(forbid(&bytes[..bytes.len() - 3]).expect_err("cut").to_string().contains("not a valid component"));
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        for name in [
            "wasi:sockets/tcp@0.2.6",
            "wasi:http/outgoing-handler@0.2.6",
            "wasi:filesystem/types@0.3.0",
            "wasi:clocks/wall-clock",
            "wasi:clocks/wall-clock@x",
            "catalyst:provisioner/vault@1.0.0",
            "catalyst:provisioner-x/log@1.0.0",
            "read-file",
            "unlocked-dep=<a:b>",
        ] {
            let text = check(&["catalyst:provisioner/descriptor@1.0.0", name]).expect_err(name);
            assert!(text.contains(name) && text.contains("no plugin gets"), "{text}");
        }
    }

    #[test]
    fn another_world_and_mixed_versions_are_named() {
        assert!(check(&["wasi:cli/stdout@0.2.6"]).expect_err("no contract").contains("another world"));
        let mixed = check(&["catalyst:provisioner/log@1.0.0", "catalyst:provisioner/request@1.1.0"]);
        assert!(mixed.expect_err("two versions").contains("1.0.0 and 1.1.0"));
    }
}
