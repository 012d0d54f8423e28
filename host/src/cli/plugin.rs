//! `catalyst plugin`: for who writes a provider plugin, or has to judge a stranger's.
//!
//! Each command makes one [`Report`]: a page for a person, one JSON object for a program, and whether all is well. It
//! is printed here, in one place. Nothing here creates anything in a cloud, and no command needs a running host.

mod asked;
mod bench;
mod check;
mod component;
mod grant;
mod guest;
mod inspect;
mod new;
mod page;
mod permissions;
mod render;
mod test;
mod trust;

use crate::config::Config;
use clap::Subcommand;
use guest::GuestOutput;
use page::Page;
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::ExitCode;

/// What an example of each help begins with.
macro_rules! example {
    ($($line:literal),+ $(,)?) => {
        concat!("Example:\n", $("  ", $line, "\n"),+)
    };
}
use example;

/// Arguments of `catalyst plugin`.
#[derive(clap::Args)]
#[command(after_long_help = "Exit status: 0 all is well, 1 the plugin is not, 2 the command was used wrongly.\n\
    With --json an error is an object on standard output as well, {\"error\": …}, and standard error stays empty; only words \
    that are no arguments at all are told as text.\n\
    What the component writes and how it panics is shown on standard error; with --json it is the key `guest` of the object, where \
    there is something to show: lines (function, source, level, text, call, count), linesLeftOut, faults (function, call, message, \
    place, within, count).")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Print one JSON object instead of text.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Make a folder with a plugin that builds and passes `check`.
    #[command(after_long_help = new::HELP)]
    New(new::Arguments),
    /// Hold a component to every rule of a host, and show what it may do.
    #[command(after_long_help = check::HELP)]
    Check(check::Arguments),
    /// Show what a component is and what it may do.
    #[command(after_long_help = inspect::HELP)]
    Inspect(inspect::Arguments),
    /// Show, or write into plugins.lock, what a component has to be granted.
    #[command(after_long_help = grant::HELP)]
    Grant(grant::Arguments),
    /// Write the OpenTofu module that a component renders for a request.
    #[command(after_long_help = render::HELP)]
    Render(render::Arguments),
    /// Compare what a component answers to a folder of requests with what it answered before.
    #[command(after_long_help = test::HELP)]
    Test(test::Arguments),
    /// Measure a component on this machine.
    #[command(after_long_help = bench::HELP)]
    Bench(bench::Arguments),
}

/// The command cannot be done as it was given. Ends with the exit status 2, as other wrong usage does.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Usage(pub String);

/// What a command came to.
struct Report {
    page: Page,
    json: Value,
    /// Whether the exit status is 0.
    good: bool,
    /// For standard error, so that standard output can go elsewhere. What it says is in the object as well.
    aside: Page,
}

/// Runs the command that was given.
///
/// # Errors
/// [`Usage`], or what kept the command from its work, such as a disk that is full.
pub async fn run(config: Config, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let (json, guest) = (arguments.json, GuestOutput::default());
    let report = report(&config, arguments, &guest).await;
    let with_guest = |mut object: Value| {
        if let (Value::Object(keys), Some(said)) = (&mut object, guest.json()) {
            keys.insert("guest".to_owned(), said);
        }
        format!("{object:#}\n")
    };
    if !json {
        let _ = anstream::stderr().write_all(guest.page().into_text().as_bytes());
    }
    match report {
        Ok(report) => {
            if !json {
                let _ = anstream::stderr().write_all(report.aside.into_text().as_bytes());
            }
            print(&if json { with_guest(report.json) } else { report.page.into_text() });
            Ok(if report.good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Err(error) if json => {
            print(&with_guest(json!({"error": super::words(&error)})));
            Ok(super::exit_code(&error))
        }
        Err(error) => Err(error),
    }
}

async fn report(config: &Config, arguments: Arguments, guest: &GuestOutput) -> anyhow::Result<Report> {
    match arguments.command {
        Command::New(arguments) => new::new(&arguments),
        Command::Check(arguments) => check::check(config, &arguments, guest).await,
        Command::Inspect(arguments) => inspect::inspect(config, &arguments, guest).await,
        Command::Grant(arguments) => grant::grant(config, &arguments, guest).await,
        Command::Render(arguments) => render::render(config, &arguments, guest).await,
        Command::Test(arguments) => test::test(config, &arguments, guest).await,
        Command::Bench(arguments) => bench::bench(config, &arguments, guest).await,
    }
}

/// Who reads may have had enough of it; the exit status tells the rest.
fn print(text: &str) {
    let _ = anstream::stdout().write_all(text.as_bytes());
}
