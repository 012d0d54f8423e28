//! What the host says of itself.

use super::route::{Route, any_object, text, text_like};
use crate::http::health::Readiness;

pub fn routes() -> Vec<Route> {
    vec![healthz(), readyz(), metrics(), document()]
}

fn healthz() -> Route {
    Route::new(("GET", "/healthz"), "host", "isAlive", "Whether the process answers").answers_other(
        200,
        "It does. Nothing else is looked at.",
        Some(("text/plain", text_like("^ok$"))),
    )
}

fn readyz() -> Route {
    Route::new(("GET", "/readyz"), "host", "isReady", "Whether work may be sent here")
        .answers::<Readiness>(200, "It may.")
        .answers::<Readiness>(503, "It may not, for every reason named.")
}

fn metrics() -> Route {
    Route::new(("GET", "/metrics"), "host", "getMetrics", "Numbers for Prometheus")
        .answers_other(200, "OpenMetrics 1.0.", Some(("application/openmetrics-text", text())))
        .answers_other(
            200,
            "Prometheus' text format 0.0.4, where `Accept` likes `text/plain` better.",
            Some(("text/plain", text())),
        )
}

fn document() -> Route {
    Route::new(("GET", "/api/v1/openapi.json"), "host", "getDocument", "This document").answers_other(
        200,
        "OpenAPI 3.1.",
        Some(("application/json", any_object())),
    )
}
