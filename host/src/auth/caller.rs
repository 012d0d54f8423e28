//! A caller that is known, as the audit log names it.

use super::{Scope, Scopes};

/// Longest name that is kept, in bytes: names of people and service accounts; what is longer was made to be.
const LONGEST: usize = 256;

/// By what a caller is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// By nothing: the operator asked for no authentication.
    None,
    /// By a static token.
    Token,
    /// By a token that a Kubernetes API reviewed.
    Kubernetes,
    /// By a token that an OpenID provider signed.
    Oidc,
    /// By the read token of one deployment.
    ReadToken,
    /// By the one-time bearer that a node hands its kubeconfig in with.
    NodeBearer,
}

impl Mode {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Token => "token",
            Self::Kubernetes => "kubernetes",
            Self::Oidc => "oidc",
            Self::ReadToken => "read-token",
            Self::NodeBearer => "node-bearer",
        }
    }
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Name within its mode.
    pub subject: String,
    /// By what it is known.
    pub mode: Mode,
    /// What it may do.
    pub scopes: Scopes,
}

impl Caller {
    /// A caller; a name that is too long is cut, and control characters in it become spaces.
    pub fn new(subject: &str, mode: Mode, scopes: Scopes) -> Self {
        Self { subject: crate::outbound::excerpt(subject.as_bytes(), LONGEST), mode, scopes }
    }

    /// Whoever calls where nobody is asked.
    pub fn anybody() -> Self {
        Self::new("anonymous", Mode::None, Scopes::ALL)
    }

    /// Whether it may do this.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.allow(scope)
    }
}
