//! A disk that answers no more.

use crate::going::{
    self, create, ends_well, events, lost_nothing, plant, record_on_disk, taken_up_as_restarted, terminate, until,
};
use crate::starts;
use catalyst_tests::host::{Host, wait_for};
use catalyst_tests::pause::Pause;
use catalyst_tests::strace::{Order, Target, Tracer};
use catalyst_tests::world::{Gates, LIMIT};
use std::io::Write as _;
use std::time::{Duration, Instant};

/// Waits for the end of all but the thread that the disk keeps: how long it took.
fn ends_but_for_the_disk(host: &mut Host, asked: Instant, disk: Tracer) -> Duration {
    // The process has ended when its first thread has; the kernel keeps the rest of it as long as the disk keeps a thread.
    let stat = format!("/proc/{}/stat", host.pid());
    wait_for("the end", going::grace(), || {
        let stat = std::fs::read_to_string(&stat).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('Z').then_some(())
    });
    let took = asked.elapsed();
    drop(disk);
    ends_well(host, asked);
    took
}

#[test]
fn a_host_whose_disk_hangs_is_down_within_its_grace_and_the_next_start_takes_up_what_it_left() {
    let pause = Pause::new();
    let mut host = Host::start(&[("CATALYST_TOFU_BIN", &pause.tofu().display().to_string())]);
    pause.at("apply", "\"type\":\"apply_complete\"");
    let id = create(&host, "hangs.example", 40);
    pause.stands();
    until(&host, &id, "tofu-applying");
    pause.keep_back();
    let before = events(&host, &id);
    let disk = Tracer::attach(&Target::Process(host.pid()), &Order::Hang(&["fsync", "fdatasync"]));

    let asked = terminate(&host);
    // OpenTofu ends as it should; that it did is never on disk.
    wait_for("the interrupt", LIMIT, || (!pause.signals().is_empty()).then_some(()));
    pause.release();
    let took = ends_but_for_the_disk(&mut host, asked, disk);
    println!("SIGTERM while the disk does not answer: down after {took:?}");
    assert!(took > Duration::from_secs(50), "it waited for no disk, so this shows nothing: {took:?}");
    assert!(host.trace().contains("work did not end within 60 s"), "{}", host.trace());

    host.up();
    taken_up_as_restarted(&host, &id);
    lost_nothing(&host, &id, &before, &[]);
}

#[test]
fn a_term_while_the_disk_of_opentofu_does_not_answer_is_heard_also_where_it_is_not_confined() {
    for confine in ["auto", "off"] {
        // Held before it comes to OpenTofu; its plugins were compiled before, so OpenTofu is all that it starts.
        let env = [("CATALYST_TOFU_CONFINE", confine)];
        let (mut host, _folder, mut held) = starts::stuck("CATALYST_PLUGIN_LIMITS", &env);
        let disk = Tracer::attach(&Target::Process(host.pid()), &Order::Hang(&["execve"]));
        held.write_all(b"{}").unwrap();
        drop(held);
        wait_for("OpenTofu's start", LIMIT, || {
            let threads = std::fs::read_dir(format!("/proc/{}/task", host.pid())).unwrap();
            let names = threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("comm")));
            names.filter_map(Result::ok).any(|name| name.trim() == "tofu-start").then_some(())
        });
        host.signal("TERM");
        let took = ends_but_for_the_disk(&mut host, Instant::now(), disk);
        println!("SIGTERM while OpenTofu's disk does not answer, confinement {confine}: down after {took:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}

#[test]
fn a_host_whose_disk_hangs_while_it_takes_deployments_up_is_down_at_once_and_the_next_start_takes_them_up() {
    let gates = Gates::new();
    let mut host = Host::prepare(&[("CATALYST_TOFU_BIN", gates.tofu().to_str().unwrap())]);
    let (first, second) = (plant(&host, 1, "pending"), plant(&host, 2, "pending"));
    // OpenTofu is asked for its version when the folders are open and nothing was taken up yet.
    gates.close("version");
    host.begin();
    wait_for("the start to ask OpenTofu", LIMIT, || gates.waits_at("version").then_some(()));
    let disk = Tracer::attach(&Target::Process(host.pid()), &Order::Hang(&["fsync", "fdatasync"]));
    gates.open("version");
    // A line that is written and waits for its sync.
    let log = host.folder().join("deployments").join(format!("{first}.log.jsonl"));
    wait_for("the first line", LIMIT, || std::fs::read(&log).is_ok_and(|log| log.ends_with(b"\n")).then_some(()));

    let asked = Instant::now();
    host.signal("TERM");
    let took = ends_but_for_the_disk(&mut host, asked, disk);
    println!("SIGTERM while a disk holds up the taking up of deployments: down after {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(host.trace().contains("asked to end while deployments were taken up"), "{}", host.trace());
    for id in [&first, &second] {
        assert_eq!(record_on_disk(&host, id)["status"], "pending", "it was not held up in the middle of this");
    }

    host.up();
    for id in [&first, &second] {
        taken_up_as_restarted(&host, id);
        lost_nothing(&host, id, &[], &[]);
    }
}
