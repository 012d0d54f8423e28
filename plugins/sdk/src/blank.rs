//! Blank records, as when nothing was given: a test fills in what it is about.

use crate::{Asked, DeploymentRequest, DomainMode, RegionSlot, RenderContext, Rendered};

impl Default for DeploymentRequest {
    fn default() -> Self {
        let blank = String::new;
        Self {
            org_name: blank(),
            org_email: blank(),
            sovereign_fqdn: blank(),
            domain_mode: DomainMode::Byo,
            pool_domain: blank(),
            subdomain: blank(),
            region: blank(),
            control_plane_size: blank(),
            worker_size: blank(),
            worker_count: 0,
            ha_enabled: false,
            regions: Vec::new(),
            ssh_public_key: blank(),
            extra: "{}".to_owned(),
        }
    }
}

impl Default for RegionSlot {
    fn default() -> Self {
        let blank = String::new;
        Self {
            provider: blank(),
            cloud_region: blank(),
            control_plane_size: blank(),
            worker_size: blank(),
            worker_count: 0,
        }
    }
}

impl Default for RenderContext {
    fn default() -> Self {
        let blank = String::new;
        Self { public_url: blank(), gitops_repo_url: blank(), gitops_branch: blank(), present_secrets: Vec::new() }
    }
}

impl Default for Asked {
    fn default() -> Self {
        let blank = String::new;
        Self { region: blank(), control_plane_size: blank(), worker_size: blank(), worker_count: 0, ha_enabled: false }
    }
}

/// With it a plugin needs no change where a later version of the contract adds to the bundle.
impl Default for Rendered {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            variables: "{}".to_owned(),
            secret_variables: Vec::new(),
            deployment_id_variable: None,
            #[cfg(feature = "contract-1-1")]
            cluster_exists_variable: None,
            #[cfg(feature = "contract-1-1")]
            nodes: Vec::new(),
            user_data: Vec::new(),
            warnings: Vec::new(),
        }
    }
}
