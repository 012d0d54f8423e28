//! What the sandbox costs beside a plugin's own work: an instance, an answer from before, a start with several plugins, a
//! plugin that idles, and what many renders leave behind.

use crate::figure::{Figure, Goal, Unit, percentile};
use crate::process::{QUIET, resident};
use crate::requests::{context, distinct, to_host};
use anyhow::{Context, ensure};
use catalyst_domain::Request;
use catalyst_sandbox::{MEMO_BYTES, Outcome, Provider, Sandbox, Settings};
use catalyst_tests::host::{Host, built};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Calls of one series: enough for a steady 99th percentile.
const CALLS: usize = 5_000;
/// Starts of a sandbox.
const STARTS: usize = 20;
/// Plugins of one folder.
const PLUGINS: usize = 5;
/// Rest before memory is read: what the start needed has been given back.
const REST: Duration = Duration::from_secs(1);
/// Renders of the short run, and of the soak.
const RENDERS: usize = 200_000;
const SOAK: usize = 1_000_000;
/// Renders before memory is read first: every slot was in use, and the memo is full.
const WARM_UP: usize = 20_000;
/// Requests that are varied; all differ in every setting.
const BASES: usize = 100;
/// What a run may leave behind and still be called flat: fragments of the heap, not something for each render.
const FLAT_BYTES: f64 = 8.0 * 1024.0 * 1024.0;

/// An instance alone, and a call that was made before.
pub async fn measure() -> anyhow::Result<Vec<Figure>> {
    let folder = clouds(1)?;
    let sandbox = Sandbox::new(Settings { memo_bytes: MEMO_BYTES, ..Settings::default() })?;
    sandbox.load_folder(folder.path()).await;
    let provider = sandbox.providers().pop().context("no plugin")?;
    series(CALLS / 10, async || Ok(provider.instantiate().await?)).await?;
    let instances = series(CALLS, async || Ok(provider.instantiate().await?)).await?;
    let request = to_host(&distinct(1)[0])?;
    let context = context();
    let begun = Instant::now();
    let bundle = provider.render(&request, &context).await?.map_err(|_| anyhow::anyhow!("refused"))?;
    let computed = begun.elapsed();
    provider.validate(&request).await?;
    let renders = series(CALLS, async || {
        ensure!(provider.render(&request, &context).await?.is_ok_and(|known| known.files.len() == bundle.files.len()));
        Ok(())
    })
    .await?;
    let validates = series(CALLS, async || {
        provider.validate(&request).await?;
        Ok(())
    })
    .await?;
    let remembered = provider.stats().count(Outcome::Remembered);
    ensure!(remembered == 2 * CALLS as u64, "{remembered} answers were remembered");
    Ok(vec![
        Figure::time("instantiate p50", percentile(&instances, 50)).goal(Goal::AtMost(50e-6)),
        Figure::time("instantiate p99", percentile(&instances, 99))
            .against("p50", percentile(&instances, 50).as_secs_f64()),
        Figure::time("remembered validate p50", percentile(&validates, 50)).goal(Goal::AtMost(20e-6)),
        Figure::time("remembered render p50, bundle copied", percentile(&renders, 50))
            .against("computed, its module read for the first time", computed.as_secs_f64())
            .goal(Goal::AtMost(20e-6)),
    ])
}

/// Engine, five plugins from the cache, each asked who it is; and what one more idle plugin adds to a host.
pub async fn folder_of_five() -> anyhow::Result<Vec<Figure>> {
    let (folder, cache) = (clouds(PLUGINS)?, tempfile::tempdir()?);
    let (mut from_cache, mut compiled) = (Vec::new(), Duration::ZERO);
    for start in 0..=STARTS {
        let begun = Instant::now();
        let sandbox = Sandbox::new(Settings { cache_dir: Some(cache.path().to_owned()), ..Settings::default() })?;
        let report = sandbox.load_folder(folder.path()).await;
        let took = begun.elapsed();
        ensure!(report.serving.len() == PLUGINS, "{:?}", report.failures);
        if start == 0 { compiled = took } else { from_cache.push(took) }
    }
    from_cache.sort();
    let (one, five) = (idle(1, cache.path()).await?, idle(PLUGINS, cache.path()).await?);
    Ok(vec![
        Figure::time("sandbox with five plugins from the cache p50", percentile(&from_cache, 50))
            .against("compiled", compiled.as_secs_f64())
            .goal(Goal::AtMost(60e-3)),
        Figure::new("RSS for each further idle plugin", Unit::Bytes, (five - one) / (PLUGINS - 1) as f64)
            .against("RSS with one", one),
    ])
}

/// Memory that many renders leave behind, each of another request, with a memo that is full.
pub async fn renders() -> anyhow::Result<Vec<Figure>> {
    left_behind(RENDERS).await
}

/// The same for far more.
pub async fn soak() -> anyhow::Result<Vec<Figure>> {
    left_behind(SOAK).await
}

async fn left_behind(renders: usize) -> anyhow::Result<Vec<Figure>> {
    let folder = clouds(1)?;
    let sandbox = Sandbox::new(Settings { memo_bytes: MEMO_BYTES, ..Settings::default() })?;
    sandbox.load_folder(folder.path()).await;
    let provider = sandbox.providers().pop().context("no plugin")?;
    let bases: Arc<Vec<Request>> = Arc::new(distinct(BASES).iter().map(to_host).collect::<anyhow::Result<_>>()?);
    let next = Arc::new(AtomicUsize::new(0));
    render_until(WARM_UP, &provider, &bases, &next).await?;
    let before = resident(std::process::id())?;
    let begun = Instant::now();
    render_until(WARM_UP + renders, &provider, &bases, &next).await?;
    let took = begun.elapsed();
    let after = resident(std::process::id())?;
    Ok(vec![
        Figure::new(format!("RSS that {renders} renders left"), Unit::Bytes, (after - before).max(0.0))
            .against("RSS before", before)
            .goal(Goal::AtMost(FLAT_BYTES)),
        Figure::new(format!("renders of {renders}"), Unit::PerSecond, renders as f64 / took.as_secs_f64()),
    ])
}

/// Renders on every core until so many were begun.
async fn render_until(
    end: usize,
    provider: &Arc<Provider>,
    bases: &Arc<Vec<Request>>,
    next: &Arc<AtomicUsize>,
) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    let renderers: Vec<_> = (0..cores)
        .map(|_| {
            let (provider, bases, next) = (Arc::clone(provider), Arc::clone(bases), Arc::clone(next));
            tokio::spawn(async move {
                let context = context();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return anyhow::Ok(());
                    }
                    let mut request = bases[number % bases.len()].clone();
                    request.sovereign_fqdn = format!("n{number}.example.test");
                    ensure!(provider.render(&request, &context).await?.is_ok(), "render {number} was refused");
                }
            })
        })
        .collect();
    for renderer in renderers {
        renderer.await??;
    }
    Ok(())
}

/// Resident memory of an idle host with so many plugins from a cache that has them.
async fn idle(plugins: usize, cache: &Path) -> anyhow::Result<f64> {
    let folder = clouds(plugins)?;
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a path that is no text");
    let (folder, cache) = (text(folder.path())?, text(cache)?);
    let mut host = Host::start(&[QUIET, ("CATALYST_PLUGINS_DIR", &folder), ("CATALYST_CACHE_DIR", &cache)]);
    // The first start may have compiled.
    host.down();
    host.up();
    tokio::time::sleep(REST).await;
    resident(host.pid())
}

/// A folder of plugins that are one plugin under several names, each with machine code of its own.
fn clouds(count: usize) -> anyhow::Result<tempfile::TempDir> {
    const NAME: &[u8] = b"hetzner";
    let folder = tempfile::tempdir()?;
    let original = std::fs::read(built("plugins/hetzner.wasm"))?;
    for number in 0..count {
        let mut bytes = original.clone();
        if number > 0 {
            let name = format!("hetzne{number}");
            let places: Vec<usize> =
                original.windows(NAME.len()).enumerate().filter(|(_, seen)| *seen == NAME).map(|(at, _)| at).collect();
            for at in places {
                bytes[at..at + NAME.len()].copy_from_slice(name.as_bytes());
            }
        }
        std::fs::write(folder.path().join(format!("cloud-{number}.wasm")), bytes)?;
    }
    Ok(folder)
}

async fn series(calls: usize, mut call: impl AsyncFnMut() -> anyhow::Result<()>) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let begun = Instant::now();
        call().await?;
        times.push(begun.elapsed());
    }
    times.sort();
    Ok(times)
}
