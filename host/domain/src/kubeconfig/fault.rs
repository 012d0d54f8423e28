//! Why a body is refused as a kubeconfig.

/// Why a body is refused; the bearer stays unused. No text of it repeats a value of the body, but for the server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// It is no kubeconfig.
    #[error("not a kubeconfig: {0}")]
    Invalid(String),
    /// It could hurt who loads it.
    #[error("unsafe kubeconfig: {0}")]
    Unsafe(String),
    /// It leads to a host that is not part of this cluster.
    #[error("the kubeconfig names the server {found}, but this cluster answers at {}", expected.join(" or "))]
    ForeignServer {
        /// Host in the body.
        found: String,
        /// Hosts of the cluster.
        expected: Vec<String>,
    },
}

pub(super) fn invalid(why: impl Into<String>) -> BodyFault {
    BodyFault::Invalid(why.into())
}

pub(super) fn unsafe_body(why: impl Into<String>) -> BodyFault {
    BodyFault::Unsafe(why.into())
}
