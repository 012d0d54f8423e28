//! `GET /api/v1/deployments/{id}/events`: the whole history at once.

use super::error::ApiError;
use super::path::Id;
use super::wire;
use crate::app::App;
use axum::Json;
use axum::extract::State;
use catalyst_domain::Entry;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Entries of one read: a few hundred KiB.
const PAGE: usize = 1_000;

/// A deployment with its whole log.
#[derive(Serialize, ToSchema)]
pub struct Events {
    /// The deployment.
    state: wire::State,
    /// Its log, oldest first.
    events: Vec<Entry>,
    /// Whether the run has ended, so that nothing will be added.
    done: bool,
}

/// History and state; `done` only when the run has ended.
pub async fn events(State(app): State<Arc<App>>, Id(id): Id) -> Result<Json<Events>, ApiError> {
    // The record first: a terminal one was preceded by its last entries, so they are in what is read next.
    let record = app.store.get(&id).ok_or(ApiError::UnknownDeployment)?;
    let mut events = Vec::new();
    loop {
        let page = app.store.read(&id, events.len() as u64, PAGE).await?;
        let last = page.len() < PAGE;
        events.extend(page.into_iter().map(|numbered| numbered.entry));
        if last {
            break;
        }
    }
    let state = wire::State::new(&record, events.len() as u64);
    Ok(Json(Events { state, events, done: record.status.is_terminal() }))
}
