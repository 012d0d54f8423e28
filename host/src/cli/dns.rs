//! `catalyst dns`: the stand-alone hook that writes a Sovereign's records at the registrar.

use super::serve::outbound_settings;
use crate::config::{self, Config};
use crate::dns::dynadot::{self, Inputs};
use crate::outbound::Outbound;
use anyhow::Context;

/// Writes the six records; one line of standard output for each.
pub async fn dns(config: Config) -> anyhow::Result<()> {
    let lines = write(&config).await.context("catalyst-dns")?;
    #[expect(clippy::print_stdout, reason = "the result of a command goes to whoever ran it")]
    for line in lines {
        println!("{line}");
    }
    Ok(())
}

async fn write(config: &Config) -> anyhow::Result<Vec<String>> {
    // Before anything is set up: a wrong input is the likeliest fault.
    let inputs = Inputs::from_map(&config::dns_hook())?;
    let outbound = Outbound::new(&outbound_settings(config))?;
    Ok(dynadot::run(inputs, &outbound).await?)
}
