//! Who serves and who does not, as one map that is replaced as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::LoadError;
use crate::gate::Gate;
use crate::grants::Basis;
use crate::served::Provider;
use crate::words;

/// Longest text on a file that does not serve.
const ERROR_BYTES: usize = 2048;

/// A component file that does not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadFailure {
    /// File name without a folder; the folder itself when that cannot be read.
    pub file: String,
    /// What is wrong with it, causes included.
    pub error: String,
    /// Whether an earlier component of the same file goes on serving.
    pub previous_serves: bool,
}

/// Who serves, and who does not.
#[derive(Default)]
pub(crate) struct Loaded {
    pub providers: BTreeMap<String, Arc<Provider>>,
    pub failures: Vec<LoadFailure>,
}

impl Loaded {
    /// The plugin that this file serves.
    pub fn of_file(&self, name: &str) -> Option<&Arc<Provider>> {
        self.providers.values().find(|provider| provider.file_name() == name)
    }
}

impl Loaded {
    /// The same, each plugin with the rights that the operator's files give it now.
    pub fn under(self, gate: &Gate) -> Self {
        self.providers.values().for_each(|provider| provider.hold_to(gate.rights(provider)));
        self
    }
}

impl LoadFailure {
    pub(crate) fn new(file: &str, error: String) -> Self {
        Self { file: file.to_owned(), error, previous_serves: false }
    }

    /// The text of an error with its causes.
    pub(crate) fn text(error: &LoadError) -> String {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        // The engine's words quote names of the component.
        words::clean(&mut text);
        text.truncate(text.floor_char_boundary(ERROR_BYTES));
        text
    }
}

/// An operator who granted nothing should know what that comes to.
fn told_of_rights(id: &str, provider: &Provider) {
    let rights = provider.rights();
    if rights.basis() == Basis::Granted {
        return;
    }
    let why = if rights.basis() == Basis::Declared { "there is no plugins.lock" } else { "plugins.lock has no grants" };
    let wanted: Vec<String> = rights.wanted().iter().map(ToString::to_string).collect();
    let arguments = if rights.any_argument() { "any" } else { "those that it declares" };
    tracing::warn!(
        plugin.id = id,
        plugin.wants = wanted.join(", "),
        plugin.provider_arguments = arguments,
        "a plugin has the rights that it declares, for {why}"
    );
}

/// What changed, once: a folder that is read again and again says nothing new.
pub(crate) fn tell(old: &Loaded, new: &Loaded) {
    for failure in new.failures.iter().filter(|failure| !old.failures.contains(failure)) {
        tracing::error!(
            plugin.file = failure.file,
            plugin.previous_serves = failure.previous_serves,
            "plugin not loaded: {}",
            failure.error
        );
    }
    for (id, provider) in &new.providers {
        let before = old.providers.get(id).map(|before| before.digest());
        if before != Some(provider.digest()) {
            tracing::info!(
                plugin.id = id,
                plugin.file = provider.file_name(),
                plugin.version = provider.descriptor().version,
                plugin.digest = provider.digest(),
                plugin.imports = provider.imports().join(","),
                plugin.replaces = before,
                "plugin loaded"
            );
            told_of_rights(id, provider);
        }
    }
    for id in old.providers.keys().filter(|id| !new.providers.contains_key(*id)) {
        tracing::info!(plugin.id = id, "plugin gone");
    }
}
