//! Who calls, and may it? Asked once for every request, against the table of routes, before any handler. What is audited is
//! begun only when a line says so.

use super::audited;
use super::bearer::parse;
use super::cookie;
use super::error::ApiError;
use super::routes::{Needs, Rule, method_not_allowed, rule};
use super::wrong_tokens::WrongTokens;
use super::{Served, request_id};
use crate::app::App;
use crate::audit::About;
use crate::auth::{Authenticator, Caller, Fault, Mode, Scope, Scopes, TokenKind};
use crate::metrics::AuthFailure;
use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use catalyst_domain::read_token::{Opens, opened};
use catalyst_domain::{DeploymentId, SecretValue};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// When to come again where too many unknown tokens wait.
const BUSY: Duration = Duration::from_secs(2);

/// Lets a request through to its handler, or refuses it.
pub async fn guard(State(served): State<Served>, request: Request, next: Next) -> Response {
    let Some(path) = request.extensions().get::<MatchedPath>().cloned() else { return next.run(request).await };
    let Some(rule) = rule(request.method(), path.as_str()) else {
        return method_not_allowed(path.as_str()).into_response();
    };
    // Whoever may call: what is begun now would not be brought to its end. Reading goes on to the last.
    if served.app.stopping.is_cancelled() && request.method() != Method::GET {
        return ApiError::Draining.into_response();
    }
    let (mut parts, body) = request.into_parts();
    let (id, peer) = (deployment(&mut parts).await, peer(&parts));
    let caller = match caller(&served, rule, &parts.headers, id.as_ref(), peer.ip()).await {
        Ok(caller) => caller,
        Err(refusal) => return refuse(&served.app, rule, peer.ip(), refusal).into_response(),
    };
    parts.extensions.insert(Whoever(Arc::new(caller.clone())));
    let about = rule.action.map(|action| {
        let request = parts.extensions.get::<request_id::RequestId>().map(|id| id.0.clone()).unwrap_or_default();
        About { caller, peer, request, action, deployment: id }
    });
    let request = Request::from_parts(parts, body);
    match about {
        Some(about) => audited::run(&served.app, about, request, next).await,
        None => next.run(request).await,
    }
}

/// The caller of a request, for handlers that look closer.
#[derive(Clone)]
pub struct Whoever(pub Arc<Caller>);

impl<S: Send + Sync> FromRequestParts<S> for Whoever {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        // Without the guard nobody is known, and nobody may do anything.
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self(Arc::new(nobody()))))
    }
}

impl Whoever {
    /// Refuses a caller without this scope.
    ///
    /// # Errors
    /// [`ApiError::Forbidden`].
    pub fn must(&self, scope: Scope) -> Result<(), ApiError> {
        if self.0.may(scope) { Ok(()) } else { Err(ApiError::Forbidden(Needs::Scope(scope))) }
    }

    /// Whether callers are known at all.
    pub fn is_known(&self) -> bool {
        self.0.mode != Mode::None
    }
}

fn nobody() -> Caller {
    Caller::new("nobody", Mode::None, Scopes::NONE)
}

/// A refusal, with whom it concerns where that is known.
struct Refusal {
    error: ApiError,
    failure: AuthFailure,
    subject: Option<String>,
}

impl Refusal {
    fn new(error: ApiError, failure: AuthFailure) -> Self {
        Self { error, failure, subject: None }
    }

    fn forbidden(needs: Needs, subject: &str) -> Self {
        let error = ApiError::Forbidden(needs);
        Self { error, failure: AuthFailure::Forbidden, subject: Some(subject.to_owned()) }
    }
}

fn refuse(app: &App, rule: &Rule, peer: IpAddr, refusal: Refusal) -> ApiError {
    let Refusal { error, failure, subject } = refusal;
    app.metrics.auth_failed(failure);
    if failure != AuthFailure::Unavailable {
        app.audit.refused(peer, failure.as_str(), subject.as_deref(), rule.action.unwrap_or("read"));
    }
    error
}

async fn caller(
    served: &Served,
    rule: &Rule,
    headers: &HeaderMap,
    id: Option<&DeploymentId>,
    peer: IpAddr,
) -> Result<Caller, Refusal> {
    let app = &served.app;
    let Some(authenticator) = app.auth.authenticator() else { return Ok(Caller::anybody()) };
    if matches!(rule.needs, Needs::Nothing | Needs::NodeBearer) {
        return Ok(nobody());
    }
    let wrong = || wrong(&served.wrong_tokens, peer);
    match bearer(headers) {
        Some(token) if TokenKind::of(&token) == TokenKind::Reading => {
            let opens = id.and_then(|id| opens(app, id, &token)).ok_or_else(wrong)?;
            by_read_token(rule, id, opens)
        }
        Some(token) => {
            let caller = identify(served, authenticator, &token, peer).await?;
            if rule.needs.met_by(&caller) { Ok(caller) } else { Err(Refusal::forbidden(rule.needs, &caller.subject)) }
        }
        None => {
            let (Needs::OrReadToken(..), Some(id)) = (rule.needs, id) else { return Err(missing()) };
            let mut given = cookie::given(headers).peekable();
            given.peek().ok_or_else(missing)?;
            let opens = given.find_map(|token| opens(app, id, &token)).ok_or_else(wrong)?;
            by_read_token(rule, Some(id), opens)
        }
    }
}

fn by_read_token(rule: &Rule, id: Option<&DeploymentId>, opens: Opens) -> Result<Caller, Refusal> {
    let subject = id.map(ToString::to_string).unwrap_or_default();
    if rule.needs.met_by_read_token(opens) {
        return Ok(Caller::new(&subject, Mode::ReadToken, Scopes::NONE));
    }
    Err(Refusal::forbidden(rule.needs, &subject))
}

async fn identify(
    served: &Served,
    authenticator: &Arc<dyn Authenticator>,
    token: &SecretValue,
    peer: IpAddr,
) -> Result<Caller, Refusal> {
    let standing = served.wrong_tokens.standing(peer);
    authenticator.identify(token, standing).await.map_err(|fault| match fault {
        Fault::Wrong(reason) => {
            tracing::debug!(peer.addr = %peer, reason, "a wrong token");
            wrong(&served.wrong_tokens, peer)
        }
        Fault::Busy => Refusal::new(ApiError::TooManyWrongTokens(BUSY), AuthFailure::Limited),
        Fault::Unavailable(why) => {
            tracing::warn!(error = why, "nobody can tell whose a token is");
            Refusal::new(ApiError::AuthUnavailable, AuthFailure::Unavailable)
        }
    })
}

fn missing() -> Refusal {
    Refusal::new(ApiError::MissingToken, AuthFailure::Missing)
}

fn wrong(tokens: &WrongTokens, peer: IpAddr) -> Refusal {
    match tokens.note(peer) {
        None => Refusal::new(ApiError::InvalidToken, AuthFailure::Invalid),
        Some(wait) => Refusal::new(ApiError::TooManyWrongTokens(wait), AuthFailure::Limited),
    }
}

fn opens(app: &App, id: &DeploymentId, token: &SecretValue) -> Option<Opens> {
    opened(&*app.store.get(id)?, token.expose())
}

fn bearer(headers: &HeaderMap) -> Option<SecretValue> {
    headers.get(AUTHORIZATION).and_then(|value: &HeaderValue| value.to_str().ok()).and_then(parse).map(SecretValue::new)
}

/// The deployment of the path, where it names one.
async fn deployment(parts: &mut Parts) -> Option<DeploymentId> {
    let parameters = RawPathParams::from_request_parts(parts, &()).await.ok()?;
    let id = parameters.iter().find(|(name, _)| *name == "id").map(|(_, value)| value.to_owned())?;
    DeploymentId::parse(&id).ok()
}

fn peer(parts: &Parts) -> SocketAddr {
    let known = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
    known.unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
}
