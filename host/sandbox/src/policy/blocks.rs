//! Rules of blocks: which there may be, and what may stand in them.

use catalyst_domain::provider::Bundle;

use super::providers::Providers;
use super::source::{Block, Source, is_configuration};
use super::{Findings, Rule, folder, quoted};

/// Data sources that are refused whoever declares their provider: they run a program, call an address, or read the state
/// of another configuration.
const DATA_SOURCES: [&str; 3] = ["external", "http", "terraform_remote_state"];

/// Settings by which providers of several clouds start a program for a credential. A declared provider may have them; a bundle
/// may not use them.
const PROGRAMS: [&str; 6] =
    ["exec", "command", "credential_process", "credential_helper", "credentials_helper", "external_credential"];

/// Blocks that need no rule beyond those of their expressions.
const PLAIN: [&str; 5] = ["variable", "output", "locals", "moved", "removed"];

pub(super) fn check(source: &Source, bundle: &Bundle, providers: &Providers<'_>, found: &mut Findings) {
    match source.blocks() {
        Err((line, why)) => found.add(&source.path, line, Rule::Block, why),
        Ok(blocks) => {
            let mut walk = Walk { source, bundle, providers, found };
            blocks.iter().for_each(|block| walk.top(block));
        }
    }
}

struct Walk<'a, 'p> {
    source: &'a Source,
    bundle: &'a Bundle,
    providers: &'a Providers<'p>,
    found: &'a mut Findings,
}

impl Walk<'_, '_> {
    fn refuse(&mut self, line: Option<usize>, rule: Rule, why: impl Into<String>) {
        self.found.add(&self.source.path, line, rule, why);
    }

    fn top(&mut self, block: &Block<'_>) {
        self.runs_nothing(block);
        match block.kind {
            "terraform" => self.settings(block),
            "resource" | "ephemeral" => self.resource(block),
            "data" => self.data(block),
            "check" => block.blocks.iter().filter(|inner| inner.kind == "data").for_each(|inner| {
                self.runs_nothing(inner);
                self.data(inner);
            }),
            "module" => self.module(block),
            "provider" => {
                let name = block.labels.first().copied().unwrap_or_default();
                self.uses(block, name);
                self.starts_nothing(block);
            }
            plain if PLAIN.contains(&plain) => {}
            other => self.refuse(block.line, Rule::Block, format!("{} blocks are not allowed", quoted(other))),
        }
    }

    fn runs_nothing(&mut self, block: &Block<'_>) {
        for inner in &block.blocks {
            match inner.kind {
                "provisioner" => {
                    let name = inner.labels.first().copied().unwrap_or_default();
                    self.refuse(
                        inner.line,
                        Rule::Provisioner,
                        format!("provisioner {} would run programs", quoted(name)),
                    );
                }
                "connection" => self.refuse(inner.line, Rule::Connection, "connection blocks serve provisioners only"),
                _ => {}
            }
        }
    }

    /// Also deep in a provider's settings: in blocks, in objects, in the labels of `dynamic`. A value that is computed elsewhere is
    /// not followed; there the confinement holds.
    fn starts_nothing(&mut self, block: &Block<'_>) {
        let is_program = |name: &String| PROGRAMS.contains(&name.as_str());
        for attribute in &block.attributes {
            let mut names = [attribute.name.to_owned()].into_iter().chain(attribute.value.keys());
            self.would_run(attribute.line, names.find(is_program));
        }
        for inner in &block.blocks {
            let mut names = [inner.kind].into_iter().chain(inner.labels.iter().copied()).map(str::to_owned);
            self.would_run(inner.line, names.find(is_program));
        }
        block.blocks.iter().for_each(|inner| self.starts_nothing(inner));
    }

    fn would_run(&mut self, line: Option<usize>, program: Option<String>) {
        if let Some(name) = program {
            self.refuse(line, Rule::Provisioner, format!("{} would let the provider run programs", quoted(&name)));
        }
    }

    fn resource(&mut self, block: &Block<'_>) {
        let kind = block.labels.first().copied().unwrap_or_default();
        self.of_provider(block, kind);
    }

    fn data(&mut self, block: &Block<'_>) {
        let kind = block.labels.first().copied().unwrap_or_default();
        if DATA_SOURCES.contains(&kind) {
            return self.refuse(block.line, Rule::DataSource, format!("data source {} is not allowed", quoted(kind)));
        }
        self.of_provider(block, kind);
    }

    /// The provider is named, or it is the first word of the type.
    fn of_provider(&mut self, block: &Block<'_>, kind: &str) {
        let implied = kind.split('_').next().unwrap_or_default();
        let Some(attribute) = block.attribute("provider") else { return self.uses(block, implied) };
        match attribute.value.root_name() {
            Some(name) => self.uses(block, name),
            None => self.refuse(attribute.line, Rule::Provider, "the provider is not named plainly"),
        }
    }

    fn uses(&mut self, block: &Block<'_>, local_name: &str) {
        self.providers.used(self.source, block.line, local_name, self.found);
    }

    fn settings(&mut self, block: &Block<'_>) {
        for inner in &block.blocks {
            match inner.kind {
                "required_providers" => {}
                "backend" | "cloud" => {
                    self.refuse(inner.line, Rule::Backend, format!("a {} block; the host keeps the state", inner.kind));
                }
                "provider_meta" => self.refuse(inner.line, Rule::ProviderMeta, "provider_meta blocks are not allowed"),
                other => {
                    self.refuse(inner.line, Rule::Setting, format!("the setting {} is not allowed", quoted(other)))
                }
            }
        }
        for attribute in &block.attributes {
            // In JSON the blocks of above stand here once more.
            let told = block.blocks.iter().any(|inner| inner.kind == attribute.name);
            if attribute.name != "required_version" && !told {
                let why = format!("the setting {} is not allowed", quoted(attribute.name));
                self.refuse(attribute.line, Rule::Setting, why);
            }
        }
    }

    fn module(&mut self, block: &Block<'_>) {
        let Some(attribute) = block.attribute("source") else {
            return self.refuse(block.line, Rule::Module, "a module without a source");
        };
        let Some(source) = attribute.value.text() else {
            return self.refuse(attribute.line, Rule::Module, "the source of a module is not a plain text");
        };
        let inside = resolve(self.source.folder(), source).is_some_and(|target| {
            self.bundle.files.iter().any(|file| is_configuration(&file.path) && folder(&file.path) == target)
        });
        if !inside {
            let why = format!("the source {} is not a folder of the bundle such as \"./network\"", quoted(source));
            self.refuse(attribute.line, Rule::Module, why);
        }
    }
}

/// The folder that a relative source means; `None` when it is something else or leaves the bundle.
fn resolve(from: &str, source: &str) -> Option<String> {
    if !(source.starts_with("./") || source.starts_with("../")) || source.contains(['\\', '?']) || source.contains("//")
    {
        return None;
    }
    let mut parts: Vec<&str> = from.split('/').filter(|part| !part.is_empty()).collect();
    for part in source.split('/').filter(|part| !part.is_empty()) {
        match part {
            "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
