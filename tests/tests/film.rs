//! What the README promises a newcomer, word by word: `make run`, then the printed lines, each as it stands there.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use catalyst_tests::host::free_port;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// The README's words; the build is done by then.
const FILM: Duration = Duration::from_secs(120);
/// For a build that is there already, and a start.
const START: Duration = Duration::from_secs(300);

/// Two builds at once would only wait for each other, and write the same plugins.
static ONE: Mutex<()> = Mutex::new(());

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

/// `make run` on a folder, and the three commands that it prints. What it logs goes to `log` in that folder.
fn made(data: &Path, more: &[(&str, &str)]) -> (Group, [String; 3]) {
    let mut served = shell("make run");
    served.env("CATALYST_LISTEN", format!("127.0.0.1:{}", free_port())).env("CATALYST_DATA_DIR", data);
    served.envs(more.iter().copied());
    let log = std::fs::File::options().create(true).append(true).open(data.join("log")).unwrap();
    let mut served = Group(served.stdout(Stdio::piped()).stderr(log).spawn().unwrap());
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
    (served, commands.try_into().unwrap())
}

/// The address that a printed command calls, once it answers.
fn answering(create: &str) -> String {
    let address = create.split_whitespace().find_map(|word| word.strip_suffix("/api/v1/deployments")).unwrap();
    run(&format!("curl -sS --retry 30 --retry-connrefused --retry-delay 1 {address}/healthz"));
    address.to_owned()
}

/// The files of a folder that are of `make run` itself, and their bytes.
fn credentials(data: &Path) -> [Vec<u8>; 2] {
    ["tokens", "curl-header"].map(|name| {
        let file = data.join(name);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        std::fs::read(file).unwrap()
    })
}

#[test]
fn the_printed_lines_lead_to_ready() {
    let _alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let data = tempfile::tempdir().unwrap();
    let (served, [create, follow, play]) = made(data.path(), &[]);
    assert!(
        create.contains("curl") && follow.contains("curl") && play.contains("rehearse"),
        "{create} {follow} {play}"
    );

    let film = Instant::now();
    let address = answering(&create);
    let status = run(&format!("curl -sS -o /dev/null -w '%{{http_code}}' {address}/api/v1/deployments"));
    assert_eq!(status, "401", "who has no token is not let in");
    let answer = run(&create);
    assert!(answer.contains("\"status\":\"provisioning\""), "{answer}");
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
    drop(served);

    let first = credentials(data.path());
    let token = String::from_utf8(first[1].clone()).unwrap().trim().split(' ').next_back().unwrap().to_owned();
    assert!(token.len() > 40 && ![&create, &follow, &play].iter().any(|line| line.contains(&token)));
    assert!(!std::fs::read_to_string(data.path().join("log")).unwrap().contains(&token), "the log holds the token");
    assert!(!String::from_utf8_lossy(&first[0]).contains(&token), "the list holds the token itself");
    let mode = data.path().join("deployment.json").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "the answer of a create holds a read token");
    let (_served, [again, ..]) = made(data.path(), &[]);
    answering(&again);
    assert_eq!(credentials(data.path()), first, "the next run takes the same token");
    assert!(run(&again.replace("@scripts/rehearsal.json", "'{}'")).contains("sovereignFQDN"), "it is let in");
}

#[test]
fn whoever_says_how_callers_are_known_is_heard() {
    let _alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let data = tempfile::tempdir().unwrap();
    let (_served, [create, ..]) = made(data.path(), &[("CATALYST_AUTH", "none")]);
    assert!(!create.contains("-H"), "{create}");
    let address = answering(&create);
    assert_eq!(run(&format!("curl -sS {address}/api/v1/deployments | jq -c .deployments")).trim(), "[]");
    assert!(!data.path().join("tokens").exists() && !data.path().join("curl-header").exists());
}
