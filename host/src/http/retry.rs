//! `POST /api/v1/deployments/{id}/phases/{phase}/retry`.

use super::body;
use super::error::ApiError;
use super::path::{Id, Phase};
use crate::app::App;
use crate::driver::credentials::CredentialsFault;
use crate::driver::retry::Retried;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use catalyst_domain::DeploymentId;
use serde_json::{Value, json};
use std::sync::Arc;

/// Takes a failed deployment up again. The body may give credentials that are no longer kept.
pub async fn retry(
    State(app): State<Arc<App>>,
    Id(id): Id,
    phase: Result<Phase, ApiError>,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    app.store.get(&id).ok_or(ApiError::UnknownDeployment)?;
    app.accepting()?;
    let Phase(phase) = phase?;
    let body = body::read(body, body::POST_LIMIT, ApiError::BodyTooLarge).await?;
    let retried = app.driver.retry(id.clone(), phase.clone(), body, jiff::Timestamp::now()).await?;
    Ok(Json(answer(&id, &phase, &retried)))
}

fn answer(id: &DeploymentId, phase: &str, retried: &Retried) -> Value {
    let stream_url = format!("/api/v1/deployments/{id}/logs");
    let (status, message) = match retried {
        Retried::Infrastructure => ("provisioning", "Phase 0 is run again from the kept state".to_owned()),
        Retried::Watch => ("phase1-watching", "the cluster is watched again".to_owned()),
        Retried::Manual { release } => (
            "manual-retry-required",
            format!(
                "nothing was changed: run `flux reconcile helmrelease {release} -n flux-system --force` on the cluster, or \
                 `kubectl -n flux-system annotate helmrelease {release} reconcile.fluxcd.io/requestedAt=\"$(date +%s)\" --overwrite`"
            ),
        ),
    };
    let mut body = json!({"id": id, "status": status, "phase": phase, "streamURL": stream_url, "message": message});
    if matches!(retried, Retried::Manual { .. }) {
        body["runbook"] = json!("docs/RUNBOOK-PROVISIONING.md#rollback-procedures-per-phase");
    }
    body
}

impl From<crate::driver::retry::RetryError> for ApiError {
    fn from(error: crate::driver::retry::RetryError) -> Self {
        use crate::driver::retry::RetryError as E;
        match error {
            E::UnknownPhase(phase) => Self::UnknownPhase(phase),
            E::Credentials(fault) => fault.into(),
            E::Provider(text) => Self::Provider(text),
            E::Pool(fault) => fault.into(),
            E::Record(error) => error.into(),
            E::Broken => Self::Broken,
        }
    }
}

impl From<CredentialsFault> for ApiError {
    fn from(fault: CredentialsFault) -> Self {
        match fault {
            CredentialsFault::Needed(keys) => Self::CredentialsNeeded(keys),
            CredentialsFault::Findings(findings) => Self::Findings(findings),
        }
    }
}
