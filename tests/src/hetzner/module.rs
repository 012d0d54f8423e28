//! Where the runs of `infra/hetzner` find their cloud: the double, or a real project.
//!
//! `HCLOUD_PROVIDER` names another provider binary. `HCLOUD_ENDPOINT` with `HCLOUD_TOKEN` sends the suite to a real API, which
//! costs money; tests that need the cloud to misbehave stay with the double.

use super::Project;
use crate::tofu::{Reached, Site, given};
use serde_json::Value;
use std::path::PathBuf;

pub use crate::tofu::{Said, Words, Work, secret_value};

/// The module in the repository.
pub const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/hetzner");
/// A token of the right length for the double.
pub const TOKEN: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01";

/// The cloud that a run talks to.
pub struct Cloud {
    /// The double, unless the run is told to use a real project.
    pub double: Option<Project>,
    endpoint: String,
    token: String,
}

impl Reached for Cloud {
    fn site(&self) -> anyhow::Result<Site> {
        Ok(Site {
            module: MODULE,
            provider: "hetznercloud/hcloud",
            binary: match given("HCLOUD_PROVIDER") {
                Some(path) => PathBuf::from(path),
                None => crate::tools::path("hcloud")?,
            },
            env: vec![("HCLOUD_ENDPOINT".to_owned(), self.endpoint.clone())],
            secrets: vec![("hcloud_token", self.token.clone())],
        })
    }
}

impl Cloud {
    /// What the environment names, else the double.
    ///
    /// # Panics
    /// When there is an endpoint without a token: the double in its place would be a silent skip.
    pub fn start() -> Self {
        match (given("HCLOUD_ENDPOINT"), given("HCLOUD_TOKEN")) {
            (Some(endpoint), Some(token)) => Self::at(endpoint, token),
            (Some(endpoint), None) => panic!("{endpoint} needs HCLOUD_TOKEN"),
            (None, _) => Self::double(),
        }
    }

    /// Some API that is not asked what it is.
    pub fn at(endpoint: String, token: String) -> Self {
        Self { double: None, endpoint, token }
    }

    /// The double, whatever the environment says.
    pub fn double() -> Self {
        let project = Project::start(TOKEN);
        Self { endpoint: project.endpoint(), token: TOKEN.to_owned(), double: Some(project) }
    }

    /// The double of this run.
    pub fn project(&self) -> &Project {
        self.double.as_ref().unwrap_or_else(|| panic!("this test needs the double"))
    }

    /// What the API lists with this label.
    pub fn labelled(&self, kind: &str, label: &str) -> Vec<Value> {
        let url = format!("{}/{kind}?per_page=50&label_selector={}", self.endpoint, label.replace('/', "%2F"));
        let mut answer = ureq::get(&url).header("Authorization", &format!("Bearer {}", self.token)).call().unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        json[kind].as_array().unwrap_or_else(|| panic!("no {kind} in {json}")).clone()
    }
}

/// Whether the environment names an API.
pub fn is_real() -> bool {
    given("HCLOUD_ENDPOINT").is_some()
}
