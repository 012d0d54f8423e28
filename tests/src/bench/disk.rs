//! What the store writes, and folders filled as it fills them.

use crate::figure::{Figure, Goal, Unit};
use crate::requests::{ended, fqdn};
use anyhow::{Context, ensure};
use catalyst_domain::{DeploymentId, Entry, Level, Timestamp};
use catalyst_store::{FileStore, Settings, Store};
use catalyst_tests::full_disk::{Full, FullDisk};
use catalyst_tests::fuzz::Random;
use catalyst_tests::host::Host;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Deployments in whose runs the disk fills: each step often, at many fill levels.
const FULL_DISKS: usize = 100;
/// In how many of them the full disk has to be met, or the rest shows nothing.
const LEAST_MET: usize = 90;

/// Lines of a long apply.
const LINES: usize = 10_000;
/// Lines that wait together while OpenTofu talks fast.
const TOGETHER: usize = 10;

/// The store on the folders of a host that is not running.
pub fn store(folder: &Path) -> anyhow::Result<Arc<FileStore>> {
    let settings = Settings { log_cap_bytes: 64 * 1024 * 1024, ..catalyst_tests::storage::plain_settings(folder) };
    Ok(FileStore::open(settings)?)
}

/// Fills a host's folder with ended deployments, numbered from 1. The store writes the first; the others are its file with another
/// name in it, because ten thousand synced creates would take a minute and measure something else.
pub async fn records(folder: &Path, count: u64) -> anyhow::Result<()> {
    let first = ended(1)?;
    let id = first.id.to_string();
    let store = store(folder)?;
    store.create(first).await?;
    drop(store);
    let deployments = folder.join("deployments");
    let text = std::fs::read_to_string(deployments.join(format!("{id}.json"))).context("the record's file")?;
    ensure!(text.contains(&fqdn(1)), "the record's file does not name its deployment");
    for number in 2..=count {
        let other = format!("{number:016x}");
        // The name holds the id, so this renames both.
        std::fs::write(deployments.join(format!("{other}.json")), text.replace(&id, &other))?;
    }
    Ok(())
}

/// Bytes written for 10,000 log lines, against the JSON that `/events` serves of them.
pub async fn log_bytes() -> anyhow::Result<Vec<Figure>> {
    let mut host = Host::prepare(&[crate::process::QUIET]);
    let record = ended(1)?;
    let id: DeploymentId = record.id.clone();
    let store = store(host.folder())?;
    store.create(record).await?;
    let before = written()?;
    for first in (0..LINES).step_by(TOGETHER) {
        let entries = (first..first + TOGETHER).map(line).collect();
        store.append(&id, entries).await?;
    }
    let written = written()? - before;
    drop(store);
    host.up();
    let body = host.api.get(&format!("/api/v1/deployments/{id}/events")).body;
    let from = body.find("\"events\":").context("no events")? + "\"events\":".len();
    let to = body.rfind(",\"done\":").context("no end of the events")?;
    ensure!(body[from..to].matches("\"phase\":").count() == LINES, "not every line is served");
    Ok(vec![
        Figure::new("written for 10,000 log lines", Unit::Bytes, written)
            .against("their JSON at /events", (to - from) as f64)
            .goal(Goal::RatioAtMost(1.2)),
    ])
}

fn line(number: usize) -> Entry {
    let message = format!("hcloud_server.worker[{}]: Still creating... [{number}s elapsed]", number % 50);
    Entry::new(Timestamp::now(), "tofu-apply", Level::Info, message)
}

/// Runs in which the disk fills, at random places: it stops where a deployment is wedged or something that was made is forgotten.
pub async fn full() -> anyhow::Result<Vec<Figure>> {
    let play = || {
        let mut disk = FullDisk::start(Random::any_seed());
        let begun = Instant::now();
        (0..FULL_DISKS).for_each(|_| disk.round(Full::AtTimesUntilTheRunHasEnded));
        (begun.elapsed(), disk.rounds_met(), disk.met().clone())
    };
    let (took, met, by_step) = tokio::task::spawn_blocking(play).await?;
    ensure!(met >= LEAST_MET, "the full disk was met in {met} rounds alone: {by_step:?}");
    let took = Figure::time(format!("{FULL_DISKS} rounds in which the disk fills"), took);
    let by_step =
        by_step.iter().map(|(step, met)| Figure::new(format!("of them met in {step}"), Unit::Count, *met as f64));
    Ok([took].into_iter().chain(by_step).collect())
}

/// Bytes that this process gave to write calls so far.
fn written() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/self/io")?;
    let value = text.lines().find_map(|line| line.strip_prefix("wchar:")).context("/proc/self/io has no wchar")?;
    Ok(value.trim().parse()?)
}
