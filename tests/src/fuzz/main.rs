//! `catalyst-fuzz`: campaigns on the readers of what strangers write. See `scripts/fuzz.sh`.

#![expect(clippy::print_stdout, reason = "it tells people what it found")]

use anyhow::{Context, bail, ensure};
use catalyst_tests::fuzz::{Budget, Random, Report, Verdict, campaign, targets};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: fuzz.sh [--seconds N] [--documents N] [--seed N] [--replay FILE] [target …]";

#[derive(Default)]
struct Arguments {
    seconds: Option<u64>,
    documents: Option<usize>,
    seed: Option<u64>,
    cache: Option<PathBuf>,
    replay: Option<PathBuf>,
    targets: Vec<String>,
}

fn arguments() -> anyhow::Result<Arguments> {
    let mut read = Arguments::default();
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        if !argument.starts_with("--") {
            read.targets.push(argument);
            continue;
        }
        let value = given.next().with_context(|| format!("{argument} needs a value\n{USAGE}"))?;
        let number = || value.parse::<u64>().with_context(|| format!("{argument} must be a number, not {value:?}"));
        match argument.as_str() {
            "--seconds" => read.seconds = Some(number()?),
            "--documents" => read.documents = Some(usize::try_from(number()?)?),
            "--seed" => read.seed = Some(number()?),
            "--cache" => read.cache = Some(PathBuf::from(value)),
            "--replay" => read.replay = Some(PathBuf::from(value)),
            _ => bail!("{argument} is not known\n{USAGE}"),
        }
    }
    if read.targets.is_empty() {
        read.targets = targets::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    }
    Ok(read)
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = arguments()?;
    if let Some(file) = &arguments.replay {
        return replay(file, &arguments.targets);
    }
    // A panic is a verdict here, and hundreds of them are asked for when an input is made small.
    std::panic::set_hook(Box::new(|_| {}));
    let seed = arguments.seed.unwrap_or_else(Random::any_seed);
    let share = Duration::from_secs(arguments.seconds.unwrap_or(600)) / u32::try_from(arguments.targets.len())?;
    let budget = arguments.documents.map_or(Budget::Time(share), Budget::Inputs);
    println!("seed {seed}");
    let mut failed = false;
    for name in &arguments.targets {
        let mut target = targets::named(name)?;
        let plan = campaign::Plan {
            seed,
            budget,
            generated_only: arguments.documents.is_some(),
            cache: arguments.cache.as_deref(),
        };
        let report = campaign::run(target.as_mut(), plan)?;
        tell(&report);
        failed |= report.failure.is_some();
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Endings that are told of a target; the rest is counted.
const TOLD: usize = 12;

fn tell(report: &Report) {
    println!(
        "\n{}: {} inputs in {:.1} s, {:.0} a second, {} endings",
        report.target,
        report.inputs,
        report.took.as_secs_f64(),
        report.rate(),
        report.endings.len()
    );
    let mut endings: Vec<_> = report.endings.iter().collect();
    endings.sort_by(|one, other| other.1.cmp(one.1));
    for (ending, count) in endings.iter().take(TOLD) {
        println!("  {count:>9}  {ending}");
    }
    if endings.len() > TOLD {
        println!(
            "  {:>9}  in {} more",
            endings[TOLD..].iter().map(|(_, count)| *count).sum::<usize>(),
            endings.len() - TOLD
        );
    }
    if let Some(folder) = report.kept.first().and_then(|file| file.parent()) {
        println!("  {} inputs with an ending that was new lie in {}", report.kept.len(), folder.display());
        println!("  those that are worth it go to tests/corpus/{}", report.target);
    }
    if let Some(failure) = &report.failure {
        println!("\nBROKEN {failure}");
    }
}

fn replay(file: &PathBuf, names: &[String]) -> anyhow::Result<ExitCode> {
    ensure!(names.len() == 1, "--replay needs the one target that the file is for");
    let input = std::fs::read(file).with_context(|| file.display().to_string())?;
    match targets::named(&names[0])?.check(&[input])?.pop() {
        Some(Verdict::Holds(ending)) => println!("holds: {ending}"),
        Some(Verdict::Broken(why)) => {
            println!("BROKEN {why}");
            return Ok(ExitCode::FAILURE);
        }
        None => bail!("no verdict"),
    }
    Ok(ExitCode::SUCCESS)
}
