//! What must hold of a module's files beyond the host's policy, which has read them by then.

use super::samples::LIVE;
use crate::yaml::{self, YamlError};
use catalyst_domain::provider::{Bundle, BundleFile, Descriptor};

/// Whether each live mark of a request became text: in a file that OpenTofu evaluates it stands escaped or not at all. And no
/// character of the private use areas, which an SDK may mark its places with, is left.
pub(super) fn text_stays_text(bundle: &Bundle) -> Result<(), String> {
    for file in bundle.files.iter().filter(|file| evaluated(&file.path)) {
        let Ok(text) = std::str::from_utf8(&file.content) else { continue };
        if text.match_indices(LIVE).any(|(at, _)| !escaped(text, at)) {
            return Err(format!("{}: a text of the request is evaluated", file.path));
        }
        if text.contains(|c: char| matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..)) {
            return Err(format!("{}: a private-use character is left", file.path));
        }
    }
    Ok(())
}

fn evaluated(path: &str) -> bool {
    [".tf", ".tf.json", ".tftpl"].iter().any(|ending| path.ends_with(ending))
}

/// An odd number of marks before it: each pair is one that was escaped.
fn escaped(text: &str, at: usize) -> bool {
    let marks = text.as_bytes().get(..at).unwrap_or_default().iter().rev().take_while(|byte| **byte == b'$').count();
    marks % 2 == 1
}

/// Every staged template that is cloud-config, and whether it reads as such once its holes are filled.
pub(super) fn cloud_configs(bundle: &Bundle) -> impl Iterator<Item = (&str, Result<(), String>)> {
    let texts = bundle.files.iter().filter_map(|file| Some((file, std::str::from_utf8(&file.content).ok()?)));
    texts.filter_map(|(file, text)| {
        let filled = filled(text.strip_prefix("#cloud-config")?)?;
        Some((file.path.as_str(), reads(&filled)))
    })
}

fn reads(text: &str) -> Result<(), String> {
    match yaml::read(text) {
        Ok(serde_json::Value::Object(_)) => Ok(()),
        Ok(_) => Err("the cloud-config is no mapping".to_owned()),
        Err(YamlError::Refused(error)) => Err(format!("the cloud-config is no YAML: {error}")),
        Err(error @ YamlError::TooLong) => Err(format!("the cloud-config cannot be read: {error}")),
    }
}

/// The text with a word in each hole; none where OpenTofu still has more to do than fill holes.
fn filled(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['$', '%']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let mark = if from.starts_with('$') { "$" } else { "%" };
        if let Some(after) = from.strip_prefix(&format!("{mark}{mark}{{")) {
            out.push_str(mark);
            out.push('{');
            rest = after;
        } else if from.starts_with("%{") {
            return None;
        } else if let Some(hole) = from.strip_prefix("${") {
            let (name, after) = hole.split_once('}')?;
            // A literal mark before a hole is written as a quoted one.
            let literal = name.trim().strip_prefix('"').and_then(|name| name.strip_suffix('"'));
            out.push_str(literal.unwrap_or("hole"));
            rest = after;
        } else {
            out.push_str(mark);
            rest = from.get(1..)?;
        }
    }
    out.push_str(rest);
    Some(out)
}

/// Whether the resource that carries the bearer is there, as far as the module's text tells.
pub(super) fn bearer(descriptor: &Descriptor, bundle: &Bundle) -> Result<(), String> {
    let Some(address) = &descriptor.bearer_resource else {
        return Err("there is a kubeconfig bearer, and `bearer-resource` does not say which resource carries it".into());
    };
    // A resource of a child module, an instance, the resource itself.
    let address = address.split('[').next().unwrap_or_default();
    let mut parts = address.rsplit('.');
    let (name, kind) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let declared = declares(bundle, &["resource", kind, name]);
    if declared {
        Ok(())
    } else {
        Err(format!("the module has no resource {kind}.{name}, which is to carry the bearer"))
    }
}

/// Whether the module declares a variable.
pub(super) fn declares_variable(bundle: &Bundle, name: &str) -> bool {
    declares(bundle, &["variable", name])
}

/// Whether a block with these labels begins somewhere. Labels may be quoted or not; a file in JSON is only searched for them.
fn declares(bundle: &Bundle, labels: &[&str]) -> bool {
    let in_file = |file: &BundleFile| {
        let text = String::from_utf8_lossy(&file.content);
        if file.path.ends_with(".tf.json") {
            return labels.iter().all(|label| text.contains(&format!("\"{label}\"")));
        }
        let begins = |line: &str| {
            let mut words = line.trim_start().split([' ', '\t', '{']).filter(|word| !word.is_empty());
            labels.iter().all(|label| words.next().is_some_and(|word| word.trim_matches('"') == *label))
        };
        file.path.ends_with(".tf") && text.lines().any(begins)
    };
    bundle.files.iter().any(in_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(path: &str, text: &str) -> Bundle {
        Bundle {
            files: vec![BundleFile { path: path.into(), mode: 0o600, content: text.into() }],
            variables: serde_json::Map::new(),
            secret_variables: Vec::new(),
            deployment_id_variable: None,
            cluster_exists_variable: None,
            nodes: Vec::new(),
            user_data: Vec::new(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn a_live_mark_is_found_and_an_escaped_one_is_not() {
        for (text, good) in [
            (format!("name = \"{LIVE}\""), false),
            (format!("name = \"${LIVE}\""), true),
            (format!("name = \"$${LIVE}\""), false),
            ("a\u{e001}b".to_owned(), false),
            ("plain".to_owned(), true),
        ] {
            assert_eq!(text_stays_text(&bundle("main.tf", &text)).is_ok(), good, "{text}");
        }
        assert!(text_stays_text(&bundle("notes.txt", LIVE)).is_ok(), "nothing evaluates it");
    }

    #[test]
    fn cloud_config_is_read_with_its_holes_filled() {
        let check = |text: &str| {
            cloud_configs(&bundle("a.tftpl", text)).map(|(_, outcome)| outcome.is_ok()).collect::<Vec<_>>()
        };
        assert_eq!(check("#cloud-config\nruncmd:\n  - [echo, \"$${x}\", ${token}]\n"), [true]);
        assert_eq!(check("#cloud-config\nruncmd: [\n"), [false]);
        assert_eq!(check(&format!("#cloud-config\na: {}\n", "[".repeat(100) + &"]".repeat(100))), [false]);
        assert_eq!(check(&format!("#cloud-config\n#{}\n", "x".repeat(256 * 1024))), [false]);
        assert_eq!(check("#cloud-config\njust text ${\"$\"}${a}\n"), [false]);
        assert_eq!(check("#cloud-config\n%{ if x }a: b%{ endif }\n"), Vec::<bool>::new(), "OpenTofu has more to do");
        assert_eq!(check("#!/bin/sh\n"), Vec::<bool>::new());
    }

    #[test]
    fn declarations_are_found() {
        let module = bundle("main.tf", "variable \"a\" {\n}\nresource \"cloud_server\" \"first\" { }\nvariable b {}");
        assert!(declares_variable(&module, "a") && declares_variable(&module, "b") && !declares_variable(&module, "c"));
        assert!(declares(&module, &["resource", "cloud_server", "first"]));
        assert!(!declares(&module, &["resource", "cloud_server", "second"]));
        assert!(declares_variable(&bundle("x.tf.json", r#"{"variable": {"a": {}}}"#), "a"));
    }
}
