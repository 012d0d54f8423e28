//! `POST /api/v1/deployments`.

use super::access::Whoever;
use super::audited::Made;
use super::body;
use super::error::ApiError;
use super::health::accepting;
use super::read_tokens;
use super::too_many::TooMany;
use super::wire::Begun;
use crate::app::App;
use crate::driver::create::{CreateCall, CreateFault, Created};
use crate::driver::idempotency::{IdempotencyKey, KEY_LENGTH};
use crate::limits::{LiveFault, Subject};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::{Extension, Json};
use catalyst_domain::read_token::{ReadToken, Tenure};
use catalyst_domain::{Finding, Status};
use std::sync::Arc;

/// By which a sender names its create.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that the answer is one that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Creates a deployment. 201 means that its record is on disk. The same key and request get the same answer again, but for
/// the read token: only its digest is kept, so each answer has its own.
pub async fn create(
    State(app): State<Arc<App>>,
    whoever: Whoever,
    Extension(subject): Extension<Subject>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, HeaderMap, Extension<Made>, Json<Begun>), ApiError> {
    let key = key(&headers)?.map(|key| if whoever.is_known() { key.of_sender(&whoever.0.subject) } else { key });
    accepting(&app)?;
    // With a key it may be one that was made before, which needs no room.
    let slot = if key.is_none() { Some(app.driver.slot(&subject).map_err(|fault| full(&app, fault))?) } else { None };
    let body = body::read(body, body::POST_LIMIT, ApiError::BodyTooLarge).await?;
    // The body may have taken long.
    accepting(&app)?;
    let now = jiff::Timestamp::now();
    let token = read_tokens::minted(&whoever, now)?;
    let kept = token.as_ref().map(|(_, kept)| kept.clone());
    let call = CreateCall { body, key, read_token: kept.clone(), creator: whoever.creator(), subject, slot, at: now };
    let created = app.driver.create(call).await.map_err(|fault| match fault {
        CreateFault::Live(fault) => full(&app, fault),
        other => other.into(),
    })?;
    let mut headers = HeaderMap::new();
    let record = match created {
        Created::Now(record) => record,
        Created::Earlier(record) => {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
            if let Some(kept) = kept {
                let kept = ReadToken { tenure: Tenure::Replayed, ..kept };
                app.driver.give_read_token(&record.id, kept, jiff::Timestamp::now()).await?;
            }
            record
        }
    };
    let mut body = Begun::new(&record.id, Status::Provisioning);
    if let Some((token, _)) = token {
        read_tokens::carry(&app, &record.id, &token, &mut headers);
        body = body.with_read_token(&token);
    }
    Ok((StatusCode::CREATED, headers, Extension(Made(record.id.clone())), Json(body)))
}

fn full(app: &App, fault: LiveFault) -> ApiError {
    let limit = TooMany::Live(fault);
    app.metrics.refused(limit.code());
    ApiError::TooMany(limit)
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
            CreateFault::Live(fault) => Self::TooMany(TooMany::Live(fault)),
            CreateFault::OtherRender { approved, found } => Self::OtherRender { approved, found },
        }
    }
}
