//! Counts every answer by its route, method and status.

use crate::metrics::Metrics;
use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use std::time::Instant;

/// A request that will be counted, timed to the head of its answer.
pub struct Measured {
    route: Option<MatchedPath>,
    method: &'static str,
    begun: Instant,
}

impl Measured {
    /// Begins to time a request.
    pub fn begin(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>().cloned();
        Self { route, method: word(request.method()), begun: Instant::now() }
    }

    /// Counts its answer.
    pub fn end(self, metrics: &Metrics, status: StatusCode) {
        let route = self.route.as_ref().map_or("none", MatchedPath::as_str);
        metrics.answered(self.method, route, status.as_u16(), self.begun.elapsed());
    }
}

/// A client may make up methods, so only ours have a name of their own.
pub(super) fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::HEAD => "HEAD",
        _ => "other",
    }
}
