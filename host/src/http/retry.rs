//! `POST /api/v1/deployments/{id}/phases/{phase}/retry`.

use super::access::MayDestroy;
use super::body;
use super::error::ApiError;
use super::health::accepting;
use super::path::{Id, Phase};
use super::routes::Needs;
use super::wire::stream_url;
use crate::app::App;
use crate::auth::Scope;
use crate::driver::credentials::CredentialsFault;
use crate::driver::retry::{Retried, RetryError};
use crate::driver::take_up::TakeUpFault;
use axum::body::Body;
use axum::extract::State;
use axum::{Extension, Json};
use catalyst_domain::DeploymentId;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Takes a failed deployment up again. The body may give credentials that are no longer kept, and may accept a loss of data.
pub async fn retry(
    State(app): State<Arc<App>>,
    Id(id): Id,
    phase: Result<Phase, ApiError>,
    Extension(MayDestroy(may_lose_data)): Extension<MayDestroy>,
    body: Body,
) -> Result<Json<RetryAnswer>, ApiError> {
    app.store.get(&id).ok_or(ApiError::UnknownDeployment)?;
    accepting(&app)?;
    let Phase(phase) = phase?;
    let body = body::read(body, body::POST_LIMIT, ApiError::BodyTooLarge).await?;
    body::refuse_duplicates(&body)?;
    // The body may have taken long.
    accepting(&app)?;
    let retried = app.driver.retry(id.clone(), phase.clone(), body, may_lose_data, jiff::Timestamp::now()).await?;
    Ok(Json(answer(&id, phase, &retried)))
}

/// What was taken up, or what a person has to do.
#[derive(Serialize, ToSchema)]
pub struct RetryAnswer {
    /// Sixteen lower-case hex characters.
    #[schema(pattern = "^[0-9a-f]{16}$")]
    id: String,
    /// `provisioning`, `phase1-watching`, or `manual-retry-required` when nothing was changed.
    status: &'static str,
    /// The phase as it was asked for.
    phase: String,
    /// Path of the event stream.
    #[serde(rename = "streamURL")]
    stream_url: String,
    /// A sentence for a person.
    message: String,
    /// Where a manual retry is described; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    runbook: Option<&'static str>,
}

fn answer(id: &DeploymentId, phase: String, retried: &Retried) -> RetryAnswer {
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
    let manual = matches!(retried, Retried::Manual { .. });
    let runbook = manual.then_some("docs/RUNBOOK-PROVISIONING.md#rollback-procedures-per-phase");
    RetryAnswer { id: id.to_string(), status, phase, stream_url: stream_url(id), message, runbook }
}

impl From<RetryError> for ApiError {
    fn from(error: RetryError) -> Self {
        match error {
            RetryError::UnknownPhase(phase) => Self::UnknownPhase(phase),
            RetryError::Pool(fault) => fault.into(),
            RetryError::DataLoss(words) => Self::DataLoss(words),
            RetryError::NotAllowed => Self::Forbidden(Needs::Scope(Scope::Admin)),
            RetryError::Body(finding) => Self::Findings(vec![finding]),
            RetryError::TakeUp(fault) => fault.into(),
        }
    }
}

impl From<TakeUpFault> for ApiError {
    fn from(fault: TakeUpFault) -> Self {
        match fault {
            TakeUpFault::Credentials(CredentialsFault::Needed(keys)) => Self::CredentialsNeeded(keys),
            TakeUpFault::Credentials(CredentialsFault::Findings(findings)) | TakeUpFault::Body(findings) => {
                Self::Findings(findings)
            }
            TakeUpFault::NotLoaded(provider) => Self::ProviderNotLoaded(provider),
            TakeUpFault::NoState => Self::NoState,
            TakeUpFault::Random => Self::NoRandomness,
            TakeUpFault::Record(error) => error.into(),
            TakeUpFault::Broken => Self::Broken,
        }
    }
}
