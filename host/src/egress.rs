//! What a run of OpenTofu may reach: a proxy for each run, which knows the step that goes on, the granted hosts and the rule
//! for addresses. It decides by name before anything is resolved, and connects to the very addresses that it judged.
//!
//! It must not know OpenTofu, deployments or plugins: it gets a listener and a list of hosts. A program that does not ask the proxy is held
//! by the kernel or not at all.

mod catalogue;
mod grant;
mod policy;
mod proxy;
mod refusal;
mod relay;
mod target;
mod upstream;

#[cfg(test)]
mod proxy_tests;

pub use catalogue::{ApplicationCredential, CatalogueError, Session, service_urls, session};
pub use grant::{HostGrant, HostPattern};
pub use policy::{Reach, StepReach};
pub use proxy::RunProxy;
pub use refusal::{Refusal, RefusalRule};

use crate::outbound::{AllowedClouds, Destinations, ProxyConfig, SetupError};
use catalyst_domain::tofu_provider::DEFAULT_REGISTRY;
use policy::Policy;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use upstream::Upstream;

/// Where OpenTofu gets providers from when nothing else is said: its registry, which names packages on GitHub's releases, which
/// hand out the bytes from an older and a newer host. No registry is in reach of the tests, so this list is not tried.
pub const REGISTRY_HOSTS: [&str; 4] =
    [DEFAULT_REGISTRY, "github.com", "objects.githubusercontent.com", "release-assets.githubusercontent.com"];

/// What the operator decides about the way out of runs. No `Debug`: a proxy's URL may hold a password.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Settings {
    /// `CATALYST_ALLOWED_CLOUDS`: where the word of strangers may lead beside public addresses.
    pub allowed_clouds: AllowedClouds,
    /// The operator's own proxy: the way out of every run's proxy.
    pub proxy: ProxyConfig,
    /// `SSL_CERT_FILE`: whom an operator's proxy behind TLS has to convince.
    pub trust_store: Option<PathBuf>,
}

/// What one run may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunHosts {
    /// In the step that installs providers.
    pub install: Vec<HostGrant>,
    /// In the steps that work on its cloud.
    pub cloud: Vec<HostGrant>,
}

/// The way out by an operator's settings, which a [`RunProxy`] serves to one run.
pub struct Egress {
    policy: Policy,
}

impl Egress {
    /// Takes the operator's settings.
    ///
    /// # Errors
    /// The operator's proxy is no URL of `http` or `https`, or the trust store cannot be read where it is needed.
    pub fn new(settings: &Settings) -> Result<Arc<Self>, SetupError> {
        let upstream = Upstream::new(&settings.proxy, settings.trust_store.as_deref())?;
        let destinations = Destinations::new(settings.allowed_clouds.clone());
        let policy = Policy { destinations, upstream };
        Ok(Arc::new(Self { policy }))
    }

    /// Serves one run on a listener, until the answer is dropped. `told` hears of each refusal once for each host and step; it must
    /// not wait.
    ///
    /// # Errors
    /// The listener cannot be used, or the system gives no randomness.
    pub fn serve(
        self: &Arc<Self>,
        listener: std::net::TcpListener,
        hosts: RunHosts,
        told: impl Fn(&Refusal) + Send + Sync + 'static,
    ) -> io::Result<RunProxy> {
        RunProxy::start(self.clone(), listener, hosts, Box::new(told))
    }
}
