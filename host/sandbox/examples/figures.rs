//! Measures the sandbox alone: `cargo run --release --example figures -- <request.json> <component.wasm>…`.
//!
//! Prints how long it takes to compile the components and to load their machine code from the cache; then, of the first one,
//! an instance, a trivial call, a render, an answer from before, and eight callers against one. With `--renders N` also what
//! memory so many renders leave behind. The request is the body of a create, without secrets.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use catalyst_domain::Request;
use catalyst_domain::provider::{ProbeResponse, RenderContext};
use catalyst_sandbox::{MEMO_BYTES, Provider, Sandbox, Settings};

/// Calls of one series: enough for a steady 99th percentile.
const CALLS: u16 = 5000;

/// Callers at once, as many as one plugin is allowed.
const CALLERS: usize = 8;

/// Loads from the cache.
const LOADS: usize = 20;

/// Renders before memory is read first: every slot was in use.
const WARM_UP: usize = 5_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let renders = match arguments.iter().position(|argument| argument.as_os_str() == "--renders") {
        Some(at) => arguments.drain(at..).nth(1).context("a number of renders")?.to_string_lossy().parse()?,
        None => 0,
    };
    let (request, files) = arguments.split_first().context("name a request and component files")?;
    let request: Request = serde_json::from_slice(&std::fs::read(request)?)?;
    let plugins = tempfile::tempdir()?;
    for (number, file) in files.iter().enumerate() {
        std::fs::copy(file, plugins.path().join(format!("{number:03}.wasm"))).context("a component file")?;
    }
    let cache = tempfile::tempdir()?;
    let settings = Settings { cache_dir: Some(cache.path().to_owned()), ..Settings::default() };
    let compiled = load(&settings, &plugins).await?.1;
    let mut cached = Vec::new();
    for _ in 0..LOADS {
        cached.push(load(&settings, &plugins).await?.1);
    }
    println!("{} components: compiled in {compiled:?}, from the cache {}", files.len(), shown(cached));

    let plain = load(&settings, &plugins).await?.0;
    println!("instance: {}", series(|_| plain.instantiate()).await?);
    println!("trivial call: {}", series(|number| trivial(&plain, number)).await?);
    println!("render: {}", series(|number| render(&plain, &request, number)).await?);
    eight(&plain).await?;
    let remembering = load(&Settings { memo_bytes: MEMO_BYTES, ..settings }, &plugins).await?.0;
    println!("remembered validate: {}", series(|_| async { remembering.validate(&request).await.map(drop) }).await?);
    println!("remembered render: {}", series(|_| render(&remembering, &request, 0)).await?);
    if renders > 0 {
        left_behind(&remembering, &request, renders).await?;
    }
    Ok(())
}

async fn load(settings: &Settings, plugins: &tempfile::TempDir) -> anyhow::Result<(Arc<Provider>, Duration)> {
    let begun = Instant::now();
    let sandbox = Sandbox::new(settings.clone())?;
    let report = sandbox.load_folder(plugins.path()).await;
    let took = begun.elapsed();
    anyhow::ensure!(report.failures.is_empty(), "{:?}", report.failures);
    Ok((report.serving.into_iter().min_by_key(|p| p.file_name().to_owned()).context("no plugin")?, took))
}

async fn trivial(provider: &Provider, number: u16) -> Result<(), catalyst_sandbox::CallError> {
    provider.judge_credentials(&[ProbeResponse { status: number, body: Vec::new() }]).await.map(drop)
}

async fn render(provider: &Provider, request: &Request, number: u16) -> Result<(), catalyst_sandbox::CallError> {
    let request = Request { org_name: format!("Example {number}"), ..request.clone() };
    provider.render(&request, &context()).await.map(drop)
}

fn context() -> RenderContext {
    RenderContext {
        public_url: "https://console.example.test".into(),
        gitops_repo_url: "https://git.example.test/r".into(),
        gitops_branch: "main".into(),
        present_secrets: Vec::new(),
    }
}

async fn eight(provider: &Arc<Provider>) -> anyhow::Result<()> {
    let begun = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let provider = Arc::clone(provider);
            tokio::spawn(async move { series(|number| trivial(&provider, number)).await })
        })
        .collect();
    for caller in callers {
        println!("one of {CALLERS}: {}", caller.await??);
    }
    println!("{:.0} calls a second", f64::from(CALLS) * CALLERS as f64 / begun.elapsed().as_secs_f64());
    Ok(())
}

async fn left_behind(provider: &Provider, request: &Request, renders: usize) -> anyhow::Result<()> {
    let resident = || -> anyhow::Result<u64> {
        let text = std::fs::read_to_string("/proc/self/status")?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse()?)
    };
    let mut before = 0;
    for number in 0..WARM_UP + renders {
        if number == WARM_UP {
            before = resident()?;
        }
        let request = Request { sovereign_fqdn: format!("n{number}.example.test"), ..request.clone() };
        let refused = |findings| anyhow::anyhow!("refused: {findings:?}");
        provider.render(&request, &context()).await?.map_err(refused)?;
    }
    println!("{renders} renders: RSS {before} KiB before, {} KiB after", resident()?);
    Ok(())
}

async fn series<F>(mut call: impl FnMut(u16) -> F) -> anyhow::Result<String>
where
    F: Future<Output = Result<(), catalyst_sandbox::CallError>>,
{
    let mut times: Vec<Duration> = Vec::with_capacity(CALLS.into());
    for number in 0..CALLS {
        let started = Instant::now();
        call(number).await?;
        times.push(started.elapsed());
    }
    Ok(shown(times))
}

fn shown(mut times: Vec<Duration>) -> String {
    times.sort();
    format!("p50 {:?}, p99 {:?}", times[times.len() / 2], times[times.len() * 99 / 100])
}
