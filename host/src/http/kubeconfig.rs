//! `PUT` and `GET /api/v1/deployments/{id}/kubeconfig`.

use super::bearer::Bearer;
use super::body;
use super::error::ApiError;
use super::path::Id;
use crate::app::App;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderName, StatusCode, header};
use catalyst_domain::kubeconfig::{MAX_BYTES, authorise};
use catalyst_domain::{DeploymentId, Record, SecretValue};
use catalyst_store::AcceptError;
use std::net::SocketAddr;
use std::sync::Arc;

/// The node hands in its kubeconfig, once. 204 means that file and record are on disk.
pub async fn put(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Id(id): Id,
    bearer: Result<Bearer, ApiError>,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let checked = check(&app, peer, &id, bearer);
    let (record, bearer) = match checked {
        Ok(checked) => checked,
        Err(error) => {
            body::discard(body).await;
            return Err(error);
        }
    };
    let body = match body::read(body, MAX_BYTES, ApiError::KubeconfigTooLarge).await {
        Ok(body) if body.is_empty() && !record.has_kubeconfig() => return Err(ApiError::KubeconfigEmpty),
        Ok(body) => body,
        Err(_) if record.has_kubeconfig() => return Err(ApiError::Accept(AcceptError::AlreadySet { same: false })),
        Err(error) => return Err(error),
    };
    let accepted = app.driver.accept_kubeconfig(id.clone(), bearer, body, jiff::Timestamp::now()).await;
    accepted.map_err(|error| {
        tracing::warn!(deployment.id = %id, peer.addr = %peer, %error, "kubeconfig refused");
        ApiError::Accept(error)
    })?;
    tracing::info!(deployment.id = %id, peer.addr = %peer, "kubeconfig accepted");
    Ok(StatusCode::NO_CONTENT)
}

/// Before the body is read: who has no right bearer hands in nothing.
fn check(
    app: &App,
    peer: SocketAddr,
    id: &DeploymentId,
    bearer: Result<Bearer, ApiError>,
) -> Result<(Arc<Record>, SecretValue), ApiError> {
    let record = app.store.get(id).ok_or(ApiError::UnknownDeployment)?;
    let Bearer(bearer) = bearer?;
    authorise(&record, bearer.expose()).map_err(|fault| {
        tracing::warn!(deployment.id = %id, peer.addr = %peer, error = %fault, "kubeconfig refused");
        ApiError::Accept(AcceptError::Bearer(fault))
    })?;
    Ok((record, bearer))
}

/// The stored kubeconfig, byte for byte.
pub async fn get(State(app): State<Arc<App>>, Id(id): Id) -> Result<([(HeaderName, String); 3], Vec<u8>), ApiError> {
    let record = app.store.get(&id).ok_or(ApiError::UnknownDeployment)?;
    let bytes = app.store.kubeconfig(&id).await.map_err(ApiError::Kubeconfig)?;
    // A name of our own records is a DNS name; an imported one may be anything.
    let plain = |c: char| if c.is_ascii_alphanumeric() || ".-".contains(c) { c } else { '-' };
    let name: String = record.request.sovereign_fqdn.chars().map(plain).collect();
    let headers = [
        (header::CONTENT_TYPE, "application/yaml".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}-kubeconfig.yaml\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, bytes))
}
