//! Finds the real tools that tests run on, and gets them where they are missing.
//!
//! A missing tool fails the test that needs it, with words that say what to do. Nothing is skipped.

use anyhow::{Context, ensure};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Path of a tool: `CATALYST_TOOL_<NAME>` if set (dashes as underscores), else what `tests/tools/get.sh` prints. The
/// first call on a machine may build for minutes.
///
/// # Errors
/// When it is not there and cannot be got.
pub fn path(tool: &str) -> anyhow::Result<PathBuf> {
    got(tool, &[])
}

/// Path of a tool in the one version that this project pins, whatever is on the machine.
///
/// # Errors
/// As of [`path`].
pub fn pinned(tool: &str) -> anyhow::Result<PathBuf> {
    got(tool, &["--pinned"])
}

fn got(tool: &str, how: &[&str]) -> anyhow::Result<PathBuf> {
    let variable = format!("CATALYST_TOOL_{}", tool.to_uppercase().replace('-', "_"));
    #[expect(clippy::disallowed_methods, reason = "tests have no config.rs; this is their only variable")]
    if let Ok(given) = std::env::var(&variable) {
        let given = PathBuf::from(given);
        ensure!(given.is_file(), "{variable} names {}, which is no file", given.display());
        return Ok(given);
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/get.sh");
    let output = Command::new(script)
        .arg(tool)
        .args(how)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("running {script}"))?;
    ensure!(output.status.success(), "{script} {tool} failed: {}; its words stand above", output.status);
    let path = PathBuf::from(String::from_utf8(output.stdout).context("the tool's path is no text")?.trim());
    ensure!(path.is_file(), "{script} {tool} printed {path:?}, which is no file");
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_is_there_is_found() {
        let curl = path("curl").unwrap();
        assert!(curl.is_absolute(), "{curl:?}");
    }

    #[test]
    fn an_unknown_tool_fails_with_words() {
        let error = path("no-such-tool").unwrap_err().to_string();
        assert!(error.contains("no-such-tool failed"), "{error}");
    }
}
