//! Bodies with a limit in bytes and in time. What is left of a refused one is drained by [`super::rest`].

use super::error::ApiError;
use axum::body::Body;
use bytes::Bytes;
use catalyst_domain::json::{JsonError, first_value};
use catalyst_domain::request::given_twice;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use std::time::Duration;

/// Largest POST body in bytes: a request of a few KiB with room for many regions and long keys.
pub const POST_LIMIT: usize = 256 * 1024;

/// How long a POST body may take: people's browsers and scripts send a few KiB.
const POST_DEADLINE: Duration = Duration::from_secs(20);
/// How long a kubeconfig may take: a fresh node may share a very slow line with its image pulls.
pub const KUBECONFIG_DEADLINE: Duration = Duration::from_secs(60);

/// Reads a POST body whole.
///
/// # Errors
/// As [`read_within`].
pub async fn read(body: Body, limit: usize, too_large: fn(usize) -> ApiError) -> Result<Bytes, ApiError> {
    read_within(body, limit, POST_DEADLINE, too_large).await
}

/// Refuses a body that gives a key more than once, where what else it holds may be ignored: with one of the two values a
/// retry or a destroy would run, and nobody could say with which.
///
/// # Errors
/// [`ApiError::Findings`], one for each such key. What is no JSON passes.
pub fn refuse_duplicates(body: &[u8]) -> Result<(), ApiError> {
    match first_value(body) {
        Err(JsonError::Duplicate(keys)) => Err(ApiError::Findings(keys.iter().map(given_twice).collect())),
        _ => Ok(()),
    }
}

/// Reads a body whole.
///
/// # Errors
/// `too_large` when it has, or says that it will have, more than `limit` bytes; [`ApiError::BodyUnreadable`] when it breaks
/// off; [`ApiError::BodyTooSlow`] when it takes longer than `deadline`.
pub async fn read_within(
    body: Body,
    limit: usize,
    deadline: Duration,
    too_large: fn(usize) -> ApiError,
) -> Result<Bytes, ApiError> {
    // Before a byte of it is asked for: a client that waits for `100 Continue` then never sends it.
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(limit));
    }
    match tokio::time::timeout(deadline, Limited::new(body, limit).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limit)),
        Ok(Err(_)) => Err(ApiError::BodyUnreadable),
        Err(_) => Err(ApiError::BodyTooSlow(deadline)),
    }
}
