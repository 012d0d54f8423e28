//! Liveness and readiness.

use crate::app::App;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::sync::Arc;

/// `GET /healthz`: the process answers. Static, as the contract says.
pub async fn healthz() -> Response {
    ([(header::CONTENT_TYPE, "text/plain")], "ok").into_response()
}

/// `GET /readyz`: whether work may be sent here; every reason against it is named.
pub async fn readyz(State(app): State<Arc<App>>) -> Response {
    let reasons = app.not_ready();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"ready": reasons.is_empty(), "reasons": reasons}))).into_response()
}
