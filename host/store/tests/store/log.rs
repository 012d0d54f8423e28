//! The log file: torn ends, damage, the limit, imported entries, cost.

use crate::kit::*;
use catalyst_domain::{Entry, LogReserve, phase};
use catalyst_store::Store;
use std::io::Write;
use std::time::{Duration, Instant};

async fn three_entries(volume: &Volume) {
    let store = volume.open();
    store.create(record(1)).await.unwrap();
    store.append(&id(1), vec![entry("one"), entry("two"), entry("three")]).await.unwrap();
}

fn add(volume: &Volume, bytes: &[u8]) {
    std::fs::OpenOptions::new().append(true).open(volume.log(&id(1))).unwrap().write_all(bytes).unwrap();
}

#[tokio::test]
async fn a_torn_end_is_cut_wherever_it_is_torn() {
    let volume = Volume::new();
    three_entries(&volume).await;
    let whole = std::fs::read(volume.log(&id(1))).unwrap();
    let third = whole.len() - whole.iter().rev().skip(1).position(|byte| *byte == b'\n').unwrap() - 1;
    for length in third..whole.len() {
        std::fs::write(volume.log(&id(1)), &whole[..length]).unwrap();
        let store = volume.open();
        assert_eq!(messages(&read_all(&*store, &id(1)).await), ["one", "two"], "torn at {length}");
        assert_eq!(std::fs::read(volume.log(&id(1))).unwrap(), &whole[..third]);
        assert_eq!(store.append(&id(1), vec![entry("new")]).await.unwrap(), 3);
        drop(store);
        assert_eq!(messages(&read_all(&*volume.open(), &id(1)).await), ["one", "two", "new"]);
    }
}

#[tokio::test]
async fn a_block_of_zeros_at_the_end_is_cut() {
    let volume = Volume::new();
    three_entries(&volume).await;
    add(&volume, &[0; 4096]);
    let store = volume.open();
    assert_eq!(store.append(&id(1), vec![entry("four")]).await.unwrap(), 4);
    assert_eq!(messages(&read_all(&*store, &id(1)).await), ["one", "two", "three", "four"]);
}

#[tokio::test]
async fn damage_before_the_end_sets_one_deployment_aside() {
    let volume = Volume::new();
    three_entries(&volume).await;
    let whole = std::fs::read_to_string(volume.log(&id(1))).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    for (what, text) in [
        ("a byte", format!("{}\nX{}\n{}\n", lines[0], &lines[1][1..], lines[2])),
        ("a missing line", format!("{}\n{}\n", lines[0], lines[2])),
        ("a line twice", format!("{}\n{}\n{}\n", lines[0], lines[1], lines[1])),
    ] {
        std::fs::write(volume.log(&id(1)), &text).unwrap();
        let store = volume.open();
        let read = store.read(&id(1), 0, 9).await.unwrap_err().to_string();
        assert!(read.contains("line ") && read.contains("damaged"), "{what}: {read}");
        assert_eq!(store.append(&id(1), vec![entry("x")]).await.unwrap_err().to_string(), read, "{what}");
        assert_eq!(store.count(&id(1)).await.unwrap_err().to_string(), read, "{what}");
        assert_eq!(std::fs::read_to_string(volume.log(&id(1))).unwrap(), text, "{what}: the evidence stays");
        assert!(store.unusable().is_none());
        let number = 2 + read_all_ids(&*store);
        store.create(record(number)).await.unwrap();
        assert_eq!(store.append(&id(number), vec![entry("y")]).await.unwrap(), 1, "others serve");
    }
}

fn read_all_ids(store: &dyn Store) -> u64 {
    store.list().len() as u64
}

#[tokio::test]
async fn a_file_that_was_cut_by_somebody_else_is_set_aside() {
    let volume = Volume::new();
    let store = volume.open();
    store.create(record(1)).await.unwrap();
    store.append(&id(1), vec![entry("one"), entry("two")]).await.unwrap();
    std::fs::write(volume.log(&id(1)), "").unwrap();
    let error = store.append(&id(1), vec![entry("three")]).await.unwrap_err().to_string();
    assert!(error.contains("changed by somebody else"), "{error}");
    assert_eq!(std::fs::read(volume.log(&id(1))).unwrap(), b"");
}

#[tokio::test]
async fn a_full_log_says_so_and_keeps_markers_and_components() {
    let mut volume = Volume::new();
    volume.log_cap_bytes = 20_000;
    let store = volume.open();
    store.create(record(1)).await.unwrap();
    for n in 0..400 {
        store.append(&id(1), vec![entry(format!("plain {n} {}", "x".repeat(100)))]).await.unwrap();
    }
    let full = store.count(&id(1)).await.unwrap();
    let all = read_all(&*store, &id(1)).await;
    assert!(full < 200 && all.len() as u64 == full);
    let last = &all.last().unwrap().entry;
    assert!(last.message.contains("20000 bytes") && last.phase == phase::HOST, "{last:?}");
    assert_eq!(all.iter().filter(|n| n.entry.phase == phase::HOST).count(), 1, "said once");

    drop(store);
    let store = volume.open();
    for phase in [phase::TOFU_OUTPUT, phase::TOFU_DESTROY, phase::FLUX_BOOTSTRAP, phase::COMPONENT] {
        store.append(&id(1), vec![entry("dropped"), marker(phase)]).await.unwrap();
    }
    let after: Vec<_> = store.read(&id(1), full, 99).await.unwrap().into_iter().map(|n| n.entry.phase).collect();
    assert_eq!(after, [phase::TOFU_OUTPUT, phase::TOFU_DESTROY, phase::FLUX_BOOTSTRAP, phase::COMPONENT]);
    // Components have a limit as well, and markers still come through then.
    let flood = (0..4000).map(|_| marker(phase::COMPONENT)).collect();
    store.append(&id(1), flood).await.unwrap();
    assert!(std::fs::metadata(volume.log(&id(1))).unwrap().len() < 20_000 + MEBIBYTE / 2);
    let before = store.count(&id(1)).await.unwrap();
    assert_eq!(
        store.append(&id(1), vec![marker(phase::COMPONENT), marker(phase::TOFU_INIT)]).await.unwrap(),
        before + 1
    );
}

#[tokio::test]
async fn what_others_say_takes_nothing_of_the_reserve_and_the_hosts_last_words_fit() {
    let mut volume = Volume::new();
    volume.log_cap_bytes = 20_000;
    let store = volume.open();
    store.create(record(1)).await.unwrap();
    let of_others = |phase: &str| marker(phase).with_reserve(LogReserve::Nothing);
    // A cluster that goes on for ever, in phases whose markers have room in a full log.
    for phase in [phase::TOFU_DESTROY, phase::TOFU_PLAN, phase::COMPONENT] {
        store.append(&id(1), (0..4000).map(|_| of_others(phase)).collect()).await.unwrap();
    }
    let size = || std::fs::metadata(volume.log(&id(1))).unwrap().len();
    // And one word that the log is full.
    assert!(size() < 20_000 + 500, "{}", size());
    // States of components have a part of their own, which is not that of the host.
    store.append(&id(1), (0..9000).map(|_| marker(phase::COMPONENT)).collect()).await.unwrap();
    let before = store.count(&id(1)).await.unwrap();
    let long = |phase: &str| Entry { message: "x".repeat(64 * 1024), ..marker(phase) };
    let last = |phase: &str| long(phase).with_reserve(LogReserve::LastWord);
    store.append(&id(1), vec![entry("dropped"), of_others(phase::TOFU_DESTROY)]).await.unwrap();
    // Neither are some long ones enough to use it up.
    for _ in 0..8 {
        let words = vec![last(phase::MONITOR), long(phase::TOFU_DESTROY), long(phase::TOFU_OUTPUT)];
        store.append(&id(1), words).await.unwrap();
    }
    let kept = store.read(&id(1), before, 99).await.unwrap();
    assert_eq!(kept.len(), 24);
    assert!(kept.iter().all(|kept| kept.entry.message.ends_with("x … (65536 bytes in all)")));
}

#[tokio::test]
async fn a_huge_message_is_shortened_with_a_word() {
    let volume = Volume::new();
    let store = volume.open();
    store.create(record(1)).await.unwrap();
    store.append(&id(1), vec![entry("ä".repeat(1_000_000)), entry("after")]).await.unwrap();
    let all = read_all(&*store, &id(1)).await;
    assert!(all[0].entry.message.len() < 70_000 && all[0].entry.message.ends_with("(2000000 bytes in all)"));
    assert_eq!(all[1].entry.message, "after");
}

#[tokio::test]
async fn entries_of_the_earlier_service_come_first_and_the_file_goes_on() {
    let volume = Volume::new();
    let mut imported = record(1);
    imported.schema = 0;
    imported.events = (1..=70).map(|n| entry(format!("old {n}"))).collect();
    volume.plant(&format!("{}.json", id(1)), &serde_json::to_string(&imported).unwrap());
    let store = volume.open();
    assert_eq!(store.count(&id(1)).await.unwrap(), 70);
    let new = (71..=140).map(|n| entry(format!("new {n}"))).collect();
    assert_eq!(store.append(&id(1), new).await.unwrap(), 140);
    store.record(&id(1), &failed(), at(3)).await.unwrap();
    drop(store);
    let store = volume.open();
    let all = read_all(&*store, &id(1)).await;
    assert!(all.len() == 140 && all.iter().zip(1..).all(|(numbered, number)| numbered.number == number));
    for (after, limit, expected) in [
        (68, 4, ["old 69", "old 70", "new 71", "new 72"].as_slice()),
        (69, 1, &["old 70"]),
        (70, 1, &["new 71"]),
        (137, 9, &["new 138", "new 139", "new 140"]),
    ] {
        assert_eq!(messages(&store.read(&id(1), after, limit).await.unwrap()), expected, "after {after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d7_cost_grows_with_the_entries_and_not_with_their_square() {
    const ENTRIES: u64 = 20_000;
    let volume = Volume::new();
    let store = volume.open();
    store.create(record(1)).await.unwrap();
    let mut quarters: Vec<Duration> = Vec::new();
    for quarter in 0..4 {
        let began = Instant::now();
        for chunk in 0..ENTRIES / 4 / 50 {
            let entries = (0..50).map(|n| entry(format!("quarter {quarter}, chunk {chunk}, line {n}"))).collect();
            store.append(&id(1), entries).await.unwrap();
        }
        quarters.push(began.elapsed());
    }
    let record_bytes = std::fs::metadata(volume.deployments(&format!("{}.json", id(1)))).unwrap().len();
    assert!(record_bytes < 4096, "entries are not in the record");

    // The tail of a long log costs as much as its head: reads do not go through the whole file.
    let cost = async |after: u64| {
        let began = Instant::now();
        for n in 0..200 {
            assert_eq!(store.read(&id(1), after + n, 1).await.unwrap()[0].number, after + n + 1);
        }
        began.elapsed()
    };
    cost(0).await;
    let (head, tail) = (cost(0).await, cost(ENTRIES - 200).await);
    drop(store);
    let store = volume.open();
    let began = Instant::now();
    assert_eq!(store.count(&id(1)).await.unwrap(), ENTRIES);
    let first_access = began.elapsed();
    let began = Instant::now();
    assert_eq!(read_all(&*store, &id(1)).await.len() as u64, ENTRIES);
    eprintln!(
        "append quarters {quarters:?}; 200 reads at head {head:?}, at tail {tail:?}; first access {first_access:?}; read all {:?}",
        began.elapsed()
    );
    // Room for a busy machine; quadratic cost would make the last quarter seven times the first.
    let slack = Duration::from_millis(300);
    assert!(quarters[3] < quarters[0] * 4 + slack, "{quarters:?}");
    assert!(tail < head * 4 + slack, "{head:?} {tail:?}");
}
