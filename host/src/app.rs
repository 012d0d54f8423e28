//! The long-lived handles, built once. No logic.

use crate::audit::Audit;
use crate::auth::Auth;
use crate::dns::names::Names;
use crate::driver::Driver;
use crate::metrics::Metrics;
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
    /// Who may call.
    pub auth: Arc<Auth>,
    /// Who did what.
    pub audit: Arc<Audit>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Cancelled when the process goes down: streams end, and nothing new is taken.
    pub stopping: CancellationToken,
}
