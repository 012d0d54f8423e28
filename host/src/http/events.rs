//! `GET /api/v1/deployments/{id}/events`: the whole history at once.

use super::error::ApiError;
use super::path::Id;
use super::wire;
use crate::app::App;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use catalyst_domain::{DeploymentId, Entry};
use catalyst_store::{RecordError, Store};
use futures::stream::{self, StreamExt};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Entries of one read; the store ends a page sooner where they are long.
const PAGE: usize = 1_000;

/// A deployment with its whole log: the shape of the answer, which is written piece by piece.
#[derive(Serialize, ToSchema)]
pub struct Events {
    /// The deployment.
    state: wire::State,
    /// Its log, oldest first.
    events: Vec<Entry>,
    /// Whether the run has ended, so that nothing will be added.
    done: bool,
}

/// History and state; `done` only when the run has ended. The entries are sent page by page, so that a long log costs its
/// reader's time and not our memory.
pub async fn events(State(app): State<Arc<App>>, Id(id): Id) -> Result<Response, ApiError> {
    // The record first: a terminal one was preceded by its last entries, so they are in what is read next.
    let record = app.store.get(&id).ok_or(ApiError::UnknownDeployment)?;
    let count = app.store.count(&id).await?;
    let state = wire::State::of(&*app.store, &record, count).await;
    let pages = Pages { store: app.store.clone(), id, sent: 0, count };
    // Once by itself: a log that cannot be read is an error and no broken answer.
    let (first, pages) = pages.next().await?;
    // Structs of strings and numbers always serialise.
    let json = serde_json::to_string(&state).unwrap_or_default();
    let head = format!("{{\"state\":{json},\"events\":[{first}");
    let tail = format!("],\"done\":{}}}", record.status.is_terminal());
    let rest = stream::try_unfold(pages, |pages| async move {
        match pages.sent < pages.count {
            true => pages.next().await.map(Some),
            false => Ok(None),
        }
    });
    let parts = stream::iter([Ok(head)]).chain(rest).chain(stream::iter([Ok(tail)]));
    Ok(([(header::CONTENT_TYPE, "application/json")], Body::from_stream(parts)).into_response())
}

/// What is still to be sent of a log.
struct Pages {
    store: Arc<dyn Store>,
    id: DeploymentId,
    sent: u64,
    /// Entries that the answer promised; later ones are for the next request.
    count: u64,
}

impl Pages {
    /// The next entries as JSON, with a comma before those that follow others.
    async fn next(mut self) -> Result<(String, Self), RecordError> {
        let wanted = usize::try_from(self.count - self.sent).unwrap_or(PAGE).min(PAGE);
        let page = self.store.read(&self.id, self.sent, wanted).await.inspect_err(
            |error| tracing::error!(deployment.id = %self.id, %error, "cannot read the log for an answer"),
        )?;
        let mut text = String::with_capacity(page.len() * 160);
        for numbered in &page {
            if numbered.number > 1 {
                text.push(',');
            }
            text.push_str(&serde_json::to_string(&numbered.entry).unwrap_or_default());
        }
        // A page is empty only when nothing was left.
        self.sent = page.last().map_or(self.count, |numbered| numbered.number);
        Ok((text, self))
    }
}
