//! `POST` and `DELETE /api/v1/deployments/{id}/read-tokens`: another token that opens one deployment, and the end of them all.

use super::access::Whoever;
use super::cookie;
use super::error::ApiError;
use super::health::accepting;
use super::path::Id;
use crate::app::App;
use crate::auth::{NoRandomness, Scope, mint_for_reading};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use catalyst_domain::kubeconfig::sha256_hex;
use catalyst_domain::read_token::{Opens, ReadToken, Tenure};
use catalyst_domain::{DeploymentId, SecretValue, Timestamp};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A token, told once. No `Debug`: it is a secret.
#[derive(Serialize, ToSchema)]
pub struct Given {
    /// Opens this deployment alone, as a bearer.
    #[serde(rename = "readToken")]
    read_token: String,
}

/// Gives a caller another token of a deployment, as when the page that follows it has lost its own or it has ended.
pub async fn give(
    State(app): State<Arc<App>>,
    whoever: Whoever,
    Id(id): Id,
) -> Result<(StatusCode, HeaderMap, Json<Given>), ApiError> {
    accepting(&app)?;
    let now = Timestamp::now();
    let (token, kept) = minted(&whoever, now)?.ok_or(ApiError::NobodyIsKnown)?;
    app.driver.give_read_token(&id, kept, now).await?;
    let mut headers = HeaderMap::new();
    carry(&app, &id, &token, &mut headers);
    Ok((StatusCode::CREATED, headers, Json(Given { read_token: token.expose().to_owned() })))
}

/// Ends all of a deployment. Streams that they opened end when they are next asked.
pub async fn end(State(app): State<Arc<App>>, Id(id): Id) -> Result<StatusCode, ApiError> {
    accepting(&app)?;
    app.driver.end_read_tokens(&id, Timestamp::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A token of one deployment alone, where callers are known at all. Who may take kubeconfigs may let it take this one.
pub(super) fn minted(whoever: &Whoever, now: Timestamp) -> Result<Option<(SecretValue, ReadToken)>, ApiError> {
    if !whoever.is_known() {
        return Ok(None);
    }
    let token = mint_for_reading().map_err(|NoRandomness| ApiError::NoRandomness)?;
    let opens = if whoever.0.may(Scope::Kubeconfig) { Opens::ReadingAndKubeconfig } else { Opens::Reading };
    let kept =
        ReadToken { sha256: sha256_hex(token.expose().as_bytes()), opens, given_at: Some(now), tenure: Tenure::Kept };
    Ok(Some((token, kept)))
}

/// What goes with an answer that tells a token.
pub(super) fn carry(app: &App, id: &DeploymentId, token: &SecretValue, headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(cookie) = cookie::set(&app.auth.cookie, id, token) {
        headers.insert(header::SET_COOKIE, cookie);
    }
}
