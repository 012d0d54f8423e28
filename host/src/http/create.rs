//! `POST /api/v1/deployments`.

use super::body;
use super::error::ApiError;
use super::health::accepting;
use super::wire::Begun;
use crate::app::App;
use crate::driver::create::{CreateFault, Created};
use crate::driver::idempotency::{IdempotencyKey, KEY_LENGTH};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use catalyst_domain::{Finding, Status};
use std::sync::Arc;

/// By which a sender names its create.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that the answer is one that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Creates a deployment. 201 means that its record is on disk. The same key and request get the same answer again.
pub async fn create(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, HeaderMap, Json<Begun>), ApiError> {
    let key = key(&headers)?;
    accepting(&app)?;
    let body = body::read(body, body::POST_LIMIT, ApiError::BodyTooLarge).await?;
    // The body may have taken long.
    accepting(&app)?;
    let created = app.driver.create(body, key, jiff::Timestamp::now()).await?;
    let mut headers = HeaderMap::new();
    let record = match created {
        Created::Now(record) => record,
        Created::Earlier(record) => {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
            record
        }
    };
    // Byte for byte what the first answer was, wherever the deployment stands by now.
    let body = Begun::new(&record.id, Status::Provisioning);
    Ok((StatusCode::CREATED, headers, Json(body)))
}

fn key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, ApiError> {
    let mut given = headers.get_all(KEY).iter();
    let Some(first) = given.next() else { return Ok(None) };
    let read = first.to_str().ok().filter(|_| given.next().is_none()).and_then(IdempotencyKey::parse);
    let rule = || format!("Idempotency-Key: it must be given once, with 1 to {KEY_LENGTH} printable ASCII characters");
    read.map(Some).ok_or_else(|| ApiError::Findings(vec![Finding::error("", "invalid-idempotency-key", rule())]))
}

impl From<CreateFault> for ApiError {
    fn from(fault: CreateFault) -> Self {
        match fault {
            CreateFault::Findings(findings) => Self::Findings(findings),
            CreateFault::Provider(text) => Self::Provider(text),
            CreateFault::Store(error) => Self::Create(error),
            CreateFault::Pool(fault) => fault.into(),
            CreateFault::Random => Self::NoRandomness,
            CreateFault::Broken => Self::Broken,
            CreateFault::OtherRequest(id) => Self::OtherRequest(id),
            CreateFault::OtherRender { approved, found } => Self::OtherRender { approved, found },
        }
    }
}
