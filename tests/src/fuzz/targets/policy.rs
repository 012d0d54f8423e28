//! Modules of plugins: in whatever our policy passes, OpenTofu's own parser sees nothing that the policy is there to refuse.

use crate::fuzz::modules::{self, declared};
use crate::fuzz::reader::{Framing, Reader};
use crate::fuzz::{Random, Target, Verdict, caught};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use catalyst_domain::provider::Bundle;
use catalyst_sandbox::grants::{Basis, Rights};
use catalyst_sandbox::policy::{Allowance, Terms, check};
use serde::Deserialize;
use serde_json::json;

/// What OpenTofu's parser sees of a set of files; see `tests/tools/hcl`.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    errors: Vec<String>,
    facts: Vec<Fact>,
}

/// One thing that it sees.
#[derive(Debug, Deserialize)]
struct Fact {
    kind: String,
    file: String,
    #[serde(rename = "in")]
    within: Vec<String>,
    name: String,
    labels: Vec<String>,
    value: Option<String>,
    version: Option<String>,
}

struct Policy {
    hcl: Reader,
}

pub(super) fn target() -> anyhow::Result<Box<dyn Target>> {
    Ok(Box::new(Policy { hcl: Reader::start("hcl", &[], Framing::Lines)? }))
}

impl Target for Policy {
    fn name(&self) -> &'static str {
        "policy"
    }

    fn dictionary(&self) -> &'static [&'static str] {
        modules::DICTIONARY
    }

    fn generate(&self, random: &mut Random) -> Vec<u8> {
        modules::generate(random)
    }

    fn check(&mut self, inputs: &[Vec<u8>]) -> anyhow::Result<Vec<Verdict>> {
        let bundles: Vec<Bundle> = inputs.iter().map(|input| modules::bundle(input)).collect();
        let (descriptor, settings) = (declared(), serde_json::Map::new());
        let rights = Rights::as_declared(Basis::Declared, &descriptor);
        let terms = Terms { descriptor: &descriptor, rights: &rights, settings: &settings, present_secrets: None };
        let mut passed = Vec::new();
        let mut verdicts: Vec<Verdict> = Vec::with_capacity(bundles.len());
        for (at, bundle) in bundles.iter().enumerate() {
            verdicts.push(caught(|| match check(bundle, Allowance::Rendered(terms)) {
                Ok(()) => {
                    passed.push(at);
                    Verdict::Holds("passed".to_owned())
                }
                Err(refused) => {
                    let mut rules: Vec<&str> = refused.refusals.iter().map(|one| one.rule.name()).collect();
                    rules.dedup();
                    Verdict::Holds(format!("refused: {}", rules[..rules.len().min(2)].join(", ")))
                }
            }));
        }
        let questions: Vec<Vec<u8>> = passed.iter().map(|at| question(&bundles[*at])).collect();
        for (at, answer) in passed.into_iter().zip(self.hcl.ask::<Answer>(&questions)?) {
            verdicts[at] = match seen(&answer, &bundles[at]) {
                Some(why) => Verdict::Broken(why),
                None if answer.errors.is_empty() => Verdict::Holds(format!("passed: {}", shape(&answer))),
                None => Verdict::Holds("passed, and OpenTofu refuses it".to_owned()),
            };
        }
        Ok(verdicts)
    }
}

fn question(bundle: &Bundle) -> Vec<u8> {
    let files = bundle.files.iter().map(|file| json!({"path": file.path, "content": STANDARD.encode(&file.content)}));
    json!({"files": files.collect::<Vec<_>>()}).to_string().into_bytes()
}

/// Kinds of blocks that passed.
fn shape(answer: &Answer) -> String {
    let mut kinds: Vec<&str> =
        answer.facts.iter().filter(|fact| fact.kind != "attribute").map(|fact| fact.name.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds[..kinds.len().min(4)].join(" ")
}

const OUTERMOST: [&str; 12] = [
    "terraform",
    "resource",
    "data",
    "ephemeral",
    "check",
    "module",
    "provider",
    "variable",
    "output",
    "locals",
    "moved",
    "removed",
];
const REFUSED_DATA: [&str; 3] = ["external", "http", "terraform_remote_state"];
const PROGRAMS: [&str; 6] =
    ["exec", "command", "credential_process", "credential_helper", "credentials_helper", "external_credential"];

/// The first thing that must not be there. A module that OpenTofu refuses as a whole does nothing, whatever is in it.
fn seen(answer: &Answer, bundle: &Bundle) -> Option<String> {
    if !answer.errors.is_empty() {
        return None;
    }
    answer.facts.iter().find_map(|fact| {
        let why = match fact.kind.as_str() {
            "file" => (fact.name != "configuration").then(|| format!("a file with the role {}", fact.name)),
            "block" => block(fact, answer),
            "attribute" => attribute(fact, answer, bundle),
            "requirement" => requirement(fact),
            _ => call(fact, answer, bundle),
        };
        why.map(|why| format!("OpenTofu sees {why} in {}", fact.file))
    })
}

fn block(fact: &Fact, answer: &Answer) -> Option<String> {
    let within: Vec<&str> = fact.within.iter().map(String::as_str).collect();
    let label = fact.labels.first().map(String::as_str).unwrap_or_default();
    match (within.as_slice(), fact.name.as_str()) {
        ([], name) if !OUTERMOST.contains(&name) => Some(format!("a block {name}")),
        ([_] | ["any", _], name @ ("provisioner" | "connection")) => Some(format!("a {name}")),
        (["terraform"], name) if name != "required_providers" => Some(format!("the setting {name}")),
        ([] | ["check"], "data") if REFUSED_DATA.contains(&label) => Some(format!("the data source {label}")),
        ([], "provider") => foreign(label, fact, answer),
        ([], "resource" | "data" | "ephemeral") | (["check"], "data") => {
            let named = answer.facts.iter().any(|other| is_provider_of(other, fact));
            if named { None } else { foreign(label.split('_').next().unwrap_or_default(), fact, answer) }
        }
        (["any", "provider", ..], name) if PROGRAMS.contains(&name) || PROGRAMS.contains(&label) => {
            Some(format!("a provider's {name} {label}"))
        }
        _ => None,
    }
}

/// Whether a fact is the `provider` argument of a block.
fn is_provider_of(fact: &Fact, block: &Fact) -> bool {
    fact.kind == "attribute"
        && fact.name == "provider"
        && fact.file == block.file
        && fact.labels == block.labels
        && fact.within.last() == Some(&block.name)
}

/// What a local name of a provider means in its folder, where that is not what the plugin declares.
fn foreign(name: &str, fact: &Fact, answer: &Answer) -> Option<String> {
    if name == "terraform" {
        return None;
    }
    let folder = |path: &str| path.rsplit_once('/').map(|(folder, _)| folder.to_owned());
    let required =
        |other: &&Fact| other.kind == "requirement" && other.name == name && folder(&other.file) == folder(&fact.file);
    match answer.facts.iter().find(required) {
        Some(other) => requirement(other),
        None => Some(format!("the provider hashicorp/{name}")),
    }
}

fn requirement(fact: &Fact) -> Option<String> {
    let source = fact.value.clone().unwrap_or_else(|| format!("hashicorp/{}", fact.name)).to_ascii_lowercase();
    let right =
        ["acme/cloud", "registry.opentofu.org/acme/cloud", "terraform.io/builtin/terraform"].contains(&source.as_str());
    let version = fact.version.as_deref().map(|version| version.trim().trim_start_matches('=').trim());
    let pinned = fact.file.contains('/') || source.starts_with("terraform.io/") || version == Some("1.2.3");
    (!right || !pinned).then(|| format!("the provider {source} in the version {version:?}"))
}

fn attribute(fact: &Fact, answer: &Answer, bundle: &Bundle) -> Option<String> {
    let outer = fact.within.first().map(String::as_str).unwrap_or_default();
    match (outer, fact.name.as_str()) {
        ("terraform", name) if fact.within.len() == 1 && name != "required_version" => {
            Some(format!("the setting {name}"))
        }
        ("resource" | "data" | "ephemeral" | "check", "provider")
            if fact.within.last().is_some_and(|kind| ["resource", "data", "ephemeral"].contains(&kind.as_str())) =>
        {
            match &fact.value {
                Some(name) => foreign(name, fact, answer),
                None => Some("a provider that is computed".to_owned()),
            }
        }
        ("module", "source") if fact.within.len() == 1 => {
            let source = fact.value.as_deref().unwrap_or_default();
            (!is_inside(source, &fact.file, bundle)).then(|| format!("the module {source:?}"))
        }
        ("provider", name) if PROGRAMS.contains(&name) => Some(format!("a provider's {name}")),
        _ => None,
    }
}

/// Whether a source of a module is a folder of the bundle that holds configuration.
fn is_inside(source: &str, file: &str, bundle: &Bundle) -> bool {
    if !(source.starts_with("./") || source.starts_with("../")) {
        return false;
    }
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let Some(target) = clean(&format!("{folder}/{source}")) else { return false };
    bundle.files.iter().any(|file| {
        let (of, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        of == target && (name.ends_with(".tf") || name.ends_with(".tf.json"))
    })
}

/// A relative path without dots; `None` where it leaves its root.
fn clean(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn call(fact: &Fact, answer: &Answer, bundle: &Bundle) -> Option<String> {
    let name = fact.name.strip_prefix("core::").unwrap_or(&fact.name);
    if let Some(rest) = name.strip_prefix("provider::") {
        let local = rest.split("::").next().unwrap_or_default();
        return foreign(local, fact, answer);
    }
    if name.contains("::") || ["pathexpand", "abspath", "templatestring"].contains(&name) {
        return Some(format!("the function {name}"));
    }
    if !(name.starts_with("file") || name == "templatefile") {
        return None;
    }
    if fact.within.iter().any(|within| within == "template") {
        return Some(format!("the function {name} in a template"));
    }
    let Some(path) = &fact.value else { return Some(format!("{name} of a path that is computed")) };
    let inside = path.strip_prefix("/module").and_then(clean);
    let known = inside.is_some_and(|inside| name == "fileset" || bundle.files.iter().any(|file| file.path == inside));
    (!known || path.contains("..")).then(|| format!("{name} of {path:?}"))
}
