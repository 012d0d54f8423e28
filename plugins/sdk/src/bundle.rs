//! Small steps towards a [`Rendered`](crate::Rendered) bundle.

use serde_json::{Map, Value};

use crate::template::{self, EvalError, Filled, Unsafe, Variables};
use crate::{File, Findings, Pointer, UserDataSize};

/// Why a bundle could not be made. Each is a fault of the plugin, or of a text that its `validate` let pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The embedded template was compiled by another SDK.
    #[error("{file}: {source}")]
    Template {
        /// The template.
        file: String,
        /// What is wrong with it.
        source: crate::template::BadTemplate,
    },
    /// A template could not be evaluated.
    #[error("{file}: {source}")]
    Eval {
        /// The template.
        file: String,
        /// Why.
        source: EvalError,
    },
    /// OpenTofu would change the text.
    #[error("{file}: {source}")]
    Unsafe {
        /// The template.
        file: String,
        /// Why.
        source: Unsafe,
    },
}

impl From<BundleError> for Findings {
    fn from(error: BundleError) -> Self {
        let mut findings = Self::new();
        findings.error(&Pointer::root(), "render-failed", format!("the bundle could not be rendered: {error}"));
        findings
    }
}

/// A file that only the owner may read: everything in a bundle is staged beside secrets.
pub fn file(path: &str, content: impl Into<Vec<u8>>) -> File {
    File { path: path.to_owned(), mode: 0o600, content: content.into() }
}

/// Evaluates an embedded template.
///
/// # Errors
/// When it cannot be read or evaluated.
pub fn fill(path: &str, compiled: &[u8], variables: &Variables) -> Result<Filled, BundleError> {
    let filled = template::fill_compiled(compiled, variables);
    let filled = filled.map_err(|source| BundleError::Template { file: path.to_owned(), source })?;
    filled.map_err(|source| BundleError::Eval { file: path.to_owned(), source })
}

/// The staged file of an evaluated template.
///
/// # Errors
/// When OpenTofu would not give its text back as it is.
pub fn staged(path: &str, filled: &Filled) -> Result<File, BundleError> {
    let text = filled.to_template().map_err(|source| BundleError::Unsafe { file: path.to_owned(), source })?;
    Ok(file(path, text))
}

/// The budget line of a node role. An error finding says so when the limit is passed.
pub fn budget(node: &str, filled: &Filled, limit: u32, findings: &mut Findings) -> UserDataSize {
    budget_of(node, filled.max_bytes(), limit, findings)
}

/// The same for a number of bytes, where the cloud counts another form of the text than the text itself.
pub fn budget_of(node: &str, bytes: u32, limit: u32, findings: &mut Findings) -> UserDataSize {
    if bytes > limit {
        let message = format!("the user data of a {node} node may reach {bytes} bytes; the cloud takes {limit}");
        findings.error(&Pointer::root(), "user-data-too-large", message);
    }
    UserDataSize { node: node.to_owned(), bytes, limit }
}

/// Module variables as JSON text; what was not said stays out, so that the module's own default holds.
#[derive(Debug, Clone, Default)]
pub struct ModuleVariables(Map<String, Value>);

impl ModuleVariables {
    /// No variables yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a variable.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Sets a variable if there is a value.
    #[must_use]
    pub fn set_if(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self,
        }
    }

    /// Sets a variable if the text is not blank.
    #[must_use]
    pub fn set_text(self, name: &str, text: &str) -> Self {
        self.set_if(name, Some(text.trim()).filter(|text| !text.is_empty()))
    }

    /// JSON object text.
    pub fn into_json(self) -> String {
        Value::Object(self.0).to_string()
    }
}
