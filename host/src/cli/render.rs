//! `catalyst render`: the module that a create would apply, as a folder for plain OpenTofu. Nothing is created, sent or
//! kept elsewhere, and no secret is written: each stays a variable that its owner sets.
//!
//! There is no deployment, so the first server is told of no host to call home to, and the join tokens are made by the
//! module itself.

use super::rehearse::empty_folder;
use super::serve::{sandbox_settings, start_sandbox};
use crate::compile::Apart;
use crate::config::Config;
use crate::driver::examine::Question;
use crate::outbound::judge_offline;
use anyhow::Context;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirBuilder, DirBuilderExt as _, OpenOptions, OpenOptionsExt as _};
use catalyst_domain::finding::joined_errors;
use catalyst_domain::provider::{Bundle, BundleFile, Descriptor, RenderContext, SecretSource};
use catalyst_domain::request::{GatheredFindings, Parsed};
use catalyst_domain::{Finding, request};
use catalyst_sandbox::{CallError, Compile, LoadFailure, Provider, Sandbox, Settings};
use serde_json::{Map, Value};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest request in bytes, as for a create.
const MOST_BYTES: u64 = 256 * 1024;
/// OpenTofu reads it by itself.
const VARIABLES: &str = "terraform.tfvars.json";

/// Arguments of `catalyst render`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The body of a create, as JSON; `-` reads standard input. Secrets in it are left out.
    request: PathBuf,
    /// Folder for the module; it must be empty.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

/// Writes the module and says how to go on.
///
/// # Errors
/// Everything that is wrong with the request, or why there is no module.
pub async fn render(config: Config, arguments: Arguments) -> anyhow::Result<()> {
    let body = read(&arguments.request)?;
    let settings = Settings { compile: Compile::Apart(Arc::new(Apart)), ..sandbox_settings(&config)? };
    let (sandbox, _) = start_sandbox(&config, settings).context("cannot start the sandbox")?;
    let failures = sandbox.load_folder(&config.plugins_dir).await.failures;
    let parsed = request::parse(&body).map_err(|error| refused(&error.0))?;
    let provider = choose(&sandbox, parsed.provider().or(config.default_provider.as_deref()), &failures)?;
    let descriptor = provider.descriptor();
    let keys: Vec<String> = sandbox
        .providers()
        .iter()
        .flat_map(|p| secret_keys(p.descriptor()).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let mut answer = ask(&provider, parsed, &keys, &context(&config, descriptor)).await?;
    // Nothing is resolved: who applies the module may know other names than this machine.
    let refused_addresses = judge_offline(&config.allowed_clouds, &answer.settings, descriptor);
    if !refused_addresses.is_empty() {
        answer.findings.extend(refused_addresses);
        return Err(refused(&answer.findings));
    }
    let bundle = answer.bundle.ok_or_else(|| refused(&answer.findings))?;
    let folder = empty_folder(&arguments.out)?;
    write(&folder, &bundle)?;
    report(&folder, &bundle, descriptor, &answer.findings);
    Ok(())
}

/// What a create would say to a body, and the module that it would apply.
pub(super) struct Answer {
    /// The host's and the plugin's, in the contract's order; those of secrets are left out, for they may as well be given at the
    /// apply.
    pub findings: Vec<Finding>,
    /// None when a finding refuses the request.
    pub bundle: Option<Bundle>,
    /// The cloud's own settings, as the plugin was given them.
    pub settings: Map<String, Value>,
}

/// Asks a plugin about a body. Secrets in it go nowhere.
///
/// # Errors
/// When the plugin gives no answer.
pub(super) async fn ask(
    provider: &Provider,
    mut parsed: Parsed,
    keys: &[String],
    context: &RenderContext,
) -> Result<Answer, CallError> {
    let descriptor = provider.descriptor();
    let mut gathered = GatheredFindings::new(parsed.take_wrong_types());
    gathered.add(parsed.unknown_keys(Some(descriptor), &[descriptor]));
    let (request, secrets, mut findings) = parsed.split(descriptor, keys);
    findings.retain(|finding| !secret_keys(descriptor).any(|key| finding.pointer == format!("/{key}")));
    gathered.add(findings);
    Question::of(provider, &request, &mut gathered).await?.ask(provider, &mut gathered).await?;
    let mut findings = gathered.finish(&secrets);
    let settings = request.extra.clone();
    if findings.iter().any(Finding::is_error) {
        return Ok(Answer { findings, bundle: None, settings });
    }
    let bundle = match provider.render(&request, context).await? {
        Ok(bundle) => Some(bundle),
        Err(refusal) => {
            findings.extend(refusal);
            None
        }
    };
    Ok(Answer { findings, bundle, settings })
}

/// Request keys that carry secrets.
pub(super) fn secret_keys(descriptor: &Descriptor) -> impl Iterator<Item = &str> {
    descriptor.request_secrets().map(|(_, key)| key)
}

/// The bytes of a body; `-` is standard input.
///
/// # Errors
/// Names the file.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    let from_stdin = path == Path::new("-");
    let read = if from_stdin {
        std::io::stdin().lock().take(MOST_BYTES + 1).read_to_end(&mut body)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut body))
    };
    read.with_context(|| format!("cannot read {}", path.display()))?;
    anyhow::ensure!(body.len() as u64 <= MOST_BYTES, "{} has more than {MOST_BYTES} bytes", path.display());
    Ok(body)
}

/// Who is not there may be a file that was not loaded, so each of those is named with its reason.
fn choose(sandbox: &Sandbox, id: Option<&str>, failures: &[LoadFailure]) -> anyhow::Result<Arc<Provider>> {
    let known = || sandbox.providers().iter().map(|p| p.descriptor().id.clone()).collect::<Vec<_>>().join(", ");
    let id = id.with_context(|| format!("name a provider in regions[0].provider: one of {}", known()))?;
    sandbox.provider(id).with_context(|| {
        let not_loaded: String =
            failures.iter().map(|failure| format!("; {} was not loaded: it {}", failure.file, failure.error)).collect();
        format!("there is no provider {id}; loaded are: {}{not_loaded}", known())
    })
}

fn refused(findings: &[Finding]) -> anyhow::Error {
    anyhow::anyhow!("the request was refused: {}", joined_errors(findings))
}

/// Minted secrets are a host's; the registry's token counts where this host has one.
fn context(config: &Config, descriptor: &Descriptor) -> RenderContext {
    let present = |source: &SecretSource| match source {
        SecretSource::Request(_) => true,
        SecretSource::Host(_) => !config.ghcr_pull_token.is_blank(),
        SecretSource::Minted => false,
    };
    let secrets = descriptor.secrets.iter().filter(|spec| present(&spec.source));
    RenderContext {
        public_url: config.public_url.clone(),
        gitops_repo_url: config.gitops_repo_url.clone(),
        gitops_branch: config.gitops_branch.clone(),
        present_secrets: secrets.map(|spec| spec.name.clone()).collect(),
    }
}

/// Writes a bundle with its variables into an empty folder.
///
/// # Errors
/// Names the file.
pub(super) fn write(folder: &Path, bundle: &Bundle) -> anyhow::Result<()> {
    let dir = Dir::open_ambient_dir(folder, ambient_authority());
    let dir = dir.with_context(|| format!("cannot open {}", folder.display()))?;
    for file in &bundle.files {
        write_file(&dir, file).with_context(|| format!("cannot write {}", file.path))?;
    }
    let content = serde_json::to_vec_pretty(&bundle.variables).context("cannot write the variables")?;
    let variables = BundleFile { path: VARIABLES.to_owned(), mode: 0o600, content };
    write_file(&dir, &variables).with_context(|| format!("cannot write {VARIABLES}"))
}

fn write_file(dir: &Dir, file: &BundleFile) -> std::io::Result<()> {
    let path = Path::new(&file.path);
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        let mut builder = DirBuilder::new();
        dir.create_dir_with(parent, builder.recursive(true).mode(0o700))?;
    }
    // State and plan will lie beside it, with secrets in them.
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode((file.mode & 0o700) | 0o600);
    dir.open_with(path, &options)?.write_all(&file.content)
}

#[expect(clippy::print_stdout, reason = "the result of a command goes to whoever ran it")]
fn report(folder: &Path, bundle: &Bundle, descriptor: &Descriptor, findings: &[Finding]) {
    println!("{} files for {} are in {}", bundle.files.len() + 1, descriptor.display_name, folder.display());
    let mut warnings: Vec<&str> = findings.iter().map(|finding| finding.message.as_str()).collect();
    warnings.extend(bundle.warnings.iter().map(String::as_str));
    let mut said = std::collections::BTreeSet::new();
    for warning in warnings.into_iter().filter(|warning| said.insert(*warning)) {
        println!("warning: {warning}");
    }
    for size in &bundle.user_data {
        println!("user data of a {} node: at most {} of {} bytes", size.node, size.bytes, size.limit);
    }
    println!("\nGive the secrets in the environment; the state will hold them:");
    for hole in &bundle.secret_variables {
        let label = descriptor.secrets.iter().find(|spec| spec.name == hole.secret).map_or("", |spec| &spec.label);
        println!("  export TF_VAR_{}=…    # {label}", hole.variable);
    }
    println!("\nThen, in that folder:\n  tofu init && tofu plan -out=plan.bin && tofu apply plan.bin");
}
