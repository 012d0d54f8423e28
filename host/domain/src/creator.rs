//! Who created a deployment, as the record keeps it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Most groups that are kept: people are in a dozen; with the longest names this is 8 KiB of a record.
pub const MOST_GROUPS: usize = 32;

/// The caller of a create. A host that knows no callers (mode `none`) records none: an address is no person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Creator {
    /// Name within its mode.
    pub subject: String,
    /// By what it was known: `token`, `kubernetes` or `oidc`.
    pub mode: String,
    /// Groups that it was in then, the first 32 of them; absent where there were none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub groups: Vec<String>,
}
