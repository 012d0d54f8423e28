//! Liveness and readiness.

use super::error::ApiError;
use crate::app::App;
use crate::auth::Trouble;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Whether work may be sent here.
#[derive(Serialize, ToSchema)]
pub struct Readiness {
    /// Nothing speaks against it.
    ready: bool,
    /// Everything that does.
    reasons: Vec<String>,
}

/// `GET /healthz`: the process answers. Static, as the contract says.
pub async fn healthz() -> Response {
    ([(header::CONTENT_TYPE, "text/plain")], "ok").into_response()
}

/// `GET /readyz`: whether work may be sent here; every reason against it is named.
pub async fn readyz(State(app): State<Arc<App>>) -> (StatusCode, Json<Readiness>) {
    let reasons = not_ready(&app);
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready: reasons.is_empty(), reasons }))
}

/// Whether a request that changes something may begin.
///
/// # Errors
/// [`ApiError::Draining`] or [`ApiError::Storage`].
pub fn accepting(app: &App) -> Result<(), ApiError> {
    if app.stopping.is_cancelled() {
        return Err(ApiError::Draining);
    }
    app.store.unusable().map_or(Ok(()), |error| Err(ApiError::Storage(error)))
}

fn not_ready(app: &App) -> Vec<String> {
    let mut reasons = Vec::new();
    if app.stopping.is_cancelled() {
        reasons.push("the server is going down".to_owned());
    }
    reasons.extend(app.store.unusable().map(|error| error.to_string()));
    reasons.extend(app.audit.unusable().map(|error| error.to_string()));
    if let Some(Trouble::Blind(why)) = app.auth.trouble() {
        reasons.push(why);
    }
    if app.sandbox.providers().is_empty() {
        reasons.push("no provider plugin is loaded".to_owned());
    }
    reasons
}
