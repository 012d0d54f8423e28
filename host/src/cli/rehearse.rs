//! `catalyst rehearse`: arguments in, lines out.

use crate::config::Config;
use crate::rehearse::kit::Film;
use crate::rehearse::play::{End, Play, Tone, play};
use anyhow::Context;
use catalyst_domain::DeploymentId;
use std::io::{IsTerminal, Write as _};
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Beside the quiet time that ends a watch: the host's next look, and its viewers.
const GRACE: Duration = Duration::from_secs(10);

/// Arguments of `catalyst rehearse`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Id of a deployment on a cloud that can be rehearsed, as its create answered it.
    id: String,
    /// Seconds until the last release is installed.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3600))]
    seconds: u16,
    /// Let this release fail for good; what needs it waits for ever.
    #[arg(long, value_name = "RELEASE")]
    fail: Option<String>,
    /// Port of the cluster's API, where the deployment's state does not tell it.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    api_port: Option<u16>,
    /// End when nothing moves any more and the host had time to see it, instead of staying.
    #[arg(long)]
    until_done: bool,
    /// Keep the node's files in this folder, which must be empty, instead of removing them.
    #[arg(long, value_name = "FOLDER")]
    root: Option<PathBuf>,
}

/// Plays until the end of the film, SIGINT or SIGTERM.
///
/// # Errors
/// Why the film could not be played to its end, for a person.
pub async fn rehearse(config: Config, arguments: Arguments) -> anyhow::Result<()> {
    let id = DeploymentId::parse(&arguments.id).with_context(|| format!("`{}`", arguments.id))?;
    let film = Film::new(Duration::from_secs(arguments.seconds.into()), arguments.fail.as_deref())?;
    let temporary =
        tempfile::Builder::new().prefix("catalyst-node-").tempdir().context("cannot make the node's folder")?;
    let root = match &arguments.root {
        Some(folder) => empty_folder(folder)?,
        None => temporary.path().to_owned(),
    };
    let end = if arguments.until_done { End::Settled(config.phase1_settle + GRACE) } else { End::Stay };
    let rehearsal = Play { id, state_dir: config.state_dir, root, film, api_port: arguments.api_port, end };
    let coloured = std::io::stdout().is_terminal();
    let mut say = |tone: Tone, line: &str| print(coloured, tone, line);
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        result = play(rehearsal, &mut say) => result.map_err(Into::into),
        _ = term.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

/// Makes a folder where there is none, and makes sure that nothing is in it.
pub(super) fn empty_folder(folder: &PathBuf) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    anyhow::ensure!(entries.next().is_none(), "{} is not empty", folder.display());
    std::path::absolute(folder).with_context(|| format!("cannot name {}", folder.display()))
}

fn print(coloured: bool, tone: Tone, line: &str) {
    // Control characters of a script must not reach the terminal.
    let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let code = match tone {
        Tone::Say => "",
        Tone::Detail => "\x1b[2m",
        Tone::Good => "\x1b[32m",
        Tone::Bad => "\x1b[31m",
    };
    let mut out = std::io::stdout().lock();
    // Nobody may read any more; the film goes on.
    let _ = if coloured && !code.is_empty() { writeln!(out, "{code}{line}\x1b[0m") } else { writeln!(out, "{line}") };
}
