//! One request in the trace: an id that client, proxy and operator share, a span for everything that is logged on the way,
//! and one line when it is answered. Only the route's pattern is logged, never a path or a header of the client.

use super::measure::word;
use crate::telemetry;
use axum::extract::{ConnectInfo, MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::response::Response;
use std::net::SocketAddr;
use std::time::Instant;
use tracing::{Instrument, Span};

/// Header of the id, in requests and answers.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over, in bytes: a UUID has 36, trace ids of proxies under 100.
const LONGEST: usize = 128;

/// Asked every few seconds by machines: a span of each would hide the others.
const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// In a request: its id.
#[derive(Clone)]
pub struct RequestId(pub String);

/// A request in the trace.
pub struct Traced {
    id: HeaderValue,
    span: Span,
    leaving: Span,
    reads: bool,
}

impl Traced {
    /// Gives the request its id and its spans.
    pub fn begin(request: &mut Request) -> Self {
        let id = given(request.headers()).unwrap_or_else(generated);
        let matched = request.extensions().get::<MatchedPath>().cloned();
        let route = matched.as_ref().map_or("none", MatchedPath::as_str);
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
        let span = tracing::info_span!(
            "request",
            request.id = id.to_str().unwrap_or_default(),
            http.method = %request.method(),
            http.route = route,
            peer.addr = peer.map(tracing::field::display),
            client.addr = tracing::field::Empty,
        );
        let leaving = if PROBES.contains(&route) { Span::none() } else { span_of(request, route) };
        let reads = request.method() == Method::GET;
        request.extensions_mut().insert(RequestId(id.to_str().unwrap_or_default().to_owned()));
        Self { id, span, leaving, reads }
    }

    /// Runs what answers it within its spans, logs the answer and gives it its id.
    pub async fn run(self, answer: impl Future<Output = Response>) -> Response {
        let Self { id, span, leaving, reads } = self;
        let logged = async move {
            let begun = Instant::now();
            let mut response = answer.instrument(leaving.clone()).await;
            telemetry::answered(&leaving, response.status().as_u16());
            let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            let http_status = response.status().as_u16();
            // Probes and polls come every few seconds and change nothing; who was limited is counted and told otherwise.
            if (reads && http_status < 400) || http_status == 429 {
                tracing::debug!(http.status = http_status, elapsed_ms, "answered");
            } else {
                tracing::info!(http.status = http_status, elapsed_ms, "answered");
            }
            response.headers_mut().insert(REQUEST_ID, id);
            response
        };
        logged.instrument(span).await
    }
}

fn span_of(request: &Request, route: &str) -> Span {
    let caller = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    telemetry::request(word(request.method()), route, caller)
}

/// The client's id, when it can go into a trace as it is.
fn given(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(REQUEST_ID)?;
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(b);
    let bytes = value.as_bytes();
    ((1..=LONGEST).contains(&bytes.len()) && bytes.iter().all(plain)).then(|| value.clone())
}

fn generated() -> HeaderValue {
    let mut bytes = [0; 8];
    // Without randomness the id is of no use, but the request is.
    let _ = getrandom::fill(&mut bytes);
    HeaderValue::from_str(&hex::encode(bytes)).unwrap_or_else(|_| HeaderValue::from_static("none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_id_is_taken_over() {
        let read = |text: &str| {
            let value = HeaderValue::from_bytes(text.as_bytes()).unwrap();
            given(&HeaderMap::from_iter([(REQUEST_ID, value)])).is_some()
        };
        let long = "x".repeat(LONGEST + 1);
        for (text, taken) in
            [("a-1/b", true), (&long[1..], true), ("", false), (&long, false), ("a b", false), ("{\"a\":1}", false)]
        {
            assert_eq!(read(text), taken, "{text:?}");
        }
        assert!(given(&HeaderMap::new()).is_none());
        assert_ne!(generated(), generated());
    }
}
