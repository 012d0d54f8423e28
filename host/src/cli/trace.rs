//! The trace: text on a terminal, JSON lines otherwise.

use anyhow::Context;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts the trace on standard error.
pub fn init(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).context("RUST_LOG: not a filter such as `info` or `catalyst=debug`")?;
    // The watch reports a failed request itself, in words; the client would log each one as an error.
    let quiet = "kube_client=off".parse().context("a directive of our own")?;
    let filter = filter.add_directive(quiet);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A trace that cannot be written must not take a task down.
    let builder = builder.log_internal_errors(false);
    let started = if std::io::stderr().is_terminal() {
        builder.compact().try_init()
    } else {
        // Spans are one deep here: their list would say all of the span again.
        builder.json().flatten_event(true).with_span_list(false).with_ansi(false).try_init()
    };
    started.map_err(|error| anyhow::anyhow!("cannot start the trace: {error}"))
}
