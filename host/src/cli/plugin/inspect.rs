//! `catalyst plugin inspect`: what a component is, and what it may do, before anybody trusts it.

use super::component::{Component, open_loaded};
use super::guest::GuestOutput;
use super::page::{Page, Tone};
use super::permissions::Permissions;
use super::{Report, example, trust};
use crate::config::Config;
use catalyst_domain::provider::Descriptor;
use catalyst_sandbox::grants::{self, Basis};
use catalyst_sandbox::{Limits, Provider, lock_rights};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub(super) const HELP: &str = concat!(
    example!("catalyst plugin inspect /plugins/acme.wasm", "catalyst plugin inspect acme.wasm --json | jq .digest"),
    "\nJSON: file, bytes, digest, interface (version of catalyst:provisioner), imports, permissions, wants and grants \
     (lines of plugins.lock), trust, limits, and descriptor: \
     all that the component says of itself. A component that a host would not load is an error with exit status 1.",
);

/// Arguments of `catalyst plugin inspect`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The component.
    file: PathBuf,
}

pub(super) async fn inspect(config: &Config, arguments: &Arguments, guest: &GuestOutput) -> anyhow::Result<Report> {
    let component = open_loaded(config, &arguments.file, guest).await?;
    let provider = &component.provider;
    let permissions = Permissions::of(provider);
    let wanted: Vec<String> = grants::wanted(provider.descriptor()).iter().map(ToString::to_string).collect();
    let granted = granted(&arguments.file, provider.descriptor());
    let json = json!({
        "file": arguments.file,
        "bytes": component.bytes,
        "digest": digest(provider),
        "interface": provider.interface_version(),
        "imports": provider.imports(),
        "permissions": permissions,
        "wants": wanted,
        "grants": granted.json(),
        "trust": trust::json(),
        "limits": limits_json(provider.limits()),
        "descriptor": descriptor_json(provider.descriptor()),
    });
    let mut page = Page::default();
    identity(&mut page, &component);
    page.gap();
    permissions.show(&mut page);
    page.gap();
    page.line(Tone::Head, "Grants");
    wanted.iter().for_each(|line| page.field("wants", line));
    granted.show(&mut page);
    page.gap();
    trust::show(&mut page);
    page.gap();
    page.line(Tone::Head, "Imports");
    for import in provider.imports() {
        page.line(Tone::Plain, &format!("  {import}"));
    }
    page.gap();
    catalogue(&mut page, provider.descriptor());
    page.gap();
    limits(&mut page, provider.limits(), provider.descriptor());
    Ok(Report { page, json, good: true, aside: Page::default() })
}

/// What the lock beside a file says of it.
enum Granted {
    /// There is no lock, or it is from before grants.
    Unsaid(Basis),
    /// Its lines, and those that it lacks.
    Lines { granted: Vec<String>, lacks: Vec<String> },
    /// The lock cannot be used.
    Unusable(String),
}

fn granted(file: &Path, descriptor: &Descriptor) -> Granted {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    match lock_rights(folder, &name, descriptor) {
        Err(error) => Granted::Unusable(error.to_string()),
        Ok((rights, lacks)) if rights.basis() == Basis::Granted => {
            Granted::Lines { granted: rights.grants().iter().map(ToString::to_string).collect(), lacks }
        }
        Ok((rights, _)) => Granted::Unsaid(rights.basis()),
    }
}

impl Granted {
    fn json(&self) -> Value {
        match self {
            Self::Unsaid(basis) => json!({"basis": basis.name()}),
            Self::Lines { granted, lacks } => json!({"basis": "granted", "granted": granted, "lacks": lacks}),
            Self::Unusable(error) => json!({"error": error}),
        }
    }

    fn show(&self, page: &mut Page) {
        match self {
            Self::Unsaid(Basis::Declared) => {
                page.field("granted", "what it declares: there is no plugins.lock beside it")
            }
            Self::Unsaid(_) => page.field("granted", "what it declares: the plugins.lock beside it has no grants"),
            Self::Lines { granted, lacks } => {
                granted.iter().for_each(|line| page.field("granted", line));
                lacks.iter().for_each(|line| page.field("lacks", line));
            }
            Self::Unusable(error) => page.field("granted", error),
        }
    }
}

/// `sha256:` and the digest, as `plugins.lock` has it.
pub(super) fn digest(provider: &Provider) -> String {
    format!("sha256:{}", provider.digest())
}

/// Who it is.
pub(super) fn identity(page: &mut Page, component: &Component) {
    let (provider, descriptor) = (&component.provider, component.provider.descriptor());
    page.line(Tone::Head, &format!("{} {} — {}", descriptor.id, descriptor.version, descriptor.display_name));
    page.field("interface", &format!("catalyst:provisioner {}", provider.interface_version()));
    page.field("digest", &digest(provider));
    page.field("size", &format!("{} bytes", component.bytes));
}

fn catalogue(page: &mut Page, descriptor: &Descriptor) {
    let catalogue = &descriptor.catalogue;
    page.line(Tone::Head, "Catalogue");
    page.field("prices", &format!("{} as of {}", catalogue.currency, catalogue.as_of));
    for region in &catalogue.regions {
        page.field("region", &format!("{} ({}): {}", region.id, region.display_name, region.machine_types.join(", ")));
    }
    let retired = catalogue.machine_types.iter().filter(|machine| machine.retired).count();
    page.field("machines", &format!("{} types, {retired} retired", catalogue.machine_types.len()));
    let keys: Vec<String> = setting_keys(descriptor);
    page.field("settings", &if keys.is_empty() { "none".to_owned() } else { keys.join(", ") });
}

fn setting_keys(descriptor: &Descriptor) -> Vec<String> {
    let schema: Value = serde_json::from_str(&descriptor.settings_schema).unwrap_or_default();
    schema["properties"].as_object().map(|keys| keys.keys().cloned().collect()).unwrap_or_default()
}

fn limits(page: &mut Page, limits: &Limits, descriptor: &Descriptor) {
    page.line(Tone::Head, "Limits");
    page.field(
        "a call",
        &format!("{} ms of CPU, {} bytes of memory", limits.call_timeout.as_millis(), limits.memory_bytes),
    );
    page.field("an answer", &format!("{} bytes", limits.hostcall_bytes));
    page.field("log of a call", &format!("{} bytes", limits.log_bytes));
    page.field("user data", &format!("{} bytes a node, as the cloud takes it", descriptor.user_data_limit));
}

fn limits_json(limits: &Limits) -> Value {
    json!({
        "callMilliseconds": u64::try_from(limits.call_timeout.as_millis()).unwrap_or(u64::MAX),
        "memoryBytes": limits.memory_bytes,
        "answerBytes": limits.hostcall_bytes,
        "logBytes": limits.log_bytes,
        "componentBytes": limits.component_bytes,
    })
}

/// The descriptor with its schema as JSON instead of as a text.
fn descriptor_json(descriptor: &Descriptor) -> Value {
    let mut json = serde_json::to_value(descriptor).unwrap_or_default();
    json["settings_schema"] = serde_json::from_str(&descriptor.settings_schema).unwrap_or_default();
    json
}
