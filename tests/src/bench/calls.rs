//! A trivial call of a plugin: what a fresh store and a fresh instance cost, alone and with many callers.

use crate::figure::{Figure, Unit, percentile};
use anyhow::{Context, ensure};
use catalyst_sandbox::{Provider, Sandbox, Settings};
use catalyst_tests::host::built;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Calls of one series: enough for a steady 99th percentile.
const CALLS: usize = 5_000;
/// As many callers as one plugin is allowed at once.
const CALLERS: usize = 8;

/// Loads one plugin as the host does. The folder must live as long as the provider is used.
pub async fn provider(id: &str) -> anyhow::Result<(tempfile::TempDir, Arc<Provider>)> {
    let folder = tempfile::tempdir()?;
    std::fs::copy(built(&format!("plugins/{id}.wasm")), folder.path().join("plugin.wasm"))?;
    let sandbox = Sandbox::new(Settings::default())?;
    let report = sandbox.load_folder(folder.path()).await;
    ensure!(report.failures.is_empty(), "{:?}", report.failures);
    Ok((folder, sandbox.provider(id).context("the plugin has another id")?))
}

/// Time of a call alone; calls a second with eight callers against one.
pub async fn measure() -> anyhow::Result<Vec<Figure>> {
    let (_folder, provider) = provider("hetzner").await?;
    series(&provider, CALLS / 10).await?;
    let (alone, lone_total) = timed(async || series(&provider, CALLS).await).await?;
    let (_, all_total) = timed(async || {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let provider = Arc::clone(&provider);
                tokio::spawn(async move { series(&provider, CALLS).await })
            })
            .collect();
        for caller in callers {
            caller.await??;
        }
        Ok(())
    })
    .await?;
    let rate = |calls: usize, total: Duration| calls as f64 / total.as_secs_f64();
    let wake_up = one_thread_hop().await?;
    Ok(vec![
        Figure::time("call p50: fresh store, instance, trivial export", percentile(&alone, 50))
            .against("spawning a task p50", wake_up.as_secs_f64()),
        Figure::time("call p99: fresh store, instance, trivial export", percentile(&alone, 99)),
        Figure::new("calls with 8 callers", Unit::PerSecond, rate(CALLS * CALLERS, all_total))
            .against("with 1 caller", rate(CALLS, lone_total)),
    ])
}

async fn series(provider: &Provider, calls: usize) -> anyhow::Result<Vec<Duration>> {
    let settings = serde_json::Map::new();
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let begun = Instant::now();
        let probes = provider.credential_probe(&settings).await?;
        times.push(begun.elapsed());
        ensure!(probes.is_ok(), "{probes:?}");
    }
    times.sort();
    Ok(times)
}

async fn timed<T>(work: impl AsyncFnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, Duration)> {
    let begun = Instant::now();
    let done = work().await?;
    Ok((done, begun.elapsed()))
}

/// What this machine takes for the least that a server does: spawn a task and wait for it.
async fn one_thread_hop() -> anyhow::Result<Duration> {
    let mut times = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let begun = Instant::now();
        tokio::spawn(async {}).await?;
        times.push(begun.elapsed());
    }
    times.sort();
    Ok(percentile(&times, 50))
}
