//! One way to a bundle and its digest: for a run, for the check of what was approved, and for a preview. That all three go
//! through here is why their digests can be compared. A bundle that was kept comes back through here, too, and is checked
//! anew: it is code, and it lay on a disk meanwhile.

use super::Driver;
use catalyst_domain::finding::joined_errors;
use catalyst_domain::kubeconfig::sha256_hex;
use catalyst_domain::provider::Bundle;
use catalyst_domain::{Finding, Record, Request, Secrets};
use catalyst_sandbox::Provider;
use catalyst_sandbox::grants::kept_bundle_needs;
use catalyst_sandbox::policy::{self, Allowance};
use catalyst_store::{Part, SetAside};
use serde_json::{Map, Value};

/// A bundle as it is kept.
pub(super) struct Rendered {
    pub(super) bundle: Bundle,
    /// Its JSON text.
    pub(super) bytes: Vec<u8>,
    /// SHA-256 of that text, as hex.
    pub(super) digest: String,
}

/// Why there is no bundle.
pub(super) enum RenderFault {
    /// The plugin refuses the request.
    Findings(Vec<Finding>),
    /// The plugin failed.
    Provider(String),
}

impl RenderFault {
    /// In words.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Findings(findings) => format!("the request was refused: {}", joined_errors(findings)),
            Self::Provider(why) => why.clone(),
        }
    }
}

impl Driver {
    /// Of the secrets the plugin learns only which of them have a value.
    pub(super) async fn render(
        &self,
        provider: &Provider,
        request: &Request,
        secrets: &Secrets,
    ) -> Result<Rendered, RenderFault> {
        let context = self.render_context(secrets.names());
        let rendered = provider.render(request, &context).await;
        let bundle =
            rendered.map_err(|error| RenderFault::Provider(error.to_string()))?.map_err(RenderFault::Findings)?;
        let bytes = serde_json::to_vec(&bundle).map_err(|error| RenderFault::Provider(error.to_string()))?;
        let digest = sha256_hex(&bytes);
        Ok(Rendered { bundle, bytes, digest })
    }

    /// The bundle that a deployment keeps, as it may reach OpenTofu; `None` when it keeps none. One that is damaged is set aside, which
    /// the log says: its plugin can render it anew from the request.
    ///
    /// # Errors
    /// It cannot be read, or must not be run; in words.
    pub(super) async fn kept_bundle(&self, record: &Record) -> Result<Option<Bundle>, String> {
        let aside = self.store.set_damaged_aside(&record.id, Part::Bundle).await.map_err(|error| error.to_string())?;
        for SetAside { file, why } in aside {
            let text = format!(
                "the kept bundle cannot be read ({why}) and is set aside as {file} in the folder of states (CATALYST_STATE_DIR)"
            );
            self.warn(&record.id, text).await;
        }
        let Some(bytes) = self.store.bundle(&record.id).await.map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        let (provider, digest) = (self.provider_of(record), record.render_digest.clone());
        if let (None, Some(taken)) = (&provider, record.render_rights.iter().find(|line| self.is_taken_back(line))) {
            return Err(format!("its plugin is not loaded, and plugins.lock has no `{taken}` any more"));
        }
        let settings = record.request.extra.clone();
        // Apart from the tasks of other deployments: reading code takes a while.
        let admitted =
            tokio::task::spawn_blocking(move || admit(&bytes, provider.as_deref(), &settings, &digest)).await;
        admitted.map_err(|_| "the kept bundle could not be read".to_owned())?.map(Some)
    }
}

impl Driver {
    /// Whether a bundle that was kept since this line of `plugins.lock` held may need its right, and it was taken back.
    fn is_taken_back(&self, line: &str) -> bool {
        kept_bundle_needs(line) && self.sandbox.took_back(line)
    }
}

fn admit(
    bytes: &[u8],
    provider: Option<&Provider>,
    settings: &Map<String, Value>,
    digest: &str,
) -> Result<Bundle, String> {
    let bundle = serde_json::from_slice(bytes).map_err(|_| "the kept bundle cannot be read".to_owned())?;
    let rights = provider.map(|provider| provider.rights());
    let allowance = match (provider, &rights) {
        (Some(provider), Some(rights)) => Allowance::Kept(provider.terms(rights, settings)),
        // Nobody says any more which providers it may use, so it must be the very bundle that was admitted.
        _ if digest == sha256_hex(bytes) => Allowance::Orphaned,
        _ => return Err("its plugin is not loaded, and the kept bundle is not the one that was rendered".to_owned()),
    };
    policy::check(&bundle, allowance).map_err(|refused| refused.to_string())?;
    Ok(bundle)
}
