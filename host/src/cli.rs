//! The command line.

mod banner;
mod core_dumps;
mod descriptors;
mod dns;
mod doctor;
mod openapi;
mod plugin;
mod rehearse;
mod render;
mod serve;
mod signals;
mod token;
mod trace;

use crate::compile;
use crate::config::{Config, VARIABLES, Variable};
use crate::engine;
use crate::telemetry::Spans;
use anyhow::Context;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::Handle;

/// What a shell takes for wrong usage, and clap ends with.
const WRONG_USAGE: u8 = 2;
/// The trace's filter where nobody set another.
const DEFAULT_FILTER: &str = "info";

/// How long threads that still wait for something, as for the lock of another process, may hold up the end.
const LEFT_BEHIND: Duration = Duration::from_secs(1);

/// The name under which the binary is `catalyst dns`, as the earlier service's image has it.
const DNS_HOOK: &str = "catalyst-dns";

/// Creates Kubernetes clusters on any cloud; everything that knows a cloud is a sandboxed plugin.
#[derive(Parser)]
#[command(name = "catalyst", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API and drive deployments.
    ///
    /// Everything is configured by environment variables; see the list below.
    Serve,
    /// Play the first node of a deployment on a cloud that can be rehearsed, and a small double of its cluster.
    ///
    /// Boots the user data that OpenTofu made, below a folder of its own, until it hands in its kubeconfig as a real
    /// node does; then answers the host's watch with releases that install one after the other. The scripts of the user
    /// data run on this machine, as you. CATALYST_STATE_DIR (or CATALYST_DEPLOYMENTS_DIR) must be the host's.
    Rehearse(rehearse::Arguments),
    /// Write the six address records of a Sovereign at the registrar that holds the managed domain.
    ///
    /// A hook to be run alone, where no pool-domain manager does it. Reads DYNADOT_API_KEY, DYNADOT_API_SECRET, DOMAIN,
    /// SUBDOMAIN and LB_IP. Records that exist are kept; the first failure ends it.
    Dns,
    /// Look at everything that a start rests on, and say what is not well and what to do.
    ///
    /// Reads the same variables as `serve` and changes nothing. May be run beside a host that serves.
    Doctor(doctor::Arguments),
    /// Print the OpenAPI document of the API.
    Openapi,
    /// Write the OpenTofu module of a request into a folder, to be applied without a host.
    ///
    /// Creates nothing and needs no running host. Reads CATALYST_PLUGINS_DIR, CATALYST_GITOPS_REPO_URL and
    /// CATALYST_GITOPS_BRANCH.
    Render(render::Arguments),
    /// Make a token for callers of the API, where CATALYST_AUTH is `token`.
    Token(token::Arguments),
    /// Write, judge and measure a provider plugin.
    Plugin(plugin::Arguments),
    /// Turn a component into machine code; a host that serves starts itself like this.
    #[command(hide = true)]
    CompileComponent(compile::Arguments),
    /// Supervise a run of OpenTofu; a host that serves starts itself like this.
    #[command(hide = true)]
    Supervise(engine::SuperviseArguments),
}

/// Runs the command that was given, and says how it ended. An error is to be told by [`exit_code`].
///
/// # Errors
/// What kept it from starting or ended it, for a person.
pub fn main() -> anyhow::Result<ExitCode> {
    let command = Cli::command().mut_subcommand("serve", |serve| serve.after_long_help(variables()));
    let cli = Cli::from_arg_matches(&command.get_matches_from(arguments(std::env::args_os().collect())))?;
    if let Command::CompileComponent(arguments) = &cli.command {
        // Before there is a thread: what binds a process binds only threads that start later.
        return compile::child(arguments);
    }
    if let Command::Supervise(arguments) = &cli.command {
        // A namespace is entered by a process with one thread.
        engine::supervise(*arguments).context("the run cannot be supervised")?;
        return Ok(ExitCode::SUCCESS);
    }
    // Before a secret is read.
    core_dumps::forbid().context("cannot forbid core dumps, in which secrets would be")?;
    if matches!(cli.command, Command::Serve) && engine::is_first_process() {
        return engine::run_as_first_process(std::env::args_os().skip(1).collect()).context("cannot start the host");
    }
    let config = match (Config::from_env(), &cli.command) {
        (Err(error), Command::Doctor(arguments)) => return Ok(doctor::without_settings(&error, arguments)),
        (config, _) => config.context("the environment is not usable")?,
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    // No file is read and nobody is asked before `serve` hears signals.
    let spans = spans(&cli.command, &config, runtime.handle())?;
    trace::init(filter(&cli.command, &config), spans.as_ref())?;
    match cli.command {
        Command::CompileComponent(_) | Command::Supervise(_) => {}
        Command::Plugin(arguments) => {
            let ended = runtime.block_on(plugin::run(config, arguments));
            // A call that was given up may still hold a thread.
            runtime.shutdown_background();
            return ended;
        }
        Command::Doctor(arguments) => {
            let code = runtime.block_on(doctor::doctor(config, &arguments));
            // A check that hangs has had its time.
            runtime.shutdown_background();
            return Ok(code);
        }
        Command::Serve => {
            let served = runtime.block_on(serve::serve(config, spans));
            runtime.shutdown_timeout(LEFT_BEHIND);
            served?;
        }
        Command::Dns => runtime.block_on(dns::dns(config))?,
        Command::Openapi => openapi::print()?,
        Command::Token(arguments) => token::run(&arguments)?,
        Command::Render(arguments) => runtime.block_on(render::render(config, arguments))?,
        Command::Rehearse(arguments) => runtime.block_on(rehearse::rehearse(config, arguments))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The way out for spans: only what serves has any.
fn spans(command: &Command, config: &Config, runtime: &Handle) -> anyhow::Result<Option<Spans>> {
    let Some(settings) = config.spans.as_ref().filter(|_| matches!(command, Command::Serve)) else { return Ok(None) };
    let spans = Spans::new(settings, runtime.clone()).map_err(anyhow::Error::msg);
    spans.map(Some).context("cannot set up spans")
}

/// The exit status of a command that ended with an error: 2 for wrong usage, as where the arguments cannot be read at all.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let usage = error.chain().any(|cause| cause.is::<plugin::Usage>());
    if usage { ExitCode::from(WRONG_USAGE) } else { ExitCode::FAILURE }
}

/// An error with its causes, as it may be shown on a terminal: it may quote what a plugin said.
pub fn words(error: &anyhow::Error) -> String {
    format!("{error:#}").chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}

/// The arguments, with the command that the binary's own name stands for.
fn arguments(mut given: Vec<OsString>) -> Vec<OsString> {
    let name = given.first().and_then(|name| Path::new(name).file_name());
    if name.is_some_and(|name| name == DNS_HOOK) {
        given.insert(1, "dns".into());
    }
    given
}

/// What says all in its report traces only what was asked for.
fn filter<'a>(command: &Command, config: &'a Config) -> &'a str {
    match command {
        Command::Plugin(_) | Command::Doctor(_) if config.log_filter == DEFAULT_FILTER => "off",
        _ => &config.log_filter,
    }
}

/// The list of environment variables below `serve --help`: each on a line of its own, and what it means indented below it, so that
/// a terminal of any width breaks only what is longer than itself.
fn variables() -> String {
    let mut text =
        String::from("Environment variables. Empty means unset. Durations are written like 90s, 30m or 1h30m.\n");
    for Variable { name, default, meaning } in VARIABLES {
        let default = if default.is_empty() { String::new() } else { format!(" [default: {default}]") };
        text.push_str(&format!("\n  {name}\n          {meaning}{default}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_dns_hook_is_its_command() {
        let given = |words: &[&str]| arguments(words.iter().map(OsString::from).collect());
        assert_eq!(given(&["/usr/local/bin/catalyst-dns", "--help"]), ["/usr/local/bin/catalyst-dns", "dns", "--help"]);
        assert_eq!(given(&["catalyst", "serve"]), ["catalyst", "serve"]);
        assert!(given(&[]).is_empty());
    }

    #[test]
    fn an_error_cannot_draw_on_the_terminal_and_keeps_its_causes_and_exit_status() {
        let error = anyhow::Error::new(plugin::Usage("a \u{1b}[2J b".to_owned())).context("first");
        assert_eq!(words(&error), "first: a  [2J b");
        assert_eq!(exit_code(&error), ExitCode::from(2));
        assert_eq!(exit_code(&anyhow::anyhow!("x")), ExitCode::FAILURE);
    }
}
