//! Rules of OpenTofu providers: each is a program, so only those that the plugin declares may be used, in the version that
//! it declares.
//!
//! A module names its providers locally; what a name means stands in `required_providers` of its folder, and a name that
//! does not stand there means `hashicorp/<name>` (OpenTofu, "Provider Requirements"). `terraform` is built in.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use catalyst_domain::provider::{Descriptor, TofuProvider};
use catalyst_domain::tofu_provider::{DEFAULT_REGISTRY, short_address};

use super::source::{Attribute, Block, Source, Value};
use super::{Allowance, Findings, Rule, Terms, quoted};

/// Address of the provider that is part of OpenTofu.
const BUILT_IN: &str = "terraform.io/builtin/terraform";
/// Providers whose only use is to run programs or to call addresses: no declaration makes them good.
const NEVER: [&str; 2] = ["hashicorp/external", "hashicorp/http"];

/// What the names of each folder mean, and what may be used.
pub(super) struct Providers<'a> {
    allowance: Allowance<'a>,
    /// By folder and local name.
    names: BTreeMap<(String, String), String>,
    /// Addresses that the root pins to the declared version.
    pinned: BTreeSet<String>,
    /// Where an address is used first, by file and line.
    used: RefCell<BTreeMap<String, (String, Option<usize>)>>,
}

impl<'a> Providers<'a> {
    /// Reads `required_providers` of all files.
    pub(super) fn of(sources: &[Source], allowance: Allowance<'a>, found: &mut Findings) -> Self {
        let (names, pinned) = Default::default();
        let mut providers = Self { allowance, names, pinned, used: RefCell::default() };
        for source in sources {
            // What is wrong with the blocks themselves is said by their own rules.
            let blocks = source.blocks().unwrap_or_default();
            let settings = blocks.iter().filter(|block| block.kind == "terraform");
            let required = settings.flat_map(|block| &block.blocks).filter(|inner| inner.kind == "required_providers");
            required.for_each(|block| providers.require(source, block, found));
        }
        providers
    }

    fn require(&mut self, source: &Source, block: &Block<'_>, found: &mut Findings) {
        for attribute in &block.attributes {
            let (address, version) = match requirement(attribute) {
                Ok(required) => required,
                Err(why) => {
                    let why = format!("the requirement of {} {why}", quoted(attribute.name));
                    found.add(&source.path, attribute.line, Rule::Provider, why);
                    continue;
                }
            };
            if self.judge(&address, &source.path, attribute.line, found) && source.folder().is_empty() {
                self.pin(&address, version, source, attribute.line, found);
            }
            self.names.insert((source.folder().to_owned(), attribute.name.to_owned()), address.clone());
            self.note(address, source, attribute.line);
        }
        if let Some(inner) = block.blocks.first() {
            found.add(&source.path, inner.line, Rule::Provider, "a block where providers are named");
        }
    }

    fn pin(
        &mut self,
        address: &str,
        version: Option<&str>,
        source: &Source,
        line: Option<usize>,
        found: &mut Findings,
    ) {
        let Allowance::Rendered(Terms { descriptor, .. }) = self.allowance else { return };
        let Some(declared) = declared(descriptor, address) else { return };
        let exact = version.map(|version| version.trim().trim_start_matches('=').trim());
        if exact != Some(declared.version.as_str()) {
            let why =
                format!("{} must be pinned to {}, as the plugin declares", quoted(address), quoted(&declared.version));
            found.add(&source.path, line, Rule::ProviderVersion, why);
        }
        self.pinned.insert(address.to_owned());
    }

    /// A use of a local name.
    pub(super) fn used(&self, source: &Source, line: Option<usize>, local_name: &str, found: &mut Findings) {
        if local_name == "terraform" {
            return;
        }
        let known = self.names.get(&(source.folder().to_owned(), local_name.to_owned()));
        let address = known.cloned().or_else(|| address(&format!("hashicorp/{local_name}")));
        let Some(address) = address else {
            return found.add(&source.path, line, Rule::Provider, format!("{} is no provider", quoted(local_name)));
        };
        // A name of the list was judged where it stands there.
        if known.is_some() || self.judge(&address, &source.path, line, found) {
            self.note(address, source, line);
        }
    }

    /// The full address that a local name means; empty for what is no name.
    pub(super) fn address_of(&self, source: &Source, local_name: &str) -> String {
        if local_name == "terraform" {
            return BUILT_IN.to_owned();
        }
        let known = self.names.get(&(source.folder().to_owned(), local_name.to_owned()));
        known.cloned().or_else(|| address(&format!("hashicorp/{local_name}"))).unwrap_or_default()
    }

    /// Says what was used without being pinned.
    pub(super) fn settle(&self, found: &mut Findings) {
        let Allowance::Rendered(Terms { descriptor, .. }) = self.allowance else { return };
        for (address, (file, line)) in self.used.borrow().iter() {
            if declared(descriptor, address).is_some() && !self.pinned.contains(address) {
                let why = format!("{} is not pinned in required_providers of the root module", quoted(address));
                found.add(file, *line, Rule::ProviderVersion, why);
            }
        }
    }

    fn note(&self, address: String, source: &Source, line: Option<usize>) {
        self.used.borrow_mut().entry(address).or_insert_with(|| (source.path.clone(), line));
    }

    fn judge(&self, address: &str, file: &str, line: Option<usize>, found: &mut Findings) -> bool {
        let never = NEVER.iter().any(|never| address.ends_with(&format!("/{never}")));
        let allowed = !never
            && match self.allowance {
                Allowance::Rendered(Terms { descriptor, .. }) | Allowance::Kept(Terms { descriptor, .. }) => {
                    address == BUILT_IN || declared(descriptor, address).is_some()
                }
                Allowance::Orphaned => true,
            };
        if !allowed {
            let why = if never { "is never allowed" } else { "is not declared by the plugin" };
            found.add(file, line, Rule::Provider, format!("the provider {} {why}", quoted(short_address(address))));
        }
        allowed
    }
}

fn declared<'a>(descriptor: &'a Descriptor, wanted: &str) -> Option<&'a TofuProvider> {
    descriptor.tofu_providers.iter().find(|provider| address(&provider.source).as_deref() == Some(wanted))
}

/// What a requirement may say (OpenTofu, "Provider Requirements").
const REQUIREMENT: [&str; 3] = ["source", "version", "configuration_aliases"];

/// Source and version of one entry: an object, or the old form, a version alone.
fn requirement<'a>(attribute: &Attribute<'a>) -> Result<(String, Option<&'a str>), &'static str> {
    let implied = || address(&format!("hashicorp/{}", attribute.name)).ok_or("has a name that no provider has");
    if !attribute.value.is_object() {
        let version = attribute.value.text().ok_or("is neither an object nor a plain version")?;
        return Ok((implied()?, Some(version)));
    }
    let entries = attribute.value.plain_entries().ok_or("has a key that is computed, or one that stands twice")?;
    if entries.iter().any(|(key, _)| !REQUIREMENT.contains(key)) {
        return Err("has another key than source, version and configuration_aliases");
    }
    let of = |name| entries.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    let plain = |source: Value<'_>| source.text().and_then(address).ok_or("has a source that is not a plain address");
    Ok((of("source").map_or_else(implied, plain)?, of("version").and_then(Value::text)))
}

/// The full address of a source, in lower case; `None` for what is none.
pub(crate) fn address(source: &str) -> Option<String> {
    let source = source.to_ascii_lowercase();
    let parts: Vec<&str> = source.split('/').collect();
    let plain = |part: &&str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':'))
    };
    if !parts.iter().all(plain) {
        return None;
    }
    match parts.as_slice() {
        [namespace, name] => Some(format!("{DEFAULT_REGISTRY}/{namespace}/{name}")),
        [host, namespace, name] => Some(format!("{host}/{namespace}/{name}")),
        _ => None,
    }
}
