//! What the operator decides about callers.

use super::ScopeMap;
use crate::outbound::Url;
use jsonwebtoken::Algorithm;
use std::path::PathBuf;
use std::time::Duration;

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// How a caller is known.
    pub way: Way,
    /// How a browser carries a read token.
    pub cookie: CookieSettings,
}

/// How a caller is known.
#[derive(Debug, Clone, Default)]
pub enum Way {
    /// Not at all.
    #[default]
    None,
    /// By tokens of a file.
    Token {
        /// The file.
        file: PathBuf,
        /// How long its last good list counts where it cannot be used.
        grace: Duration,
    },
    /// By a Kubernetes API.
    Kubernetes(ReviewSettings),
    /// By an OpenID provider.
    Oidc(OidcSettings),
}

/// The Kubernetes API that reviews tokens.
#[derive(Debug, Clone)]
pub struct ReviewSettings {
    /// Its base URL.
    pub api: Url,
    /// Folder with `token` and `ca.crt` of the account that may create reviews.
    pub account: PathBuf,
    /// Audience that tokens must be meant for; the API's own where there is none.
    pub audience: Option<String>,
    /// Who gets what.
    pub scopes: ScopeMap,
}

/// The OpenID provider that signs tokens.
#[derive(Debug, Clone)]
pub struct OidcSettings {
    /// Its name, byte for byte as `iss` has it.
    pub issuer: String,
    /// What `aud` must name.
    pub audience: String,
    /// Clients beside the audience itself that `azp` may name; where there are any, `client_id` is held to them as well.
    pub clients: Vec<String>,
    /// Signatures that count; never symmetric ones.
    pub algorithms: Vec<Algorithm>,
    /// Claim with the groups.
    pub groups_claim: String,
    /// Who gets what.
    pub scopes: ScopeMap,
}

/// How a browser carries a read token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CookieSettings {
    /// What stands before `/api/v1` for a browser; blank, or with a slash at its beginning and none at its end.
    pub prefix: String,
    /// Whether a browser may send it over https only.
    pub secure: bool,
}
