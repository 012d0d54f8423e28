//! OpenTofu's template language with holes.
//!
//! A module's `.tftpl` files are the one source of its cloud-init. A plugin evaluates them with everything it knows; what
//! only the apply knows (secrets, the deployment id, addresses) is a *hole*. The result is again a `.tftpl`, in which
//! nothing but holes is left, so that `templatefile(original, all) == templatefile(rendered, all)`, byte for byte.
//!
//! Holes are values of a type of their own, not marks in text: a function or an operator that meets one fails, and no
//! input can look like one.
//!
//! Knows the template language only; nothing of clouds, requests or bundles.

#[cfg(feature = "compile")]
mod compile;
mod eval;
mod filled;
mod functions;
mod json;
mod value;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

pub use filled::{Filled, Unsafe};
pub use json::encode as json_text;
pub use value::{Value, Variables};

#[cfg(feature = "compile")]
pub use compile::CompileError;

/// A template, parsed and with its whitespace marks applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    nodes: Vec<Node<'static>>,
}

/// Why a template could not be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// A name that nobody supplied.
    #[error("the template uses `{0}`, which is not supplied")]
    UnknownVariable(String),
    /// Something was computed on a value that only the apply knows.
    #[error("the template computes on the hole `{hole}` in {place}; do that in the module's locals")]
    ComputedHole {
        /// Name of the hole.
        hole: String,
        /// Function or operator that met it.
        place: String,
    },
    /// A value of the wrong kind.
    #[error("{place}: {reason}")]
    Type {
        /// Function or operator.
        place: String,
        /// What was expected and what was met.
        reason: String,
    },
}

/// Compiled template bytes that do not fit this version of the SDK.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the compiled template does not fit this SDK; build the component anew")]
pub struct BadTemplate;

impl Template {
    /// The compiled form, to be embedded in a component.
    ///
    /// # Errors
    /// Never in practice: the form has no part that the encoding refuses.
    pub fn to_bytes(&self) -> Result<Vec<u8>, BadTemplate> {
        postcard::to_allocvec(&self.nodes).map_err(|_| BadTemplate)
    }

    /// Evaluates the template.
    ///
    /// # Errors
    /// When a variable is missing, a value has the wrong kind, or something is computed on a hole.
    pub fn fill(&self, variables: &Variables) -> Result<Filled, EvalError> {
        eval::fill(&self.nodes, variables)
    }
}

/// Evaluates the compiled form in place: its texts are not copied before they are written.
///
/// # Errors
/// When the bytes come from another version of the SDK; within, as [`Template::fill`].
pub(crate) fn fill_compiled(bytes: &[u8], variables: &Variables) -> Result<Result<Filled, EvalError>, BadTemplate> {
    let nodes: Vec<Node<'_>> = postcard::from_bytes(bytes).map_err(|_| BadTemplate)?;
    Ok(eval::fill(&nodes, variables))
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Node<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Value(Expr<'a>),
    If { condition: Expr<'a>, then: Vec<Node<'a>>, otherwise: Vec<Node<'a>> },
    For { key: Option<String>, value: String, each: Expr<'a>, body: Vec<Node<'a>> },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Expr<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Text(#[serde(borrow)] Cow<'a, str>),
    Variable(#[serde(borrow)] Cow<'a, str>),
    Template(Vec<Node<'a>>),
    List(Vec<Expr<'a>>),
    Object(Vec<(Expr<'a>, Expr<'a>)>),
    Attribute(Box<Expr<'a>>, String),
    Index(Box<Expr<'a>>, Box<Expr<'a>>),
    Call(functions::Function, Vec<Expr<'a>>),
    Choose(Box<(Expr<'a>, Expr<'a>, Expr<'a>)>),
    Not(Box<Expr<'a>>),
    Binary(Operator, Box<(Expr<'a>, Expr<'a>)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    And,
    Or,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Plus,
    Minus,
}
