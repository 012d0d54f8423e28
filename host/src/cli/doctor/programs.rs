//! What the host runs: OpenTofu, plugins, and the providers that a plugin's module needs.

use super::finding::{Finding, reason};
use crate::cli::serve::{engine_settings, sandbox_settings};
use crate::compile::Apart;
use crate::config::Config;
use crate::engine::{self, Confine, Layer, LayerState};
use crate::outbound::has_address;
use catalyst_domain::provider::{Descriptor, TofuProvider};
use catalyst_sandbox::grants::{Basis, Grant};
use catalyst_sandbox::{Compile, PagePolicy, Provider, Sandbox, SandboxError, Settings};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Where OpenTofu looks for a provider whose address names no host.
const REGISTRY: &str = "registry.opentofu.org";

/// The binary, the way it will be run.
pub(super) async fn tofu(config: &Config) -> Vec<Finding> {
    let check = "tofu";
    let seen = match engine::look(engine_settings(config, None)).await {
        Ok(seen) => seen,
        Err(error) => {
            let advice = "install OpenTofu 1.12, or name it with CATALYST_TOFU_BIN";
            return vec![Finding::fail(check, error, advice)];
        }
    };
    let version = if seen.current {
        Finding::ok(check, format!("OpenTofu {}", seen.version))
    } else {
        Finding::warn(check, format!("OpenTofu {}", seen.version), "install 1.12, with which the host is tested")
    };
    let mut found = vec![version];
    found.extend(confinement(config.tofu.confine, &seen.layers));
    let missing = || seen.layers.iter().find(|state| state.missing.is_some()).map(|state| advice(state.layer));
    found.extend(seen.refused.as_ref().map(|why| Finding::fail("confinement", why, missing().unwrap_or_default())));
    found
}

/// Each layer between a run and all else, and what follows where one does not hold.
fn confinement(asked: Confine, layers: &[LayerState]) -> Vec<Finding> {
    let check = "confinement";
    if asked == Confine::Off {
        let found = "CATALYST_TOFU_CONFINE is off: providers can read what the host can";
        return vec![Finding::warn(check, found, "take it out")];
    }
    let held = layers.iter().filter(|state| state.missing.is_none()).map(|state| state.layer.as_str());
    let held = held.collect::<Vec<_>>().join(", ");
    let found = if held.is_empty() { "no layer holds".to_owned() } else { format!("runs are behind: {held}") };
    let mut findings = vec![Finding::ok(check, found)];
    findings.extend(layers.iter().filter_map(|state| {
        let why = state.missing.as_ref()?;
        let found = format!("not held: {} ({why}): {}", state.layer.as_str(), state.layer.without());
        Some(Finding::warn(check, found, advice(state.layer)))
    }));
    findings
}

/// What gives a layer that does not hold.
fn advice(layer: Layer) -> &'static str {
    match layer {
        Layer::Files => {
            "use Linux 5.19 or later with landlock in the kernel's `lsm=` list, and a seccomp profile that lets it through"
        }
        Layer::Scopes => "use Linux 6.12 or later with landlock in the kernel's `lsm=` list",
        Layer::Ports => "use Linux 6.7 or later with landlock in the kernel's `lsm=` list",
        Layer::ProcessLimit => {
            "use Linux 6.14 or later, or a user other than root, or bound the processes of the container"
        }
        Layer::UserNamespace | Layer::PidNamespace | Layer::NetworkNamespace | Layer::MountNamespace => {
            "let the host make user namespaces: a seccomp profile with `unshare` and `mount`, and sysctls that allow them \
             (docs/operations.md)"
        }
        Layer::ResourceLimits => "look at the hard limits of the host's process",
        Layer::SocketFamilies => {
            "use a kernel with CONFIG_SECCOMP_FILTER, and a seccomp profile of the container that lets `seccomp` through"
        }
    }
}

/// The folder of compiled plugins and shared providers.
pub(super) fn cache(config: &Config) -> Vec<Finding> {
    let check = "cache";
    let Some(folder) = &config.cache_dir else {
        let advice = "set CATALYST_CACHE_DIR: every start compiles the plugins, every run gets its providers anew";
        return vec![Finding::warn(check, "there is none", advice)];
    };
    let above = folder.ancestors().find(|one| one.exists()).unwrap_or(Path::new("/"));
    let shown = folder.display();
    match tempfile::Builder::new().prefix(".catalyst-doctor-").tempdir_in(above) {
        Ok(_) => vec![Finding::ok(check, format!("{shown} can be written"))],
        Err(error) => {
            let advice = "set CATALYST_CACHE_DIR to a folder of the host's user";
            let found = format!("{shown} cannot be used: {}", reason(&error));
            let asked_for = config.cache_asked_for;
            vec![if asked_for { Finding::fail(check, found, advice) } else { Finding::warn(check, found, advice) }]
        }
    }
}

/// Loads every plugin as a start does, and looks for its providers in the mirror.
pub(super) async fn plugins_and_mirror(config: &Config) -> Vec<Finding> {
    let check = "plugins";
    let folder = &config.plugins_dir;
    // A cache that is not there is the start's to make, as its user.
    let cache_dir = config.cache_dir.clone().filter(|dir| dir.is_dir());
    let settings = match sandbox_settings(config) {
        Ok(settings) => settings,
        Err(error) => {
            let advice = "correct the file that CATALYST_PLUGIN_LIMITS names, or unset it";
            return vec![Finding::fail("plugin limits", format!("{error:#}"), advice)];
        }
    };
    let compile = Compile::Apart(Arc::new(Apart));
    let with = |cache_dir| Sandbox::new(Settings { cache_dir, compile: compile.clone(), ..settings.clone() });
    let sandbox = match with(cache_dir) {
        // What is wrong with the cache is said by its own check.
        Err(SandboxError::Cache(_)) => with(None),
        sandbox => sandbox,
    };
    let sandbox = match sandbox {
        Ok(sandbox) => sandbox,
        Err(error) => {
            return vec![Finding::fail(check, format!("the sandbox does not start: {error}"), "look at the cause")];
        }
    };
    let report = sandbox.load_folder(folder).await;
    let mut found: Vec<Finding> = report
        .failures
        .iter()
        .map(|failure| {
            let advice = match folder.is_dir() {
                true => "replace the file, or take it out; where it is pinned, plugins.lock must name its digest",
                false => "make the folder with provider plugins (.wasm) in it, or set CATALYST_PLUGINS_DIR",
            };
            Finding::fail(check, format!("{} does not load: {}", failure.file, failure.error), advice)
        })
        .collect();
    if report.serving.is_empty() && found.is_empty() {
        let advice = "put provider plugins (.wasm) there, or set CATALYST_PLUGINS_DIR";
        found.push(Finding::fail(check, format!("{} holds none", folder.display()), advice));
    }
    for plugin in &report.serving {
        let described = plugin.descriptor();
        found.push(Finding::ok(check, format!("{} {} loads", described.id, described.version)));
        found.push(grants(plugin));
        found.extend(private_clouds(config, described));
        found.extend(mirrored(config.tofu.provider_mirror.as_deref(), &described.id, &described.tofu_providers));
    }
    found.push(pins(folder));
    found.push(page_policy(&sandbox));
    found
}

/// What is done with the memory of one plugin's call before another one gets it.
fn page_policy(sandbox: &Sandbox) -> Finding {
    let found = match sandbox.allocator().page_policy() {
        PagePolicy::Wiped { resident_bytes } => format!(
            "slots of a pool: the first {} KiB of each memory are wiped after a call, written or not, and the rest is given back; \
             the kernel is not asked which pages were written, for its answer leaves out swapped ones",
            resident_bytes / 1024
        ),
        PagePolicy::Fresh => {
            "fresh memory of the system for each call: there is no address space for a pool".to_owned()
        }
    };
    Finding::ok("plugin memory", found)
}

/// What a plugin's bundles may do, and who said so.
fn grants(plugin: &Provider) -> Finding {
    let (check, id, rights) = ("plugin grants", &plugin.descriptor().id, plugin.rights());
    let lines = |grants: &BTreeSet<Grant>| grants.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let found = match rights.basis() {
        Basis::Granted => return Finding::ok(check, format!("{id} is granted: {}", lines(rights.grants()))),
        Basis::Declared => format!("{id} may do what it declares, for there is no plugins.lock"),
        Basis::BeforeGrants => format!("{id} may do what it declares, for plugins.lock has no grants"),
    };
    let arguments = if rights.any_argument() { "; its module may set any argument of its providers" } else { "" };
    let advice =
        "look at `catalyst plugin inspect`, then `catalyst plugin grant --write` with every plugin of the folder";
    Finding::note(check, format!("{found}: {}{arguments}", lines(rights.wanted())), advice)
}

/// What to know where requests name the cloud's address.
fn private_clouds(config: &Config, described: &Descriptor) -> Option<Finding> {
    if !config.allowed_clouds.is_empty() || !has_address(described) {
        return None;
    }
    let found = format!("requests for {} name their cloud's address, and only public ones are taken", described.id);
    let advice = "for a private cloud set CATALYST_ALLOWED_CLOUDS to its hosts, suffixes (.example.org) or networks";
    Some(Finding::note("private clouds", found, advice))
}

/// A folder that a plugin could be slipped into should say which ones may serve.
fn pins(folder: &Path) -> Finding {
    let check = "plugin pins";
    if folder.join("plugins.lock").exists() {
        return Finding::ok(check, "plugins.lock says which bytes may serve");
    }
    // Only who can write there could put one in.
    if tempfile::Builder::new().prefix(".catalyst-doctor-").tempfile_in(folder).is_ok() {
        let advice = "write it (README.md says how), or mount the folder read-only";
        return Finding::warn(check, "no plugins.lock, and the folder can be written: any component may serve", advice);
    }
    Finding::ok(check, "no plugins.lock, and the folder cannot be written")
}

/// Each provider of a plugin, in the mirror, in its version.
fn mirrored(mirror: Option<&Path>, plugin: &str, wanted: &[TofuProvider]) -> Option<Finding> {
    let check = "mirror";
    let mirror = mirror?;
    let missing: Vec<String> = wanted
        .iter()
        .filter(|one| !is_mirrored(mirror, one))
        .map(|one| format!("{} {}", one.source, one.version))
        .collect();
    if missing.is_empty() {
        return Some(Finding::ok(check, format!("{} has what {plugin} needs", mirror.display())));
    }
    let found = format!("{} has no {}, which {plugin} needs", mirror.display(), missing.join(", "));
    Some(Finding::fail(check, found, "fill it with `tofu providers mirror`, or unset CATALYST_PROVIDER_MIRROR"))
}

/// Packed (`terraform-provider-x_1.2.3_linux_amd64.zip`) or unpacked (`1.2.3/linux_amd64/`), as OpenTofu reads both.
fn is_mirrored(mirror: &Path, provider: &TofuProvider) -> bool {
    let source = match provider.source.split('/').count() {
        2 => format!("{REGISTRY}/{}", provider.source),
        _ => provider.source.clone(),
    };
    let folder = mirror.join(source);
    let arch = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let version = provider.version.trim_start_matches(['=', ' ', 'v']);
    if folder.join(version).join(format!("linux_{arch}")).is_dir() {
        return true;
    }
    let end = format!("_{version}_linux_{arch}.zip");
    let packed = |entry: fs::DirEntry| entry.file_name().to_string_lossy().ends_with(&end);
    fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(packed))
}
