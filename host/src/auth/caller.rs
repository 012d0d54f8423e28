//! A caller that is known, as the audit log names it.

use super::{Scope, Scopes};
use catalyst_domain::{Creator, MOST_GROUPS};
use std::sync::Arc;

/// Longest name that is kept, in bytes: names of people, service accounts and groups; what is longer was made to be.
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
    /// Its groups, the first [`MOST_GROUPS`] of them. Scopes are decided on all, before.
    pub groups: Arc<[String]>,
    /// What it may do.
    pub scopes: Scopes,
}

impl Caller {
    /// A caller; a name that is too long is cut, and control characters in it become spaces.
    pub fn new(subject: &str, mode: Mode, scopes: Scopes) -> Self {
        Self { subject: name(subject), mode, groups: Arc::default(), scopes }
    }

    /// The same in these groups. Their number and their names are bounded.
    #[must_use]
    pub fn in_groups(self, groups: &[String]) -> Self {
        let groups = groups.iter().take(MOST_GROUPS).map(|group| name(group)).collect();
        Self { groups, ..self }
    }

    /// What a record keeps of it; `None` where nobody is asked who calls.
    pub fn creator(&self) -> Option<Creator> {
        let known = || Creator {
            subject: self.subject.clone(),
            mode: self.mode.as_str().to_owned(),
            groups: self.groups.to_vec(),
        };
        (self.mode != Mode::None).then(known)
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

/// A name within bounds, without control characters.
fn name(text: &str) -> String {
    crate::outbound::excerpt(text.as_bytes(), LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_record_keeps_of_a_caller_is_bounded_and_nobody_is_kept_where_nobody_is_known() {
        let groups: Vec<String> = (0..1_000).map(|n| format!("g{n}{}", "x".repeat(9_999))).collect();
        let caller = Caller::new("ana\n", Mode::Oidc, Scopes::ALL).in_groups(&groups);
        let creator = caller.creator().unwrap();
        assert_eq!((creator.mode.as_str(), creator.groups.len()), ("oidc", MOST_GROUPS));
        assert!(creator.groups.iter().all(|group| group.len() <= LONGEST + 8), "{}", creator.groups[0].len());
        assert!(creator.groups[0].starts_with("g0x") && !creator.subject.contains('\n'));
        assert_eq!(Caller::anybody().creator(), None);
    }
}
