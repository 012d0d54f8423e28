//! `POST /api/v1/deployments`.

use super::body;
use super::error::ApiError;
use crate::app::App;
use crate::driver::create::CreateFault;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;

/// Creates a deployment. 201 means that its record is on disk.
pub async fn create(State(app): State<Arc<App>>, body: Body) -> Result<(StatusCode, Json<Value>), ApiError> {
    app.accepting()?;
    let body = body::read(body, body::POST_LIMIT, ApiError::BodyTooLarge).await?;
    let record = app.driver.create(&body, jiff::Timestamp::now()).await?;
    let stream_url = format!("/api/v1/deployments/{}/logs", record.id);
    Ok((StatusCode::CREATED, Json(json!({"id": record.id, "status": record.status, "streamURL": stream_url}))))
}

impl From<CreateFault> for ApiError {
    fn from(fault: CreateFault) -> Self {
        match fault {
            CreateFault::Findings(findings) => Self::Findings(findings),
            CreateFault::Provider(text) => Self::Provider(text),
            CreateFault::Store(error) => Self::Create(error),
            CreateFault::Pool(fault) => fault.into(),
            CreateFault::Random => Self::NoRandomness,
        }
    }
}
