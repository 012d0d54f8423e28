//! What a connection does, told to its place as bodies come in and go out.

use super::clients::InFlight;
use super::places::Place;
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// An answer's body. When it is dropped, the answer is out, or nobody takes it any more.
pub struct Tracked {
    body: Body,
    place: Arc<Place>,
    _in_flight: Option<Arc<InFlight>>,
}

impl Tracked {
    /// The body of an answer on this place, of a client that is counted, where it is.
    pub fn new(body: Body, place: Arc<Place>, in_flight: Option<Arc<InFlight>>) -> Self {
        Self { body, place, _in_flight: in_flight }
    }
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.place.ends();
    }
}
