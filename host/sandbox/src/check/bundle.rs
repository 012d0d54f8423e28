//! Rules of a bundle: its files land in a folder of ours, its variables in OpenTofu.

use std::collections::BTreeSet;

use catalyst_domain::provider::{Bundle, Descriptor};

use super::{Checked, NAME, TEXT, at_most, is_identifier, short};

/// Files of a module with its templates.
const FILES: usize = 256;

/// Longest path in bytes; a file name of common file systems may have 255.
const PATH: usize = 255;

/// Bytes of one file.
const FILE: usize = 1024 * 1024;

/// Variables, nodes and warnings of a bundle.
const ENTRIES: usize = 200;

pub(crate) fn bundle(bundle: &Bundle, descriptor: &Descriptor) -> Checked {
    files(bundle)?;
    variables(bundle, descriptor)?;
    at_most("user data sizes", bundle.user_data.len(), ENTRIES)?;
    for size in &bundle.user_data {
        short("a node's role", &size.node, NAME)?;
    }
    at_most("warnings", bundle.warnings.len(), ENTRIES)?;
    bundle.warnings.iter().try_for_each(|warning| short("a warning", warning, TEXT))
}

/// The files alone, which are checked again each time that a kept bundle is used.
pub(crate) fn files(bundle: &Bundle) -> Checked {
    at_most("files", bundle.files.len(), FILES)?;
    if bundle.files.is_empty() {
        return Err("the bundle has no file".into());
    }
    let (mut paths, mut folded) = (BTreeSet::new(), BTreeSet::new());
    for file in &bundle.files {
        path(&file.path)?;
        if file.content.len() > FILE {
            return Err(format!("a file of the bundle is larger than {FILE} bytes"));
        }
        if !paths.insert(file.path.as_str()) {
            return Err("two files of the bundle have the same path".into());
        }
        // Where a file system does not tell them apart, the second would take the place of the first.
        if !folded.insert(file.path.to_lowercase()) {
            return Err("two paths of the bundle differ in upper and lower case only".into());
        }
    }
    if paths.iter().any(|path| folders(path).any(|folder| paths.contains(folder))) {
        return Err("a path of the bundle is a file and a folder at once".into());
    }
    Ok(())
}

fn path(path: &str) -> Checked {
    short("a path of the bundle", path, PATH)?;
    if path.contains(|c: char| c == '\\' || c.is_control()) {
        return Err("a path of the bundle has a backslash or a control character".into());
    }
    // An absolute path, a trailing slash and `//` all give an empty segment.
    if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err("a path of the bundle is not relative and plain".into());
    }
    Ok(())
}

/// The folders above a path, from the innermost.
fn folders(path: &str) -> impl Iterator<Item = &str> {
    path.rmatch_indices('/').map(|(end, _)| &path[..end])
}

/// Each variable has one source: the bundle, one secret, or the deployment id.
fn variables(bundle: &Bundle, descriptor: &Descriptor) -> Checked {
    at_most("variables", bundle.variables.len(), ENTRIES)?;
    at_most("secret variables", bundle.secret_variables.len(), ENTRIES)?;
    let secret_names = bundle.secret_variables.iter().map(|filled| filled.variable.as_str());
    let mut taken = BTreeSet::new();
    for name in
        bundle.variables.keys().map(String::as_str).chain(secret_names).chain(bundle.deployment_id_variable.as_deref())
    {
        if !is_identifier(name) {
            return Err("the name of a variable is not an identifier".into());
        }
        if !taken.insert(name) {
            return Err("a variable is filled twice".into());
        }
    }
    let declared = |name: &str| descriptor.secrets.iter().any(|secret| secret.name == name);
    if bundle.secret_variables.iter().any(|filled| !declared(&filled.secret)) {
        return Err("a variable is filled from a secret that the plugin did not declare".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::descriptor::tests::sample as descriptor;
    use catalyst_domain::provider::{BundleFile, SecretVariable};

    fn with_paths(paths: &[&str]) -> Bundle {
        let file = |path: &&str| BundleFile { path: path.to_string(), mode: 0o600, content: b"x".to_vec() };
        Bundle {
            files: paths.iter().map(file).collect(),
            variables: serde_json::Map::new(),
            secret_variables: vec![SecretVariable { secret: "token".into(), variable: "cloud_token".into() }],
            deployment_id_variable: Some("deployment_id".into()),
            user_data: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn refused(bundle: &Bundle, expect: &str) {
        let text = super::bundle(bundle, &descriptor()).expect_err(expect);
        assert!(text.contains(expect), "{text} lacks {expect}");
    }

    #[test]
    fn plain_paths_pass() {
        assert_eq!(super::bundle(&with_paths(&["main.tf", "files/a.tftpl", "files/b/..c"]), &descriptor()), Ok(()));
    }

    #[test]
    fn a_path_never_leaves_the_folder() {
        for path in ["/etc/passwd", "../x", "a/../../x", "./a", "a//b", "a/", "", ".", "a/."] {
            refused(&with_paths(&[path]), "relative and plain");
        }
        for path in ["a\\b", "a\0b", "a\nb"] {
            refused(&with_paths(&[path]), "control character");
        }
        refused(&with_paths(&[&"a".repeat(PATH + 1)]), "longer than");
    }

    #[test]
    fn paths_are_files_and_each_stands_once() {
        refused(&with_paths(&["a", "a"]), "same path");
        refused(&with_paths(&["a/b/c", "a"]), "a file and a folder");
        refused(&with_paths(&["a/Main.tf", "a/main.tf"]), "upper and lower case");
        refused(&with_paths(&[]), "no file");
    }

    #[test]
    fn a_variable_has_one_source_and_a_secret_is_declared() {
        let mut twice = with_paths(&["a"]);
        twice.variables.insert("cloud_token".into(), "made up".into());
        refused(&twice, "filled twice");
        let mut undeclared = with_paths(&["a"]);
        undeclared.secret_variables[0].secret = "other".into();
        refused(&undeclared, "did not declare");
        let mut odd = with_paths(&["a"]);
        odd.deployment_id_variable = Some("a=b".into());
        refused(&odd, "identifier");
    }
}
