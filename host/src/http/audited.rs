//! A request that is audited: a line before it is begun, and one with its answer.

use super::error::ApiError;
use crate::app::App;
use crate::audit::{About, Audit, Event, Line};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use catalyst_domain::DeploymentId;
use std::sync::Arc;

/// In an answer: the deployment that it made.
#[derive(Clone)]
pub struct Made(pub DeploymentId);

/// Runs it. Where it cannot be written that it is asked for, it is not begun.
pub async fn run(app: &App, about: About, request: Request, next: Next) -> Response {
    let open = match begin(&app.audit, about).await {
        Ok(open) => open,
        Err(error) => return error.into_response(),
    };
    let response = next.run(request).await;
    let made = response.extensions().get::<Made>().map(|Made(id)| id.clone());
    open.answered(response.status().as_u16(), made).await;
    response
}

/// Writes that it is asked for.
///
/// # Errors
/// [`ApiError::AuditUnavailable`].
pub async fn begin(audit: &Arc<Audit>, about: About) -> Result<Open, ApiError> {
    audit.write(&Line::new(Event::Asked, &about, None)).await.map_err(ApiError::AuditUnavailable)?;
    Ok(Open { audit: audit.clone(), about: Some(about) })
}

/// Something that was begun. Where it ends without an answer, that is written too.
pub struct Open {
    audit: Arc<Audit>,
    about: Option<About>,
}

impl Open {
    /// Writes how it was answered.
    pub async fn answered(mut self, status: u16, made: Option<DeploymentId>) {
        let Some(about) = &mut self.about else { return };
        if made.is_some() {
            about.deployment = made;
        }
        let line = Line::new(Event::Answered, about, Some(status));
        // What was done cannot be undone, and that it was asked for is written. The trace tells of the loss.
        let _ = self.audit.write(&line).await;
        self.about = None;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(about) = &self.about {
            self.audit.note(&Line::new(Event::Unanswered, about, None));
        }
    }
}
