//! What a stream was opened by, asked again while it lasts: who loses the right to follow a deployment does not follow it on.

use super::access::by_read_token;
use super::error::ApiError;
use super::routes::Rule;
use crate::app::App;
use crate::auth::{Fault, Mode, Standing};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use catalyst_domain::read_token::{Opens, opened};
use catalyst_domain::{DeploymentId, SecretValue, Timestamp};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often it is asked: little for a host with thousands of viewers, and a revoked one sees half a minute more.
pub const EVERY: Duration = Duration::from_secs(30);
/// Times in a row that nobody can tell before a stream ends: an outage of some minutes breaks no page.
const UNANSWERED: u32 = 10;

/// By what a request was let in.
#[derive(Clone)]
pub struct Authority(Option<Arc<Held>>);

struct Held {
    app: Arc<App>,
    rule: &'static Rule,
    id: Option<DeploymentId>,
    mode: Mode,
    token: SecretValue,
}

impl Authority {
    /// Where nobody is asked, nothing ends.
    pub const UNASKED: Self = Self(None);

    /// A token that was found right.
    pub fn of(app: &Arc<App>, rule: &'static Rule, id: Option<&DeploymentId>, mode: Mode, token: SecretValue) -> Self {
        Self(Some(Arc::new(Held { app: app.clone(), rule, id: id.cloned(), mode, token })))
    }

    /// To be asked again this often.
    pub fn lease(self, every: Duration) -> Lease {
        Lease { held: self.0, every, next: Instant::now() + every, unanswered: 0 }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Authority {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // Without the guard there is no route.
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or(Self::UNASKED))
    }
}

/// The right to go on, for a while at a time.
pub struct Lease {
    held: Option<Arc<Held>>,
    every: Duration,
    next: Instant,
    unanswered: u32,
}

impl Lease {
    /// Waits until it is to be asked again.
    pub async fn due(&self) {
        match self.held {
            Some(_) => tokio::time::sleep_until(self.next).await,
            None => std::future::pending().await,
        }
    }

    /// Why it is over, if so. Asks nobody before it is due.
    pub async fn over(&mut self) -> Option<ApiError> {
        let held = self.held.clone().filter(|_| Instant::now() >= self.next)?;
        let answer = held.ask().await;
        self.next = Instant::now() + self.every;
        self.heard(answer)
    }

    fn heard(&mut self, answer: Result<(), ApiError>) -> Option<ApiError> {
        match answer {
            Ok(()) => self.unanswered = 0,
            // Nobody can tell just now, and it was right before.
            Err(ApiError::AuthUnavailable) if self.unanswered < UNANSWERED => self.unanswered += 1,
            Err(error) => return Some(error),
        }
        None
    }
}

impl Held {
    async fn ask(&self) -> Result<(), ApiError> {
        if self.mode == Mode::ReadToken {
            let opens = self.id.as_ref().and_then(|id| opens(&self.app, id, &self.token));
            let opens = opens.ok_or(ApiError::InvalidToken)?;
            return by_read_token(self.rule, self.id.as_ref(), opens).map(drop).map_err(|refusal| refusal.error);
        }
        let Some(authenticator) = self.app.auth.authenticator() else { return Ok(()) };
        // It was right, so it stands behind no wrong ones.
        match authenticator.identify(&self.token, Standing::Good).await {
            Ok(caller) if self.rule.needs.met_by(&caller) => Ok(()),
            Ok(_) => Err(ApiError::Forbidden(self.rule.needs)),
            Err(Fault::Wrong(_)) => Err(ApiError::InvalidToken),
            Err(Fault::Blind(_)) => Err(ApiError::AuthBlind),
            Err(Fault::Busy | Fault::Unavailable(_)) => Err(ApiError::AuthUnavailable),
        }
    }
}

/// What a read token opens now.
pub(super) fn opens(app: &App, id: &DeploymentId, token: &SecretValue) -> Option<Opens> {
    opened(&*app.store.get(id)?, token.expose(), Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_outage_ends_a_stream_after_minutes_and_a_verdict_at_once() {
        let mut lease = Authority::UNASKED.lease(EVERY);
        for _ in 0..3 {
            for _ in 0..UNANSWERED {
                assert!(lease.heard(Err(ApiError::AuthUnavailable)).is_none());
            }
            assert!(lease.heard(Ok(())).is_none(), "each answer begins the count anew");
        }
        for _ in 0..UNANSWERED {
            assert!(lease.heard(Err(ApiError::AuthUnavailable)).is_none());
        }
        assert!(matches!(lease.heard(Err(ApiError::AuthUnavailable)), Some(ApiError::AuthUnavailable)));
        for verdict in [ApiError::InvalidToken, ApiError::AuthBlind] {
            assert!(Authority::UNASKED.lease(EVERY).heard(Err(verdict)).is_some());
        }
    }
}
