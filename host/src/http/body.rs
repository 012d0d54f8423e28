//! Bodies with a limit in bytes and in time.

use super::error::ApiError;
use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::time::Duration;

/// Largest POST body in bytes: a request of a few KiB with room for many regions and long keys.
pub const POST_LIMIT: usize = 256 * 1024;

/// How long an unneeded body is listened to: most are there already.
const DISCARD: Duration = Duration::from_secs(2);

/// How long a body may take: a megabyte over a very slow line.
const DEADLINE: Duration = Duration::from_secs(60);

/// Takes what is left of a body that nobody needs, within bounds: a connection that is closed on unread bytes may be reset,
/// and then the sender never reads its answer.
pub async fn discard(body: Body) {
    let _ = tokio::time::timeout(DISCARD, Limited::new(body, POST_LIMIT).collect()).await;
}

/// Reads a body whole.
///
/// # Errors
/// `too_large` when it has more than `limit` bytes; [`ApiError::BodyUnreadable`] when it breaks off, [`ApiError::BodyLate`]
/// when it takes too long.
pub async fn read(body: Body, limit: usize, too_large: fn(usize) -> ApiError) -> Result<Bytes, ApiError> {
    match tokio::time::timeout(DEADLINE, Limited::new(body, limit).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limit)),
        Ok(Err(_)) => Err(ApiError::BodyUnreadable),
        Err(_) => Err(ApiError::BodyLate),
    }
}
