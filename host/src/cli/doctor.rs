//! `catalyst doctor`: looks at everything that a start rests on, and says what is not well and what to do.
//!
//! It changes nothing that stays: what it writes to try a disk is removed, no folder is made, no lock is kept. So it may be
//! run beside a host that serves, and before one that will not start. It prints no value that may be a secret.

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

/// Makes every check and prints what it found.
pub async fn doctor(config: &Config, arguments: &Arguments) -> ExitCode {
    let mut found = Findings::default();
    found.take(process::environment(config));
    found.take(process::user());
    found.take(process::open_files());
    found.take(folders::folders(config));
    found.take(folders::space(config));
    found.take(folders::one_disk(config));
    found.take(folders::records(config));
    found.take(process::state_key(config));
    found.take(programs::tofu(config).await);
    found.take(programs::cache(config));
    found.take(programs::plugins_and_mirror(config).await);
    let (trust, outbound) = network::trust(config);
    found.take(trust);
    found.take(process::authentication(config, outbound.as_ref()).await);
    found.take(network::proxy(config).await);
    if let Some(outbound) = outbound {
        found.take(place::lock_and_address(config, &outbound).await);
        found.take(network::pool_domain_manager(config, &outbound).await);
    }
    found.take(network::public_url(config));
    found.print(arguments.json)
}

/// What is left to say where the environment itself cannot be used.
pub fn without_settings(error: &ConfigError, arguments: &Arguments) -> ExitCode {
    let mut found = Findings::default();
    let advice = "set it right; nothing else can be looked at before. `catalyst serve --help` lists all variables";
    found.take(vec![Finding::fail("environment", error, advice)]);
    found.print(arguments.json)
}
