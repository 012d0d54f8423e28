//! The four templates of user data, and the values that the modules' own `templatefile()` calls give them. The plugins' tests
//! hold the two together.

use super::names::pool_names;
use super::settings::NodeSettings;
use super::versions::{DEFAULT_FLUX, DEFAULT_K3S};
use super::{BEARER, GHCR_TOKEN};
use crate::bundle::{self, BundleError};
use crate::template::{Filled, Variables};
use crate::{DeploymentRequest, File, RenderContext};

/// Longest base64 of the registry's JSON, in which a user name of 64 bytes and a token of 256 stand as base64.
const GHCR_B64: u32 = 616;
/// A minted secret.
const MINTED: u32 = 64;
/// Longest deployment id, as in the modules.
const DEPLOYMENT_ID: u32 = 63;
/// Longest IPv4 address.
const IPV4: u32 = 15;
/// Address of the first server, as in the modules.
const FIRST_PRIVATE_IP: &str = "10.0.1.2";

/// A template's name and its compiled form.
pub type Compiled = (&'static str, &'static [u8]);

/// Characters of the base64 of so many bytes.
pub fn base64_len(bytes: u32) -> u32 {
    bytes.div_ceil(3).saturating_mul(4)
}

/// What a plugin's build script compiled.
#[derive(Debug, Clone, Copy)]
pub struct Templates {
    /// The part that every node has.
    pub base: Compiled,
    /// The first server.
    pub control_plane: Compiled,
    /// Servers that join: 2 and 3, and whichever is made when the cluster exists already.
    pub control_plane_join: Compiled,
    /// Workers.
    pub worker: Compiled,
}

/// A secret in the cluster with which something there may manage the cloud.
#[derive(Debug, Clone, Copy)]
pub struct CloudCredentials {
    /// Whether it is written at all.
    pub enabled: bool,
    /// Its name, in `crossplane-system`.
    pub name: &'static str,
    /// Its key.
    pub key: &'static str,
    /// Longest value in base64.
    pub max_base64: u32,
}

/// What is to be built, as far as the templates place it.
#[derive(Debug, Clone, Copy)]
pub struct Cluster<'a> {
    /// The request.
    pub request: &'a DeploymentRequest,
    /// The host.
    pub host: &'a RenderContext,
    /// Settings of the nodes.
    pub settings: &'a NodeSettings,
    /// Region as the cloud calls it.
    pub region: &'a str,
    /// Number of workers.
    pub worker_count: i64,
    /// Private address of what stands before the servers.
    pub load_balancer_private_ip: &'a str,
    /// Further entries of `write_files` on the first server.
    pub first_files: &'a str,
    /// The cloud's own secret.
    pub credentials: CloudCredentials,
}

/// The templates, filled as far as is known.
#[derive(Debug)]
pub struct Nodes {
    base: (&'static str, Filled),
    roles: Vec<(&'static str, &'static str, Filled, bool)>,
}

fn or_default<'a>(text: &'a str, default: &'a str) -> &'a str {
    let text = text.trim();
    if text.is_empty() { default } else { text }
}

impl Cluster<'_> {
    fn has(&self, secret: &str) -> bool {
        self.host.present_secrets.iter().any(|present| present == secret)
    }

    fn k3s_version(&self) -> &str {
        self.settings.k3s_version.as_deref().unwrap_or(DEFAULT_K3S)
    }

    /// Fills the templates.
    ///
    /// # Errors
    /// When one cannot be read or evaluated: a fault of the plugin.
    pub fn fill(&self, templates: &Templates) -> Result<Nodes, BundleError> {
        let base = bundle::fill(templates.base.0, templates.base.1, &self.base())?;
        let text = base.with_values(|_| String::new());
        let fill = |(path, compiled): Compiled, variables| bundle::fill(path, compiled, &variables);
        let (first, join) = (templates.control_plane, templates.control_plane_join);
        let ha = self.request.ha_enabled;
        let roles = vec![
            ("control-plane", first.0, fill(first, self.first(&text))?, true),
            ("control-plane-join", join.0, fill(join, self.join(&text))?, ha),
            ("worker", templates.worker.0, fill(templates.worker, self.worker(&text))?, self.worker_count > 0),
        ];
        Ok(Nodes { base: (templates.base.0, base), roles })
    }

    /// Each template with its variables, for tests against OpenTofu.
    ///
    /// # Errors
    /// When the base cannot be read or evaluated.
    pub fn variables(&self, templates: &Templates) -> Result<Vec<(&'static str, Variables)>, BundleError> {
        let base = self.base();
        let text = bundle::fill(templates.base.0, templates.base.1, &base)?.with_values(|_| String::new());
        Ok(vec![
            (templates.base.0, base),
            (templates.control_plane.0, self.first(&text)),
            (templates.control_plane_join.0, self.join(&text)),
            (templates.worker.0, self.worker(&text)),
        ])
    }

    fn base(&self) -> Variables {
        Variables::new()
            // The operator's own digests are a matter of standalone use.
            .with("artifact_sha256sums", "")
            .with("enable_fail2ban", self.settings.fail2ban.unwrap_or(true))
            .with("enable_unattended_upgrades", self.settings.unattended_upgrades.unwrap_or(true))
            .with("k3s_version", self.k3s_version())
    }

    /// What the three node templates have in common.
    fn node(&self, base: &str) -> Variables {
        Variables::new()
            .with("base_files", base)
            .with("enable_fail2ban", self.settings.fail2ban.unwrap_or(true))
            .with("enable_unattended_upgrades", self.settings.unattended_upgrades.unwrap_or(true))
            .with_hole("k3s_agent_token", MINTED)
    }

    fn server(&self, base: &str) -> Variables {
        self.node(base)
            .with("enable_local_storage", self.settings.local_storage.unwrap_or(true))
            .with("load_balancer_private_ip", self.load_balancer_private_ip)
            .with("sovereign_fqdn", self.request.sovereign_fqdn.as_str())
            .with_hole("k3s_token", MINTED)
            .with_hole("load_balancer_ipv4", IPV4)
    }

    fn first(&self, base: &str) -> Variables {
        let (request, host, settings) = (self.request, self.host, self.settings);
        let own_path = format!("clusters/{}", request.sovereign_fqdn);
        let path = settings.gitops_path.as_deref();
        let path = path.map_or(own_path.as_str(), |path| path.strip_suffix('/').unwrap_or(path));
        let url = or_default(&host.public_url, "https://console.openova.io/sovereign");
        self.server(&format!("{base}{}", self.first_files))
            .with("catalyst_api_url", url.strip_suffix('/').unwrap_or(url))
            .with("cilium_version", settings.cilium_version.as_deref().unwrap_or("1.16.5"))
            .with("cloud_credentials_enabled", self.credentials.enabled)
            .with("cloud_credentials_key", self.credentials.key)
            .with("cloud_credentials_name", self.credentials.name)
            .with("first_private_ip", FIRST_PRIVATE_IP)
            .with("flux_version", settings.flux_version.as_deref().unwrap_or(DEFAULT_FLUX))
            .with("ghcr_enabled", self.has(GHCR_TOKEN))
            .with("gitops_branch", or_default(&host.gitops_branch, "main"))
            .with("gitops_path", path)
            .with("gitops_repo_url", or_default(&host.gitops_repo_url, "https://github.com/openova-io/openova"))
            .with("gitops_substitute", path != own_path)
            .with("ha_enabled", request.ha_enabled)
            .with("helm_version", settings.helm_version.as_deref().unwrap_or("v3.16.4"))
            .with("k3s_version", self.k3s_version())
            .with("org_email", request.org_email.as_str())
            .with("org_name", request.org_name.as_str())
            .with("postback_enabled", self.has(BEARER))
            .with("region", self.region)
            .with("sovereign_subdomain", pool_names(request).0)
            .with("worker_count", self.worker_count)
            .with_hole("cloud_credentials_b64", self.credentials.max_base64)
            .with_hole("deployment_id", DEPLOYMENT_ID)
            .with_hole("ghcr_dockerconfigjson_b64", GHCR_B64)
            .with_hole("kubeconfig_bearer_token", MINTED)
    }

    /// The first server takes this template too, when the cluster that it joins exists already.
    fn join(&self, base: &str) -> Variables {
        self.server(base).with_hole("join_private_ip", IPV4).with_hole("node_private_ip", IPV4)
    }

    fn worker(&self, base: &str) -> Variables {
        self.node(base).with("first_private_ip", FIRST_PRIVATE_IP).with_hole("node_private_ip", IPV4)
    }
}

impl Nodes {
    /// The staged files.
    ///
    /// # Errors
    /// When OpenTofu would not give a text back as it is.
    pub fn files(&self) -> Result<Vec<File>, BundleError> {
        let mut files = vec![bundle::staged(self.base.0, &self.base.1)?];
        for (_, path, filled, _) in &self.roles {
            files.push(bundle::staged(path, filled)?);
        }
        Ok(files)
    }

    /// Role and longest user data in bytes of each kind of node that the request makes.
    pub fn sizes(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.roles.iter().filter(|(.., wanted)| *wanted).map(|(role, _, filled, _)| (*role, filled.max_bytes()))
    }
}
