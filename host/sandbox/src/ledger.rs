//! Changes of what plugins may do and why, for the audit log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::grants::{Basis, Grant};
use crate::loaded::Loaded;
use crate::served::Provider;

/// What a plugin may do from now on that it could not before, and what it may do no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantChange {
    /// Name of the plugin's file, by which rights are granted.
    pub file: String,
    /// Id of the plugin; of one that is gone the one that it had.
    pub plugin: String,
    /// Why it has the rights that it has now; `None` for a plugin that is gone.
    pub basis: Option<Basis>,
    /// Rights that came, as they stand in `plugins.lock`. Without grants they are what the plugin declares.
    pub granted: Vec<String>,
    /// Rights that were taken back, or went with the plugin.
    pub revoked: Vec<String>,
}

/// What is kept of a plugin.
#[derive(Debug, Clone, Default)]
struct Known {
    plugin: String,
    basis: Option<Basis>,
    grants: BTreeSet<Grant>,
}

/// The rights of those that served last.
#[derive(Debug)]
pub(crate) struct Ledger {
    last: Mutex<BTreeMap<String, Known>>,
    changes: UnboundedSender<GrantChange>,
    taken: Mutex<Option<UnboundedReceiver<GrantChange>>>,
}

impl Default for Ledger {
    fn default() -> Self {
        let (changes, receiver) = unbounded_channel();
        Self { last: Mutex::default(), changes, taken: Mutex::new(Some(receiver)) }
    }
}

impl Ledger {
    /// See [`crate::Sandbox::grant_changes`].
    pub fn changes(&self) -> Option<UnboundedReceiver<GrantChange>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Compares those that serve now with those that did.
    pub fn note(&self, loaded: &Loaded) {
        let known = |id: &String, provider: &Provider| {
            let rights = provider.rights();
            let known = Known { plugin: id.clone(), basis: Some(rights.basis()), grants: rights.grants().clone() };
            (provider.file_name().to_owned(), known)
        };
        let now: BTreeMap<String, Known> = loaded.providers.iter().map(|(id, provider)| known(id, provider)).collect();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let files: BTreeSet<&String> = last.keys().chain(now.keys()).collect();
        let none = Known::default();
        for file in files {
            let (before, after) = (last.get(file).unwrap_or(&none), now.get(file).unwrap_or(&none));
            let lines = |one: &Known, other: &Known| {
                one.grants.difference(&other.grants).map(ToString::to_string).collect::<Vec<_>>()
            };
            let (granted, revoked) = (lines(after, before), lines(before, after));
            if before.basis == after.basis && granted.is_empty() && revoked.is_empty() {
                continue;
            }
            let plugin = if after.plugin.is_empty() { before.plugin.clone() } else { after.plugin.clone() };
            let change = GrantChange { file: file.clone(), plugin, basis: after.basis, granted, revoked };
            // Where nobody listens, nobody keeps a record.
            let _ = self.changes.send(change);
        }
        *last = now;
    }
}
