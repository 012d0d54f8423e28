//! Measures the sandbox on one component: `cargo run --release --example figures -- <component.wasm>`.
//!
//! Prints how long it takes to compile it, to load its machine code from the cache, and to make a trivial call, which
//! contains a fresh store and a fresh instance. Calls of the lone caller are also compared with calls of eight at once.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use catalyst_sandbox::{Provider, Sandbox, Settings};

/// Calls of one series: enough for a steady 99th percentile.
const CALLS: usize = 5000;

/// Callers at once, as many as one plugin is allowed.
const CALLERS: usize = 8;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let file: PathBuf = std::env::args_os().nth(1).context("name a component file")?.into();
    let bytes = std::fs::metadata(&file).context("the component file")?.len();
    let plugins = tempfile::tempdir()?;
    std::fs::copy(&file, plugins.path().join("plugin.wasm"))?;
    let cache = tempfile::tempdir()?;
    let settings = Settings { cache_dir: Some(cache.path().to_owned()), ..Settings::default() };

    let mut provider = None;
    for what in ["compile and load", "load from the cache"] {
        let started = Instant::now();
        let sandbox = Sandbox::new(settings.clone())?;
        let engine = started.elapsed();
        let started = Instant::now();
        let mut report = sandbox.load_folder(plugins.path()).await;
        println!("{what}: {:?} ({bytes} bytes; engine {engine:?}, {:?})", started.elapsed(), sandbox.allocator());
        provider = report.serving.pop();
        anyhow::ensure!(report.failures.is_empty(), "{:?}", report.failures);
    }
    let provider = provider.context("no plugin")?;
    println!("lone call: {}", series(Arc::clone(&provider)).await?);
    let started = Instant::now();
    let callers: Vec<_> = (0..CALLERS).map(|_| tokio::spawn(series(Arc::clone(&provider)))).collect();
    for caller in callers {
        println!("one of {CALLERS}: {}", caller.await??);
    }
    let total = started.elapsed();
    println!("{:.0} calls a second", (CALLS * CALLERS) as f64 / total.as_secs_f64());
    Ok(())
}

async fn series(provider: Arc<Provider>) -> anyhow::Result<String> {
    let mut times: Vec<Duration> = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let started = Instant::now();
        provider.judge_credentials(&[]).await?;
        times.push(started.elapsed());
    }
    times.sort();
    Ok(format!("p50 {:?}, p99 {:?}", times[CALLS / 2], times[CALLS * 99 / 100]))
}
