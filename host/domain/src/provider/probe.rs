//! What a provider asks its cloud by HTTP, and what it makes of the answers.

use crate::RemainingResource;
use serde::{Deserialize, Serialize};

/// An HTTP request; secrets are placeholders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Method.
    pub method: String,
    /// URL, without secrets.
    pub url: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Option<Vec<u8>>,
}

/// The answer to a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeResponse {
    /// Status code.
    pub status: u16,
    /// Body, cut to what a plugin may get of it.
    pub body: Vec<u8>,
}

/// A resource that OpenTofu made and removes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeResource {
    /// Address of its instance.
    pub address: String,
    /// Id in the cloud; blank where none is known.
    pub id: String,
}

/// What is searched for in a cloud when a deployment is destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftoverQuery {
    /// The deployment.
    pub deployment_id: String,
    /// Its DNS name.
    pub sovereign_fqdn: String,
    /// The settings of its request.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// What is OpenTofu's to remove.
    pub made: Vec<MadeResource>,
    /// What an earlier search found.
    pub known: Vec<RemainingResource>,
}

/// What a search in a cloud came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftoverSearch {
    /// What is there and belongs to the deployment.
    pub found: Vec<RemainingResource>,
    /// What could not be looked at, each with the reason.
    pub not_searched: Vec<String>,
}

/// What the answers prove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The credential works, as far as it was proven.
    Accepted(String),
    /// The cloud refused it.
    Rejected(String),
    /// The cloud could not be asked.
    Unreachable(String),
}
