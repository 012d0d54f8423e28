//! What a plugin says of the arguments that its module sets in `provider` blocks.

use serde::{Deserialize, Serialize};

/// Where the value of an argument in a `provider` block comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettingSource {
    /// The secret of this name: the argument is the variable that it fills.
    Secret(String),
    /// The request key of this name: the argument is a variable that has its value unchanged.
    Request(String),
    /// The module or the plugin: the argument is a literal, or a variable that no secret fills.
    Fixed,
}

/// An argument that a module sets in a `provider` block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderSetting {
    /// Name of the argument, with the names of its enclosing blocks before it, as in `endpoints.compute`.
    pub argument: String,
    /// Where its value comes from.
    pub source: SettingSource,
    /// Whether it says where the provider connects to.
    pub address: bool,
}
