//! The host as the first process of a container.

use crate::hosts::{Hanging, hanging_in};
use catalyst_tests::host::{Host, wait_for};
use std::process::Command;
use std::time::Duration;

/// Fields of `/proc/<pid>/stat` after the name: state and parent.
pub fn state_and_parent(pid: u32) -> Option<(String, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

fn children(parent: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| state_and_parent(*pid).is_some_and(|(_, of)| of == parent)).collect()
}

#[test]
fn the_first_process_of_a_container_collects_strangers_and_ends_with_its_host() {
    let mut host = Host::prepare(&[]);
    host.first_of_a_namespace();
    host.up();
    // `unshare` started it: the first process of the namespace is its only child, and the host is that one's.
    let first = children(host.pid())[0];
    assert_eq!(children(first).len(), 1, "the host is a process of its own");
    let enter = ["--target", &first.to_string(), "--pid", "sh", "-c", "for i in 1 2 3; do (sleep 0.2 &) ; done"];
    assert!(Command::new("nsenter").args(enter).status().unwrap().success());
    wait_for("the strangers", Duration::from_secs(10), || (children(first).len() == 4).then_some(()));
    wait_for("their end", Duration::from_secs(10), || (children(first).len() == 1).then_some(()));
    let served = host.api.get("/healthz");
    assert_eq!(served.status, 200);
    // A signal of whoever runs the container goes on to the host, and its status comes back.
    let ended = Command::new("kill").args(["-TERM", &first.to_string()]).status().unwrap();
    assert!(ended.success());
    wait_for("the end", Duration::from_secs(30), || host.ended()).success().then_some(()).unwrap();
}

#[test]
fn a_killed_host_in_a_container_gives_its_run_the_time_to_end_in_order() {
    let tofu = Hanging::new("auto", "sleep 0.3; exit 1");
    let mut host = tofu.prepared(&[]);
    host.first_of_a_namespace();
    host.up();
    let id = hanging_in("apply", &tofu, &host);
    let first = children(host.pid())[0];
    let killed = Command::new("kill").args(["-KILL", &children(first)[0].to_string()]).status().unwrap();
    assert!(killed.success());
    let status = wait_for("the end of the container", Duration::from_secs(30), || host.ended());
    assert_eq!(status.code(), Some(137), "as a shell tells it");
    assert_eq!(tofu.diary(&host, &id), ["began apply", "INT apply"]);
    assert!(tofu.processes().is_empty());
}
