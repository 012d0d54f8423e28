//! `catalyst token new`: a token, told once, and the line by which the host knows it.

use crate::auth::{Scope, Scopes, is_name, line, mint};
use anyhow::Context;
use clap::{Args, Subcommand};
use std::io::Write;

/// The rule of a name.
const NAMES: &str = "it must be 1 to 64 of a-z, A-Z, 0-9, `.`, `_`, `-` and `@`";

/// What to do about tokens.
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a token.
    ///
    /// The token goes to stderr and is never shown again; its line, which holds only a digest, goes to stdout, to be added
    /// to the file that CATALYST_AUTH_TOKENS names: `catalyst token new --name ci --scope create --scope read >> tokens`.
    /// A running host takes a changed file over within seconds.
    New(New),
}

#[derive(Args)]
struct New {
    /// Whose it is; the audit log names it so.
    #[arg(long, value_parser = name)]
    name: String,
    /// What it allows: read, create, kubeconfig or admin, which allows all. May be given several times.
    #[arg(long = "scope", required = true, value_parser = scope)]
    scopes: Vec<Scope>,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Command::New(new) = &arguments.command;
    let token = mint()?;
    let line = line(&new.name, Scopes::of(&new.scopes), &token);
    let line = line.context(NAMES)?;
    writeln!(std::io::stdout(), "{line}").context("cannot print the line")?;
    writeln!(std::io::stderr(), "{}", token.expose()).context("cannot print the token")
}

fn scope(word: &str) -> Result<Scope, String> {
    Scope::parse(word).ok_or_else(|| "it must be read, create, kubeconfig or admin".to_owned())
}

fn name(text: &str) -> Result<String, &'static str> {
    if is_name(text) { Ok(text.to_owned()) } else { Err(NAMES) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        _arguments: Arguments,
    }

    #[test]
    fn a_name_that_may_not_stand_in_the_file_is_wrong_usage() {
        let status = |name: &str| {
            let read = Line::try_parse_from(["token", "new", "--name", name, "--scope", "read"]);
            read.err().map(|error| error.exit_code())
        };
        assert_eq!(status("ana@example"), None);
        for wrong in ["a b", "", "a\n", &"a".repeat(65)] {
            assert_eq!(status(wrong), Some(2), "{wrong:?}");
        }
    }
}
