//! `GET /api/v1/deployments/{id}`.

use super::error::ApiError;
use super::path::Id;
use super::wire;
use crate::app::App;
use axum::Json;
use axum::extract::State;
use std::sync::Arc;

/// The state of a deployment.
pub async fn get(State(app): State<Arc<App>>, Id(id): Id) -> Result<Json<wire::State>, ApiError> {
    let record = app.store.get(&id).ok_or(ApiError::UnknownDeployment)?;
    // The record is the truth, and is served even where the log beside it cannot be read.
    let count = match app.store.count(&id).await {
        Ok(count) => count,
        Err(error) => {
            tracing::error!(deployment.id = %id, %error, "cannot count the log's entries");
            0
        }
    };
    Ok(Json(wire::State::of(&*app.store, &record, count).await))
}
