//! Liveness and readiness.

use crate::app::App;
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
    let reasons = app.not_ready();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready: reasons.is_empty(), reasons }))
}
