//! The API on a socket: a file per resource and verb. It knows axum, and never wasmtime, kube, a path or a process. A handler
//! extracts, calls once, converts.

mod access;
mod allowed_hosts;
mod audited;
mod authority;
mod bearer;
mod body;
mod browser_guard;
mod clients;
mod cookie;
mod cors;
mod create;
mod credentials;
mod destroy;
mod error;
mod events;
mod fields;
mod get;
mod header_fault;
mod health;
mod host_header;
mod kubeconfig;
mod list;
mod logs;
mod measure;
mod metrics;
mod openapi;
mod path;
mod pipeline;
mod places;
mod previews;
mod providers;
mod query;
mod read_tokens;
mod registrar;
mod request_id;
mod rest;
mod retry;
mod routes;
mod sender;
mod serve;
mod sse;
mod sshkey;
mod subdomains;
mod too_many;
mod tracked;
mod web_origin;
mod whole_answer;
mod wire;
mod wrong_bearers;
mod wrong_tokens;

use crate::app::App;
use crate::limits;
pub use allowed_hosts::AllowedHosts;
use axum::Router;
use axum::extract::{FromRef, MatchedPath};
use axum::middleware;
use axum::routing::{get, post};
pub use bearer::parse as bearer_token;
pub use browser_guard::BrowserSettings;
use browser_guard::{BrowserGuard, Callers, Reach};
use clients::Clients;
pub use cookie::given as read_tokens_of;
pub use cors::AllowedOrigin;
pub use error::ApiError;
pub use logs::last_event_id;
pub use openapi::document;
use routes::{Head, method_not_allowed};
pub use routes::{Needs, ROUTES, RULES, Rule};
pub use sender::TrustedProxies;
pub use serve::Limits;
use serve::{Door, Ends};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use too_many::RequestRates;
pub use web_origin::WebOrigin;
use wrong_bearers::WrongBearers;
use wrong_tokens::WrongTokens;

/// Connections of the address that serves metrics and probes: a few scrapers and one kubelet, each with one or two.
const SCRAPERS: usize = 64;

/// What the API is told from outside.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The origin whose pages may call.
    pub allowed_origin: AllowedOrigin,
    /// What requests of browsers are held to.
    pub browsers: BrowserSettings,
    /// What connections may cost.
    pub limits: Limits,
    /// Proxies whose word on their client counts.
    pub trusted_proxies: TrustedProxies,
    /// How often the right to follow a deployment is asked again.
    pub recheck: Duration,
    /// What each subject may ask for.
    pub subjects: limits::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allowed_origin: AllowedOrigin::Any,
            browsers: BrowserSettings::default(),
            limits: Limits::default(),
            trusted_proxies: TrustedProxies::default(),
            recheck: authority::EVERY,
            subjects: limits::Settings::default(),
        }
    }
}

/// How often the right to follow a deployment is asked again.
#[derive(Clone, Copy)]
struct Recheck(Duration);

/// What handlers work with. Each request clones it.
#[derive(Clone)]
struct Served(Arc<ApiState>);

impl Deref for Served {
    type Target = ApiState;

    fn deref(&self) -> &ApiState {
        &self.0
    }
}

/// The handles of the process, and what the API itself remembers.
struct ApiState {
    app: Arc<App>,
    wrong_bearers: Arc<WrongBearers>,
    wrong_tokens: WrongTokens,
    proxies: TrustedProxies,
    browsers: BrowserGuard,
    allowed_origin: AllowedOrigin,
    clients: Arc<Clients>,
    rates: RequestRates,
    recheck: Recheck,
}

impl FromRef<Served> for Recheck {
    fn from_ref(served: &Served) -> Self {
        served.recheck
    }
}

impl FromRef<Served> for Arc<App> {
    fn from_ref(served: &Served) -> Self {
        served.app.clone()
    }
}

impl FromRef<Served> for Arc<WrongBearers> {
    fn from_ref(served: &Served) -> Self {
        served.wrong_bearers.clone()
    }
}

/// The router of a listener over the long-lived handles.
fn router(app: Arc<App>, settings: Settings, reach: Reach) -> Router {
    let deployment = "/api/v1/deployments/{id}";
    let routes = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::metrics))
        .route("/api/v1/openapi.json", get(openapi::openapi))
        .route("/api/v1/deployments", get(list::list).post(create::create))
        .route(deployment, get(get::get).delete(destroy::destroy))
        .route("/api/v1/credentials/validate", post(credentials::validate))
        .route("/api/v1/subdomains/check", post(subdomains::check))
        .route("/api/v1/sshkey/generate", post(sshkey::generate))
        .route("/api/v1/registrar/{registrar}/validate", post(registrar::validate))
        .route("/api/v1/registrar/{registrar}/set-ns", post(registrar::set_ns))
        .route(&format!("{deployment}/events"), get(events::events))
        .route(&format!("{deployment}/logs"), get(logs::logs))
        .route(&format!("{deployment}/kubeconfig"), get(kubeconfig::get).put(kubeconfig::put))
        .route(&format!("{deployment}/phases/{{phase}}/retry"), post(retry::retry))
        .route(&format!("{deployment}/read-tokens"), post(read_tokens::give).delete(read_tokens::end))
        .route("/api/v1/previews", post(previews::preview))
        .route("/api/v1/providers", get(providers::list))
        .route("/api/v1/providers/{id}", get(providers::get))
        .fallback(async || ApiError::NoRoute)
        .method_not_allowed_fallback(wrong_method);
    let (callers, allowed_origin) = match app.auth.authenticator() {
        Some(_) => (Callers::Known, settings.allowed_origin),
        None => (Callers::Unknown, settings.allowed_origin.unless_any()),
    };
    let served = Served(Arc::new(ApiState {
        app,
        wrong_bearers: Arc::default(),
        wrong_tokens: WrongTokens::default(),
        proxies: settings.trusted_proxies,
        browsers: BrowserGuard::new(settings.browsers, &allowed_origin, callers, reach),
        allowed_origin,
        clients: Clients::new(settings.limits.per_address),
        rates: RequestRates::new(&settings.subjects),
        recheck: Recheck(settings.recheck),
    }));
    routes.layer(middleware::from_fn_with_state(served.clone(), pipeline::run)).with_state(served)
}

/// Serves until `close` is cancelled, then lets the requests in flight end. From the moment at which the app is stopping, what
/// would begin something is refused.
///
/// # Errors
/// The listener is not usable.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    settings: Settings,
    close: CancellationToken,
) -> std::io::Result<()> {
    let ends = Ends { stop: app.stopping.clone(), close };
    let reach = Reach::of(listener.local_addr()?.ip());
    let proxies = Arc::new(settings.trusted_proxies.clone());
    let door = Door { limits: settings.limits, proxies, metrics: app.metrics.clone() };
    serve::serve(listener, router(app, settings, reach), door, ends).await
}

/// Serves metrics and probes alone, to whoever can reach the address. Its places are its own: a full API fails no probe.
///
/// # Errors
/// The listener is not usable.
pub async fn serve_metrics(listener: TcpListener, app: Arc<App>, close: CancellationToken) -> std::io::Result<()> {
    let ends = Ends { stop: app.stopping.clone(), close };
    let limits = Limits { connections: SCRAPERS, per_address: SCRAPERS / 2, ..Limits::default() };
    let door = Door { limits, proxies: Arc::default(), metrics: app.metrics.clone() };
    let routes = Router::new()
        .route("/metrics", get(metrics::metrics))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .fallback(async || ApiError::NoRoute)
        .method_not_allowed_fallback(wrong_method_for_metrics)
        .layer(middleware::map_request(host_header::require));
    serve::serve(listener, routes.with_state(app), door, ends).await
}

async fn wrong_method(path: MatchedPath) -> ApiError {
    method_not_allowed(path.as_str(), Head::Refused)
}

async fn wrong_method_for_metrics(path: MatchedPath) -> ApiError {
    method_not_allowed(path.as_str(), Head::Answered)
}
