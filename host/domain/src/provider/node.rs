//! The nodes of a cluster, as a plugin names them.

use serde::{Deserialize, Serialize};

/// What a node is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeRole {
    /// It runs the API and holds a part of the cluster's data.
    ControlPlane,
    /// It runs workloads alone.
    Worker,
}

/// One node of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Name of its server.
    pub name: String,
    /// What it is there for.
    pub role: NodeRole,
    /// Exact address of the resource instance that is the server.
    pub address: String,
}
