//! Boots a user data below a folder of its own: writes its files there and runs its commands, with stand-ins for what
//! needs a machine or a cloud and with the real curl.
//!
//! The scripts are run, not imitated, so they must be relocatable: `CATALYST_ROOT` tells them the folder, and a command
//! that names a file below it is run from there. They run as the user who started this, without a sandbox: a rehearsal
//! executes what a provider plugin rendered.

use super::cloud_config::{self, CloudConfig, CloudConfigError, Command as Entry};
use super::follow::{Follow, MAX_OUTPUT, read_end};
use super::machine::{Machine, OUTPUT};
use super::stubs::Stubs;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// Longest boot, background units included, where the caller says nothing. A node that waits for its host retries.
const DEFAULT_LIMIT: Duration = Duration::from_secs(10 * 60);
/// Where k3s leaves its kubeconfig.
const KUBECONFIG: &str = "etc/rancher/k3s/k3s.yaml";

/// One first boot. No `Debug`: user data and kubeconfig hold secrets.
pub struct Boot {
    /// A `#cloud-config`.
    pub user_data: String,
    /// An existing, empty folder: the node's `/`. Plain characters only, because scripts paste it into paths.
    pub root: PathBuf,
    /// What k3s would write, with the server `https://127.0.0.1:6443`; blank for a node that writes none.
    pub kubeconfig: String,
    /// Further variables for the scripts.
    pub env: BTreeMap<String, String>,
    /// Longest time until the last command and unit have ended.
    pub limit: Duration,
    /// Where to tell what happens; what nobody fetches is dropped.
    pub steps: Option<mpsc::Sender<Step>>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Files were written.
    Files(usize),
    /// Keys of the user data that are not played.
    LeftOut(Vec<String>),
    /// A command begins.
    Begins(String),
    /// A command or unit ended.
    Ended(Ran),
    /// A stand-in was called: program and arguments.
    Called(String),
    /// A unit is started, or why not.
    Unit(String),
    /// A script wrote into a log below `var/log`.
    Logged(String),
}

/// A command or unit that was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The command's words or the unit's name.
    pub what: String,
    /// Exit status; 128 and the signal's number when a signal ended it.
    pub status: i32,
}

/// What a boot came to. That a command failed is no error: cloud-init goes on as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootReport {
    /// `bootcmd` and `runcmd`, in order.
    pub commands: Vec<Ran>,
    /// Units that were run, in the order of their ends.
    pub units: Vec<Ran>,
    /// Calls of stand-ins, in order.
    pub calls: Vec<String>,
    /// End of what the commands printed.
    pub log: String,
}

impl BootReport {
    /// How each unit ended at last: a timer may have started a failed one again.
    pub fn last_of_units(&self) -> impl Iterator<Item = &Ran> {
        let later = |index: usize, ran: &Ran| self.units.iter().skip(index + 1).any(|other| other.what == ran.what);
        self.units.iter().enumerate().filter(move |(index, ran)| !later(*index, ran)).map(|(_, ran)| ran)
    }
}

/// Why a boot could not be played.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// See there.
    #[error("the user data cannot be played")]
    UserData(#[source] CloudConfigError),
    /// Scripts paste the root into shell words.
    #[error("the root folder must be an absolute path of letters, digits and ._-+/ only")]
    Root,
    /// A file or a program.
    #[error("cannot {doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Everything was stopped.
    #[error("the boot did not end within {}: {running} was running", humantime(limit))]
    TimeLimit {
        /// The limit.
        limit: Duration,
        /// What had not ended.
        running: String,
    },
    /// Everything was stopped.
    #[error("the commands printed more than {MAX_OUTPUT} bytes")]
    TooMuchOutput,
}

fn humantime(limit: &Duration) -> String {
    format!("{} s", limit.as_secs_f32())
}

impl Boot {
    /// A boot with the usual limit.
    pub fn new(user_data: String, root: PathBuf, kubeconfig: String) -> Self {
        Self { user_data, root, kubeconfig, env: BTreeMap::new(), limit: DEFAULT_LIMIT, steps: None }
    }

    pub(super) fn tell(&self, step: Step) {
        if let Some(steps) = &self.steps {
            // A slow reader must not hold up the node.
            let _ = steps.try_send(step);
        }
    }
}

/// Boots. When this is dropped, everything that it started is killed.
///
/// # Errors
/// [`BootError`]; nothing of the boot runs on then.
pub async fn boot(boot: Boot) -> Result<BootReport, BootError> {
    let config = cloud_config::parse(&boot.user_data).map_err(BootError::UserData)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+/".contains(c);
    if !boot.root.is_absolute() || !boot.root.to_str().is_some_and(|root| root.chars().all(plain)) {
        return Err(BootError::Root);
    }
    let stubs = Stubs::install(&boot.root).map_err(|source| io_error("write the stand-ins", source))?;
    let machine = Machine::start(&boot, stubs)?;
    let mut follow = Follow::new(&boot, &machine);
    let deadline = Instant::now() + boot.limit;
    let mut ran = Vec::new();
    let commands = async {
        run_all(&boot, &machine, &config.early, &mut ran).await?;
        prepare(&boot, &config)?;
        run_all(&boot, &machine, &config.commands, &mut ran).await
    };
    let both = async {
        let done = async {
            let result = commands.await;
            machine.commands_over.notify_one();
            result
        };
        tokio::try_join!(done, follow.until_over()).map(drop)
    };
    match timeout_at(deadline, both).await {
        Ok(result) => result?,
        Err(_) => return Err(BootError::TimeLimit { limit: boot.limit, running: machine.running() }),
    }
    let calls = read_end(&machine.stubs.calls());
    Ok(BootReport {
        commands: ran,
        units: follow.units_over,
        calls: calls.lines().map(|line| line.trim_end().to_owned()).collect(),
        log: read_end(&boot.root.join(OUTPUT)),
    })
}

/// A word that names a file below the root means that file; all others mean this machine's.
pub(super) fn relocate(root: &Path, word: &str) -> String {
    match word.strip_prefix('/').map(|below| root.join(below)) {
        Some(path) if path.is_file() => path.to_string_lossy().into_owned(),
        _ => word.to_owned(),
    }
}

fn prepare(boot: &Boot, config: &CloudConfig) -> Result<(), BootError> {
    for file in &config.files {
        let write = || {
            let mode = if file.append { Write::Append } else { Write::Replace };
            write_file(&boot.root.join(&file.path), &file.content, file.mode, mode)
        };
        write().map_err(|source| io_error(&format!("write /{}", file.path.display()), source))?;
    }
    if !boot.kubeconfig.is_empty() {
        write_file(&boot.root.join(KUBECONFIG), boot.kubeconfig.as_bytes(), 0o600, Write::Replace)
            .map_err(|source| io_error("write the kubeconfig", source))?;
    }
    boot.tell(Step::Files(config.files.len()));
    if !config.left_out.is_empty() {
        boot.tell(Step::LeftOut(config.left_out.clone()));
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Write {
    Append,
    Replace,
}

fn write_file(path: &Path, content: &[u8], mode: u32, how: Write) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600);
    let mut file = match how {
        Write::Append => options.append(true).open(path)?,
        Write::Replace => options.write(true).truncate(true).open(path)?,
    };
    file.write_all(content)?;
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

async fn run_all(boot: &Boot, machine: &Machine, entries: &[Entry], ran: &mut Vec<Ran>) -> Result<(), BootError> {
    for entry in entries {
        let words = match entry {
            Entry::Program(words) => words.iter().map(|word| relocate(&boot.root, word)).collect(),
            Entry::Line(line) => {
                let words = line.split(' ').map(|word| relocate(&boot.root, word));
                vec!["/bin/sh".to_owned(), "-c".to_owned(), words.collect::<Vec<_>>().join(" ")]
            }
        };
        let what = match entry {
            Entry::Program(words) => words.join(" "),
            Entry::Line(line) => line.clone(),
        };
        boot.tell(Step::Begins(what.clone()));
        let status = machine.run(&what, &words).await?;
        let over = Ran { what, status };
        boot.tell(Step::Ended(over.clone()));
        ran.push(over);
    }
    Ok(())
}

pub(super) fn io_error(doing: &str, source: io::Error) -> BootError {
    BootError::Io { doing: doing.to_owned(), source }
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
