//! One way to a bundle and its digest: for a run, for the check of what was approved, and for a preview. That all three go
//! through here is why their digests can be compared.

use super::Driver;
use catalyst_domain::finding::joined_errors;
use catalyst_domain::kubeconfig::sha256_hex;
use catalyst_domain::provider::Bundle;
use catalyst_domain::{Finding, Request, Secrets};
use catalyst_sandbox::Provider;

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
}
