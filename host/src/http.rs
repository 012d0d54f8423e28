//! The API on a socket: a file per resource and verb. It knows axum, and never wasmtime, kube, a path or a process. A handler
//! extracts, calls once, converts.

mod bearer;
mod body;
mod create;
mod credentials;
mod error;
mod events;
mod fields;
mod get;
mod health;
mod kubeconfig;
mod logs;
mod path;
mod registrar;
mod retry;
mod sse;
mod sshkey;
mod subdomains;
mod wire;

use crate::app::App;
use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
pub use error::ApiError;
use std::net::SocketAddr;
use std::sync::Arc;

/// Every route with its methods; the contract's list is held against it by a test.
pub const ROUTES: &[(&str, &str)] = &[
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("POST", "/api/v1/credentials/validate"),
    ("POST", "/api/v1/subdomains/check"),
    ("POST", "/api/v1/sshkey/generate"),
    ("POST", "/api/v1/deployments"),
    ("GET", "/api/v1/deployments/{id}"),
    ("GET", "/api/v1/deployments/{id}/events"),
    ("GET", "/api/v1/deployments/{id}/logs"),
    ("GET", "/api/v1/deployments/{id}/kubeconfig"),
    ("PUT", "/api/v1/deployments/{id}/kubeconfig"),
    ("POST", "/api/v1/deployments/{id}/phases/{phase}/retry"),
    ("POST", "/api/v1/registrar/{registrar}/validate"),
    ("POST", "/api/v1/registrar/{registrar}/set-ns"),
];

/// The router over the long-lived handles.
pub fn router(app: Arc<App>) -> Router {
    let deployment = "/api/v1/deployments/{id}";
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/api/v1/credentials/validate", post(credentials::validate))
        .route("/api/v1/subdomains/check", post(subdomains::check))
        .route("/api/v1/sshkey/generate", post(sshkey::generate))
        .route("/api/v1/registrar/{registrar}/validate", post(registrar::validate))
        .route("/api/v1/registrar/{registrar}/set-ns", post(registrar::set_ns))
        .route("/api/v1/deployments", post(create::create))
        .route(deployment, get(get::get))
        .route(&format!("{deployment}/events"), get(events::events))
        .route(&format!("{deployment}/logs"), get(logs::logs))
        .route(&format!("{deployment}/kubeconfig"), get(kubeconfig::get).put(kubeconfig::put))
        .route(&format!("{deployment}/phases/{{phase}}/retry"), post(retry::retry))
        .fallback(async || ApiError::NoRoute)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(middleware::from_fn(no_head))
        .with_state(app)
}

/// Serves until `stop` resolves, then lets the requests in flight end.
///
/// # Errors
/// The listener failed.
pub async fn serve(
    listener: tokio::net::TcpListener,
    app: Arc<App>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let service = router(app).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(stop).await
}

// The contract serves no HEAD, which axum would answer for every GET.
async fn no_head(request: Request, next: Next) -> Response {
    if request.method() == Method::HEAD {
        return ApiError::MethodNotAllowed.into_response();
    }
    next.run(request).await
}
