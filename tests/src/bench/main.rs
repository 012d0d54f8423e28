//! Figures of the real parts. Each is a ratio to something measured in the same run, because absolute values say more about
//! the machine than about the program. A further figure is one more function in [`MEASURES`].
//!
//! `catalyst-bench [--on-demand] [name…]`: all that are quick, or those named. The table goes to standard output, the JSON
//! to `bench.json` in the folder of build products. It ends with 1 where a goal was missed, and says which.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the figures are what it is for")]

mod calls;
mod disk;
mod figure;
mod isolation;
mod load;
mod plugins;
mod process;
mod puts;
mod render;
mod requests;
mod strangers;
mod tokens;
mod viewers;

use anyhow::Context;
use figure::Figure;
use serde_json::{Value, json};
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;

type Measured = Pin<Box<dyn Future<Output = anyhow::Result<Vec<Figure>>>>>;

struct Measure {
    name: &'static str,
    when: When,
    take: fn() -> Measured,
}

#[derive(PartialEq, Eq)]
enum When {
    Always,
    /// It takes minutes, so somebody must ask for it.
    OnDemand,
    /// It takes many minutes, so somebody must name it.
    Named,
}

const fn always(name: &'static str, take: fn() -> Measured) -> Measure {
    Measure { name, when: When::Always, take }
}

const fn on_demand(name: &'static str, take: fn() -> Measured) -> Measure {
    Measure { name, when: When::OnDemand, take }
}

const fn named(name: &'static str, take: fn() -> Measured) -> Measure {
    Measure { name, when: When::Named, take }
}

const MEASURES: &[Measure] = &[
    always("render", || Box::pin(render::measure())),
    always("calls", || Box::pin(calls::measure())),
    always("isolation", || Box::pin(isolation::measure())),
    always("plugins", || Box::pin(plugins::measure())),
    always("five", || Box::pin(plugins::folder_of_five())),
    always("start", || Box::pin(process::starts())),
    always("memory", || Box::pin(process::memory())),
    always("sizes", || Box::pin(process::sizes())),
    always("get", || Box::pin(load::measure())),
    always("puts", || Box::pin(puts::measure())),
    always("viewers", || Box::pin(viewers::measure())),
    always("log-bytes", || Box::pin(disk::log_bytes())),
    always("tokens", || Box::pin(tokens::measure())),
    always("strangers", || Box::pin(strangers::measure())),
    always("records", || Box::pin(process::many_records())),
    named("renders", || Box::pin(plugins::renders())),
    named("soak", || Box::pin(plugins::soak())),
    named("full-disk", || Box::pin(disk::full())),
    on_demand("build", || Box::pin(process::clean_build())),
    on_demand("tests", || Box::pin(process::tests())),
];

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [say, gate, lines] = arguments.as_slice()
        && say == "--say"
    {
        return viewers::say(Path::new(gate), lines.parse()?).map(|()| ExitCode::SUCCESS);
    }
    if let [sink, address] = arguments.as_slice()
        && sink == "--sink"
    {
        return strangers::sink(address).await.map(|()| ExitCode::SUCCESS);
    }
    let chosen = choose(&arguments)?;
    let load_before = load_average();
    let mut figures = Vec::new();
    for measure in chosen {
        eprintln!("measuring {} …", measure.name);
        figures.extend((measure.take)().await.with_context(|| format!("measuring {}", measure.name))?);
    }
    let document = figure::document(&figures, machine(&load_before));
    let file = catalyst_tests::host::target_dir().join("bench.json");
    std::fs::write(&file, format!("{document:#}\n")).with_context(|| file.display().to_string())?;
    print!("{}", figure::table(&figures));
    println!("\nload average {load_before} before, {} after; also in {}", load_average(), file.display());
    let missed = figure::missed(&figures);
    for name in &missed {
        eprintln!("goal missed: {name}");
    }
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn choose(arguments: &[String]) -> anyhow::Result<Vec<&'static Measure>> {
    let all = arguments.iter().any(|argument| argument == "--on-demand");
    let names: Vec<&String> = arguments.iter().filter(|argument| *argument != "--on-demand").collect();
    for name in &names {
        let known = || MEASURES.iter().map(|measure| measure.name).collect::<Vec<_>>().join(", ");
        let found = MEASURES.iter().any(|measure| measure.name == name.as_str());
        anyhow::ensure!(found, "there is no figure {name:?}; there are {}", known());
    }
    let wanted = |measure: &&Measure| {
        let by_default = names.is_empty() && measure.when == When::Always;
        by_default || (all && measure.when == When::OnDemand) || names.iter().any(|name| *name == measure.name)
    };
    Ok(MEASURES.iter().filter(wanted).collect())
}

fn machine(load_before: &str) -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo").lines().find_map(|line| Some(line.split_once("model name")?.1.to_owned()));
    json!({
        "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        "processor": processor.unwrap_or_default().trim_start_matches(['\t', ' ', ':']),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "loadAverageBefore": load_before,
        "loadAverageAfter": load_average(),
    })
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
