//! `catalyst plugin bench`: what a component takes. Its times are this machine's; they compare two builds of a plugin
//! on one machine, and promise nothing of another. Its instructions and its memory are counted, and the same
//! everywhere.

use super::component::{Component, Opened, open, open_loaded};
use super::guest::GuestOutput;
use super::page::{Page, Tone};
use super::{Report, Usage, asked, check, example};
use crate::compile::Apart;
use crate::config::Config;
use anyhow::Context as _;
use catalyst_domain::Request;
use catalyst_domain::provider::{Asked, Diagnostic};
use catalyst_sandbox::{Compile, Cost, Measure, Provider};
use serde::Serialize;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) const HELP: &str = concat!(
    example!(
        "catalyst plugin bench acme.wasm",
        "catalyst plugin bench acme.wasm --request cases/solo.json --calls 2000"
    ),
    "\nEvery call gets another request, so that no answer is one that was kept from before. Instructions and memory are those \
     of one call each, counted apart from the times: the same component and request give the same figures on any machine.\n\
     JSON: machine (cores, arch, os, build), calls, bytes, digest, bundleBytes, and load, diagnose, validate, render, each \
     with p50, p99 and max in microseconds; counted, with diagnose, validate and render, each with instructions and \
     memoryBytes.",
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

/// One call of each function, counted.
#[derive(Debug, Serialize)]
struct Counted {
    diagnose: Figures,
    validate: Figures,
    render: Figures,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    instructions: u64,
    memory_bytes: usize,
}

impl From<Cost> for Figures {
    fn from(cost: Cost) -> Self {
        Self { instructions: cost.instructions, memory_bytes: cost.memory_bytes }
    }
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

pub(super) async fn bench(config: &Config, arguments: &Arguments, guest: &GuestOutput) -> anyhow::Result<Report> {
    let component = open_loaded(config, &arguments.file, guest).await?;
    let provider = &component.provider;
    let request = request(provider, arguments)?;
    let load = loads(config, arguments).await?;
    let diagnose = told(diagnoses(provider, arguments.calls).await, "diagnose", guest)?;
    let validate = told(validates(provider, &request, arguments.calls).await, "validate", guest)?;
    let (render, bundle_bytes) = told(renders(provider, &request, arguments.calls).await, "render", guest)?;
    let counted = counted(provider, &request, arguments).await?;
    let page = page(&component, arguments.calls, bundle_bytes, [&load, &diagnose, &validate, &render], &counted);
    let json = json!({
        "machine": machine(), "calls": arguments.calls, "bytes": component.bytes,
        "digest": super::inspect::digest(provider), "bundleBytes": bundle_bytes, "load": load, "diagnose": diagnose,
        "validate": validate, "render": render, "counted": counted,
    });
    Ok(Report { page, json, good: true, aside: Page::default() })
}

/// Takes what the component said in a series, and puts the words of its end behind the engine's.
fn told<T>(series: anyhow::Result<T>, name: &str, guest: &GuestOutput) -> anyhow::Result<T> {
    let fault = guest.take(&format!("the calls of {name}"));
    series.map_err(|error| match fault {
        // Only a call that the engine stopped has any.
        Some(fault) => anyhow::anyhow!("{error:#}{}", fault.words()),
        None => error,
    })
}

/// Whose times they are.
fn machine() -> Value {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    let (arch, os) = (std::env::consts::ARCH, std::env::consts::OS);
    json!({"cores": cores, "arch": arch, "os": os, "build": build})
}

fn page(
    component: &Component,
    calls: u32,
    bundle_bytes: usize,
    [load, diagnose, validate, render]: [&Series; 4],
    counted: &Counted,
) -> Page {
    let mut page = Page::default();
    let machine = machine();
    let word = |key: &str| machine[key].as_str().unwrap_or_default().to_owned();
    let (arch, os, build) = (word("arch"), word("os"), word("build"));
    page.line(Tone::Head, &format!("{}: {calls} calls of each function", component.provider.descriptor().id));
    page.field(
        "times of",
        &format!("this machine alone: {} cores, {arch} {os}, a {build} build of catalyst", machine["cores"]),
    );
    for (name, what, series) in [
        ("load", "read, digest, machine code from the cache, instantiate, describe", load),
        ("diagnose", "instantiate and a small call", diagnose),
        ("validate", "", validate),
        ("render", "the bundle policy included", render),
    ] {
        let figures = format!("p50 {} µs, p99 {} µs, max {} µs", series.p50, series.p99, series.max);
        page.field(name, &if what.is_empty() { figures } else { format!("{figures}   ({what})") });
    }
    page.line(Tone::Head, "One call, counted: the same on any machine");
    for (name, of) in [("diagnose", &counted.diagnose), ("validate", &counted.validate), ("render", &counted.render)] {
        page.field(name, &format!("{} instructions, {} bytes of memory", of.instructions, of.memory_bytes));
    }
    page.field("bytes", &format!("{} of the component, {bundle_bytes} of a bundle", component.bytes));
    page
}

/// In an engine that counts, so apart from the calls whose time was taken.
async fn counted(provider: &Provider, request: &Request, arguments: &Arguments) -> anyhow::Result<Counted> {
    let bytes = std::fs::read(&arguments.file).with_context(|| format!("cannot read {}", arguments.file.display()))?;
    let measure = Measure::of(provider, bytes, &Compile::Apart(Arc::new(Apart))).await?;
    let request = numbered(request, 0);
    Ok(Counted {
        diagnose: measure.diagnose(&failure(0), &Asked::default()).await?.into(),
        validate: measure.validate(&request).await?.into(),
        render: measure.render(&request, &asked::context(provider.descriptor())).await?.into(),
    })
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
        match open(config, &arguments.file, None).await? {
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
        let diagnostic = failure(call);
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

fn failure(call: u32) -> Diagnostic {
    Diagnostic { summary: format!("failure {call}"), detail: String::new(), address: None }
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
