//! `GET /api/v1/providers` and `/{id}`: which clouds this host can make, and what each plugin says of itself.

mod answer;
mod running;

use super::error::ApiError;
use super::path::ProviderId;
use crate::app::App;
pub use answer::{ProviderDetails, ProviderList};
use axum::Json;
use axum::extract::State;
use std::sync::Arc;

/// All plugins that serve, and the files that do not.
pub async fn list(State(app): State<Arc<App>>) -> Json<ProviderList> {
    Json(ProviderList::new(&app.sandbox))
}

/// One plugin with everything that it declares.
pub async fn get(State(app): State<Arc<App>>, ProviderId(id): ProviderId) -> Result<Json<ProviderDetails>, ApiError> {
    let provider = app.sandbox.provider(&id).ok_or(ApiError::UnknownProvider)?;
    Ok(Json(ProviderDetails::new(&provider)))
}
