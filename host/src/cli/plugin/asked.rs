//! A request file put to one component, with a context that is the same on every machine, so that answers can be compared.

use super::super::render::{self, Answer};
use super::Usage;
use super::guest::GuestOutput;
use anyhow::Context as _;
use catalyst_domain::provider::{Descriptor, RenderContext};
use catalyst_domain::request::{self, Parsed};
use catalyst_sandbox::Provider;
use std::path::Path;

/// The context of every render here. All secrets will have a value, so every variable and file is shown.
pub(super) fn context(descriptor: &Descriptor) -> RenderContext {
    RenderContext {
        public_url: "https://catalyst.example".to_owned(),
        gitops_repo_url: "https://git.example/clusters".to_owned(),
        gitops_branch: "main".to_owned(),
        present_secrets: descriptor.secrets.iter().map(|spec| spec.name.clone()).collect(),
    }
}

/// Reads the body of a create that is for this component, or for none by name.
///
/// # Errors
/// [`Usage`], naming the file.
pub(super) fn read(file: &Path, descriptor: &Descriptor) -> Result<Parsed, Usage> {
    let body = render::read(file).map_err(|error| Usage(format!("{error:#}")))?;
    let named = |why: &str| Usage(format!("{}: {why}", file.display()));
    let parsed = request::parse(&body).map_err(|error| {
        named(&error.0.iter().map(|finding| finding.message.as_str()).collect::<Vec<_>>().join("; "))
    })?;
    match parsed.provider() {
        Some(other) if other != descriptor.id => {
            Err(named(&format!("is for the provider `{other}`, and this component is `{}`", descriptor.id)))
        }
        _ => Ok(parsed),
    }
}

/// What a create would say to a request file, and its module. What the component says is taken for the command's output.
///
/// # Errors
/// [`Usage`] for the file; otherwise why the component gave no answer, with its own words.
pub(super) async fn ask(provider: &Provider, file: &Path, guest: &GuestOutput) -> anyhow::Result<Answer> {
    let descriptor = provider.descriptor();
    let parsed = read(file, descriptor)?;
    let keys: Vec<String> = render::secret_keys(descriptor).map(str::to_owned).collect();
    let answer = render::ask(provider, parsed, &keys, &context(descriptor)).await;
    let fault = guest.take(&file.display().to_string());
    let said = fault.map(|fault| fault.words()).unwrap_or_default();
    answer.map_err(|error| anyhow::anyhow!("{error}{said}")).with_context(|| file.display().to_string())
}
