//! `GET /api/v1/deployments/{id}/logs`: history and live entries as one stream of server-sent events.

use super::Recheck;
use super::authority::Authority;
use super::error::ApiError;
use super::path::Id;
use super::sse;
use crate::app::App;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Streams from `Last-Event-ID` to the end of the run.
pub async fn logs(
    State(app): State<Arc<App>>,
    State(recheck): State<Recheck>,
    authority: Authority,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    // A log that cannot be read is an error now, not a stream that breaks off; and nobody waits behind its end.
    let count = app.store.count(&id).await?;
    let after = last_event_id(&headers).min(count);
    let stream = sse::stream(&app, id, after, authority.lease(recheck.0)).ok_or(ApiError::UnknownDeployment)?;
    let mut response = Body::from_stream(stream).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// The entry behind which a viewer goes on, by its `Last-Event-ID`; 0, the beginning, where that is no number.
pub fn last_event_id(headers: &HeaderMap) -> u64 {
    headers.get("last-event-id").and_then(|value| value.to_str().ok()?.trim().parse().ok()).unwrap_or(0)
}
