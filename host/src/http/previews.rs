//! `POST /api/v1/previews`: what a create would do. Nothing is created, and nothing secret is kept or answered.

mod answer;

use super::access::Whoever;
use super::body;
use super::error::ApiError;
use super::query::Query;
use crate::app::App;
use crate::auth::Scope;
use crate::driver::preview::PreviewFault;
use crate::limits::Subject;
pub use answer::PreviewAnswer;
use axum::body::Body;
use axum::extract::State;
use axum::{Extension, Json};
use catalyst_domain::DeploymentId;
use std::sync::Arc;

/// Findings, and without an error among them the whole render. `?against=<id>` compares it with a deployment's.
pub async fn preview(
    State(app): State<Arc<App>>,
    whoever: Whoever,
    Extension(subject): Extension<Subject>,
    mut query: Query,
    body: Body,
) -> Result<Json<PreviewAnswer>, ApiError> {
    let against = query.take("against");
    query.end()?;
    if against.is_some() {
        // The difference shows what that deployment is made of.
        whoever.must(Scope::Read)?;
    }
    let against = against.map(|id| DeploymentId::parse(&id)).transpose().map_err(|_| ApiError::UnknownDeployment)?;
    let body = body::read(body, body::POST_LIMIT, ApiError::BodyTooLarge).await?;
    let preview = app.driver.preview(&subject, &body, against.as_ref()).await?;
    Ok(Json(preview.into()))
}

impl From<PreviewFault> for ApiError {
    fn from(fault: PreviewFault) -> Self {
        match fault {
            PreviewFault::Create(fault) => fault.into(),
            PreviewFault::Unknown => Self::UnknownDeployment,
            PreviewFault::NothingRendered => Self::NothingRendered,
            PreviewFault::Storage(error) => Self::Storage(error),
        }
    }
}
