//! Path parameters as valid values: a handler never sees a hostile id.

use super::error::ApiError;
use crate::dns::registrar::Registrar;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use catalyst_domain::DeploymentId;

/// The `{id}` of a path. Anything that is not an id names no deployment.
pub struct Id(pub DeploymentId);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        parameter(parts, state, "id")
            .await
            .and_then(|text| DeploymentId::parse(&text).ok())
            .map(Id)
            .ok_or(ApiError::UnknownDeployment)
    }
}

/// The `{phase}` of a path, as it was given.
pub struct Phase(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Phase {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        parameter(parts, state, "phase").await.map(Phase).ok_or_else(|| ApiError::UnknownPhase(String::new()))
    }
}

/// The `{id}` of a provider. What is no text names none.
pub struct ProviderId(pub String);

impl<S: Send + Sync> FromRequestParts<S> for ProviderId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        parameter(parts, state, "id").await.map(Self).ok_or(ApiError::UnknownProvider)
    }
}

async fn parameter<S: Send + Sync>(parts: &mut Parts, state: &S, name: &str) -> Option<String> {
    let Path(all) = Path::<Vec<(String, String)>>::from_request_parts(parts, state).await.ok()?;
    all.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// The `{registrar}` of a path.
pub struct RegistrarName(pub Registrar);

impl<S: Send + Sync> FromRequestParts<S> for RegistrarName {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let name = parameter(parts, state, "registrar").await.unwrap_or_default();
        name.parse().map(Self).map_err(ApiError::UnsupportedRegistrar)
    }
}
