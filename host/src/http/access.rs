//! Who calls, and may it? Asked once for every request, against the table of routes, before any handler. What is audited is
//! begun only when a line says so.

use super::audited;
use super::authority::{Authority, opens};
use super::bearer::parse;
use super::browser_guard;
use super::clients::InFlight;
use super::cookie;
use super::error::ApiError;
use super::places::Place;
use super::routes::{Head, Needs, Rule, method_not_allowed, rule};
use super::sender::Sender;
use super::too_many::TooMany;
use super::wrong_tokens::WrongTokens;
use super::{Served, request_id};
use crate::app::App;
use crate::audit::About;
use crate::auth::{Authenticator, Caller, Fault, Mode, Scope, Scopes, TokenKind};
use crate::limits::{Subject, network};
use crate::metrics::AuthFailure;
use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, RawPathParams, Request};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use catalyst_domain::read_token::Opens;
use catalyst_domain::{Creator, DeploymentId, SecretValue};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// When to come again where too many unknown tokens wait.
const BUSY: Duration = Duration::from_secs(2);

/// Lets a request through to its handler, or refuses it.
pub async fn guard(served: &Served, request: Request, next: Next) -> Response {
    let Some(path) = request.extensions().get::<MatchedPath>().cloned() else { return next.run(request).await };
    let Some(rule) = rule(request.method(), path.as_str()) else {
        return method_not_allowed(path.as_str(), Head::Refused).into_response();
    };
    let (mut parts, body) = request.into_parts();
    if let Some(refusal) = browser_guard::refusal(served, rule, &parts, &body) {
        return refusal;
    }
    // Whoever may call: what is begun now would not be brought to its end. Reading goes on to the last.
    if served.app.stopping.is_cancelled() && parts.method != Method::GET {
        return ApiError::Draining.into_response();
    }
    let id = deployment(&mut parts).await;
    let sender = served.proxies.sender(peer(&parts), &parts.headers);
    if let Some(client) = sender.client {
        tracing::Span::current().record("client.addr", tracing::field::display(client));
    }
    let Admitted { caller, authority } = match admit(served, rule, &parts.headers, id.as_ref(), sender.address()).await
    {
        Ok(admitted) => admitted,
        Err(refusal) => return refuse(&served.app, rule, sender.address(), refusal).into_response(),
    };
    if let Some(place) = parts.extensions.get::<Arc<Place>>() {
        if caller.mode != Mode::None {
            place.mark_known();
        } else if place.is_on_probation() && !is_judged_later(rule) {
            return ApiError::NoPlace.into_response();
        }
    }
    let Ok(in_flight) = in_flight(served, sender) else {
        return limited(served, rule, &caller, sender, TooMany::InFlight(served.clients.most()));
    };
    let subject = Subject::of(&caller, sender.address());
    if let Some(kind) = rule.rate
        && let Err(limit) = served.rates.take(kind, &subject)
    {
        return limited(served, rule, &caller, sender, limit);
    }
    parts.extensions.insert(subject);
    parts.extensions.insert(MayDestroy(caller.may(Scope::Admin)));
    parts.extensions.insert(Whoever(Arc::new(caller.clone())));
    parts.extensions.insert(authority);
    parts.extensions.insert(sender);
    let action = rule.action.filter(|_| is_about_something(&served.app, rule, id.as_ref(), &caller, sender));
    let about = action.map(|action| {
        let request = parts.extensions.get::<request_id::RequestId>().map(|id| id.0.clone()).unwrap_or_default();
        About { caller, peer: sender.peer, client: sender.client, request, action, deployment: id }
    });
    let request = Request::from_parts(parts, body);
    let mut response = match about {
        Some(about) => audited::run(&served.app, about, request, next).await,
        None => next.run(request).await,
    };
    // Until the last byte of it.
    in_flight.map(|in_flight| response.extensions_mut().insert(in_flight));
    response
}

/// Whether the caller may destroy: where that depends on the body, the handler asks.
#[derive(Debug, Clone, Copy)]
pub struct MayDestroy(pub bool);

/// Whether the handler itself looks at a credential, or nothing is asked for that could hold a place for long.
fn is_judged_later(rule: &Rule) -> bool {
    matches!(rule.needs, Needs::NodeBearer | Needs::Nothing)
}

/// Counts a request of a client that a trusted proxy speaks for, because the proxy's connections are not counted. Where its
/// headers contradict each other, as a client can make them do, all such requests share the proxy's own address.
fn in_flight(served: &Served, sender: Sender) -> Result<Option<Arc<InFlight>>, ()> {
    let unnamed = sender.is_unnamed.then(|| sender.peer.ip());
    let Some(client) = sender.client.or(unnamed) else { return Ok(None) };
    served.clients.enter(client).map(|entered| Some(Arc::new(entered))).ok_or(())
}

/// Refuses whoever asks for more than its share, before anything costly and before a line of the audit log is written.
fn limited(served: &Served, rule: &Rule, caller: &Caller, sender: Sender, limit: TooMany) -> Response {
    let (app, action) = (&served.app, rule.action.unwrap_or("read"));
    app.metrics.refused(limit.code());
    app.audit.refused(network(sender.address()), limit.code(), Some(&caller.subject), action);
    ApiError::TooMany(limit).into_response()
}

/// Whether it can change anything. What is asked of a deployment that does not exist cannot, so it is counted like a refusal,
/// which it becomes: else anybody who may ask could write two lines a time for ids that he makes up.
fn is_about_something(app: &App, rule: &Rule, id: Option<&DeploymentId>, caller: &Caller, sender: Sender) -> bool {
    let known = !rule.path.contains("{id}") || id.is_some_and(|id| app.store.get(id).is_some());
    if !known {
        let action = rule.action.unwrap_or("read");
        app.audit.refused(network(sender.address()), "unknown-deployment", Some(&caller.subject), action);
    }
    known
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

    /// What a record keeps of it.
    pub fn creator(&self) -> Option<Creator> {
        self.0.creator()
    }

    /// Whether callers are known at all.
    pub fn is_known(&self) -> bool {
        self.0.mode != Mode::None
    }
}

fn nobody() -> Caller {
    Caller::new("nobody", Mode::None, Scopes::NONE)
}

/// Who was let in, and by what.
struct Admitted {
    caller: Caller,
    authority: Authority,
}

/// A refusal, with whom it concerns where that is known.
pub(super) struct Refusal {
    pub(super) error: ApiError,
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

fn refuse(app: &App, rule: &Rule, from: IpAddr, refusal: Refusal) -> ApiError {
    let Refusal { error, failure, subject } = refusal;
    app.metrics.auth_failed(failure);
    if failure != AuthFailure::Unavailable {
        app.audit.refused(network(from), failure.as_str(), subject.as_deref(), rule.action.unwrap_or("read"));
    }
    error
}

async fn admit(
    served: &Served,
    rule: &'static Rule,
    headers: &HeaderMap,
    id: Option<&DeploymentId>,
    from: IpAddr,
) -> Result<Admitted, Refusal> {
    let app = &served.app;
    let unasked = |caller| Ok(Admitted { caller, authority: Authority::UNASKED });
    let Some(authenticator) = app.auth.authenticator() else { return unasked(Caller::anybody()) };
    if matches!(rule.needs, Needs::Nothing | Needs::NodeBearer) {
        return unasked(nobody());
    }
    let wrong = || wrong(&served.wrong_tokens, from);
    let (caller, token) = match bearer(headers) {
        Some(token) if TokenKind::of(&token) == TokenKind::Reading => {
            let opens = id.and_then(|id| opens(app, id, &token)).ok_or_else(wrong)?;
            (by_read_token(rule, id, opens)?, token)
        }
        Some(token) => {
            let caller = identify(served, authenticator, &token, from).await?;
            if rule.needs.met_by(&caller) {
                (caller, token)
            } else {
                // A proxy may put the same token before every request, and what a page was given is in its cookie.
                let forbidden = || Refusal::forbidden(rule.needs, &caller.subject);
                let (opens, token) = by_cookie(app, rule, headers, id).flatten().ok_or_else(forbidden)?;
                (by_read_token(rule, id, opens)?, token)
            }
        }
        None => {
            let (opens, token) = by_cookie(app, rule, headers, id).ok_or_else(missing)?.ok_or_else(wrong)?;
            (by_read_token(rule, id, opens)?, token)
        }
    };
    let authority = Authority::of(app, rule, id, caller.mode, token);
    Ok(Admitted { caller, authority })
}

/// What the cookies of a request open, where there are any and the route takes them; none of them may be right.
fn by_cookie(
    app: &App,
    rule: &Rule,
    headers: &HeaderMap,
    id: Option<&DeploymentId>,
) -> Option<Option<(Opens, SecretValue)>> {
    let (Needs::OrReadToken(..), Some(id)) = (rule.needs, id) else { return None };
    let mut given = cookie::given(headers).peekable();
    given.peek()?;
    let mut of_ours = given.filter(|token| TokenKind::of(token) == TokenKind::Reading);
    Some(of_ours.find_map(|token| Some((opens(app, id, &token)?, token))))
}

pub(super) fn by_read_token(rule: &Rule, id: Option<&DeploymentId>, opens: Opens) -> Result<Caller, Refusal> {
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
    from: IpAddr,
) -> Result<Caller, Refusal> {
    let standing = served.wrong_tokens.standing(from);
    authenticator.identify(token, standing).await.map_err(|fault| match fault {
        Fault::Wrong(reason) => {
            tracing::debug!(client.addr = %from, reason, "a wrong token");
            wrong(&served.wrong_tokens, from)
        }
        Fault::Busy => Refusal::new(ApiError::TooManyWrongTokens(BUSY), AuthFailure::Limited),
        Fault::Unavailable(why) => {
            tracing::warn!(error = why, "nobody can tell whose a token is");
            Refusal::new(ApiError::AuthUnavailable, AuthFailure::Unavailable)
        }
        // Said where the file is looked at, and not for each request.
        Fault::Blind(_) => Refusal::new(ApiError::AuthBlind, AuthFailure::Unavailable),
    })
}

fn missing() -> Refusal {
    Refusal::new(ApiError::MissingToken, AuthFailure::Missing)
}

fn wrong(tokens: &WrongTokens, from: IpAddr) -> Refusal {
    match tokens.note(from) {
        None => Refusal::new(ApiError::InvalidToken, AuthFailure::Invalid),
        Some(wait) => Refusal::new(ApiError::TooManyWrongTokens(wait), AuthFailure::Limited),
    }
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

/// The other end of the connection.
pub(super) fn peer(parts: &Parts) -> SocketAddr {
    let known = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
    known.unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
}
