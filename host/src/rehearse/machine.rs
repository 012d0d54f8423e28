//! The processes of a node. All of them are in one process group, which ends as a whole: when the node is over, when it
//! is dropped, and when this process dies.

use super::node::{Boot, BootError, io_error};
use super::stubs::Stubs;
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use tokio::process::{Child, Command};
use tokio::sync::Notify;

/// What cloud-init gives to commands.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// cloud-init's own log of what the commands print.
pub(super) const OUTPUT: &str = "var/log/cloud-init-output.log";

/// The running node.
pub(super) struct Machine {
    // Leads the group, and kills it when this process is gone and with it the other end of the pipe.
    leader: Child,
    pub(super) spawn: Spawn,
    pub(super) stubs: Stubs,
    /// Told when the last command has ended.
    pub(super) commands_over: Notify,
    running: Mutex<String>,
}

/// What a process of the node needs to start.
#[derive(Clone)]
pub(super) struct Spawn {
    root: PathBuf,
    env: BTreeMap<String, String>,
    group: Pid,
}

impl Machine {
    pub(super) fn start(boot: &Boot, stubs: Stubs) -> Result<Self, BootError> {
        for folder in ["var/log", "tmp", "root", "etc"] {
            let made = std::fs::create_dir_all(boot.root.join(folder));
            made.map_err(|source| io_error("make the node's folders", source))?;
        }
        let leader = Command::new("/bin/sh")
            .args(["-c", "read -r _; kill -KILL 0"])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| io_error("start the node's first process", source))?;
        let group = leader.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let group = group.ok_or_else(|| io_error("start the node's first process", io::ErrorKind::NotFound.into()))?;
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let mut env = boot.env.clone();
        env.insert("PATH".to_owned(), format!("{}:{PATH}", text(stubs.bin())));
        env.insert("HOME".to_owned(), text(boot.root.join("root")));
        env.insert("TMPDIR".to_owned(), text(boot.root.join("tmp")));
        env.insert("LANG".to_owned(), "C.UTF-8".to_owned());
        env.insert("CATALYST_ROOT".to_owned(), text(boot.root.clone()));
        let spawn = Spawn { root: boot.root.clone(), env, group };
        let (commands_over, running) = (Notify::new(), Mutex::default());
        Ok(Self { leader, spawn, stubs, commands_over, running })
    }

    pub(super) async fn run(&self, what: &str, words: &[String]) -> Result<i32, BootError> {
        self.set_running(what);
        let status = self.spawn.run(words).await;
        self.set_running("");
        status.map_err(|source| io_error(&format!("run `{what}`"), source))
    }

    fn set_running(&self, what: &str) {
        what.clone_into(&mut self.running.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn running(&self) -> String {
        let what = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if what.is_empty() { "a unit".to_owned() } else { format!("`{what}`") }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The leader is not reaped before this, so the group's number is still ours.
        if self.leader.id().is_some() {
            // It fails only when nobody is left.
            let _ = kill_process_group(self.spawn.group, Signal::KILL);
        }
    }
}

impl Spawn {
    pub(super) async fn run(&self, words: &[String]) -> io::Result<i32> {
        let Some((program, arguments)) = words.split_first() else { return Ok(0) };
        let output = OpenOptions::new().create(true).append(true).mode(0o600).open(self.root.join(OUTPUT))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(&self.env)
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(self.group.as_raw_pid());
        let status = match command.spawn() {
            Ok(mut child) => child.wait().await?,
            // A shell says it like this, and cloud-init goes on.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(127),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(126),
            Err(error) => return Err(error),
        };
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        Ok(status.code().or(signal.map(|signal| 128 + signal)).unwrap_or(-1))
    }
}
