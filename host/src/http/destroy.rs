//! `DELETE /api/v1/deployments/{id}`.

use super::body;
use super::error::ApiError;
use super::health::accepting;
use super::path::Id;
use super::wire::Begun;
use crate::app::App;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::Arc;

/// Begins to remove what a deployment made. 202 means that this is on record; the log tells how it goes. The body may give
/// credentials that are no longer kept, and may agree that the volumes of the cluster are deleted.
pub async fn destroy(
    State(app): State<Arc<App>>,
    Id(id): Id,
    body: Body,
) -> Result<(StatusCode, Json<Begun>), ApiError> {
    app.store.get(&id).ok_or(ApiError::UnknownDeployment)?;
    accepting(&app)?;
    let body = body::read(body, body::POST_LIMIT, ApiError::BodyTooLarge).await?;
    body::refuse_duplicates(&body)?;
    // The body may have taken long.
    accepting(&app)?;
    let record = app.driver.destroy(id.clone(), body, jiff::Timestamp::now()).await?;
    Ok((StatusCode::ACCEPTED, Json(Begun::new(&id, record.status))))
}
