//! The long-lived handles, built once. No logic.

use crate::dns::names::Names;
use crate::driver::Driver;
use crate::http::{ApiError, WrongBearers};
use crate::outbound::Outbound;
use catalyst_sandbox::Sandbox;
use catalyst_store::Store;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What handlers work with.
pub struct App {
    /// Records, logs, kubeconfigs.
    pub store: Arc<dyn Store>,
    /// Provider plugins.
    pub sandbox: Arc<Sandbox>,
    /// Calls to the outside.
    pub outbound: Outbound,
    /// Names in pools and elsewhere.
    pub names: Arc<Names>,
    /// One task per live deployment.
    pub driver: Arc<Driver>,
    /// Who tried wrong bearers lately.
    pub wrong_bearers: Arc<WrongBearers>,
    /// Cancelled when the process goes down: streams end, and nothing new is taken.
    pub stopping: CancellationToken,
}

impl App {
    /// Every reason why work should not be sent here; empty when ready.
    pub fn not_ready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.stopping.is_cancelled() {
            reasons.push("the server is going down".to_owned());
        }
        reasons.extend(self.store.unusable().map(|error| error.to_string()));
        if self.sandbox.providers().is_empty() {
            reasons.push("no provider plugin is loaded".to_owned());
        }
        reasons
    }

    /// Whether a request that changes something may begin.
    ///
    /// # Errors
    /// [`ApiError::Draining`] or [`ApiError::Storage`].
    pub fn accepting(&self) -> Result<(), ApiError> {
        if self.stopping.is_cancelled() {
            return Err(ApiError::Draining);
        }
        self.store.unusable().map_or(Ok(()), |error| Err(ApiError::Storage(error)))
    }
}
