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

/// A service of a cloud that tells them itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudService {
    /// Its type, in the cloud's words.
    pub kind: String,
    /// Region.
    pub region: String,
    /// Its public endpoint, without query and user.
    pub url: String,
}

/// Name by which a probe of a search asks for the token of a session with the cloud. No declared secret can have it: a dot is in none.
pub const SESSION_TOKEN: &str = "session.token";

/// What is searched for in a cloud when a deployment is destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftoverQuery {
    /// The deployment.
    pub deployment_id: String,
    /// Its DNS name.
    pub sovereign_fqdn: String,
    /// Its region, as the request has it.
    pub region: String,
    /// The settings of its request.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// What is OpenTofu's to remove.
    pub made: Vec<MadeResource>,
    /// What an earlier search found.
    pub known: Vec<RemainingResource>,
    /// Services of the cloud, where the host has a session there.
    pub services: Vec<CloudService>,
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
