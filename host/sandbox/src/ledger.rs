//! Changes of what plugins are granted, for whoever keeps a record of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::grants::{Basis, Grant};
use crate::loaded::Loaded;

/// What a plugin may do from now on that it could not before, and what it may do no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantChange {
    /// Name of the plugin's file, by which rights are granted.
    pub file: String,
    /// Id of the plugin; of one that is gone the one that it had.
    pub plugin: String,
    /// Rights that were granted, as they stand in `plugins.lock`.
    pub granted: Vec<String>,
    /// Rights that were taken back, or went with the plugin.
    pub revoked: Vec<String>,
}

/// The grants of those that served last.
#[derive(Debug)]
pub(crate) struct Ledger {
    last: Mutex<BTreeMap<String, (String, BTreeSet<Grant>)>>,
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

    /// Compares those that serve now with those that did. What is not granted but declared is no grant.
    pub fn note(&self, loaded: &Loaded) {
        let of = |rights: &crate::grants::Rights| match rights.basis() {
            Basis::Granted => rights.grants().clone(),
            Basis::Declared | Basis::BeforeGrants => BTreeSet::new(),
        };
        let now: BTreeMap<String, (String, BTreeSet<Grant>)> = loaded
            .providers
            .iter()
            .map(|(id, provider)| (provider.file_name().to_owned(), (id.clone(), of(&provider.rights()))))
            .collect();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let files: BTreeSet<&String> = last.keys().chain(now.keys()).collect();
        let none = (String::new(), BTreeSet::new());
        for file in files {
            let ((id_before, before), (id, after)) = (last.get(file).unwrap_or(&none), now.get(file).unwrap_or(&none));
            let lines = |one: &BTreeSet<Grant>, other: &BTreeSet<Grant>| {
                one.difference(other).map(ToString::to_string).collect::<Vec<_>>()
            };
            let (granted, revoked) = (lines(after, before), lines(before, after));
            if granted.is_empty() && revoked.is_empty() {
                continue;
            }
            let plugin = if id.is_empty() { id_before.clone() } else { id.clone() };
            // Where nobody listens, nobody keeps a record.
            let _ = self.changes.send(GrantChange { file: file.clone(), plugin, granted, revoked });
        }
        *last = now;
    }
}
