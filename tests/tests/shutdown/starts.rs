//! Signals that come before the start is done.

use crate::going::{
    create, ends_well, events, lost_nothing, plant, record_on_disk, state, taken_up_as_restarted, until,
};
use catalyst_tests::host::{Host, wait_for};
use catalyst_tests::world::LIMIT;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// `O_NONBLOCK` of Linux.
const NOT_WAITING: i32 = 0o4000;

/// Processes of the compiler of plugins that this host has.
fn compilers(host: &Host) -> Vec<u32> {
    let children = format!("/proc/{0}/task/{0}/children", host.pid());
    // A child belongs to the thread that made it.
    let threads = std::fs::read_dir(format!("/proc/{}/task", host.pid()));
    let of_threads = threads.into_iter().flatten().filter_map(|task| Some(task.ok()?.path().join("children")));
    let lists = of_threads.chain([children.into()]).filter_map(|file| std::fs::read_to_string(file).ok());
    let mut pids: Vec<u32> =
        lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect();
    let compiles = |pid: &u32| {
        std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("compile-component"))
    };
    pids.retain(compiles);
    pids
}

/// A host that compiles its plugins: nothing is in its cache.
fn compiling(env: &[(&str, &str)]) -> (Host, tempfile::TempDir, u32) {
    let cache = tempfile::tempdir().unwrap();
    let mut all = vec![("CATALYST_CACHE_DIR", cache.path().to_str().unwrap())];
    all.extend_from_slice(env);
    let mut host = Host::prepare(&all);
    host.begin();
    let compiler = wait_for("a compiler", LIMIT, || compilers(&host).first().copied());
    (host, cache, compiler)
}

#[test]
fn a_term_while_a_plugin_is_compiled_ends_well_and_leaves_no_compiler() {
    let (mut host, _cache, compiler) = compiling(&[]);
    host.signal("TERM");
    let took = ends_well(&mut host, Instant::now());
    println!("SIGTERM while a plugin is compiled: down after {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    wait_for("the compiler's end", Duration::from_secs(5), || {
        let line = std::fs::read_to_string(format!("/proc/{compiler}/cmdline")).unwrap_or_default();
        (!line.contains("compile-component")).then_some(())
    });
    assert!(host.trace().contains("asked to end before the start was done"), "{}", host.trace());
    host.up();
}

#[test]
fn a_hangup_while_a_plugin_is_compiled_costs_nothing_and_is_heard_afterwards() {
    let (mut host, _cache, _) = compiling(&[]);
    host.signal("HUP");
    wait_for("the start", LIMIT, || {
        assert!(host.ended().is_none(), "the host died of it:\n{}", host.trace());
        std::net::TcpStream::connect(host.address()).ok()?;
        (host.api.get("/readyz").status == 200).then_some(())
    });
    wait_for("the reload", LIMIT, || host.trace().contains("asked to load the plugins again").then_some(()));
    host.down();
}

#[test]
fn a_term_while_the_start_waits_for_another_process_is_heard_at_once() {
    let first = Host::start(&[]);
    let deployments = first.folder().join("deployments").display().to_string();
    let mut second = Host::prepare(&[("CATALYST_DEPLOYMENTS_DIR", &deployments), ("CATALYST_LOCK_WAIT", "60s")]);
    second.begin();
    // It says nothing while it waits, and has nothing else to do.
    std::thread::sleep(Duration::from_millis(700));
    assert!(second.ended().is_none(), "it did not wait:\n{}", second.trace());
    second.signal("TERM");
    let took = ends_well(&mut second, Instant::now());
    println!("SIGTERM while waiting for the lock: down after {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(first.api.get("/readyz").status, 200);
}

/// A file that is stuck, as on a disk that hangs: whoever opens a pipe to read waits for a writer.
fn pipe(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

/// Begins a start that comes upon such a file, and returns once it is stuck.
fn begin_and_stick(host: &mut Host, pipe: &Path) -> File {
    host.begin();
    // That opens only when there is a reader, who then waits for what is never written.
    let open = || File::options().write(true).custom_flags(NOT_WAITING).open(pipe).ok();
    let held = wait_for("the start to be stuck", LIMIT, open);
    assert!(host.ended().is_none(), "it did not wait:\n{}", host.trace());
    held
}

/// A host whose start is stuck in the file that a variable names.
pub fn stuck(name: &str, env: &[(&str, &str)]) -> (Host, tempfile::TempDir, File) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    pipe(&path);
    let shown = path.display().to_string();
    let mut all = vec![(name, shown.as_str())];
    all.extend_from_slice(env);
    let mut host = Host::prepare(&all);
    let held = begin_and_stick(&mut host, &path);
    (host, folder, held)
}

#[test]
fn a_term_while_a_disk_does_not_answer_the_start_is_heard_at_once() {
    let tokens = ("CATALYST_AUTH_TOKENS", &[("CATALYST_AUTH", "token")][..]);
    let spans = ("SSL_CERT_FILE", &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")][..]);
    for (name, env) in [tokens, ("CATALYST_PLUGIN_LIMITS", &[]), ("SSL_CERT_FILE", &[]), spans] {
        let (mut host, _folder, _held) = stuck(name, env);
        host.signal("TERM");
        let took = ends_well(&mut host, Instant::now());
        println!("SIGTERM while the file of {name} does not open: down after {took:?}");
        assert!(took < Duration::from_secs(5), "{name}: {took:?}");
    }
}

#[test]
fn a_start_that_waits_says_for_what() {
    let (mut host, _folder, mut held) = stuck("CATALYST_PLUGIN_LIMITS", &[]);
    wait_for("a word on what it waits for", Duration::from_secs(30), || {
        let trace = host.trace();
        (trace.contains("the start still waits") && trace.contains("the plugins' limits")).then_some(())
    });
    // A disk that answers at last is no longer waited for.
    held.write_all(b"{}").unwrap();
    drop(held);
    wait_for("the start", LIMIT, || {
        assert!(host.ended().is_none(), "{}", host.trace());
        std::net::TcpStream::connect(host.address()).ok()?;
        (host.api.get("/readyz").status == 200).then_some(())
    });
    host.down();
}

/// Deployments of which a start takes up only some before it is asked to end.
const MANY: u8 = 250;

#[test]
fn a_term_while_deployments_are_taken_up_is_heard_at_once_and_the_next_start_takes_up_the_others() {
    let mut host = Host::start(&[]);
    let waits = create(&host, "waits.example", 0);
    until(&host, &waits, "flux-bootstrapping");
    let before = events(&host, &waits);
    host.down();
    // In the order of the start. Each is written to disk, so that all of them take some seconds.
    let planted: Vec<String> = (1..=MANY).map(|number| plant(&host, number, "pending")).collect();
    let (first, second) = (planted[0].clone(), planted[planted.len() - 1].clone());
    host.begin();
    wait_for("the first one", LIMIT, || (record_on_disk(&host, &first)["status"] == "failed").then_some(()));
    host.signal("TERM");
    let took = ends_well(&mut host, Instant::now());
    println!("SIGTERM while deployments are taken up: down after {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(host.trace().contains("asked to end while deployments were taken up"), "{}", host.trace());
    let on_disk = |id: &str| record_on_disk(&host, id)["status"].clone();
    assert_eq!([on_disk(&first), on_disk(&second), on_disk(&waits)], ["failed", "pending", "flux-bootstrapping"]);

    host.up();
    for id in [&first, &second] {
        let error = taken_up_as_restarted(&host, id);
        lost_nothing(&host, id, &[], &[]);
        let said = events(&host, id).iter().filter(|entry| entry["message"] == error).count();
        assert_eq!(said, 1, "what was recorded is said once");
    }
    wait_for("the wait for the node", LIMIT, || (events(&host, &waits).len() > before.len()).then_some(()));
    assert_eq!(state(&host, &waits)["status"], "flux-bootstrapping");
    lost_nothing(&host, &waits, &before, &[]);
}
