//! `GET /api/v1/deployments`: all deployments, oldest first, a page at a time.
//!
//! The cursor names a place in that order, not a deployment or a page number: what is created or destroyed meanwhile makes
//! a reader neither miss nor see twice what was there all the time.

use super::error::ApiError;
use super::query::{Query, wrong};
use crate::app::App;
use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use catalyst_domain::event::seconds;
use catalyst_domain::{DeploymentId, Record, Status, Timestamp};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Deployments of a page when no limit is given, and at most: some 60 KiB.
pub(super) const LIMITS: (usize, usize) = (50, 200);

/// A page of deployments, oldest first.
#[derive(Serialize, ToSchema)]
pub struct List {
    /// Those of this page.
    deployments: Vec<DeploymentSummary>,
    /// Where the next page begins; `null` on the last one.
    next: Option<String>,
}

/// A deployment in short: nothing here needs its log.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DeploymentSummary {
    /// Sixteen lower-case hex characters.
    #[schema(pattern = "^[0-9a-f]{16}$")]
    id: String,
    /// Where it stands.
    status: Status,
    /// DNS name of the new cluster.
    #[serde(rename = "sovereignFQDN")]
    sovereign_fqdn: String,
    /// Id of its provider; `null` where the record names none.
    provider: Option<String>,
    /// Region of its first servers.
    region: String,
    /// When it was created; UTC, whole seconds.
    #[schema(format = DateTime)]
    started_at: String,
    /// When its last run ended; `null` while one is going on.
    #[schema(format = DateTime)]
    finished_at: Option<String>,
    /// Why it failed; absent otherwise.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    error: String,
}

/// What is asked for.
struct Wanted {
    status: Option<Status>,
    fqdn: Option<String>,
    provider: Option<String>,
    after: Option<Place>,
    limit: usize,
}

/// A place in the order of the list.
type Place = (Timestamp, DeploymentId);

/// A page of the deployments that fit.
pub async fn list(State(app): State<Arc<App>>, query: Query) -> Result<Json<List>, ApiError> {
    let wanted = Wanted::read(query)?;
    let mut fitting = app.store.list().into_iter().filter(|record| wanted.fits(record));
    let page: Vec<Arc<Record>> = fitting.by_ref().take(wanted.limit).collect();
    let more = fitting.next().is_some();
    let next = page.last().filter(|_| more).map(|record| cursor(record));
    Ok(Json(List { deployments: page.iter().map(|record| DeploymentSummary::new(record)).collect(), next }))
}

impl Wanted {
    fn read(mut query: Query) -> Result<Self, ApiError> {
        let status = query.take("status").map(|text| status(&text)).transpose()?;
        let fqdn = query.take("fqdn").map(|name| normal(&name));
        let provider = query.take("provider");
        let after = query.take("after").map(|text| place(&text)).transpose()?;
        let limit = query.take("limit").map_or(Ok(LIMITS.0), |text| limit(&text))?;
        query.end()?;
        Ok(Self { status, fqdn, provider, after, limit })
    }

    fn fits(&self, record: &Record) -> bool {
        self.status.is_none_or(|status| record.status == status)
            && self.fqdn.as_ref().is_none_or(|fqdn| normal(&record.request.sovereign_fqdn) == *fqdn)
            && self.provider.as_ref().is_none_or(|id| record.provider_id() == Some(id))
            && self.after.as_ref().is_none_or(|(at, id)| (record.started_at, &record.id) > (*at, id))
    }
}

impl DeploymentSummary {
    fn new(record: &Record) -> Self {
        Self {
            id: record.id.to_string(),
            status: record.status,
            sovereign_fqdn: record.request.sovereign_fqdn.clone(),
            provider: record.provider_id().map(str::to_owned),
            region: record.request.region.clone(),
            started_at: seconds(record.started_at),
            finished_at: record.finished_at.map(seconds),
            error: record.error.clone(),
        }
    }
}

fn status(text: &str) -> Result<Status, ApiError> {
    let known = || Status::ALL.map(Status::as_str).join(", ");
    let found = Status::ALL.into_iter().find(|status| status.as_str() == text);
    found.ok_or_else(|| wrong("status", "unknown-status", &format!("it must be one of {}", known())))
}

fn limit(text: &str) -> Result<usize, ApiError> {
    let limit = text.parse().ok().filter(|limit| (1..=LIMITS.1).contains(limit));
    limit.ok_or_else(|| wrong("limit", "out-of-range", &format!("it must be a whole number from 1 to {}", LIMITS.1)))
}

/// DNS names are equal without regard to case and to the dot of the root.
fn normal(fqdn: &str) -> String {
    fqdn.trim().trim_end_matches('.').to_ascii_lowercase()
}

fn cursor(record: &Record) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}/{}", record.started_at, record.id))
}

fn place(text: &str) -> Result<Place, ApiError> {
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (at, id) = text.split_once('/')?;
        Some((at.parse().ok()?, DeploymentId::parse(id).ok()?))
    };
    read().ok_or_else(|| wrong("after", "no-cursor", "it must be the `next` of an earlier page"))
}
