//! The trace: text on a terminal, JSON lines otherwise. Where spans go to a collector, their layer stands beside it, and neither
//! sees what is the other's.

use crate::telemetry::{self, Spans};
use anyhow::Context;
use catalyst_sandbox::CALL_SPANS;
use std::io::IsTerminal;
use tracing::Subscriber;
use tracing_subscriber::filter::{FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// Starts the trace on standard error, and the spans where there is somebody who takes them.
pub fn init(filter: &str, spans: Option<&Spans>) -> anyhow::Result<()> {
    let lines = lines().with_filter(filter_of_lines(filter)?);
    let spans = spans.map(|spans| layer_of_spans(filter, spans)).transpose()?;
    let started = tracing_subscriber::registry().with(lines).with(spans).try_init();
    started.map_err(|error| anyhow::anyhow!("cannot start the trace: {error}"))
}

fn asked(filter: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(filter).context("RUST_LOG: not a filter such as `info` or `catalyst=debug`")
}

fn filter_of_lines(filter: &str) -> anyhow::Result<EnvFilter> {
    // The watch reports a failed request itself, in words; the client would log each one as an error. And a line's span is the
    // one that says its request's id.
    let ours = ["kube_client=off".to_owned(), format!("{}=off", telemetry::TARGET), format!("{CALL_SPANS}=off")];
    let mut filter = asked(filter)?;
    for directive in ours {
        filter = filter.add_directive(directive.parse().context("a directive of our own")?);
    }
    Ok(filter)
}

fn lines<S: Subscriber + for<'a> LookupSpan<'a>>() -> Box<dyn Layer<S> + Send + Sync> {
    // A trace that cannot be written must not take a task down.
    let lines = fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
    if std::io::stderr().is_terminal() {
        lines.compact().boxed()
    } else {
        // Spans are one deep here: their list would say all of the span again.
        lines.json().flatten_event(true).with_span_list(false).with_ansi(false).boxed()
    }
}

/// Steps at least; the store's work where the trace is asked for as much.
fn layer_of_spans<S: Subscriber + for<'a> LookupSpan<'a>>(
    filter: &str,
    spans: &Spans,
) -> anyhow::Result<impl Layer<S> + use<S>> {
    let layer = tracing_opentelemetry::layer()
        .with_tracer(spans.tracer())
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false);
    let deep_enough = asked(filter)?.or(LevelFilter::INFO);
    Ok(layer.with_filter(filter_fn(telemetry::leaves).and(deep_enough)))
}
