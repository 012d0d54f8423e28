//! The process itself: how long from start to ready, how much memory it holds idle, how large its files are.

use crate::figure::{Figure, Goal, Unit, percentile};
use anyhow::Context;
use catalyst_tests::host::{Host, built};
use catalyst_tests::tools;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Starts of each kind.
const STARTS: usize = 20;
/// Rest before memory is read: what the start needed has been given back.
const REST: Duration = Duration::from_secs(1);

/// Variables of a host that is measured: it traces as a service would.
pub const QUIET: (&str, &str) = ("RUST_LOG", "info");

/// Start to ready with machine code from the cache, and with a cache that is empty. The host asks OpenTofu for its version
/// before it serves, so that is what the start is compared to.
pub async fn starts() -> anyhow::Result<Vec<Figure>> {
    let (mut warm, mut cold, mut tofu) = (Vec::new(), Vec::new(), Vec::new());
    let mut host = Host::start(&[QUIET]);
    host.down();
    for _ in 0..STARTS {
        warm.push(host.up());
        host.down();
        let empty = tempfile::tempdir()?;
        let cache = empty.path().to_str().context("a path that is no text")?;
        let mut fresh = Host::prepare(&[QUIET, ("CATALYST_CACHE_DIR", cache)]);
        cold.push(fresh.up());
        fresh.down();
        tofu.push(version_of_tofu()?);
    }
    for times in [&mut warm, &mut cold, &mut tofu] {
        times.sort();
    }
    let (warm, cold, tofu) = (percentile(&warm, 50), percentile(&cold, 50), percentile(&tofu, 50));
    Ok(vec![
        Figure::time("start to ready p50, two plugins from the cache", warm)
            .against("`tofu version`, which is part of it", tofu.as_secs_f64()),
        Figure::time("start to ready p50, two plugins compiled", cold).against("from the cache", warm.as_secs_f64()),
    ])
}

fn version_of_tofu() -> anyhow::Result<Duration> {
    let tofu = tools::path("tofu")?;
    let begun = Instant::now();
    // Without our environment, as the host calls it.
    let status = Command::new(tofu).args(["version", "-json"]).env_clear().stdout(Stdio::null()).status()?;
    anyhow::ensure!(status.success(), "tofu version: {status}");
    Ok(begun.elapsed())
}

/// Memory of an idle host with two plugins from the cache.
pub async fn memory() -> anyhow::Result<Vec<Figure>> {
    let mut host = Host::start(&[QUIET]);
    host.down();
    host.up();
    tokio::time::sleep(REST).await;
    let resident = resident(host.pid())?;
    let share = kib(&format!("/proc/{}/smaps_rollup", host.pid()), "Pss:")?;
    Ok(vec![
        Figure::new("RSS idle, two plugins", Unit::Bytes, resident)
            .against("release binary", size("release/catalyst")?),
        Figure::new("PSS idle, two plugins", Unit::Bytes, share),
    ])
}

/// Resident memory of a process in bytes.
pub fn resident(pid: u32) -> anyhow::Result<f64> {
    kib(&format!("/proc/{pid}/status"), "VmRSS:")
}

fn kib(file: &str, key: &str) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(file).with_context(|| file.to_owned())?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)).with_context(|| format!("{file} has no {key}"))?;
    let number = line.trim().trim_end_matches("kB").trim();
    Ok(number.parse::<f64>()? * 1024.0)
}

/// Sizes of what is shipped.
pub async fn sizes() -> anyhow::Result<Vec<Figure>> {
    let binary = size("release/catalyst")?;
    let mut figures = vec![Figure::new("size of the release binary", Unit::Bytes, binary)];
    for plugin in ["hetzner", "openstack", "rehearsal"] {
        let plugin_size = size(&format!("plugins/{plugin}.wasm"))?;
        let name = format!("size of the plugin {plugin}");
        figures.push(Figure::new(name, Unit::Bytes, plugin_size).against("release binary", binary));
    }
    Ok(figures)
}

fn size(product: &str) -> anyhow::Result<f64> {
    Ok(std::fs::metadata(built(product))?.len() as f64)
}

/// A clean build of the release binary into a folder of its own, against the check of the same crates. On demand only: it takes minutes.
pub async fn clean_build() -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let timed = |arguments: &[&str]| -> anyhow::Result<Duration> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut command = Command::new("nice");
        command.args(["cargo", "--quiet"]).args(arguments).current_dir(root).env("CARGO_TARGET_DIR", folder.path());
        let begun = Instant::now();
        let status = command.status()?;
        anyhow::ensure!(status.success(), "cargo {arguments:?}: {status}");
        Ok(begun.elapsed())
    };
    timed(&["fetch", "--locked"])?;
    let host = timed(&["build", "--locked", "--release", "--bin", "catalyst"])?;
    let target = ["--target", "wasm32-wasip2", "-p", "catalyst-plugin-hetzner", "-p", "catalyst-plugin-rehearsal"];
    let plugins = timed(&[&["build", "--locked", "--profile", "plugin"], target.as_slice()].concat())?;
    let again = timed(&["build", "--locked", "--release", "--bin", "catalyst"])?;
    Ok(vec![
        Figure::time("clean build of the release binary", host).against("the build again", again.as_secs_f64()),
        Figure::time("clean build of the plugins", plugins).against("of the release binary", host.as_secs_f64()),
    ])
}

/// Every test, built already. On demand only: it takes minutes.
pub async fn tests() -> anyhow::Result<Vec<Figure>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let timed = |arguments: &[&str]| -> anyhow::Result<Duration> {
        let command = ["test", "--locked", "--workspace", "--quiet"].into_iter().chain(arguments.iter().copied());
        let begun = Instant::now();
        let status = Command::new("cargo").args(command).current_dir(&root).stdout(Stdio::null()).status()?;
        anyhow::ensure!(status.success(), "the tests failed: {status}");
        Ok(begun.elapsed())
    };
    let build = timed(&["--no-run"])?;
    let run = timed(&[])?;
    Ok(vec![Figure::time("all tests, built already", run).against("building them", build.as_secs_f64())])
}

/// Starts with so many records, until ready and until one of them was read; and the memory then.
pub async fn many_records() -> anyhow::Result<Vec<Figure>> {
    const RECORDS: u64 = 10_000;
    let mut none = Host::start(&[QUIET]);
    none.down();
    let mut host = Host::prepare(&[QUIET]);
    crate::disk::records(host.folder(), RECORDS).await?;
    let (mut empty, mut full) = (Vec::new(), Vec::new());
    let mut memory = 0.0_f64;
    for _ in 0..STARTS / 4 {
        empty.push(none.up());
        none.down();
        let ready = host.up();
        let begun = Instant::now();
        let answer = host.api.get(&format!("/api/v1/deployments/{:016x}", RECORDS));
        full.push(ready + begun.elapsed());
        anyhow::ensure!(answer.status == 200, "{} {}", answer.status, answer.body);
        memory = memory.max(resident(host.pid())?);
        host.down();
    }
    empty.sort();
    full.sort();
    Ok(vec![
        Figure::time("start with 10,000 records, until one is answered", percentile(&full, 50))
            .against("with none", percentile(&empty, 50).as_secs_f64())
            .goal(Goal::AtMost(0.25)),
        Figure::new("RSS with 10,000 records", Unit::Bytes, memory).goal(Goal::AtMost(60.0 * 1024.0 * 1024.0)),
    ])
}
