//! `catalyst plugin` on the real binary: what each command prints and how it ends, well and badly, and the walk from an
//! empty folder to a deployment.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod examples;
mod guide;
mod judging;
mod languages;
mod making;
mod mistakes;
mod pins;
mod snapshots;
mod strangers;
mod walk;
mod words;

use catalyst_tests::host::{built, target_dir};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What a command came to.
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }

    /// The exit status, with everything said where it is another.
    fn ended(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
        self
    }
}

/// `catalyst plugin …` with nothing of this environment but where programs and the home are.
fn command() -> Command {
    let mut command = Command::new(built("release/catalyst"));
    command.arg("plugin").env_clear().env("CATALYST_CACHE_DIR", target_dir().join("test-cache"));
    command
}

fn plugin(arguments: &[&str]) -> Ran {
    ran(&command().args(arguments).output().unwrap())
}

fn ran(output: &Output) -> Ran {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let ran = Ran {
        code: output.status.code().expect("it was not killed"),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    };
    // A component's own panic is shown behind its name.
    assert!(!ran.stderr.lines().any(|line| line.starts_with("thread ")), "{}", ran.stderr);
    ran
}

/// A plugin of this repository.
fn component(name: &str) -> String {
    text(&built(&format!("plugins/{name}.wasm")))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
