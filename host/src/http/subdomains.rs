//! `POST /api/v1/subdomains/check`.

use super::body;
use super::error::ApiError;
use super::fields::Fields;
use crate::app::App;
use crate::dns::pdm::Availability;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::Arc;

/// Whether a name is free. Every verdict is a 200, also "could not be asked": the page shows it beside the field.
pub async fn check(State(app): State<Arc<App>>, body: Body) -> Result<(StatusCode, Json<Availability>), ApiError> {
    let body = body::read(body, body::POST_LIMIT, ApiError::BodyTooLarge).await?;
    let fields = Fields::parse(&body).and_then(|f| Ok((f.text("subdomain")?, f.text("poolDomain")?)));
    let (subdomain, pool) = match fields {
        Ok(fields) => fields,
        Err(fault) => {
            let detail = fault.said("the body must be a JSON object with the strings subdomain and poolDomain");
            let reason = "invalid-format".to_owned();
            let answer = Availability { available: false, reason, detail, fqdn: String::new() };
            return Ok((StatusCode::BAD_REQUEST, Json(answer)));
        }
    };
    Ok((StatusCode::OK, Json(app.names.check(&subdomain, &pool).await)))
}
