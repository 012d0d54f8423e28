//! The search in a cloud for what a destroy left there.

use crate::RemainingResource;
use serde::{Deserialize, Serialize};

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
