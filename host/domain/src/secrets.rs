//! Values that must never be seen: they cannot be printed or serialised, and are wiped when dropped.

use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

/// One secret text. It has no `Display` and no `Serialize`; `Debug` shows a placeholder.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(Zeroizing<String>);

impl SecretValue {
    /// Takes the text over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The plain text, at the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether only white space is there.
    pub fn is_blank(&self) -> bool {
        self.0.trim().is_empty()
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// The secrets of one run, by the names the provider declared.
#[derive(Clone, Default, Debug)]
pub struct Secrets(BTreeMap<String, SecretValue>);

impl Secrets {
    /// Adds or replaces one; a blank value counts as absent.
    pub fn insert(&mut self, name: impl Into<String>, value: SecretValue) {
        if !value.is_blank() {
            self.0.insert(name.into(), value);
        }
    }

    /// Takes one out.
    pub fn remove(&mut self, name: &str) -> Option<SecretValue> {
        self.0.remove(name)
    }

    /// The value of a declared secret.
    pub fn get(&self, name: &str) -> Option<&SecretValue> {
        self.0.get(name)
    }

    /// Names of the secrets that have a value, sorted.
    pub fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// All values, for masking.
    pub fn values(&self) -> impl Iterator<Item = &SecretValue> {
        self.0.values()
    }

    /// The same secrets under other names.
    #[must_use]
    pub fn renamed(&self, name: impl Fn(&str) -> String) -> Self {
        Self(self.0.iter().map(|(known, value)| (name(known), value.clone())).collect())
    }

    /// Takes over every secret of `other`, which wins where both have one.
    pub fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_cannot_be_printed() {
        let mut secrets = Secrets::default();
        secrets.insert("token", SecretValue::new("sentinel"));
        secrets.insert("blank", SecretValue::new("  "));
        assert!(!format!("{secrets:?}").contains("sentinel"));
        assert_eq!(secrets.names(), ["token"]);
    }
}
