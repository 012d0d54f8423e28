//! `catalyst doctor`: looks at everything that a start rests on, and says what is not well and what to do.
//!
//! It changes nothing that stays: what it writes to try a disk is removed, no folder is made, no lock is kept. So it may be
//! run beside a host that serves, and before one that will not start. It prints no value that may be a secret.

mod check;
mod finding;
mod folders;
mod network;
mod place;
mod process;
mod programs;

use crate::config::{Config, ConfigError};
use finding::{Finding, Findings};
use std::process::ExitCode;

/// Arguments of `catalyst doctor`.
#[derive(clap::Args)]
#[command(after_long_help = "Exit status: 0 all is well, 1 something is to be looked at, 2 something is not well.")]
pub struct Arguments {
    /// Print one JSON object instead of a line for each check.
    #[arg(long)]
    json: bool,
}

/// Makes every check, and prints what it found as soon as it is known.
pub async fn doctor(config: Config, arguments: &Arguments) -> ExitCode {
    let site = check::Site::new(config);
    let mut found = Findings::new(arguments.json);
    for check in check::ALL {
        found.take(check.make(&site).await);
    }
    found.end()
}

/// What is left to say where the environment itself cannot be used.
pub fn without_settings(error: &ConfigError, arguments: &Arguments) -> ExitCode {
    let mut found = Findings::new(arguments.json);
    let advice = "set it right; nothing else can be looked at before. `catalyst serve --help` lists all variables";
    found.take(vec![Finding::fail("environment", error, advice)]);
    found.end()
}
