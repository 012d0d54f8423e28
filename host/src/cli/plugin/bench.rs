//! `catalyst plugin bench`: how long a component takes here. The figures are this machine's; they compare two builds of a
//! plugin on one machine, and promise nothing of another.

use super::component::{Opened, open, open_loaded};
use super::page::{Page, Tone};
use super::{Report, Usage, asked, check, example};
use crate::config::Config;
use catalyst_domain::Request;
use catalyst_domain::provider::{Asked, Diagnostic};
use catalyst_sandbox::Provider;
use serde::Serialize;
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub(super) const HELP: &str = concat!(
    example!(
        "catalyst plugin bench acme.wasm",
        "catalyst plugin bench acme.wasm --request cases/solo.json --calls 2000"
    ),
    "\nEvery call gets another request, so that no answer is one that was kept from before.\n\
     JSON: machine (cores, arch, os, build), calls, bytes, digest, bundleBytes, and load, diagnose, validate, render, each \
     with p50, p99 and max in microseconds.",
);

/// Loads that are measured; the first compiles where the cache has nothing yet, and is left out.
const LOADS: u32 = 10;

/// Arguments of `catalyst plugin bench`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The component.
    file: PathBuf,
    /// The body of a create to measure with. Default: one made from what the component says of itself.
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// Calls of each function.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    calls: u32,
}

/// Percentiles of a series, in microseconds.
#[derive(Debug, Serialize)]
struct Series {
    p50: u64,
    p99: u64,
    max: u64,
}

impl Series {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        // Nearest rank: the least value that so many per cent do not exceed.
        let at = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100).max(1) - 1;
            times.get(rank).map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
        };
        Self { p50: at(50), p99: at(99), max: at(100) }
    }
}

pub(super) async fn bench(config: &Config, arguments: &Arguments) -> anyhow::Result<Report> {
    let component = open_loaded(config, &arguments.file).await?;
    let provider = &component.provider;
    let request = request(provider, arguments)?;
    let load = loads(config, arguments).await?;
    let diagnose = diagnoses(provider, arguments.calls).await?;
    let validate = validates(provider, &request, arguments.calls).await?;
    let (render, bundle_bytes) = renders(provider, &request, arguments.calls).await?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    let (arch, os) = (std::env::consts::ARCH, std::env::consts::OS);
    let mut page = Page::default();
    let id = &provider.descriptor().id;
    page.line(Tone::Head, &format!("{id}: {} calls of each function", arguments.calls));
    page.field("figures of", &format!("this machine alone: {cores} cores, {arch} {os}, a {build} build of catalyst"));
    for (name, what, series) in [
        ("load", "read, digest, machine code from the cache, instantiate, describe", &load),
        ("diagnose", "instantiate and a small call", &diagnose),
        ("validate", "", &validate),
        ("render", "the bundle policy included", &render),
    ] {
        let figures = format!("p50 {} µs, p99 {} µs, max {} µs", series.p50, series.p99, series.max);
        page.field(name, &if what.is_empty() { figures } else { format!("{figures}   ({what})") });
    }
    page.field("bytes", &format!("{} of the component, {bundle_bytes} of a bundle", component.bytes));
    let json = json!({
        "machine": {"cores": cores, "arch": arch, "os": os, "build": build},
        "calls": arguments.calls, "bytes": component.bytes, "digest": super::inspect::digest(provider),
        "bundleBytes": bundle_bytes, "load": load, "diagnose": diagnose, "validate": validate, "render": render,
    });
    Ok(Report { page, json, good: true })
}

fn request(provider: &Provider, arguments: &Arguments) -> anyhow::Result<Request> {
    let descriptor = provider.descriptor();
    match &arguments.request {
        Some(file) => Ok(asked::read(file, descriptor)?.split(descriptor, &[]).0),
        None => Ok(check::default_request(descriptor)),
    }
}

/// A sandbox of its own for each, so that nothing but the cache of machine code is there before.
async fn loads(config: &Config, arguments: &Arguments) -> anyhow::Result<Series> {
    let mut times = Vec::new();
    for _ in 0..LOADS {
        match open(config, &arguments.file).await? {
            Opened::Loaded(component) => times.push(component.loaded_in),
            Opened::Refused(why) => {
                anyhow::bail!("{} changed while it was measured: it {why}", arguments.file.display())
            }
        }
    }
    Ok(Series::of(times))
}

async fn diagnoses(provider: &Provider, calls: u32) -> anyhow::Result<Series> {
    let asked = Asked::default();
    let mut times = Vec::new();
    for call in 0..calls {
        let diagnostic = Diagnostic { summary: format!("failure {call}"), detail: String::new(), address: None };
        let begun = Instant::now();
        provider.diagnose(&diagnostic, &asked).await?;
        times.push(begun.elapsed());
    }
    Ok(Series::of(times))
}

async fn validates(provider: &Provider, request: &Request, calls: u32) -> anyhow::Result<Series> {
    let mut times = Vec::new();
    for call in 0..calls {
        let request = numbered(request, call);
        let begun = Instant::now();
        provider.validate(&request).await?;
        times.push(begun.elapsed());
    }
    Ok(Series::of(times))
}

/// And the bytes of the bundle's files.
async fn renders(provider: &Provider, request: &Request, calls: u32) -> anyhow::Result<(Series, usize)> {
    let context = asked::context(provider.descriptor());
    let (mut times, mut bytes) = (Vec::new(), 0);
    for call in 0..calls {
        let request = numbered(request, call);
        let begun = Instant::now();
        let rendered = provider.render(&request, &context).await?;
        times.push(begun.elapsed());
        match rendered {
            Ok(bundle) => bytes = bundle.files.iter().map(|file| file.content.len()).sum(),
            Err(findings) => {
                let why = catalyst_domain::finding::joined_errors(&findings);
                return Err(Usage(format!(
                    "the request is refused, so no render can be measured; give --request: {why}"
                ))
                .into());
            }
        }
    }
    Ok((Series::of(times), bytes))
}

fn numbered(request: &Request, call: u32) -> Request {
    Request { org_name: format!("Bench {call}"), ..request.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let series = Series::of((1..=200).rev().map(Duration::from_micros).collect());
        assert_eq!((series.p50, series.p99, series.max), (100, 198, 200));
        let one = Series::of(vec![Duration::from_micros(7)]);
        assert_eq!((one.p50, one.p99, one.max), (7, 7, 7));
    }
}
