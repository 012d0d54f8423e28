//! Rules of a bundle: its files land in a folder of ours, its variables in OpenTofu.

use std::collections::BTreeSet;

use catalyst_domain::provider::{Bundle, Descriptor, NodeRole};

use super::{Checked, NAME, TEXT, at_most, is_identifier, plain, short};

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
    nodes(bundle, descriptor)?;
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

/// Each variable has one source: the bundle, one secret, or the host.
fn variables(bundle: &Bundle, descriptor: &Descriptor) -> Checked {
    at_most("variables", bundle.variables.len(), ENTRIES)?;
    at_most("secret variables", bundle.secret_variables.len(), ENTRIES)?;
    let secret_names = bundle.secret_variables.iter().map(|filled| filled.variable.as_str());
    let of_the_host = bundle.deployment_id_variable.iter().chain(&bundle.cluster_exists_variable).map(String::as_str);
    let mut taken = BTreeSet::new();
    for name in bundle.variables.keys().map(String::as_str).chain(secret_names).chain(of_the_host) {
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

/// Each node has a name and a resource of its own, and the resource that carries the bearer is a server of the control plane.
fn nodes(bundle: &Bundle, descriptor: &Descriptor) -> Checked {
    at_most("nodes", bundle.nodes.len(), ENTRIES)?;
    let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for node in &bundle.nodes {
        plain("a node's name", &node.name, NAME)?;
        plain("a node's address", &node.address, NAME)?;
        if node.name.is_empty() || node.address.is_empty() {
            return Err("a node has no name or no address".into());
        }
        if !names.insert(node.name.as_str()) || !addresses.insert(node.address.as_str()) {
            return Err("two nodes have the same name or address".into());
        }
    }
    let is_first = |address: &String| {
        bundle.nodes.iter().any(|node| node.role == NodeRole::ControlPlane && node.address == *address)
    };
    if !bundle.nodes.is_empty() && !descriptor.bearer_resource.iter().all(is_first) {
        return Err("the resource that carries the bearer is none of the nodes of the control plane".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::descriptor::tests::sample as descriptor;
    use catalyst_domain::provider::{BundleFile, Node, SecretVariable};

    fn with_paths(paths: &[&str]) -> Bundle {
        let file = |path: &&str| BundleFile { path: path.to_string(), mode: 0o600, content: b"x".to_vec() };
        Bundle {
            files: paths.iter().map(file).collect(),
            variables: serde_json::Map::new(),
            secret_variables: vec![SecretVariable { secret: "token".into(), variable: "cloud_token".into() }],
            deployment_id_variable: Some("deployment_id".into()),
            cluster_exists_variable: Some("cluster_exists".into()),
            nodes: Vec::new(),
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

    #[test]
    fn nodes_are_told_apart_and_the_bearer_is_with_one_of_the_control_plane() {
        let node = |name: &str, role, address: &str| Node { name: name.into(), role, address: address.into() };
        let (server, worker, first) = (NodeRole::ControlPlane, NodeRole::Worker, "x_server.first[0]");
        let descriptor = Descriptor { bearer_resource: Some(first.into()), ..descriptor() };
        let check = |nodes: Vec<Node>| super::bundle(&Bundle { nodes, ..with_paths(&["a"]) }, &descriptor);
        assert_eq!(check(vec![node("cp1", server, first), node("w1", worker, "x_server.worker[0]")]), Ok(()));
        assert_eq!(check(Vec::new()), Ok(()), "contract 1.0 has no word for them");
        for (nodes, expect) in [
            (vec![node("cp1", server, first), node("cp1", worker, "x.w")], "same name or address"),
            (vec![node("cp1", server, first), node("w1", worker, first)], "same name or address"),
            (vec![node("w1", worker, first)], "none of the nodes"),
            (vec![node("cp1", server, "x_server.other")], "none of the nodes"),
            (vec![node("", server, first)], "no name"),
            (vec![node("a\nb", server, first)], "control character"),
        ] {
            let text = check(nodes).expect_err(expect);
            assert!(text.contains(expect), "{text} lacks {expect}");
        }
    }
}
