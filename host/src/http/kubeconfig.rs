//! `PUT` and `GET /api/v1/deployments/{id}/kubeconfig`.

use super::audited;
use super::bearer::Bearer;
use super::body;
use super::error::ApiError;
use super::path::Id;
use super::places::Place;
use super::request_id::RequestId;
use super::sender::Sender;
use super::wrong_bearers::{Verdict, WrongBearers};
use crate::app::App;
use crate::audit::About;
use crate::auth::{Caller, Mode, Scopes};
use crate::limits::network;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use catalyst_domain::kubeconfig::{BearerFault, BearerOf, MAX_BYTES, authorise};
use catalyst_domain::{DeploymentId, SecretValue};
use catalyst_store::AcceptError;
use std::sync::Arc;

/// What the audit log calls it.
const ACTION: &str = "hand-in-kubeconfig";

/// The node hands in its kubeconfig, once. 204 means that file and record are on disk.
pub async fn put(
    State(app): State<Arc<App>>,
    State(wrong_bearers): State<Arc<WrongBearers>>,
    (Extension(sender), Extension(request)): (Extension<Sender>, Extension<RequestId>),
    place: Option<Extension<Arc<Place>>>,
    Id(id): Id,
    bearer: Result<Bearer, ApiError>,
    body: Body,
) -> Result<Response, ApiError> {
    let record = app.store.get(&id).ok_or(ApiError::UnknownDeployment)?;
    let Bearer(bearer) = bearer?;
    // Before the body is read: who has no right bearer sends no megabyte, and writes no line of the audit log.
    let of = authorise(&record, bearer.expose()).map_err(|fault| refuse(&app, &wrong_bearers, &id, sender, fault))?;
    if let Some(Extension(place)) = place {
        place.mark_known();
    }
    if record.has_kubeconfig() && of == BearerOf::FirstServer {
        // Nothing can change any more, so it is told as what it is: a refusal.
        app.audit.refused(network(sender.address()), "already-set", Some(id.as_str()), ACTION);
        return take(&app, BearerUse::UsedUp, bearer, id, sender, body).await.map(IntoResponse::into_response);
    }
    let caller = Caller::new(id.as_str(), Mode::NodeBearer, Scopes::NONE);
    let about = About {
        caller,
        peer: sender.peer,
        client: sender.client,
        request: request.0,
        action: ACTION,
        deployment: Some(id.clone()),
    };
    let open = audited::begin(&app.audit, about).await?;
    let answer = take(&app, BearerUse::Unused, bearer, id, sender, body).await.into_response();
    open.answered(answer.status().as_u16(), None).await;
    Ok(answer)
}

/// Whether a kubeconfig was accepted with a bearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BearerUse {
    Unused,
    UsedUp,
}

async fn take(
    app: &App,
    used: BearerUse,
    bearer: SecretValue,
    id: DeploymentId,
    sender: Sender,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let body = match body::read_within(body, MAX_BYTES, body::KUBECONFIG_DEADLINE, ApiError::KubeconfigTooLarge).await {
        Ok(body) if body.is_empty() && used == BearerUse::Unused => return Err(ApiError::KubeconfigEmpty),
        Ok(body) => body,
        Err(_) if used == BearerUse::UsedUp => return Err(ApiError::Accept(AcceptError::AlreadySet { same: false })),
        Err(error) => return Err(error),
    };
    let accepted = app.driver.accept_kubeconfig(id.clone(), bearer, body, jiff::Timestamp::now()).await;
    accepted.map_err(|error| {
        tracing::warn!(deployment.id = %id, client.addr = %sender.address(), %error, "kubeconfig refused");
        ApiError::Accept(error)
    })?;
    tracing::info!(deployment.id = %id, client.addr = %sender.address(), "kubeconfig accepted");
    Ok(StatusCode::NO_CONTENT)
}

/// A wrong bearer is limited only here, after it was compared: a right one never comes this way.
fn refuse(app: &App, wrong: &Arc<WrongBearers>, id: &DeploymentId, sender: Sender, fault: BearerFault) -> ApiError {
    tracing::warn!(deployment.id = %id, client.addr = %sender.address(), error = %fault, "kubeconfig refused");
    if fault == BearerFault::Invalid {
        app.metrics.wrong_bearer();
        app.audit.refused(network(sender.address()), "invalid-bearer", Some(id.as_str()), ACTION);
    }
    if fault == BearerFault::Invalid
        && let Verdict::Limited { retry_after } = wrong.note(&app.store, id, sender.address(), &app.stopping)
    {
        return ApiError::TooManyWrongBearers(retry_after);
    }
    ApiError::Accept(AcceptError::Bearer(fault))
}

/// The stored kubeconfig, byte for byte, once its server is known to be this cluster's.
pub async fn get(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Sender>,
    Id(id): Id,
) -> Result<([(HeaderName, String); 3], Vec<u8>), ApiError> {
    let record = app.store.get(&id).ok_or(ApiError::UnknownDeployment)?;
    let bytes = app.store.kubeconfig(&id).await.map_err(ApiError::Kubeconfig)?;
    // It opens the cluster, so each time is told, as other reads are not.
    tracing::info!(deployment.id = %id, client.addr = %sender.address(), "kubeconfig handed out");
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
