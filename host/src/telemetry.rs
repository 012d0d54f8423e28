//! What goes into OpenTelemetry traces. Every span that leaves the host is made by a function of this file (those of plugin calls
//! by the sandbox), from words of our own, ids and numbers: no header, no body, no path and no error's text can get into one.
//!
//! The trace on standard error does not see these spans, and these know nothing of its lines. Where no collector was named they
//! are never made.

mod export;

pub use export::{Sampling, Settings, Spans};

use crate::engine::{RunErrorKind, RunStep};
use catalyst_domain::{DeploymentId, Step};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Where the spans of the host come from: no module's path, so that it can be told from the lines of one.
pub const TARGET: &str = "catalyst::spans";
/// Header of the caller's own span.
const TRACEPARENT: &str = "traceparent";

/// Whether something is a span that leaves the host.
pub fn leaves(metadata: &tracing::Metadata<'_>) -> bool {
    metadata.is_span() && [TARGET, catalyst_sandbox::CALL_SPANS].contains(&metadata.target())
}

/// A request, below its caller's span where it names one.
pub fn request(method: &'static str, route: &str, traceparent: Option<&str>) -> Span {
    let span = tracing::info_span!(
        target: TARGET,
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        otel.status_code = Empty,
    );
    if let Some(given) = traceparent.filter(|_| !span.is_disabled()) {
        let caller = TraceContextPropagator::new().extract(&Traceparent(given));
        // Only where the layer is not there, and then the span is disabled.
        let _ = span.set_parent(caller);
    }
    span
}

/// How a request was answered.
pub fn answered(span: &Span, status: u16) {
    span.record("http.response.status_code", status);
    if status >= 500 {
        failed(span);
    }
}

/// All that the host does for a deployment until nothing is due any more: a trace of its own, because it outlives whoever asked
/// for it, with a link to the request that is under way.
pub fn deployment(id: &DeploymentId) -> Span {
    let span = tracing::info_span!(target: TARGET, parent: None, "deployment", deployment.id = %id);
    span.follows_from(Span::current());
    span
}

/// One step of a deployment.
pub fn step(step: Step) -> Span {
    let name = match step {
        Step::Provision => "provision",
        Step::AwaitKubeconfig => "await kubeconfig",
        Step::Watch => "watch",
        Step::Destroy => "destroy",
        Step::PublishDns => "publish DNS",
        Step::ReleaseDns => "release DNS",
    };
    tracing::info_span!(target: TARGET, "step", otel.name = name)
}

/// All commands of OpenTofu that make or remove a deployment's infrastructure.
pub fn tofu_run(aim: &'static str) -> Span {
    tracing::info_span!(target: TARGET, "tofu run", tofu.aim = aim, error.type = Empty, otel.status_code = Empty)
}

/// One command of OpenTofu.
pub fn tofu(step: RunStep) -> Span {
    tracing::info_span!(
        target: TARGET,
        "tofu",
        otel.name = format!("tofu {step}"),
        process.exit.code = Empty,
        error.type = Empty,
        otel.status_code = Empty,
    )
}

/// How a command ended: its exit status, where it had one.
pub fn tofu_ended(span: &Span, status: Option<std::process::ExitStatus>) {
    if let Some(code) = status.and_then(|status| status.code()) {
        span.record("process.exit.code", code);
    }
    if !status.is_some_and(|status| status.success()) {
        failed(span);
    }
}

/// Why a run of OpenTofu did not reach its aim.
pub fn tofu_failed(span: &Span, kind: RunErrorKind) {
    span.record("error.type", tracing::field::debug(kind));
    failed(span);
}

/// One piece of work of the store.
pub fn store(operation: &'static str) -> Span {
    tracing::debug_span!(target: TARGET, "store", otel.name = format!("store {operation}"), otel.status_code = Empty)
}

/// Something did not do what it was there for.
pub fn failed(span: &Span) {
    span.record("otel.status_code", "ERROR");
}

/// The one header that is looked at: the state beside it is free text of whoever calls.
struct Traceparent<'a>(&'a str);

impl Extractor for Traceparent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::TraceContextExt;

    #[test]
    fn of_a_caller_only_its_ids_are_taken_and_only_when_they_are_whole() {
        let read = |text: &str| TraceContextPropagator::new().extract(&Traceparent(text)).span().span_context().clone();
        let good = read("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        assert!(good.is_valid() && good.is_remote() && good.is_sampled());
        assert_eq!(good.trace_state().header(), "");
        for bad in ["", "00-0af7651916cd43dd8448eb211c80319c", "00-zz-zz-01", "a\u{7f}b"] {
            assert!(!read(bad).is_valid(), "{bad}");
        }
    }
}
