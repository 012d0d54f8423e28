//! What the README promises a newcomer, word by word: `make run`, then the printed lines, each as it stands there.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use catalyst_tests::host::free_port;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The README's words; the build is done by then.
const FILM: Duration = Duration::from_secs(120);
/// For a build that is there already, and a start.
const START: Duration = Duration::from_secs(300);

/// Ends with everything that it started.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", "--", &format!("-{}", self.0.id())]).status();
        let _ = self.0.wait();
    }
}

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// A command as a person's shell runs it: without what cargo tells its tests, which builds would take for a change.
#[expect(clippy::disallowed_methods, reason = "a shell inherits its environment, but for what is taken out here")]
fn shell(line: &str) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new("bash");
    command.args(["-c", line]).current_dir(root()).process_group(0).env_remove("CATALYST_TOFU_BIN");
    let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_", "OUT_DIR", "LD_LIBRARY_PATH"];
    for (name, _) in std::env::vars().filter(|(name, _)| told.iter().any(|prefix| name.starts_with(prefix))) {
        command.env_remove(name);
    }
    command
}

fn run(line: &str) -> String {
    let output = shell(line).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{line}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_printed_lines_lead_to_ready() {
    let data = tempfile::tempdir().unwrap();
    let mut served = shell("make run");
    served.env("CATALYST_LISTEN", format!("127.0.0.1:{}", free_port())).env("CATALYST_DATA_DIR", data.path());
    let mut served = Group(served.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let (told, lines) = mpsc::channel();
    let stdout = served.0.stdout.take().unwrap();
    std::thread::spawn(move || {
        BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| told.send(line))
    });
    let mut commands: Vec<String> = Vec::new();
    let begun = Instant::now();
    while commands.len() < 3 {
        let line = lines.recv_timeout(START.saturating_sub(begun.elapsed())).unwrap();
        commands.extend(line.strip_prefix("  ").filter(|line| !line.starts_with(' ')).map(str::to_owned));
    }
    let [create, follow, play] = commands.try_into().unwrap();
    assert!(
        create.contains("curl") && follow.contains("curl") && play.contains("rehearse"),
        "{create} {follow} {play}"
    );

    let film = Instant::now();
    let health = create.split_whitespace().find_map(|word| word.strip_suffix("/api/v1/deployments")).unwrap();
    let made = run(&format!(
        "curl -sS --retry 30 --retry-connrefused --retry-delay 1 {health}/healthz >/dev/null && {create}"
    ));
    assert!(made.contains("\"status\":\"provisioning\""), "{made}");
    let mut followed = Group(shell(&follow).stdout(Stdio::piped()).spawn().unwrap());
    let _played = Group(shell(&play).stdout(Stdio::null()).spawn().unwrap());
    // The stream ends by itself, with the end of the film.
    let mut stream = followed.0.stdout.take().unwrap();
    let (read, whole) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        read.send(text)
    });
    let text = whole.recv_timeout(FILM).unwrap_or_else(|_| panic!("no end within {FILM:?}"));
    let (_, done) = text.rsplit_once("event: done").unwrap_or_else(|| panic!("{text}"));
    assert!(done.contains("\"status\":\"ready\""), "{done}");
    assert!(film.elapsed() < FILM);
}
