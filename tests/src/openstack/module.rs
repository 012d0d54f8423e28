//! Where the runs of `infra/openstack` find their cloud: the double, or a real project.
//!
//! `OPENSTACK_PROVIDER` names another provider binary. `OPENSTACK_AUTH_URL`, `OPENSTACK_APPLICATION_CREDENTIAL_ID` and
//! `OPENSTACK_APPLICATION_CREDENTIAL_SECRET`, with `OPENSTACK_REGION`, `OPENSTACK_EXTERNAL_NETWORK`, `OPENSTACK_IMAGE` and
//! `OPENSTACK_FLAVOR`, send the suite to a real cloud, which costs money; tests that need the cloud to misbehave, or look at
//! what it was sent, stay with the double.

use super::Project;
use super::offers::{EXTERNAL_NETWORK, IMAGE, REGION};
use crate::tofu::{Reached, Site, given};
use std::path::PathBuf;

pub use crate::tofu::{Said, Words, Work, pinned, secret_value};

/// The module in the repository.
pub const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/openstack");
/// A credential for the double.
pub const CREDENTIAL: (&str, &str) = ("2a8e0c6b4d1f4f1fa6a6f1b0c3d2e1f0", "double-secret-0123456789abcdefghijklmnop");

/// The cloud that a run talks to.
pub struct Cloud {
    /// The double, unless the run is told to use a real project.
    pub double: Option<Project>,
    /// Address of its identity service.
    pub auth_url: String,
    /// Region.
    pub region: String,
    /// Network that gives out floating IPs.
    pub external_network: String,
    /// Name of the image.
    pub image: String,
    /// A flavour with 16 GiB of memory.
    pub flavour: String,
    credential: (String, String),
}

impl Reached for Cloud {
    fn site(&self) -> anyhow::Result<Site> {
        Ok(Site {
            module: MODULE,
            provider: "terraform-provider-openstack/openstack",
            binary: match given("OPENSTACK_PROVIDER") {
                Some(path) => PathBuf::from(path),
                None => crate::tools::path("openstack")?,
            },
            env: Vec::new(),
            secrets: vec![
                ("application_credential_id", self.credential.0.clone()),
                ("application_credential_secret", self.credential.1.clone()),
            ],
        })
    }
}

impl Cloud {
    /// What the environment names, else the double.
    ///
    /// # Panics
    /// When there is an address without what else a run needs: the double in its place would be a silent skip.
    pub fn start() -> Self {
        let named = |name: &str| given(&format!("OPENSTACK_{name}"));
        let Some(auth_url) = named("AUTH_URL") else { return Self::double() };
        let needed = |name: &str| named(name).unwrap_or_else(|| panic!("{auth_url} needs OPENSTACK_{name}"));
        let credential = (needed("APPLICATION_CREDENTIAL_ID"), needed("APPLICATION_CREDENTIAL_SECRET"));
        let (region, external_network, flavour) = (needed("REGION"), needed("EXTERNAL_NETWORK"), needed("FLAVOR"));
        Self {
            double: None,
            auth_url,
            region,
            external_network,
            image: named("IMAGE").unwrap_or_else(|| IMAGE.to_owned()),
            flavour,
            credential,
        }
    }

    /// The double, whatever the environment says.
    pub fn double() -> Self {
        let project = Project::start(CREDENTIAL.0, CREDENTIAL.1);
        Self {
            auth_url: project.auth_url(),
            double: Some(project),
            region: REGION.to_owned(),
            external_network: EXTERNAL_NETWORK.to_owned(),
            image: IMAGE.to_owned(),
            flavour: "SCS-4V-16-50".to_owned(),
            credential: (CREDENTIAL.0.to_owned(), CREDENTIAL.1.to_owned()),
        }
    }

    /// The double of this run.
    pub fn project(&self) -> &Project {
        self.double.as_ref().unwrap_or_else(|| panic!("this test needs the double"))
    }
}

/// Whether the environment names a real cloud.
pub fn is_real() -> bool {
    given("OPENSTACK_AUTH_URL").is_some()
}
