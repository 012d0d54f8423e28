//! The real OpenTofu behind a script that holds it still in the middle of a command, and writes down each signal that the host
//! sends before it hands it on.

use crate::host::wait_for;
use crate::world::{LIMIT, tofu_into};
use nix::sys::stat::Mode;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A folder with the script, and what it leaves there.
pub struct Pause(tempfile::TempDir);

impl Default for Pause {
    fn default() -> Self {
        Self::new()
    }
}

impl Pause {
    /// One that holds nothing yet.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&folder.path().join("lines"), Mode::S_IRWXU).unwrap();
        let script = script(folder.path(), &tofu_into(folder.path()));
        std::fs::write(folder.path().join("tofu"), script).unwrap();
        std::fs::set_permissions(folder.path().join("tofu"), std::fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    /// The binary to run.
    pub fn tofu(&self) -> PathBuf {
        self.file("tofu")
    }

    /// The next run of this command is held still as soon as it wrote a line that holds these words.
    pub fn at(&self, command: &str, words: &str) {
        let _none_yet = std::fs::remove_file(self.file("paused"));
        std::fs::write(self.file("pause"), format!("{command} {words}")).unwrap();
    }

    /// Waits until OpenTofu stands still, as the kernel sees it.
    ///
    /// # Panics
    /// It came to its end first.
    pub fn stands(&self) {
        wait_for("OpenTofu to stand still", LIMIT, || self.file("paused").exists().then_some(()));
        // By its program: the number that the script knows is one of the run's own process namespace.
        let program = format!("{}\0", self.file("real-tofu").display());
        wait_for("OpenTofu to stand in mid-command", LIMIT, || {
            processes().into_iter().find(|(command, state)| command.starts_with(&program) && state.starts_with('T'))
        });
    }

    /// A signal is written down and kept back until [`Self::release`].
    pub fn keep_back(&self) {
        std::fs::write(self.file("keep-back"), "").unwrap();
    }

    /// Hands the signal on, and lets OpenTofu go on.
    pub fn release(&self) {
        std::fs::remove_file(self.file("keep-back")).unwrap();
    }

    /// The signals so far: a line each, with the command that was sent it.
    pub fn signals(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.file("signals")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// Command lines and states of all processes.
fn processes() -> Vec<(String, String)> {
    let each = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).map(|entry| entry.path());
    each.filter_map(|path| {
        let command = std::fs::read(path.join("cmdline")).ok()?;
        let stat = std::fs::read_to_string(path.join("stat")).ok()?;
        let state = stat.rsplit_once(')')?.1.trim_start().to_owned();
        Some((String::from_utf8_lossy(&command).into_owned(), state))
    })
    .collect()
}

fn script(folder: &Path, tofu: &Path) -> String {
    format!(
        r#"#!/bin/sh
folder='{folder}'
tofu='{tofu}'
[ -e "$folder/pause" ] || exec "$tofu" "$@"
wanted=$(cat "$folder/pause")
case "$wanted" in "$1 "*) ;; *) exec "$tofu" "$@" ;; esac
words=${{wanted#* }}
command=$1
"$tofu" "$@" >"$folder/lines" &
pid=$!
on_interrupt() {{
    echo "INT $command" >>"$folder/signals"
    while [ -e "$folder/keep-back" ]; do sleep 0.05; done
    kill -INT "$pid"
    kill -CONT "$pid"
}}
trap on_interrupt INT
(
    while IFS= read -r line; do
        printf '%s\n' "$line"
        case "$line" in *"$words"*)
            if [ -e "$folder/pause" ]; then
                rm "$folder/pause"
                kill -STOP "$pid"
                echo "$pid" >"$folder/paused"
            fi ;;
        esac
    done <"$folder/lines"
) &
reader=$!
while kill -0 "$pid" 2>/dev/null; do wait "$pid"; status=$?; done
while kill -0 "$reader" 2>/dev/null; do wait "$reader"; done
exit "$status"
"#,
        folder = folder.display(),
        tofu = tofu.display(),
    )
}
