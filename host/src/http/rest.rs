//! What is left of a body when its request is already answered. A client that is still sending would lose the answer if the
//! connection were closed on it, so the rest is read and thrown away, within bounds.

use super::places::Place;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::EXPECT;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Most bytes that are thrown away for one request: more than any honest mistake; the client reads the answer meanwhile.
const DRAIN_BYTES: u64 = 8 * 1024 * 1024;
/// Longest time for it: a slow sender looks at the answer between two writes.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// A request's body that is drained when it is dropped before its end.
pub struct Rest {
    body: Option<Incoming>,
    /// Told when it has come whole.
    place: Arc<Place>,
    /// The client waits for a word before it sends; without one there is nothing to drain.
    waits: bool,
}

impl Rest {
    /// The body of a request with these headers, on this place.
    pub fn new(body: Incoming, headers: &HeaderMap, place: Arc<Place>) -> Self {
        Self { body: Some(body), place, waits: headers.contains_key(EXPECT) }
    }
}

impl Body for Rest {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.waits = false;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
            self.place.body_received();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.place.body_received();
        let Some(body) = self.body.take().filter(|body| !self.waits && !body.is_end_stream()) else { return };
        // One small task per request at most, and no request without a place for its connection.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(DRAIN_TIME, drain(body)));
        }
    }
}

async fn drain(mut body: Incoming) {
    let mut left = DRAIN_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
