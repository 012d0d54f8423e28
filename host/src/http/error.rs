//! The one error envelope. A status is chosen here and nowhere else.

use super::header_fault::HeaderFault;
use super::places::COME_AGAIN;
use super::routes::Needs;
use super::too_many::TooMany;
use super::wire::Problem;
use crate::audit::AuditError;
use crate::dns::registrar::{self, ForwardError, UnsupportedRegistrar};
use crate::driver::dns::PoolFault;
use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use catalyst_domain::Refused;
use catalyst_domain::finding::joined_errors;
use catalyst_domain::kubeconfig::{BearerFault, BodyFault};
use catalyst_domain::replace::ACCEPT_DATA_LOSS;
use catalyst_domain::{DeploymentId, Finding};
use catalyst_store::{AcceptError, CreateError, KubeconfigError, RecordError, StorageError};
use std::time::Duration;

/// Everything that a route may answer instead of what was asked for.
#[derive(Debug)]
pub enum ApiError {
    /// No such route.
    NoRoute,
    /// The route has no such method, but these.
    MethodNotAllowed(Vec<&'static str>),
    /// The request names a host, an origin or a type that it may not.
    Header(HeaderFault),
    /// No such deployment.
    UnknownDeployment,
    /// The request is refused, with everything that is wrong.
    Findings(Vec<Finding>),
    /// A POST body over its limit in bytes.
    BodyTooLarge(usize),
    /// The body did not arrive whole.
    BodyUnreadable,
    /// The body took longer than this.
    BodyTooSlow(Duration),
    /// No usable bearer.
    MissingBearer,
    /// Too many wrong bearers; the time after which another one is looked at.
    TooManyWrongBearers(Duration),
    /// No token, or none that is a bearer.
    MissingToken,
    /// The token is not one of ours, or no longer.
    InvalidToken,
    /// Too many wrong tokens; the time after which another one is looked at.
    TooManyWrongTokens(Duration),
    /// More than the share of its subject or address.
    TooMany(TooMany),
    /// The places that are free are kept for nodes and known callers.
    NoPlace,
    /// The token is right, and does not allow this.
    Forbidden(Needs),
    /// Who could tell whose the token is does not answer.
    AuthUnavailable,
    /// What the operator gave to know callers by cannot be used.
    AuthBlind,
    /// A token is asked for where nobody needs one.
    NobodyIsKnown,
    /// It cannot be written down who asked for it, so it is not begun.
    AuditUnavailable(AuditError),
    /// The kubeconfig was not accepted.
    Accept(AcceptError),
    /// A kubeconfig over the contract's limit in bytes.
    KubeconfigTooLarge(usize),
    /// A kubeconfig of no bytes.
    KubeconfigEmpty,
    /// The kubeconfig cannot be given out.
    Kubeconfig(KubeconfigError),
    /// The deployment was not created.
    Create(CreateError),
    /// A retry that the state does not allow.
    Refused(Refused),
    /// A retry of an unknown phase.
    UnknownPhase(String),
    /// The secrets of the run are gone; these request keys must be given again.
    CredentialsNeeded(Vec<String>),
    /// A retry that would lose the cluster's data; the text names the key with which a person accepts that.
    DataLoss(String),
    /// The provider's plugin failed; the text names it and the limit it met.
    Provider(String),
    /// The deployment's plugin is not loaded.
    ProviderNotLoaded(String),
    /// Something could not be read or written.
    Storage(StorageError),
    /// The registrar of the path is not one of the known ones.
    UnsupportedRegistrar(UnsupportedRegistrar),
    /// A registrar call over its limit in bytes.
    RegistrarTooLarge(usize),
    /// The body of a registrar call is refused.
    RegistrarBody(registrar::BodyFault),
    /// The pool-domain manager gave nothing that could be passed on.
    PdmUnreachable(ForwardError),
    /// No key could be made.
    NoKey(String),
    /// Somebody else has the pool name.
    SubdomainConflict(String),
    /// The pool-domain manager could not be asked.
    PdmUnavailable(String),
    /// The system gave no random bytes.
    NoRandomness,
    /// The task behind the request broke. What it did must be looked up.
    Broken,
    /// The process is going down.
    Draining,
    /// A handler broke.
    Panicked,
    /// No such provider.
    UnknownProvider,
    /// The deployment to compare with was never rendered.
    NothingRendered,
    /// A retry or destroy whose infrastructure has no state here.
    NoState,
    /// The idempotency key belongs to another request, which made this deployment.
    OtherRequest(DeploymentId),
    /// The render is not the one that was approved.
    OtherRender {
        /// Digest that was approved.
        approved: String,
        /// Digest of what would be applied.
        found: String,
    },
}

impl From<PoolFault> for ApiError {
    fn from(fault: PoolFault) -> Self {
        match fault {
            PoolFault::Conflict(detail) => Self::SubdomainConflict(detail),
            PoolFault::Unavailable(detail) => Self::PdmUnavailable(detail),
            PoolFault::Refused(findings) => Self::Findings(findings),
        }
    }
}

impl From<RecordError> for ApiError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Unknown => Self::UnknownDeployment,
            RecordError::Refused(refused) => Self::Refused(refused),
            RecordError::NameTaken { fqdn, owner, status } => {
                Self::Create(CreateError::NameTaken { fqdn, owner, status })
            }
            RecordError::Storage(storage) => Self::Storage(storage),
        }
    }
}

/// What is said where no place is free.
pub(super) const NO_PLACE: &str = "no connection is free for a caller that is not known yet; try again in some seconds";

fn coded(status: StatusCode, code: &str, detail: impl std::fmt::Display) -> (StatusCode, Problem) {
    (status, problem(code, detail))
}

fn problem(code: &str, detail: impl std::fmt::Display) -> Problem {
    Problem { error: code.to_owned(), detail: Some(detail.to_string()), ..Problem::default() }
}

/// A sentence alone, where the contract knows no code.
fn sentence(text: String) -> Problem {
    Problem { error: text, ..Problem::default() }
}

impl ApiError {
    /// What goes with the body.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        match self {
            Self::MethodNotAllowed(allowed) => {
                for method in allowed {
                    headers.append(header::ALLOW, HeaderValue::from_static(method));
                }
            }
            Self::MissingBearer | Self::MissingToken | Self::InvalidToken => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::BodyTooSlow(_) | Self::NoPlace => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        if let Some(seconds) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        headers
    }

    /// Whole seconds, at least one.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Draining => Some(10),
            Self::TooManyWrongBearers(wait) | Self::TooManyWrongTokens(wait) => Some(wait.as_secs().saturating_add(1)),
            Self::TooMany(limit) => Some(limit.retry_after().as_secs()),
            Self::NoPlace => Some(COME_AGAIN.as_secs()),
            Self::AuthUnavailable | Self::AuthBlind | Self::AuditUnavailable(_) => Some(5),
            _ => None,
        }
    }

    /// Status and body; the document of the API is made from the same.
    #[expect(clippy::too_many_lines, reason = "it is the table: a row for each error")]
    pub(super) fn parts(self) -> (StatusCode, Problem) {
        use StatusCode as S;
        match self {
            Self::NoRoute => coded(S::NOT_FOUND, "not-found", "404 page not found"),
            Self::MethodNotAllowed(_) => {
                coded(S::METHOD_NOT_ALLOWED, "method-not-allowed", "this route has no such method")
            }
            Self::Header(fault) => header_fault(fault),
            Self::UnknownDeployment => coded(S::NOT_FOUND, "deployment-not-found", "deployment not found"),
            Self::Findings(findings) => {
                let error = joined_errors(&findings);
                (S::BAD_REQUEST, Problem { error, findings: Some(findings), ..Problem::default() })
            }
            Self::BodyTooLarge(limit) => {
                coded(S::PAYLOAD_TOO_LARGE, "body-too-large", format!("the body must be at most {limit} bytes"))
            }
            Self::BodyUnreadable => coded(S::BAD_REQUEST, "body-unreadable", "the body did not arrive whole"),
            Self::BodyTooSlow(limit) => coded(
                S::REQUEST_TIMEOUT,
                "body-too-slow",
                format!("the body did not arrive within {} s", limit.as_secs()),
            ),
            Self::MissingBearer => {
                coded(S::UNAUTHORIZED, "missing-bearer", "give the one-time bearer as `Authorization: Bearer <token>`")
            }
            Self::TooManyWrongBearers(_) => {
                coded(S::TOO_MANY_REQUESTS, "too-many-wrong-bearers", "too many wrong bearers; try again later")
            }
            Self::MissingToken => {
                coded(S::UNAUTHORIZED, "missing-token", "give a token as `Authorization: Bearer <token>`")
            }
            Self::InvalidToken => coded(S::UNAUTHORIZED, "invalid-token", "the token is wrong, or no longer right"),
            Self::TooManyWrongTokens(_) => {
                coded(S::TOO_MANY_REQUESTS, "too-many-wrong-tokens", "too many wrong tokens; try again later")
            }
            Self::TooMany(limit) => coded(S::TOO_MANY_REQUESTS, limit.code(), limit.detail()),
            Self::NoPlace => coded(S::SERVICE_UNAVAILABLE, "too-many-connections", NO_PLACE),
            Self::Forbidden(needs) => {
                coded(S::FORBIDDEN, "forbidden", format!("this needs {}, which the token does not have", needs.words()))
            }
            Self::AuthUnavailable => coded(
                S::SERVICE_UNAVAILABLE,
                "authentication-unavailable",
                "who could tell whose token it is does not answer; try again shortly",
            ),
            Self::AuthBlind => coded(
                S::SERVICE_UNAVAILABLE,
                "authentication-unavailable",
                "the host cannot read its list of tokens; its trace says why, and its operator has to mend it",
            ),
            Self::NobodyIsKnown => {
                let detail = "no token is needed here: CATALYST_AUTH is none, so everybody may read";
                coded(S::CONFLICT, "no-authentication", detail)
            }
            Self::AuditUnavailable(error) => coded(S::SERVICE_UNAVAILABLE, "audit-unavailable", error),
            Self::Accept(error) => accept(error),
            Self::KubeconfigTooLarge(limit) => {
                coded(S::UNPROCESSABLE_ENTITY, "body-too-large", format!("a kubeconfig must be at most {limit} bytes"))
            }
            Self::KubeconfigEmpty => coded(S::UNPROCESSABLE_ENTITY, "empty-body", "the body must be a kubeconfig"),
            Self::Kubeconfig(error) => kubeconfig(error),
            Self::Create(error) => create(error),
            Self::Refused(refused @ Refused::ReadTokensTaken { .. }) => {
                coded(S::CONFLICT, "too-many-read-tokens", refused)
            }
            Self::Refused(refused) => (S::CONFLICT, sentence(refused.to_string())),
            Self::UnknownPhase(phase) => {
                let text = format!("unknown phase {phase:?}: it must be a phase id such as tofu-apply or cilium");
                (S::BAD_REQUEST, sentence(text))
            }
            Self::CredentialsNeeded(keys) => {
                let detail = format!("the credentials of this run are no longer kept; give {} again", keys.join(", "));
                (S::CONFLICT, Problem { keys: Some(keys), ..problem("credentials-needed", detail) })
            }
            Self::DataLoss(detail) => {
                let keys = Some(vec![ACCEPT_DATA_LOSS.to_owned()]);
                (S::CONFLICT, Problem { keys, ..problem("data-loss", detail) })
            }
            Self::Provider(text) => coded(S::BAD_GATEWAY, "provider-failed", text),
            Self::ProviderNotLoaded(provider) => {
                let detail = format!(
                    "the plugin of provider {provider:?} is not loaded; this deployment cannot go on without it"
                );
                coded(S::SERVICE_UNAVAILABLE, "provider-not-loaded", detail)
            }
            Self::Storage(error) => coded(S::SERVICE_UNAVAILABLE, "storage-unavailable", error),
            Self::UnsupportedRegistrar(error) => coded(S::NOT_FOUND, "unsupported-registrar", error),
            Self::RegistrarTooLarge(limit) => {
                coded(S::BAD_REQUEST, "request-too-large", format!("the body must be at most {limit} bytes"))
            }
            Self::RegistrarBody(fault) => {
                use registrar::BodyFault::{Duplicate, InvalidBody};
                let malformed = matches!(fault, InvalidBody | Duplicate(_));
                let status = if malformed { S::BAD_REQUEST } else { S::UNPROCESSABLE_ENTITY };
                coded(status, fault.code(), fault)
            }
            Self::PdmUnreachable(error) => coded(S::BAD_GATEWAY, "pdm-unreachable", error),
            Self::SubdomainConflict(detail) => coded(S::CONFLICT, "subdomain-conflict", detail),
            Self::PdmUnavailable(detail) => coded(S::SERVICE_UNAVAILABLE, "pdm-unavailable", detail),
            Self::NoKey(why) => coded(S::INTERNAL_SERVER_ERROR, "no-key", why),
            Self::NoRandomness => {
                let detail = "the system gave no random bytes";
                coded(S::INTERNAL_SERVER_ERROR, "bearer-token-generation-failed", detail)
            }
            Self::Broken => coded(S::INTERNAL_SERVER_ERROR, "internal", "the request broke; look up what became of it"),
            Self::Panicked => coded(S::INTERNAL_SERVER_ERROR, "internal", "the server failed; see its trace"),
            Self::UnknownProvider => coded(S::NOT_FOUND, "provider-not-found", "no such provider is loaded"),
            Self::NothingRendered => {
                coded(S::CONFLICT, "nothing-rendered", "the deployment to compare with has no rendered bundle")
            }
            Self::NoState => coded(
                S::CONFLICT,
                "state-missing",
                "this deployment had infrastructure, but its OpenTofu state is not kept here: remove in the cloud what has a \
                 label or a tag with the id of the deployment; what is known of it stands in its log and under `left` of its state",
            ),
            Self::OtherRequest(id) => {
                let detail = "this Idempotency-Key belongs to a create of another request";
                let owner = Some(id.to_string());
                (S::UNPROCESSABLE_ENTITY, Problem { owner, ..problem("idempotency-mismatch", detail) })
            }
            Self::OtherRender { approved, found } => {
                let detail = "what would be applied is not what was approved: preview it again";
                let (expected, rendered) = (Some(approved), Some(found));
                (S::CONFLICT, Problem { expected, rendered, ..problem("render-digest-mismatch", detail) })
            }
            Self::Draining => coded(S::SERVICE_UNAVAILABLE, "draining", "the server is going down; try again shortly"),
        }
    }
}

fn header_fault(fault: HeaderFault) -> (StatusCode, Problem) {
    let status = match fault {
        HeaderFault::InvalidHost => StatusCode::BAD_REQUEST,
        HeaderFault::ForeignHost | HeaderFault::ForeignOrigin => StatusCode::FORBIDDEN,
        HeaderFault::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
    };
    coded(status, fault.code(), fault)
}

fn accept(error: AcceptError) -> (StatusCode, Problem) {
    use StatusCode as S;
    match error {
        AcceptError::Unknown => ApiError::UnknownDeployment.parts(),
        AcceptError::Bearer(fault @ (BearerFault::NoHash | BearerFault::Removed(_))) => {
            coded(S::FORBIDDEN, "no-bearer-hash", fault)
        }
        AcceptError::Bearer(fault @ BearerFault::Invalid) => coded(S::FORBIDDEN, "invalid-bearer", fault),
        AcceptError::AlreadySet { same } => {
            let detail = "a kubeconfig was already accepted for this deployment";
            (S::FORBIDDEN, Problem { same: Some(same), ..problem("already-set", detail) })
        }
        AcceptError::Body(fault @ BodyFault::Unsafe(_)) => coded(S::UNPROCESSABLE_ENTITY, "unsafe-kubeconfig", fault),
        AcceptError::Body(fault @ (BodyFault::Invalid(_) | BodyFault::ForeignServer { .. })) => {
            coded(S::UNPROCESSABLE_ENTITY, "invalid-kubeconfig", fault)
        }
        AcceptError::Folder(error) => coded(S::SERVICE_UNAVAILABLE, "kubeconfigs-dir-unwritable", error),
        AcceptError::Storage(error) => coded(S::SERVICE_UNAVAILABLE, "write-failed", error),
    }
}

fn kubeconfig(error: KubeconfigError) -> (StatusCode, Problem) {
    match error {
        KubeconfigError::Unknown => ApiError::UnknownDeployment.parts(),
        KubeconfigError::NotYet | KubeconfigError::Destroyed => coded(StatusCode::CONFLICT, "not-implemented", error),
        KubeconfigError::Unchecked => coded(StatusCode::CONFLICT, "kubeconfig-unchecked", error),
        KubeconfigError::Refused(_) => coded(StatusCode::CONFLICT, "kubeconfig-refused", error),
        KubeconfigError::FileMissing => coded(StatusCode::CONFLICT, "kubeconfig-file-missing", error),
        KubeconfigError::Sealed(storage) => ApiError::Storage(storage).parts(),
    }
}

fn create(error: CreateError) -> (StatusCode, Problem) {
    match error {
        CreateError::NameTaken { ref owner, .. } => {
            let detail = format!("{error}; retry or destroy it, or choose another name");
            let owner = Some(owner.to_string());
            (StatusCode::CONFLICT, Problem { owner, ..problem("name-taken", detail) })
        }
        CreateError::IdTaken(_) => coded(StatusCode::CONFLICT, "id-taken", error),
        CreateError::Storage(storage) => ApiError::Storage(storage).parts(),
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let headers = self.headers();
        let (status, body) = self.parts();
        if status.is_server_error() {
            tracing::error!(http.status = status.as_u16(), error = body.error, detail = body.detail, "request failed");
        }
        (status, headers, Json(body)).into_response()
    }
}
