//! What a caller may do: four words, of which the last means all.

use std::fmt;

/// One permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// See deployments, their logs, providers and metrics.
    Read,
    /// Create and retry deployments, preview them, and ask what a wizard asks before.
    Create,
    /// Take a deployment's kubeconfig: whoever has it is that cluster's administrator.
    Kubeconfig,
    /// Everything, destroy included.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Read, Self::Create, Self::Kubeconfig, Self::Admin];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Create => "create",
            Self::Kubeconfig => "kubeconfig",
            Self::Admin => "admin",
        }
    }

    /// Reads a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Some permissions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// None.
    pub const NONE: Self = Self(0);
    /// Everything.
    pub const ALL: Self = Self::of(&Scope::ALL);

    /// These.
    pub const fn of(scopes: &[Scope]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < scopes.len() {
            bits |= scopes[at].bit();
            at += 1;
        }
        Self(bits)
    }

    /// These and those.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether they allow what this scope allows.
    pub const fn allow(self, scope: Scope) -> bool {
        self.0 & (scope.bit() | Scope::Admin.bit()) != 0
    }

    /// Reads words between `,` or `+`; `None` for none, and for a word that is no scope.
    pub fn parse(text: &str) -> Option<Self> {
        let mut scopes = Self::NONE;
        for word in text.split([',', '+']) {
            scopes = scopes.and(Self::of(&[Scope::parse(word.trim())?]));
        }
        Some(scopes)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = Scope::ALL.into_iter().filter(|s| self.0 & s.bit() != 0).map(Scope::as_str).collect();
        f.write_str(&words.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_means_everything_and_the_others_only_themselves() {
        for scope in Scope::ALL {
            let only = Scopes::of(&[scope]);
            for other in Scope::ALL {
                assert_eq!(only.allow(other), scope == other || scope == Scope::Admin, "{scope} and {other}");
            }
            assert!(!Scopes::NONE.allow(scope));
        }
    }

    #[test]
    fn words_are_read_and_written_alike() {
        for text in ["read", "create", "kubeconfig", "admin", "read,create", "read,create,kubeconfig"] {
            assert_eq!(Scopes::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Scopes::parse("create + read"), Scopes::parse("read,create"));
        for bad in ["", ",", "read,", "Read", "write", "read;create"] {
            assert_eq!(Scopes::parse(bad), None, "{bad:?}");
        }
    }
}
