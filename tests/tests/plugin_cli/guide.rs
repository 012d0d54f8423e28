//! The commands of `docs/plugins.md`, as a person's shell runs them: word by word, one after the other.

use super::{ran, repository};
use catalyst_tests::host::{built, target_dir};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// For a command that would wait for ever; another language's tools and components take minutes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(1200);

/// The blocks of commands below a heading of the second level, in order.
pub(crate) fn blocks(heading: &str) -> Vec<String> {
    let guide = std::fs::read_to_string(repository("docs/plugins.md")).unwrap();
    let (_, section) = guide.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let section = section.split("\n## ").next().unwrap();
    let fenced = section.split("```sh\n").skip(1);
    let blocks: Vec<String> = fenced.map(|rest| rest.split("```").next().unwrap().to_owned()).collect();
    assert!(!blocks.is_empty(), "{heading} has no commands");
    blocks
}

/// A shell in a folder, in which `catalyst` is on the path.
pub(crate) struct Shell {
    folder: PathBuf,
    path: String,
    env: Vec<(String, String)>,
}

impl Shell {
    /// In a folder of this name below cargo's own for tests, made anew.
    #[expect(clippy::disallowed_methods, reason = "a shell has the path of whoever runs the tests")]
    pub(crate) fn fresh(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&folder);
        let programs = folder.join("bin");
        std::fs::create_dir_all(&programs).unwrap();
        std::os::unix::fs::symlink(built("release/catalyst").canonicalize().unwrap(), programs.join("catalyst"))
            .unwrap();
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        Self { folder, path, env: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs commands in the folder below, to the end of the first that fails; gives what they said.
    pub(crate) fn plays(&self, below: &str, commands: &str) -> String {
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", commands]).current_dir(self.folder.join(below)).process_group(0);
        without_cargos_words(&mut command);
        command
            .env("PATH", &self.path)
            .env("CATALYST_CACHE_DIR", target_dir().canonicalize().unwrap().join("test-cache"))
            .env("CATALYST_TOFU_BIN", catalyst_tests::tools::path("tofu").unwrap());
        // What is in the caches already is not asked for again.
        command.env("npm_config_prefer_offline", "true").env("CARGO_NET_OFFLINE", "true");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let group = format!("-{}", child.id());
        let (ended, over) = std::sync::mpsc::channel::<()>();
        let watch = std::thread::spawn(move || {
            let begun = Instant::now();
            if over.recv_timeout(PATIENCE).is_err() && begun.elapsed() >= PATIENCE {
                let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            }
        });
        let output = child.wait_with_output().unwrap();
        drop(ended);
        watch.join().unwrap();
        assert!(output.status.code().is_some(), "it did not end within {PATIENCE:?}:\n{commands}");
        let output = ran(&output);
        assert_eq!(output.code, 0, "{commands}\n{}{}", output.stdout, output.stderr);
        output.stdout
    }
}

/// Without what cargo tells its tests, which a build would take for its own.
#[expect(clippy::disallowed_methods, reason = "a shell inherits its environment, but for what is taken out here")]
fn without_cargos_words(command: &mut Command) {
    let told = [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_CRATE_",
        "CARGO_BIN_",
        "CARGO_TARGET_",
        "OUT_DIR",
        "LD_LIBRARY_PATH",
        "RUSTUP_TOOLCHAIN",
    ];
    for (name, _) in std::env::vars().filter(|(name, _)| told.iter().any(|prefix| name.starts_with(prefix))) {
        command.env_remove(name);
    }
}
