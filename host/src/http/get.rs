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
    let count = app.store.count(&id).await?;
    Ok(Json(wire::State::new(&record, count)))
}
