//! A disk that answers no more.

use crate::going::{self, create, ends_well, events, lost_nothing, state, terminate, until};
use catalyst_tests::host::{Host, wait_for};
use catalyst_tests::pause::Pause;
use catalyst_tests::strace::{Order, Target, Tracer};
use catalyst_tests::world::LIMIT;
use std::time::Duration;

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
    // The process has ended when its first thread has; the kernel keeps the rest of it as long as the disk keeps a thread.
    let stat = format!("/proc/{}/stat", host.pid());
    wait_for("the end", going::grace(), || {
        let stat = std::fs::read_to_string(&stat).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('Z').then_some(())
    });
    let took = asked.elapsed();
    drop(disk);
    ends_well(&mut host, asked);
    println!("SIGTERM while the disk does not answer: down after {took:?}");
    assert!(took > Duration::from_secs(50), "it waited for no disk, so this shows nothing: {took:?}");
    assert!(host.trace().contains("work did not end within 60 s"), "{}", host.trace());

    host.up();
    until(&host, &id, "failed");
    let error = state(&host, &id)["error"].as_str().unwrap().to_owned();
    assert!(error.contains("catalyst-api restarted during provisioning"), "{error}");
    lost_nothing(&host, &id, &before, &[]);
}
