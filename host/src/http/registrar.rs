//! `POST /api/v1/registrar/{registrar}/validate` and `…/set-ns`. The body holds a customer's token: nothing of it is logged but
//! the domain.

use super::body;
use super::error::ApiError;
use super::path::RegistrarName;
use crate::app::App;
use crate::dns::registrar::{Action, Registrar, domain_to_validate, refuse_duplicates};
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// The contract's limit in bytes: a domain, a token and a handful of nameservers.
pub(super) const LIMIT: usize = 16_384;

/// Whether a token reaches a domain.
pub async fn validate(
    State(app): State<Arc<App>>,
    RegistrarName(registrar): RegistrarName,
    body: Body,
) -> Result<Response, ApiError> {
    let body = read(body).await?;
    let domain = domain_to_validate(&body).map_err(ApiError::RegistrarBody)?;
    tracing::info!(registrar = %registrar, dns.domain = domain, "registrar token is checked");
    pass_on(&app, registrar, Action::Validate, body).await
}

/// Points a domain at nameservers. The manager judges the body, which must not be one that two readers take differently.
pub async fn set_ns(
    State(app): State<Arc<App>>,
    RegistrarName(registrar): RegistrarName,
    body: Body,
) -> Result<Response, ApiError> {
    let body = read(body).await?;
    refuse_duplicates(&body).map_err(ApiError::RegistrarBody)?;
    pass_on(&app, registrar, Action::SetNameservers, body).await
}

async fn read(body: Body) -> Result<Vec<u8>, ApiError> {
    let whole = body::read(body, LIMIT, ApiError::RegistrarTooLarge).await;
    // The contract knows one answer for a body that did not arrive whole.
    whole.map(|bytes| bytes.to_vec()).map_err(|_| ApiError::RegistrarTooLarge(LIMIT))
}

async fn pass_on(app: &App, registrar: Registrar, action: Action, body: Vec<u8>) -> Result<Response, ApiError> {
    let answer = app.names.registrar(registrar, action, body).await.map_err(ApiError::PdmUnreachable)?;
    tracing::info!(registrar = %registrar, action = ?action, http.status = answer.status, "registrar answered");
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((status, headers, answer.body).into_response())
}
